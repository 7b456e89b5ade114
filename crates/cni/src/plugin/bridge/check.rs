//! Whether an attachment is as ADD made it.

use ipnet::IpNet;

use super::{config::Config, pod_of, ports};
use crate::{
    kernel::{Link, Netlink, pod_namespace},
    netfilter::masquerade,
    plugin::endpoint,
    protocol::{Call, CniResult, PluginError},
};

/// Compares what is there with the result of ADD.
pub(super) fn check(call: &Call, config: &Config) -> Result<(), PluginError> {
    let previous = call.required_previous()?;
    let namespace = pod_namespace(call)?;
    let host = Netlink::open()?;
    let inside = Netlink::inside(&namespace)?;
    let bridge = check_bridge(&host, config)?;
    let link = endpoint::check(&inside, &previous, "veth", call)?;
    check_host_link(&host, &bridge, &link, &previous)?;
    let addresses: Vec<IpNet> = previous.ips.iter().map(|ip| ip.address).collect();
    if config.masquerade && !addresses.is_empty() {
        masquerade::check(pod_of(call), &addresses)?;
    }
    Ok(())
}

fn check_bridge(host: &Netlink, config: &Config) -> Result<Link, PluginError> {
    let bridge = ports::bridge(host, &config.bridge)?;
    if bridge.kind != "bridge" {
        let message = format!("interface {} is not a bridge", bridge.name);
        return Err(PluginError::internal(message));
    }
    Ok(bridge)
}

/// The link on the host is the other end of the pod's, and a port of the bridge.
fn check_host_link(
    host: &Netlink,
    bridge: &Link,
    pod: &Link,
    previous: &CniResult,
) -> Result<(), PluginError> {
    let on_host = previous.interfaces.iter().filter(|interface| interface.sandbox.is_empty());
    for interface in on_host.filter(|interface| interface.name != bridge.name) {
        let Some(link) = host.link(&interface.name)? else { continue };
        if link.kind != "veth" || link.lower != Some(pod.index) || pod.lower != Some(link.index) {
            continue;
        }
        if link.controller == Some(bridge.index) {
            return Ok(());
        }
        return Err(PluginError::internal(format!(
            "link `{}` is no port of bridge `{}`",
            link.name, bridge.name
        )));
    }
    Err(PluginError::internal(format!(
        "no link of the host in prevResult is the other end of the pod's link `{}`",
        pod.name
    )))
}
