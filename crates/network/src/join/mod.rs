//! Joins of what a snapshot has of pods.

use crate::{config::HostNetwork, snapshot::Namespace};

/// The networks that the host reaches by links: what subnets of pods must keep clear of.
#[must_use]
pub fn host_network(host: &Namespace) -> HostNetwork {
    /// Numbers of the tables `main` and `default`.
    const MAIN: [u32; 2] = [254, 253];
    let routes = host.routes.iter().filter(|route| {
        let is_one = route.kind == "unicast" && MAIN.contains(&route.table);
        let is_link_local = match route.destination.addr() {
            std::net::IpAddr::V4(address) => address.is_link_local(),
            std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        is_one && route.destination.prefix_len() > 0 && !is_link_local
    });
    let named =
        routes.filter_map(|route| Some((route.destination, host.link(route.link?)?.name.clone())));
    HostNetwork { routes: named.collect() }
}
