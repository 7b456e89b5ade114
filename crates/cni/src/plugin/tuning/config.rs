//! The configuration, checked.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use regex_lite::Regex;
use serde::Deserialize;

use super::{link::Aspects, sysctl::Setting};
use crate::{
    plugin::endpoint,
    protocol::{Call, PluginError},
};

/// Where the reference keeps what links were before.
const DIRECTORY: &str = "/run/cni/tuning";
/// Regular expressions, one a line, of the settings that may be changed; without it all may.
const ALLOWLIST: &str = "/etc/cni/tuning/allowlist.conf";

/// The keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    data_dir: String,
    sysctl: BTreeMap<String, String>,
    mac: String,
    promisc: bool,
    mtu: u32,
    allmulti: Option<bool>,
    tx_q_len: Option<u32>,
    runtime_config: Runtime,
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runtime {
    mac: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: Overrides,
}

/// What the caller asks for in place of the network's keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Overrides {
    sysctl: BTreeMap<String, String>,
    mac: Option<String>,
    promisc: Option<bool>,
    mtu: Option<u32>,
    allmulti: Option<bool>,
    tx_q_len: Option<u32>,
}

/// What the plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) directory: PathBuf,
    pub(super) settings: Vec<Setting>,
    pub(super) wanted: Aspects,
}

/// The directory of backups; all that DEL and GC need, whatever the other keys have become.
pub(super) fn directory(call: &Call) -> Result<PathBuf, PluginError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Directory {
        data_dir: String,
    }
    call.config::<Directory>().map(|keys| directory_of(&keys.data_dir))
}

fn directory_of(key: &str) -> PathBuf {
    PathBuf::from(if key.is_empty() { DIRECTORY } else { key })
}

impl Config {
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        let (key, mac) = mac(call, &keys)?;
        if !mac.is_empty() {
            endpoint::parse_mac(key, &mac)?;
        }
        let directory = directory_of(&keys.data_dir);
        let over = keys.args.cni;
        let mut sysctl = keys.sysctl;
        sysctl.extend(over.sysctl);
        let settings = sysctl.iter().map(|(key, value)| Setting::new(key, value, call.link()));
        Ok(Self {
            directory,
            settings: settings.collect::<Result<_, _>>()?,
            wanted: Aspects {
                mac: Some(mac).filter(|mac| !mac.is_empty()),
                promisc: Some(true).filter(|_| over.promisc.unwrap_or(keys.promisc)),
                mtu: Some(over.mtu.unwrap_or(keys.mtu)).filter(|mtu| *mtu != 0),
                allmulti: over.allmulti.or(keys.allmulti),
                tx_q_len: over.tx_q_len.or(keys.tx_q_len),
            },
        })
    }

    /// Refuses settings that the host's administrator does not allow.
    pub(super) fn check_allowed(&self) -> Result<(), PluginError> {
        let Some(allowed) = allowlist(Path::new(ALLOWLIST))? else { return Ok(()) };
        let is_allowed = |name: &str| allowed.iter().any(|pattern| pattern.is_match(name));
        let Some(setting) = self.settings.iter().find(|setting| !is_allowed(&setting.key)) else {
            return Ok(());
        };
        let patterns: Vec<_> = allowed.iter().map(Regex::as_str).collect();
        Err(PluginError::config(
            &format!("sysctl.{}", setting.key),
            format_args!("matches no line of `{ALLOWLIST}`: {}", patterns.join(", ")),
        ))
    }
}

/// The hardware address and the key it comes from: each one's wish wins over those before it.
fn mac(call: &Call, keys: &Keys) -> Result<(&'static str, String), PluginError> {
    let args = call.args(&["MAC"])?;
    let wishes = [
        ("mac", Some(keys.mac.as_str())),
        ("CNI_ARGS MAC", args.get("MAC")),
        ("runtimeConfig.mac", Some(keys.runtime_config.mac.as_str())),
    ];
    let wish = wishes
        .into_iter()
        .rev()
        .find_map(|(key, mac)| mac.filter(|mac| !mac.is_empty()).map(|mac| (key, mac.to_owned())));
    let over = keys.args.cni.mac.clone().map(|mac| ("args.cni.mac", mac));
    Ok(over.or(wish).unwrap_or_default())
}

fn allowlist(path: &Path) -> Result<Option<Vec<Regex>>, PluginError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            let action = format!("read `{}`", path.display());
            return Err(PluginError::because(action, &cause));
        }
    };
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let patterns = lines.map(|(number, line)| {
        Regex::new(line).map_err(|cause| {
            let place = format!("{}:{}", path.display(), number + 1);
            PluginError::because(
                format_args!("read regular expression `{line}` of {place}"),
                &cause,
            )
        })
    });
    patterns.collect::<Result<_, _>>().map(Some)
}
