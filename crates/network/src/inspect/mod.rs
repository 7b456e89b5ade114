//! All of one pod's network: links, addresses, routes, names, ports with the rules that carry them.
//!
//! [`inspect()`] is a function of a snapshot; which rules carry a port is told by following a packet.

mod ports;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;

pub use ports::{Carrier, PortView};

use crate::{
    join::{field, host_end},
    snapshot::{Attachment, Link, Listener, Namespace, Sandbox, Snapshot},
    trace::Node,
};

/// A pod's network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PodView {
    /// The pod, or the name of the namespace's file.
    pub name: String,
    /// Ids of its sandbox or container, as runtime and plugins know it.
    pub containers: Vec<String>,
    /// The namespace's file.
    pub namespace: Option<PathBuf>,
    /// The kernel's number of it.
    pub inode: u64,
    /// Whether its runtime says that it is up; absent without a runtime that knows it.
    pub ready: Option<bool>,
    /// Its links, loopback left out.
    pub interfaces: Vec<Interface>,
    /// Its routes, those of the kernel's own table left out.
    pub routes: Vec<RouteView>,
    /// Name servers and search domains that plugins or runtime gave.
    pub dns: Dns,
    /// Its published ports.
    pub ports: Vec<PortView>,
    /// Sockets inside that wait.
    pub listeners: Vec<Socket>,
    /// Connections that the kernel leads to it now, of those that are rewritten.
    pub connections: usize,
}

/// A link of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `veth`, `macvlan` and so on.
    pub kind: Option<String>,
    /// Its hardware address.
    pub mac: Option<String>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is on and carries packets.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Packets that it received and sent.
    pub packets: (u64, u64),
    /// The network that it is attached to.
    pub network: Option<String>,
    /// Files of the leases of its addresses.
    pub leases: Vec<LeaseView>,
    /// Its other end on the host.
    pub host: Option<HostEnd>,
}

/// A lease of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseView {
    /// The address.
    pub address: IpAddr,
    /// The file.
    pub file: PathBuf,
    /// Seconds since it was written.
    pub age: u64,
}

/// The end of a link on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostEnd {
    /// Its name.
    pub name: String,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
    /// The bridge's addresses: the pod's gateways.
    pub bridge_addresses: Vec<IpNet>,
    /// Whether the pod may reach itself by it.
    pub hairpin: bool,
    /// Whether it is kept from other isolated ports.
    pub isolated: bool,
    /// Whether it forwards.
    pub forwarding: bool,
    /// Packets that it received and sent.
    pub packets: (u64, u64),
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteView {
    /// Where it leads.
    pub destination: IpNet,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The link that it leaves by.
    pub link: Option<String>,
    /// Its table; 254 is `main`.
    pub table: u32,
}

/// How names are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Name servers.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

/// A socket that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where it waits.
    pub address: std::net::SocketAddr,
}

/// Tells all of a namespace's network; `place` is its place in the snapshot.
#[must_use]
pub fn inspect(node: &Node<'_>, place: usize) -> Option<PodView> {
    let snapshot = node.snapshot;
    let namespace = snapshot.namespaces.get(place)?;
    let sandbox = snapshot.sandboxes.iter().find(|one| is_of(namespace, one.namespace.as_ref()));
    let own = |one: &&Attachment| {
        let same = sandbox.is_some_and(|sandbox| sandbox.id == one.container);
        same || is_of(namespace, one.namespace.as_ref())
    };
    let attachments: Vec<&Attachment> = snapshot.attachments.iter().filter(own).collect();
    let addresses: Vec<IpAddr> = namespace
        .addresses()
        .filter(|(link, _)| link.name != "lo")
        .map(|(_, net)| net.addr())
        .collect();
    let flows = snapshot.flows.rewritten.iter();
    Some(PodView {
        name: node.name_of(place).trim_start_matches("pod ").to_owned(),
        containers: containers(sandbox, &attachments),
        namespace: namespace.path.clone(),
        inode: namespace.inode,
        ready: sandbox.map(|one| one.ready),
        interfaces: interfaces(snapshot, namespace, &attachments),
        routes: routes(namespace),
        dns: dns(&attachments),
        ports: ports::of(node, &addresses),
        listeners: listeners(&namespace.listeners),
        connections: flows.filter(|flow| addresses.contains(&flow.answers)).count(),
    })
}

