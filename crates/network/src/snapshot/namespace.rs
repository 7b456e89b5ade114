//! A network namespace: its links, addresses and routes, and what chooses among them.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Firewall, Listener, TrafficFilter};

/// A network namespace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Namespace {
    /// The file that it was entered by; absent for the host's.
    pub path: Option<PathBuf>,
    /// The kernel's number of it.
    pub inode: u64,
    /// Its links.
    pub links: Vec<Link>,
    /// Its routes, of all tables.
    pub routes: Vec<Route>,
    /// What chooses among tables.
    pub rules: Vec<Rule>,
    /// Neighbours that are known; of the host only.
    pub neighbours: Vec<Neighbour>,
    /// Sockets that wait for connections or packets.
    pub listeners: Vec<Listener>,
    /// Settings below `/proc/sys/net`, such as `ipv4/ip_forward`: the host's, and of others those that
    /// have rules. What links have of their own is in [`Link::settings`].
    pub sysctls: BTreeMap<String, String>,
    /// Its packet filter.
    pub firewall: Firewall,
    /// Filters of `tc` at its links.
    #[serde(default)]
    pub traffic: Vec<TrafficFilter>,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge` and so on; absent for hardware.
    pub kind: Option<String>,
    /// Its hardware address.
    pub mac: Option<String>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it could carry packets: a cable, a peer that is up.
    pub carrier: bool,
    /// Whether it takes packets that are for others.
    pub promiscuous: bool,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Number of its peer (veth) or of the link below it (macvlan and its like).
    pub peer: Option<u32>,
    /// Whether that is in another namespace.
    pub peer_elsewhere: bool,
    /// What it is to its bridge.
    pub port: Option<Port>,
    /// Whether it is a bridge that looks at VLANs.
    pub vlan_filtering: bool,
    /// Its addresses, with the length of their prefixes.
    pub addresses: Vec<IpNet>,
    /// Packets that came in and went out.
    pub packets: (u64, u64),
    /// Its own settings.
    pub settings: LinkSettings,
}

/// A port of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Whether a packet may leave by the port that it came in by.
    pub hairpin: bool,
    /// Whether it is kept from other isolated ports.
    pub isolated: bool,
    /// Whether it forwards, as spanning tree sees it.
    pub forwarding: bool,
}

/// What `/proc/sys/net/ipv?/conf/LINK` has of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSettings {
    /// IPv4's `forwarding`.
    pub forwarding: bool,
    /// IPv4's `rp_filter`.
    pub rp_filter: u32,
    /// IPv4's `route_localnet`.
    pub route_localnet: bool,
    /// IPv4's `accept_local`.
    pub accept_local: bool,
    /// IPv6's `forwarding`.
    pub forwarding_v6: bool,
    /// IPv6's `accept_ra`.
    pub accept_ra: u32,
    /// IPv6's `disable_ipv6`.
    pub disable_v6: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub destination: IpNet,
    /// The table that it is in; 254 is `main`, 255 `local`.
    pub table: u32,
    /// `unicast`, `local`, `blackhole` and so on.
    pub kind: String,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The link that packets leave by.
    pub link: Option<u32>,
    /// The address that packets are sent from, where they have none.
    pub source: Option<IpAddr>,
    /// The lowest one is taken.
    pub metric: u32,
    /// Whether it cannot be used at the moment.
    pub dead: bool,
    /// Whether packets are shared out among several next hops, of which this is the first.
    pub shared: bool,
}

/// A rule that chooses a table of routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whether it is for IPv4.
    pub v4: bool,
    /// The lowest one is looked at first.
    pub priority: u32,
    /// Sources that it is for.
    pub from: Option<IpNet>,
    /// Destinations that it is for.
    pub to: Option<IpNet>,
    /// The link that packets came in by.
    pub input: Option<String>,
    /// The link that a socket is bound to.
    pub output: Option<String>,
    /// The mark, and which of its bits count.
    pub mark: Option<(u32, u32)>,
    /// The table that it leads to.
    pub table: u32,
    /// `lookup`, `unreachable` and so on.
    pub action: String,
    /// Routes with prefixes of this length and shorter do not count.
    pub suppress: Option<u32>,
    /// Whether it is for what does not match.
    pub inverted: bool,
    /// Whether it has conditions beside these.
    pub more: bool,
}

/// A neighbour on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// The link.
    pub link: u32,
    /// Its hardware address, where it is known.
    pub mac: Option<String>,
    /// `reachable`, `stale`, `failed` and so on.
    pub state: String,
}

impl Namespace {
    /// A link by its number.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&index, |link| link.index);
        at.ok().and_then(|at| self.links.get(at))
    }

    /// A link by its name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// A setting as a number; 0 where there is none.
    #[must_use]
    pub fn sysctl(&self, name: &str) -> u32 {
        self.sysctls.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// All addresses of its links, with the links.
    pub fn addresses(&self) -> impl Iterator<Item = (&Link, &IpNet)> {
        self.links.iter().flat_map(|link| link.addresses.iter().map(move |net| (link, net)))
    }
}
