//! The configuration, checked, and the link that it means.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    delegate,
    kernel::{Link, Netlink},
    plugin::endpoint,
    protocol::{Call, Dns, PluginError},
};

const PCI: &str = "/sys/bus/pci/devices";
const AUXILIARY: &str = "/sys/bus/auxiliary/devices";
const DEVICES: &str = "/sys/devices/";
/// Drivers that give a device to programs.
const USERSPACE: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    device: String,
    hwaddr: String,
    kernelpath: String,
    #[serde(rename = "pciBusID")]
    pci: String,
    #[serde(rename = "runtimeConfig")]
    runtime: Runtime,
    dns: Dns,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runtime {
    #[serde(rename = "deviceID")]
    device: String,
}

/// How the link is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Device {
    /// By its name.
    Named(String),
    /// By its hardware address.
    Hardware([u8; 6]),
    /// By a directory of the kernel that holds it, which a key names.
    Directory { key: &'static str, path: PathBuf },
    /// A PCI device that is no link.
    Userspace,
}

/// What the plugin works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) device: Device,
    pub(super) ipam: Option<String>,
    pub(super) dns: Dns,
}

/// The name of the link on the host, where the configuration has it.
pub(super) fn named_device(call: &Call) -> Result<Option<String>, PluginError> {
    let keys: Keys = call.config()?;
    Ok(Some(keys.device).filter(|name| !name.is_empty()))
}

impl Config {
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        let ipam = delegate::address_management(call)?;
        Ok(Self { device: device(&keys)?, ipam, dns: keys.dns })
    }
}

/// In the reference's order; a device of the runtime wins over the PCI device of the network.
fn device(keys: &Keys) -> Result<Device, PluginError> {
    let mut pci = ("pciBusID", keys.pci.as_str());
    let mut auxiliary = "";
    if !keys.runtime.device.is_empty() {
        let id = keys.runtime.device.as_str();
        is_plain("runtimeConfig.deviceID", id)?;
        if Path::new(PCI).join(id).exists() {
            pci = ("runtimeConfig.deviceID", id);
        } else if Path::new(AUXILIARY).join(id).exists() {
            (pci.1, auxiliary) = ("", id);
        } else {
            let problem = format!("is \"{id}\", which is no device in `{PCI}` or `{AUXILIARY}`");
            return Err(PluginError::config("runtimeConfig.deviceID", problem));
        }
    }
    if !pci.1.is_empty() && is_userspace(pci.0, pci.1)? {
        return Ok(Device::Userspace);
    }
    if !keys.device.is_empty() {
        return Ok(Device::Named(keys.device.clone()));
    }
    if !keys.hwaddr.is_empty() {
        return endpoint::parse_mac("hwaddr", &keys.hwaddr).map(Device::Hardware);
    }
    if !keys.kernelpath.is_empty() {
        let is_below = keys.kernelpath.starts_with(DEVICES) && !keys.kernelpath.contains("/..");
        if !is_below {
            let problem = format!("is \"{}\", but must begin with {DEVICES}", keys.kernelpath);
            return Err(PluginError::config("kernelpath", problem));
        }
        let path = Path::new(&keys.kernelpath).join("net");
        return Ok(Device::Directory { key: "kernelpath", path });
    }
    if !pci.1.is_empty() {
        return Ok(Device::Directory { key: pci.0, path: pci_links(&Path::new(PCI).join(pci.1)) });
    }
    if !auxiliary.is_empty() {
        let path = Path::new(AUXILIARY).join(auxiliary).join("net");
        return Ok(Device::Directory { key: "runtimeConfig.deviceID", path });
    }
    Err(PluginError::config(
        "device",
        "is missing: name the link by `device`, `hwaddr`, `kernelpath` or `pciBusID`",
    ))
}

/// Ids are names of directories.
fn is_plain(key: &str, id: &str) -> Result<(), PluginError> {
    if id.contains('/') || id.starts_with('.') {
        return Err(PluginError::config(key, format_args!("is \"{id}\", which is no device's id")));
    }
    Ok(())
}

fn is_userspace(key: &str, id: &str) -> Result<bool, PluginError> {
    is_plain(key, id)?;
    let path = Path::new(PCI).join(id);
    let driver = fs::canonicalize(path.join("driver")).map_err(|cause| {
        PluginError::config(
            key,
            format_args!("is \"{id}\", but `{}` has no driver: {cause}", path.display()),
        )
    })?;
    let name = driver.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(USERSPACE.contains(&name))
}

/// A virtio device has its links one level deeper.
fn pci_links(device: &Path) -> PathBuf {
    let plain = device.join("net");
    if plain.exists() {
        return plain;
    }
    let entries = fs::read_dir(device).into_iter().flatten().filter_map(Result::ok);
    let mut virtio = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("virtio")));
    virtio.next().map_or(plain, |entry| entry.path().join("net"))
}

impl Device {
    /// The link on the host.
    pub(super) fn find(&self, host: &Netlink) -> Result<Link, PluginError> {
        let missing = |key: &str, what: &str| {
            PluginError::config(key, format_args!("is \"{what}\", but the host has no such link"))
        };
        let link = match self {
            Self::Named(name) => host.link(name)?.ok_or_else(|| missing("device", name))?,
            Self::Hardware(mac) => {
                let mac = crate::kernel::mac_text(mac);
                let found = host.links()?.into_iter().find(|link| link.mac == mac);
                found.ok_or_else(|| missing("hwaddr", &mac))?
            }
            Self::Directory { key, path } => {
                let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
                let name = entries.filter_map(|entry| entry.file_name().into_string().ok()).min();
                let link = name.map(|name| host.link(&name)).transpose()?.flatten();
                link.ok_or_else(|| missing(key, &path.display().to_string()))?
            }
            Self::Userspace => return Err(missing("pciBusID", "driven by a program")),
        };
        if link.name == "lo" {
            return Err(PluginError::config("device", "is \"lo\", which cannot leave the host"));
        }
        Ok(link)
    }
}
