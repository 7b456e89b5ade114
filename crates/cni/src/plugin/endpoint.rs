//! The pod's link, as all plugins that make one treat it: addresses and routes, the looks of CHECK,
//! a pair of links with one end on the host, hardware addresses.

mod check;
mod mac;
mod pair;

use std::{net::IpAddr, time::Duration};

use nix::errno::Errno;

use crate::{
    delegate,
    kernel::{KernelError, Link, Namespace, Netlink, pause, settings},
    protocol::{Call, CniResult, Early, PluginError},
};

pub(super) use check::check;
pub(super) use mac::{parse as parse_mac, random as random_mac, wanted as wanted_mac};
pub(super) use pair::{Pair, add_pair, random as random_bytes, random_name};

/// The smallest packet that every IPv4 host must take, and the largest that a link can have.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;
/// The smallest packet of IPv6.
const MTU_V6: u32 = 1280;
/// How long addresses of IPv6 may take to be found unique.
const SETTLED: Duration = Duration::from_secs(5);

/// A setting of a link: family, name, value.
pub(super) type Setting = (&'static str, &'static str, &'static str);

/// Tells the neighbours of the link's address when it comes up.
pub(super) const NOTIFY: [Setting; 2] =
    [("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1")];

/// Refuses a largest packet that no link can have; 0 leaves the kernel's.
pub(super) fn check_mtu(mtu: u32) -> Result<(), PluginError> {
    if mtu == 0 || MTU.contains(&mtu) {
        return Ok(());
    }
    let (least, most) = (MTU.start(), MTU.end());
    let problem = format!("is {mtu}, but must be between {least} and {most} bytes");
    Err(PluginError::config("mtu", problem))
}

/// Gets addresses from the IPAM plugin `ipam`, for link number `number` of the result.
///
/// # Errors
/// The plugin's, or that it gave none; then nothing is leased any more.
pub(super) fn lease(ipam: &str, number: i64, call: &Call) -> Result<CniResult, PluginError> {
    let Early { result, proof } = lease_early(ipam, number, call)?;
    proof.give().map(|()| result)
}

/// As [`lease`], for a caller who has other work to do before the proof.
///
/// # Errors
/// As [`lease`].
pub(super) fn lease_early(ipam: &str, number: i64, call: &Call) -> Result<Early, PluginError> {
    let Early { result: mut leased, proof } = delegate::add_early(ipam, call)?;
    if leased.ips.is_empty() {
        // It may hold what DEL needs.
        drop(proof);
        // What it gave is not known; the failure is what to tell.
        drop(delegate::ask(ipam, crate::protocol::Command::Del, call));
        let message = format!("IPAM plugin `{ipam}` returned missing IP config");
        return Err(PluginError::internal(message));
    }
    leased.interfaces.clear();
    for ip in &mut leased.ips {
        ip.interface = Some(number);
    }
    Ok(Early { result: leased, proof })
}

/// Whether address management may need the pod's link to lease an address, as DHCP does; of plugins
/// of others it is not known.
pub(super) fn leases_over_link(ipam: &str) -> bool {
    super::find(ipam).is_none_or(|own| own.name() == super::dhcp::NAME)
}

/// What address management is asked to release before the pod's link goes, and what after it: DHCP
/// speaks over the link, while a lease of host-local is free only when nobody has the address.
pub(super) fn releases(ipam: Option<&str>) -> (Option<&str>, Option<&str>) {
    match ipam {
        Some(super::dhcp::NAME) => (ipam, None),
        other => (None, other),
    }
}

/// Gives the pod's link its addresses and routes, and switches it on.
pub(super) fn configure(
    inside: &Netlink,
    namespace: &Namespace,
    result: &CniResult,
    list: &[Setting],
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
    namespace.run(|| set_up(&link.name, has_v6, list))??;
    for ip in &result.ips {
        inside.add_address(&link, ip.address)?;
    }
    inside.set_up(&link, true)?;
    if has_v6 {
        settle(inside, &link)?;
    }
    for route in &result.routes {
        let gateway = gateway_of(result, route.dst.addr().is_ipv4());
        match inside.add_route(&link, route, gateway) {
            Err(error) if error.is(&[Errno::EEXIST]) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Settings of the pod's namespace; what this kernel has not is not needed.
fn set_up(link: &str, has_v6: bool, list: &[Setting]) -> Result<(), KernelError> {
    let set = |family, link: &str, name, value| {
        settings::ensure(&settings::of_link(family, link, name), value).map(drop)
    };
    for (family, name, value) in list {
        set(family, link, name, value)?;
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

/// The pod's link.
pub(super) fn link(inside: &Netlink, call: &Call) -> Result<Link, PluginError> {
    inside
        .link(call.link())?
        .ok_or_else(|| PluginError::internal(format!("link `{}` of the pod is gone", call.link())))
}

/// Refuses a pod that has a link of the wanted name.
pub(super) fn refuse_taken_name(inside: &Netlink, call: &Call) -> Result<(), PluginError> {
    if inside.link(call.link())?.is_none() {
        return Ok(());
    }
    Err(PluginError::internal(format!("container veth name (\"{}\") already exists", call.link())))
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

/// Gateway of the first address of a family.
pub(super) fn gateway_of(result: &CniResult, is_v4: bool) -> Option<IpAddr> {
    let of_family = result.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == is_v4);
    of_family.filter_map(|ip| ip.gateway).next()
}
