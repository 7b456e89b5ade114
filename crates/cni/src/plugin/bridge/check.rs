//! Whether an attachment is as ADD made it.

use ipnet::IpNet;

use super::{config::Config, pod, pod_of, ports};
use crate::{
    kernel::{Link, Netlink, pod_namespace, route},
    netfilter::masquerade,
    protocol::{Call, CniResult, Interface, PluginError, Route},
};

/// Compares what is there with the result of ADD.
pub(super) fn check(call: &Call, config: &Config) -> Result<(), PluginError> {
    let previous = call.required_previous()?;
    let namespace = pod_namespace(call)?;
    let host = Netlink::open()?;
    let inside = Netlink::inside(&namespace)?;
    let bridge = check_bridge(&host, config)?;
    let link = check_pod_link(&inside, &previous, call)?;
    check_host_link(&host, &bridge, &link, &previous)?;
    let addresses: Vec<IpNet> = previous.ips.iter().map(|ip| ip.address).collect();
    if let Some(missing) = pod::missing_address(&inside, &link, &addresses)? {
        return Err(PluginError::internal(format!(
            "address {missing} is missing from link `{}` of the pod",
            link.name
        )));
    }
    check_routes(&inside, &link, &previous)?;
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

/// The interface of the result that is the pod's link.
fn expected<'a>(previous: &'a CniResult, call: &Call) -> Result<&'a Interface, PluginError> {
    let mut interfaces = previous.interfaces.iter();
    let own = |interface: &&Interface| {
        interface.name == call.link() && interface.sandbox == call.environment.namespace
    };
    interfaces.find(own).ok_or_else(|| {
        PluginError::config(
            "prevResult.interfaces",
            format_args!("has no link `{}` in `{}`", call.link(), call.environment.namespace),
        )
    })
}

fn check_pod_link(
    inside: &Netlink,
    previous: &CniResult,
    call: &Call,
) -> Result<Link, PluginError> {
    let expected = expected(previous, call)?;
    let link = inside.link(call.link())?.ok_or_else(|| {
        PluginError::internal(format!("link `{}` is missing from the pod", call.link()))
    })?;
    if link.kind != "veth" {
        let message = format!("container interface {} not of type veth", link.name);
        return Err(PluginError::internal(message));
    }
    if !expected.mac.is_empty() && !expected.mac.eq_ignore_ascii_case(&link.mac) {
        return Err(PluginError::internal(format!(
            "interface {} Mac {} doesn't match container Mac: {}",
            expected.name, expected.mac, link.mac
        )));
    }
    Ok(link)
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

fn check_routes(inside: &Netlink, link: &Link, previous: &CniResult) -> Result<(), PluginError> {
    for is_v4 in [true, false] {
        let of_family = |route: &&Route| route.dst.addr().is_ipv4() == is_v4;
        let wanted: Vec<&Route> = previous.routes.iter().filter(of_family).collect();
        if wanted.is_empty() {
            continue;
        }
        let found = inside.routes(is_v4)?;
        for want in wanted {
            let gateway = want.gw.or_else(|| pod::gateway_of(previous, is_v4));
            let is_there = found.iter().any(|message| {
                route::output(message) == Some(link.index)
                    && route::destination(message) == Some(want.dst.trunc())
                    && (gateway.is_none() || route::gateway(message) == gateway)
            });
            if !is_there {
                let message = format!("expected Route {} not found in routing table", want.dst);
                return Err(PluginError::internal(message));
            }
        }
    }
    Ok(())
}