fn is_of(namespace: &Namespace, path: Option<&PathBuf>) -> bool {
    let name =
        |path: Option<&PathBuf>| path.and_then(|path| path.file_name()).map(ToOwned::to_owned);
    path.is_some() && name(path) == name(namespace.path.as_ref())
}

fn containers(sandbox: Option<&Sandbox>, attachments: &[&Attachment]) -> Vec<String> {
    let mut ids: Vec<String> = sandbox.iter().map(|one| one.id.clone()).collect();
    for attachment in attachments {
        if !ids.contains(&attachment.container) {
            ids.push(attachment.container.clone());
        }
    }
    ids
}

fn interfaces(
    snapshot: &Snapshot,
    namespace: &Namespace,
    attachments: &[&Attachment],
) -> Vec<Interface> {
    let links = namespace.links.iter().filter(|link| link.name != "lo");
    let one = |link: &Link| {
        let attachment = attachments.iter().find(|one| one.link == link.name);
        Interface {
            name: link.name.clone(),
            kind: link.kind.clone(),
            mac: link.mac.clone(),
            mtu: link.mtu,
            up: link.up && link.carrier,
            addresses: link.addresses.clone(),
            packets: link.packets,
            network: attachment.map(|one| one.network.clone()),
            leases: leases(snapshot, link),
            host: host_end(&snapshot.host, link).map(|outer| host(snapshot, outer)),
        }
    };
    links.map(one).collect()
}

fn leases(snapshot: &Snapshot, link: &Link) -> Vec<LeaseView> {
    let own = |address: &IpAddr| link.addresses.iter().any(|net| net.addr() == *address);
    let stores = snapshot.stores.iter();
    let all = stores.flat_map(|store| store.leases.iter().map(move |lease| (store, lease)));
    let own = all.filter(|(_, lease)| own(&lease.address));
    own.map(|(store, lease)| LeaseView {
        address: lease.address,
        file: store.directory.join(lease.address.to_string()),
        age: lease.age,
    })
    .collect()
}

fn host(snapshot: &Snapshot, outer: &Link) -> HostEnd {
    let bridge = outer.master.and_then(|master| snapshot.host.link(master));
    let port = outer.port.clone().unwrap_or_default();
    HostEnd {
        name: outer.name.clone(),
        bridge: bridge.map(|bridge| bridge.name.clone()),
        bridge_addresses: bridge.map(|bridge| bridge.addresses.clone()).unwrap_or_default(),
        hairpin: port.hairpin || bridge.is_some_and(|bridge| bridge.promiscuous),
        isolated: port.isolated,
        forwarding: outer.port.is_none() || port.forwarding,
        packets: outer.packets,
    }
}

fn routes(namespace: &Namespace) -> Vec<RouteView> {
    /// The table of what is the namespace's own.
    const LOCAL: u32 = 255;
    let listed = namespace.routes.iter().filter(|route| route.table != LOCAL);
    listed
        .map(|route| RouteView {
            destination: route.destination,
            gateway: route.gateway,
            link: route.link.and_then(|index| Some(namespace.link(index)?.name.clone())),
            table: route.table,
        })
        .collect()
}

/// What the runtime gave (`Servers`), or else what plugins said (`nameservers`).
fn dns(attachments: &[&Attachment]) -> Dns {
    let mut found = Dns::default();
    for attachment in attachments {
        let given = attachment.capabilities.as_ref().and_then(|all| field(all, "dns"));
        let said = attachment.result.as_ref().and_then(|result| field(result, "dns"));
        for dns in [given, said].into_iter().flatten() {
            let list = |names: [&str; 2]| -> Vec<String> {
                let listed = names.into_iter().find_map(|name| field(dns, name)?.as_array());
                let texts = listed.into_iter().flatten().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            };
            if found == Dns::default() {
                found = Dns {
                    nameservers: list(["servers", "nameservers"]),
                    search: list(["searches", "search"]),
                    options: list(["options", "options"]),
                };
            }
        }
    }
    found
}

fn listeners(all: &[Listener]) -> Vec<Socket> {
    let socket = |one: &Listener| Socket {
        protocol: one.protocol.to_string(),
        address: (one.address, one.port).into(),
    };
    let mut found: Vec<Socket> = all.iter().map(socket).collect();
    found.sort_by_key(|one| (one.protocol.clone(), one.address.port(), one.address));
    found.dedup();
    found
}
