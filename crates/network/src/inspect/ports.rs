//! Published ports of a pod, with the rules that carry them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use crate::{
    join::uplink_address,
    ports::{Port, published},
    trace::{Node, Request, RuleAt, Sender, trace},
};

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortView {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's address, where it is for one only.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// Where it leads.
    pub target: SocketAddr,
    /// Who published it.
    pub by: String,
    /// Whether something listens there.
    pub listening: Option<bool>,
    /// Connections that its rule has led there.
    pub connections: Option<u64>,
    /// The rules that carry a packet, by where it comes from.
    pub carriers: Vec<Carrier>,
    /// What gets in its way.
    pub conflicts: Vec<String>,
}

/// The way of a packet to a published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carrier {
    /// `outside` or `node`.
    pub from: String,
    /// Where it is sent.
    pub to: SocketAddr,
    /// How it ends.
    pub verdict: String,
    /// The rules that it met and that did something.
    pub rules: Vec<RuleAt>,
}

/// Those that lead to one of the addresses.
pub(super) fn of(node: &Node<'_>, addresses: &[IpAddr]) -> Vec<PortView> {
    let all = published(node);
    let own = all.iter().filter(|port| addresses.contains(&port.target.ip()));
    own.map(|port| view(node, port)).collect()
}

fn view(node: &Node<'_>, port: &Port) -> PortView {
    PortView {
        protocol: port.protocol.to_string(),
        host_ip: port.host_ip,
        host_port: port.host_port,
        target: port.target,
        by: port.by.to_owned(),
        listening: port.listening,
        connections: port.packets,
        carriers: carriers(node, port),
        conflicts: port.conflicts.clone(),
    }
}

/// From outside, and from the node itself by 127.0.0.1, which the host can reach over IPv4 only.
fn carriers(node: &Node<'_>, port: &Port) -> Vec<Carrier> {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let own = port.host_ip;
    let uplink = own.filter(|address| !address.is_loopback());
    let uplink = uplink.or_else(|| uplink_address(&node.snapshot.host, port.v4));
    let is_local_only = own.is_some_and(|address| address.is_loopback());
    let is_local = port.v4 && own.is_none_or(|address| address == localhost);
    let outside = uplink.filter(|_| !is_local_only).map(|to| ("outside", Sender::Outside, to));
    let inside = is_local.then_some(("node", Sender::Node, localhost));
    let ways = outside.into_iter().chain(inside);
    ways.map(|(name, from, to)| {
        let request = Request { from, to, port: port.host_port, protocol: port.protocol };
        let traced = trace(node, &request);
        Carrier {
            from: name.to_owned(),
            to: (to, port.host_port).into(),
            verdict: traced.verdict.to_string(),
            rules: traced.hops.into_iter().filter_map(|hop| hop.rule).collect(),
        }
    })
    .collect()
}
