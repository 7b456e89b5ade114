//! Joins of what a snapshot has of pods.

mod lists;
mod places;
mod pods;

pub use lists::{List, Lists, field, is_true, text};
pub use places::Places;
pub use pods::{Life, Pods};

use std::net::IpAddr;

use crate::{
    config::HostNetwork,
    snapshot::{Link, Namespace},
};

/// The networks that the host reaches by links: what subnets of pods must keep clear of.
#[must_use]
pub fn host_network(host: &Namespace) -> HostNetwork {
    /// Numbers of the tables `main` and `default`.
    const MAIN: [u32; 2] = [254, 253];
    let routes = host.routes.iter().filter(|route| {
        let is_one = route.kind == "unicast" && MAIN.contains(&route.table);
        let is_link_local = match route.destination.addr() {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        is_one && route.destination.prefix_len() > 0 && !is_link_local
    });
    let named =
        routes.filter_map(|route| Some((route.destination, host.link(route.link?)?.name.clone())));
    HostNetwork { routes: named.collect() }
}

/// The host's end of a link in another namespace.
#[must_use]
pub fn host_end<'a>(host: &'a Namespace, inside: &Link) -> Option<&'a Link> {
    let outer = host.link(inside.peer?)?;
    (inside.peer_elsewhere && outer.peer == Some(inside.index)).then_some(outer)
}

/// Links of the host by which others reach it: neither loopback nor bridges, their ports, or ends of
/// links that are behind no address.
pub fn uplinks(host: &Namespace) -> impl Iterator<Item = &Link> {
    host.links.iter().filter(|link| {
        let is_bridge = link.kind.as_deref() == Some("bridge");
        link.name != "lo"
            && !is_bridge
            && link.master.is_none()
            && link.addresses.iter().any(is_usable)
    })
}

fn is_usable(net: &ipnet::IpNet) -> bool {
    match net.addr() {
        IpAddr::V4(four) => !four.is_link_local(),
        IpAddr::V6(six) => !six.is_unicast_link_local(),
    }
}

/// The first address of the host by which others reach it.
#[must_use]
pub fn uplink_address(host: &Namespace, v4: bool) -> Option<IpAddr> {
    let nets = uplinks(host).flat_map(|link| link.addresses.iter().filter(|net| is_usable(net)));
    nets.map(ipnet::IpNet::addr).find(|address| address.is_ipv4() == v4)
}
