//! The bridge as the gateway of its pods.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::IpNet;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::{config::Config, ports};
use crate::{
    kernel::{Link, Netlink, parse_mac, settings},
    protocol::{CniResult, PluginError, Route},
};

/// Fills in gateways that address management has left open, and default routes through them.
pub(super) fn complete(result: &mut CniResult, config: &Config) {
    if !config.is_gateway {
        return;
    }
    for ip in &mut result.ips {
        if ip.gateway.is_none() {
            ip.gateway = Some(first_host(ip.address));
        }
    }
    if !config.is_default_gateway {
        return;
    }
    for ip in &result.ips {
        let everywhere = match ip.address.addr() {
            IpAddr::V4(_) => IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            IpAddr::V6(_) => IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        };
        if !result.routes.iter().any(|route| route.dst == everywhere) {
            result.routes.push(Route { gw: ip.gateway, ..Route::to(everywhere) });
        }
    }
}

/// The first address of a network that a host can have.
fn first_host(net: IpNet) -> IpAddr {
    match net.network() {
        IpAddr::V4(address) => IpAddr::V4(u32::from(address).saturating_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(u128::from(address).saturating_add(1).into()),
    }
}

/// Gives the bridge the gateways' addresses, and lets the host forward.
pub(super) fn ensure(
    host: &Netlink,
    bridge: &Link,
    result: &CniResult,
    config: &Config,
) -> Result<(), PluginError> {
    for ip in &result.ips {
        let Some(gateway) = ip.gateway else { continue };
        let net = IpNet::new(gateway, ip.address.prefix_len())
            .map_err(|error| PluginError::because("read the gateway", &error))?;
        ensure_address(host, bridge, net, config)?;
        let setting = match gateway {
            IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
            IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        settings::ensure(Path::new(setting), "1")?;
    }
    Ok(())
}

fn ensure_address(
    host: &Netlink,
    bridge: &Link,
    net: IpNet,
    config: &Config,
) -> Result<(), PluginError> {
    let addresses = host.addresses(bridge)?;
    if addresses.iter().any(|address| address.net == net) {
        return Ok(());
    }
    for other in addresses.iter().map(|address| address.net) {
        // A link has several addresses of IPv6 as a rule; only overlapping ones are in the way.
        let is_in_the_way = match (other, net) {
            (IpNet::V4(_), IpNet::V4(_)) => true,
            (IpNet::V6(other), IpNet::V6(net)) => {
                other.contains(&net.addr()) || net.contains(&other.addr())
            }
            _ => false,
        };
        if !is_in_the_way {
            continue;
        }
        if !config.force_address {
            return Err(PluginError::internal(format!(
                "\"{}\" already has an IP address different from {net}: it has {other}; give the \
                 network another `bridge`, set `forceAddress`, or remove the bridge when nothing \
                 uses it",
                bridge.name
            )));
        }
        host.delete_address(bridge, other)?;
    }
    // Another plugin may be faster.
    host.replace_address(bridge, net)?;
    pin_mac(host, bridge)
}

/// A bridge takes the least hardware address of its ports, and so another one with every pod, until
/// its own is set once.
fn pin_mac(host: &Netlink, bridge: &Link) -> Result<(), PluginError> {
    let now = ports::bridge(host, &bridge.name)?;
    let Some(mac) = parse_mac(&now.mac) else { return Ok(()) };
    let message = LinkMessageBuilder::<LinkUnspec>::new().index(now.index).address(mac.to_vec());
    Ok(host.change_link(message.build(), || {
        format!("keep the hardware address of bridge `{}`", now.name)
    })?)
}
