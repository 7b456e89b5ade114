//! A picture of a node's network: uplinks, bridges, pods and their ports.
//!
//! [`Map::of`] gathers what is drawn, in an order that is the same for the same network; [`text`],
//! [`dot()`], [`svg()`] and [`html`] draw it.

mod dot;
mod draw;
mod svg;
#[cfg(test)]
mod tests;
mod tree;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

pub use dot::dot;
pub use svg::{html, svg};
pub use tree::text;

use crate::{
    join::{host_end, uplinks},
    ports::{Port, published},
    snapshot::{Link, Namespace},
    trace::Node,
};

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// The node's name.
    pub node: String,
    /// Links by which others reach it.
    pub uplinks: Vec<Uplink>,
    /// Bridges with the pods behind their ports.
    pub bridges: Vec<Bridge>,
    /// Namespaces that are behind no bridge.
    pub others: Vec<Pod>,
}

/// A link to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Pods behind its ports.
    pub pods: Vec<Pod>,
    /// Names of ports whose other end is not known.
    pub unknown: Vec<String>,
}

/// A pod, or another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its link, and the other end of it on the host.
    pub link: String,
    /// The host's end of it, where it has one.
    pub host_link: Option<String>,
    /// Addresses of the link.
    pub addresses: Vec<IpNet>,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
}

/// A published port, of both families at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The host's port.
    pub host_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's address, where it is for one only.
    pub host_ip: Option<IpAddr>,
    /// The pod's port.
    pub pod_port: u16,
    /// Whether nothing listens there, or something gets in its way.
    pub troubled: bool,
}

impl Map {
    /// Gathers what there is.
    #[must_use]
    pub fn of(node: &Node<'_>) -> Self {
        let snapshot = node.snapshot;
        let host = &snapshot.host;
        let ports = published(node);
        let mut by_bridge: BTreeMap<u32, Vec<Pod>> = BTreeMap::new();
        let mut others = Vec::new();
        let mut known = Vec::new();
        for (place, namespace) in snapshot.namespaces.iter().enumerate() {
            for link in namespace.links.iter().filter(|link| link.name != "lo") {
                let outer = host_end(host, link);
                let pod = pod(node.name_of(place), link, outer, &ports);
                known.extend(outer.map(|outer| outer.index));
                match outer.and_then(|outer| outer.master) {
                    Some(bridge) => by_bridge.entry(bridge).or_default().push(pod),
                    None if !link.addresses.is_empty() => others.push(pod),
                    None => {}
                }
            }
        }
        let is_bridge = |link: &&Link| link.kind.as_deref() == Some("bridge");
        let mut bridges: Vec<Bridge> = host
            .links
            .iter()
            .filter(is_bridge)
            .map(|link| Bridge {
                name: link.name.clone(),
                addresses: shown(link),
                pods: sorted(by_bridge.remove(&link.index).unwrap_or_default()),
                unknown: unknown(host, link, &known),
            })
            .collect();
        bridges.sort_by(|one, other| one.name.cmp(&other.name));
        let own =
            uplinks(host).filter(|link| !known.contains(&link.index) || link.master.is_none());
        let uplinks =
            own.map(|link| Uplink { name: link.name.clone(), addresses: shown(link) }).collect();
        Self { node: snapshot.node.clone(), uplinks, bridges, others: sorted(others) }
    }
}

fn unknown(host: &Namespace, bridge: &Link, known: &[u32]) -> Vec<String> {
    let ports = host.links.iter().filter(|link| link.master == Some(bridge.index));
    ports.filter(|link| !known.contains(&link.index)).map(|link| link.name.clone()).collect()
}

/// Addresses without those that every link has.
fn shown(link: &Link) -> Vec<IpNet> {
    let is_shown = |net: &&IpNet| match net.addr() {
        IpAddr::V4(_) => true,
        IpAddr::V6(six) => !six.is_unicast_link_local(),
    };
    link.addresses.iter().filter(is_shown).copied().collect()
}

/// By address, as people count them; what has none by name.
fn sorted(mut pods: Vec<Pod>) -> Vec<Pod> {
    pods.sort_by_cached_key(|pod| {
        let first = pod.addresses.first().map(IpNet::addr);
        (first.is_none(), first, pod.name.clone(), pod.link.clone())
    });
    pods
}

fn pod(name: &str, link: &Link, outer: Option<&Link>, ports: &[Port]) -> Pod {
    let addresses = shown(link);
    let own =
        ports.iter().filter(|port| addresses.iter().any(|net| net.addr() == port.target.ip()));
    let mut found: Vec<PublishedPort> = Vec::new();
    for port in own {
        let one = PublishedPort {
            host_port: port.host_port,
            protocol: port.protocol.to_string(),
            host_ip: port.host_ip,
            pod_port: port.target.port(),
            troubled: port.listening == Some(false) || !port.conflicts.is_empty(),
        };
        let same = found.iter_mut().find(|other| {
            (other.host_port, &other.protocol, other.host_ip, other.pod_port)
                == (one.host_port, &one.protocol, one.host_ip, one.pod_port)
        });
        match same {
            Some(other) => other.troubled |= one.troubled,
            None => found.push(one),
        }
    }
    found.sort();
    Pod {
        name: name.trim_start_matches("pod ").to_owned(),
        link: link.name.clone(),
        host_link: outer.map(|outer| outer.name.clone()),
        addresses,
        ports: found,
    }
}

impl std::fmt::Display for PublishedPort {
    /// `8080/tcp → 80`, with the address before it where there is one, and `!` where it is in trouble.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            Some(address) => write!(formatter, "{address}:")?,
            None => {}
        }
        let trouble = if self.troubled { " !" } else { "" };
        write!(formatter, "{}/{} → {}{trouble}", self.host_port, self.protocol, self.pod_port)
    }
}
