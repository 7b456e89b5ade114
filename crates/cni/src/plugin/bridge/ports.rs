//! The bridge and its ports.

use std::time::Duration;

use nix::errno::Errno;
use rtnetlink::{
    LinkBridge, LinkBridgePort, LinkBridgeVlan, LinkMessageBuilder, LinkUnspec,
    packet_route::link::BridgeVlanInfoFlags,
};

use super::config::Config;
use crate::{
    kernel::{KernelError, Link, Namespace, Netlink, pause, settings},
    plugin::endpoint::{Pair, add_pair},
    protocol::{Call, PluginError},
};

/// How long the link on the host may take to see its other end.
const CARRIER: Duration = Duration::from_millis(2550);

/// The two ends of a pair.
#[derive(Debug, Clone)]
pub(super) struct Veth {
    pub(super) host: Link,
    pub(super) pod: Link,
}

/// Makes the bridge unless it is there, and switches it on; `true` when it was made.
pub(super) fn ensure_bridge(host: &Netlink, config: &Config) -> Result<bool, PluginError> {
    let name = config.bridge.as_str();
    let mut is_new = false;
    let existing = match host.link(name)? {
        Some(link) => link,
        None => {
            is_new = create_bridge(host, config)?;
            bridge(host, name)?
        }
    };
    if existing.kind != "bridge" {
        return Err(PluginError::config(
            "bridge",
            format_args!("is \"{name}\": a link of that name exists but is not a bridge"),
        ));
    }
    settings::ensure(&settings::of_link("ipv6", name, "accept_ra"), "0")?;
    if config.has_vlans() && !is_new {
        let message = LinkBridge::new(name).index(existing.index).vlan_filtering(true).build();
        host.change_link(message, || format!("switch on VLAN filtering of bridge `{name}`"))?;
    }
    if config.promiscuous && !existing.is_promiscuous {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(existing.index);
        host.change_link(message.promiscuous(true).build(), || {
            format!("make bridge `{name}` promiscuous")
        })?;
    }
    if !existing.is_up {
        host.set_up(&existing, true)?;
    }
    Ok(is_new)
}

/// `false` when another plugin was faster.
fn create_bridge(host: &Netlink, config: &Config) -> Result<bool, PluginError> {
    let mut message = LinkBridge::new(&config.bridge);
    if config.mtu != 0 {
        message = message.mtu(config.mtu);
    }
    if config.has_vlans() {
        message = message.vlan_filtering(true);
    }
    match host.add_link(message.build(), &config.bridge) {
        Ok(()) => Ok(true),
        Err(error) if error.is(&[Errno::EEXIST]) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The bridge of that name.
pub(super) fn bridge(host: &Netlink, name: &str) -> Result<Link, PluginError> {
    host.link(name)?.ok_or_else(|| PluginError::internal(format!("bridge `{name}` is gone")))
}

/// Removes a bridge that an ADD has made, unless another pod came to it meanwhile.
pub(super) fn remove_unused_bridge(host: &Netlink, name: &str) {
    let Ok(Some(bridge)) = host.link(name) else { return };
    let Ok(links) = host.links() else { return };
    if !links.iter().any(|link| link.controller == Some(bridge.index)) {
        // What stays is a bridge without ports, which the next ADD uses.
        drop(host.delete_link(&bridge));
    }
}

/// Makes the pair, one end in the pod, the other a port of the bridge, and switches that on.
pub(super) fn add_veth(
    host: &Netlink,
    inside: &Netlink,
    namespace: &Namespace,
    bridge: &Link,
    config: &Config,
    call: &Call,
) -> Result<Veth, PluginError> {
    let wanted = Pair { mtu: config.mtu, mac: config.mac, controller: Some(bridge.index) };
    let outer = add_pair(host, inside, namespace, wanted, call)?;
    let finish = || -> Result<Veth, PluginError> {
        settings::ensure(&settings::of_link("ipv6", &outer.name, "accept_ra"), "0")?;
        set_port(host, &outer, config)?;
        let pod = inside.link(call.link())?;
        let pod = pod.ok_or_else(|| PluginError::internal("the pod's link is gone"))?;
        Ok(Veth { host: outer.clone(), pod })
    };
    // The caller knows nothing of the pair yet.
    finish().inspect_err(|_| drop(host.delete_link(&outer)))
}

/// Sets what the bridge does with the port, and switches the port on.
fn set_port(host: &Netlink, outer: &Link, config: &Config) -> Result<(), PluginError> {
    let action = || format!("set up port `{}` of bridge `{}`", outer.name, config.bridge);
    if config.hairpin || config.isolation {
        let mut message = LinkBridgePort::new(outer.index).up();
        if config.hairpin {
            message = message.hairpin(true);
        }
        if config.isolation {
            message = message.isolated(true);
        }
        host.change_link(message.build(), action)?;
    } else {
        host.set_up(outer, true)?;
    }
    if config.has_vlans() {
        set_vlans(host, outer, config)?;
    }
    Ok(())
}

fn set_vlans(host: &Netlink, outer: &Link, config: &Config) -> Result<(), PluginError> {
    if !config.keeps_default_vlan {
        let message = LinkBridgeVlan::new(outer.index).vlan(1, BridgeVlanInfoFlags::empty());
        host.delete_vlans(message.build(), || format!("remove VLAN 1 of port `{}`", outer.name))?;
    }
    if config.vlan != 0 {
        let flags = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
        let message = LinkBridgeVlan::new(outer.index).vlan(config.vlan, flags).build();
        host.set_vlans(message, || format!("add VLAN {} to port `{}`", config.vlan, outer.name))?;
    }
    for (from, to) in &config.trunk {
        for vlan in *from..=*to {
            let message =
                LinkBridgeVlan::new(outer.index).vlan(vlan, BridgeVlanInfoFlags::empty()).build();
            host.set_vlans(message, || format!("add VLAN {vlan} to port `{}`", outer.name))?;
        }
    }
    Ok(())
}

/// Waits until the link on the host sees its other end.
pub(super) fn await_carrier(host: &Netlink, outer: &Link) -> Result<(), PluginError> {
    const STEP: Duration = Duration::from_micros(500);
    let mut waited = Duration::ZERO;
    loop {
        match host.link_at(outer.index)? {
            Some(link) if link.is_operational => return Ok(()),
            Some(_) if waited < CARRIER => {}
            Some(_) => {
                return Err(PluginError::internal(format!(
                    "bridge port in error state: link `{}` is not up after {} ms",
                    outer.name,
                    CARRIER.as_millis()
                )));
            }
            None => {
                let cause = Errno::ENODEV.into();
                let action = format!("wait for link `{}`", outer.name);
                return Err(KernelError::Refused { action, cause }.into());
            }
        }
        pause(STEP);
        waited += STEP;
    }
}
