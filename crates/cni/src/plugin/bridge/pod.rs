//! The pod's end of the pair.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use nix::errno::Errno;

use super::config::{Config, MTU_V6};
use crate::{
    kernel::{KernelError, Link, Namespace, Netlink, pause, settings},
    protocol::{Call, CniResult, PluginError},
};

/// How long addresses of IPv6 may take to be found unique.
const SETTLED: Duration = Duration::from_secs(5);

/// Gives the pod's link its addresses and routes, and switches it on.
pub(super) fn configure(
    inside: &Netlink,
    namespace: &Namespace,
    result: &CniResult,
    config: &Config,
    call: &Call,
) -> Result<(), PluginError> {
    let link = link(inside, call)?;
    let has_v6 = result.ips.iter().any(|ip| ip.address.addr().is_ipv6());
    if has_v6 && link.mtu < MTU_V6 {
        return Err(PluginError::config(
            "mtu",
            format_args!("is {}, but IPv6 needs at least {MTU_V6} bytes", link.mtu),
        ));
    }
    namespace.run(|| set_up(&link.name, has_v6, config.detects_duplicates))??;
    for ip in &result.ips {
        inside.add_address(&link, ip.address)?;
    }
    inside.set_up(&link, true)?;
    if has_v6 {
        settle(inside, &link)?;
    }
    for route in &result.routes {
        let is_v4 = route.dst.addr().is_ipv4();
        let of_family = result.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == is_v4);
        let gateway = of_family.filter_map(|ip| ip.gateway).next();
        match inside.add_route(&link, route, gateway) {
            Err(error) if error.is(&[Errno::EEXIST]) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Settings of the pod's namespace; what this kernel has not is not needed.
fn set_up(link: &str, has_v6: bool, detects_duplicates: bool) -> Result<(), KernelError> {
    let set = |family, link: &str, name, value| {
        settings::ensure(&settings::of_link(family, link, name), value).map(drop)
    };
    set("ipv4", link, "arp_notify", "1")?;
    set("ipv6", link, "accept_dad", if detects_duplicates { "1" } else { "0" })?;
    if detects_duplicates {
        set("ipv6", link, "enhanced_dad", "1")?;
    }
    if has_v6 {
        set("ipv6", "lo", "disable_ipv6", "0")?;
        set("ipv6", link, "disable_ipv6", "0")?;
        set("ipv6", link, "keep_addr_on_down", "1")?;
    }
    Ok(())
}

/// Waits until no address of IPv6 is tentative any more.
fn settle(inside: &Netlink, link: &Link) -> Result<(), PluginError> {
    const STEP: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        let addresses = inside.addresses(link)?;
        let own = addresses.iter().filter(|address| !address.is_link_local);
        if let Some(taken) = own.clone().find(|address| address.is_duplicate) {
            return Err(PluginError::internal(format!(
                "address {} is in use by another host of the network",
                taken.net
            )));
        }
        if !own.clone().any(|address| address.is_tentative) {
            return Ok(());
        }
        if waited >= SETTLED {
            return Err(PluginError::internal(format!(
                "link {} still has tentative addresses after {} s",
                link.name,
                SETTLED.as_secs()
            )));
        }
        pause(STEP);
        waited += STEP;
    }
}

/// Switches the pod's link on, for a network without addresses.
pub(super) fn switch_on(inside: &Netlink, call: &Call) -> Result<(), PluginError> {
    let link = link(inside, call)?;
    Ok(inside.set_up(&link, true)?)
}

fn link(inside: &Netlink, call: &Call) -> Result<Link, PluginError> {
    inside
        .link(call.link())?
        .ok_or_else(|| PluginError::internal(format!("link `{}` of the pod is gone", call.link())))
}

/// Removes the pod's link, and so its other end; what is gone already is no failure.
pub(super) fn remove_link(call: &Call) -> Result<(), PluginError> {
    let Some(path) = call.environment.namespace() else { return Ok(()) };
    let Some(namespace) = Namespace::open_existing(path)? else { return Ok(()) };
    let inside = Netlink::inside(&namespace)?;
    let Some(link) = inside.link(call.link())? else { return Ok(()) };
    inside.delete_link(&link)?;
    Ok(())
}

/// Whether the pod's link has all of these addresses.
pub(super) fn missing_address(
    inside: &Netlink,
    link: &Link,
    wanted: &[IpNet],
) -> Result<Option<IpNet>, KernelError> {
    let addresses = inside.addresses(link)?;
    let has = |net: &IpNet| addresses.iter().any(|address| address.net == *net);
    Ok(wanted.iter().copied().find(|net| !has(net)))
}

/// Gateway of the first address of a family.
pub(super) fn gateway_of(result: &CniResult, is_v4: bool) -> Option<IpAddr> {
    let of_family = result.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == is_v4);
    of_family.filter_map(|ip| ip.gateway).next()
}
