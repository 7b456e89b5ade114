//! `host-device`: gives a link of the host to the pod, and takes it back.
//!
//! The link's name on the host is kept in its alias while it is away, as the reference keeps it.
//! Name, alias and namespace change in one request, so that nothing renames it on the way.

mod config;

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_route::link::{LinkAttribute, LinkMessage},
};

use super::endpoint;
use crate::{
    delegate,
    kernel::{Link, Namespace, Netlink, pod_namespace},
    protocol::{Call, CniResult, Command, Interface, Plugin, PluginError, all},
};

use config::{Config, Device};

/// The namespace that the plugin runs in.
const HOST: &str = "/proc/thread-self/ns/net";

pub(super) struct HostDevice;

impl Plugin for HostDevice {
    fn name(&self) -> &'static str {
        "host-device"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let pod = Pod::open(call)?;
        let moved = match &config.device {
            // Its driver gives it to programs, not to the kernel's network.
            Device::Userspace => None,
            device => Some(pod.take_in(device, call)?),
        };
        let mut is_leased = false;
        let added = set_up(&pod, &config, moved.as_ref(), &mut is_leased, call);
        if added.is_err() {
            // What cannot be taken back is left to DEL; the failure is what to tell.
            if let Some(moved) = &moved {
                drop(pod.give_back(&moved.link, &moved.name, moved.was_up));
            }
            if let (Some(ipam), true) = (&config.ipam, is_leased) {
                drop(delegate::ask(ipam, Command::Del, call));
            }
        }
        added
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let ipam = delegate::address_management(call)?;
        // The reference leaves the lease when the namespace is gone.
        let released = ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Del, call));
        let returned = give_back(call);
        all([released, returned].into_iter().filter_map(Result::err).collect())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        if let Some(ipam) = &config.ipam {
            delegate::ask(ipam, Command::Check, call)?;
        }
        let previous = call.required_previous()?;
        if config.device == Device::Userspace {
            return Ok(());
        }
        let inside = Netlink::inside(&pod_namespace(call)?)?;
        endpoint::check(&inside, &previous, "", call).map(drop)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        // Links come back when their namespace ends; leases may be left.
        call.valid_attachments()?;
        let ipam = delegate::address_management(call)?;
        ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Gc, call))
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        config.ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Status, call))
    }
}

/// A link that came to the pod.
#[derive(Debug)]
struct Moved {
    link: Link,
    /// Its name on the host.
    name: String,
    was_up: bool,
}

/// Both namespaces.
struct Pod {
    namespace: Namespace,
    host_namespace: Namespace,
    inside: Netlink,
    host: Netlink,
}

impl Pod {
    fn open(call: &Call) -> Result<Self, PluginError> {
        Self::with(pod_namespace(call)?)
    }

    fn with(namespace: Namespace) -> Result<Self, PluginError> {
        let host_namespace = Namespace::open(HOST.as_ref())?;
        let inside = Netlink::inside(&namespace)?;
        Ok(Self { namespace, host_namespace, inside, host: Netlink::open()? })
    }

    fn take_in(&self, device: &Device, call: &Call) -> Result<Moved, PluginError> {
        endpoint::refuse_taken_name(&self.inside, call)?;
        let link = device.find(&self.host)?;
        let (name, was_up) = (link.name.clone(), link.is_up);
        let message = move_to(&self.namespace, link.index, call.link(), &name);
        let action = || format!("move link `{name}` to the pod as `{}`", call.link());
        if let Err(failure) = self.host.change_link(message, action) {
            // The kernel does one thing after the other and may have stopped after the move; the
            // failure is what to tell.
            if let Ok(Some(stray)) = self.inside.link(&name) {
                drop(self.give_back(&stray, &name, was_up));
            }
            return Err(failure.into());
        }
        let link = endpoint::link(&self.inside, call)?;
        Ok(Moved { link, name, was_up })
    }

    /// Moves a link to the host under its name there.
    fn give_back(&self, link: &Link, name: &str, up: bool) -> Result<(), PluginError> {
        if self.host.link(name)?.is_some() {
            return Err(PluginError::internal(format!(
                "failed to move link `{}` of the pod to the host as `{name}`: the host has another \
                 link of that name",
                link.name
            )));
        }
        self.inside.set_up(link, false)?;
        let message = move_to(&self.host_namespace, link.index, name, "");
        let action = || format!("move link `{}` of the pod to the host as `{name}`", link.name);
        if let Err(failure) = self.inside.change_link(message, action) {
            // Back into the pod as it was; the failure is what to tell.
            drop(self.restore(link));
            return Err(failure.into());
        }
        if up && let Some(link) = self.host.link(name)? {
            self.host.set_up(&link, true)?;
        }
        Ok(())
    }

    /// The kernel does one thing after the other and may have stopped after the move.
    fn restore(&self, link: &Link) -> Result<(), PluginError> {
        let stray = self.host.link(&link.name)?.filter(|stray| stray.alias == link.alias);
        if let (Some(stray), false) = (stray, link.alias.is_empty()) {
            let message = move_to(&self.namespace, stray.index, &link.name, &link.alias);
            self.host.change_link(message, || format!("move link `{}` back", link.name))?;
        }
        match self.inside.link(&link.name)? {
            Some(now) => Ok(self.inside.set_up(&now, link.is_up)?),
            None => Ok(()),
        }
    }
}

/// A request that moves, renames and notes at once.
fn move_to(namespace: &Namespace, index: u32, name: &str, alias: &str) -> LinkMessage {
    LinkMessageBuilder::<LinkUnspec>::new()
        .index(index)
        .name(name)
        .alias(alias)
        .append_extra_attribute(LinkAttribute::NetNsFd(namespace.raw_fd()))
        .build()
}

fn set_up(
    pod: &Pod,
    config: &Config,
    moved: Option<&Moved>,
    is_leased: &mut bool,
    call: &Call,
) -> Result<CniResult, PluginError> {
    let interface = Interface {
        name: call.link().to_owned(),
        mac: moved.map(|moved| moved.link.mac.clone()).unwrap_or_default(),
        sandbox: call.environment.namespace.clone(),
        ..Interface::default()
    };
    let interfaces = vec![interface];
    let Some(ipam) = &config.ipam else {
        if moved.is_some() {
            endpoint::switch_on(&pod.inside, call)?;
        }
        return Ok(CniResult { interfaces, ..CniResult::default() });
    };
    let mut result = endpoint::lease(ipam, 0, call)?;
    *is_leased = true;
    if moved.is_some() {
        endpoint::configure(&pod.inside, &pod.namespace, &result, &[], call)?;
    }
    result.interfaces = interfaces;
    result.dns = config.dns.clone();
    Ok(result)
}

/// Takes the link back, where the pod still has it. It stays down: whether it was up is not known.
fn give_back(call: &Call) -> Result<(), PluginError> {
    let Some(path) = call.environment.namespace() else { return Ok(()) };
    let Some(namespace) = Namespace::open_existing(path)? else { return Ok(()) };
    let pod = Pod::with(namespace)?;
    let Some(link) = pod.inside.link(call.link())? else { return Ok(()) };
    let name = Some(link.alias.clone()).filter(|alias| !alias.is_empty());
    let name = match name {
        Some(name) => name,
        None => config::named_device(call)?.ok_or_else(|| {
            PluginError::internal(format!(
                "link `{}` of the pod has no alias that tells its name on the host: set it by `ip \
                 link set {} alias NAME` in the pod",
                link.name, link.name
            ))
        })?,
    };
    pod.give_back(&link, &name, false)
}
