//! Links, addresses, routes, rules and neighbours over rtnetlink, in the namespace of the thread.
//!
//! A node has thousands of these. Of each message only what is needed is looked at; the numbers are
//! those of linux/rtnetlink.h and its neighbours.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crilet_cni::netfilter::{Filter, Message, attributes, find, text};
use ipnet::IpNet;
use nix::errno::Errno;

use super::{Link, LinkSettings, Namespace, Neighbour, Port, Route, Rule, traffic};

const NEWLINK: u16 = 16;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
const NEWNEIGH: u16 = 28;
const GETNEIGH: u16 = 30;
const NEWRULE: u16 = 32;
const GETRULE: u16 = 34;

const INET: u8 = 2;
const INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 0x100;
const IFF_LOWER_UP: u32 = 0x1_0000;
/// Route flags: the next hop is dead, or its link is down.
const DEAD: u32 = 1 | 16;
/// Flag of a route that the kernel made for a single packet.
const CLONED: u32 = 0x200;
/// How often a list is read again because it changed meanwhile.
const ATTEMPTS: u32 = 10;

/// Settings that belong to the namespace as a whole.
const SYSCTLS: [&str; 11] = [
    "ipv4/ip_forward",
    "ipv4/conf/all/forwarding",
    "ipv4/conf/all/rp_filter",
    "ipv4/conf/all/route_localnet",
    "ipv4/conf/all/accept_local",
    "ipv6/conf/all/forwarding",
    "ipv6/conf/all/disable_ipv6",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_count",
];

/// Reads all of it.
pub(super) fn read(namespace: &mut Namespace) -> io::Result<()> {
    let kernel = Filter::routes()?;
    let is_host = namespace.path.is_none();
    namespace.links = list(&kernel, GETLINK, NEWLINK, &[0; 16], link)?;
    namespace.links.sort_by_key(|link| link.index);
    for (index, address) in list(&kernel, GETADDR, NEWADDR, &[0; 8], address)? {
        let at = namespace.links.binary_search_by_key(&index, |link| link.index);
        if let Some(link) = at.ok().and_then(|at| namespace.links.get_mut(at)) {
            link.addresses.push(address);
        }
    }
    // Of all families at once; what is neither of IPv4 nor of IPv6 is passed over.
    namespace.routes = list(&kernel, GETROUTE, NEWROUTE, &[0; 12], route)?;
    namespace.rules = list(&kernel, GETRULE, NEWRULE, &[0; 12], rule)?;
    if is_host {
        namespace.neighbours = list(&kernel, GETNEIGH, NEWNEIGH, &[0; 12], neighbour)?;
    }
    namespace.traffic = traffic::read(&kernel)?;
    Ok(())
}

/// Settings of the namespace that the thread is in.
///
/// They are dear: the kernel keeps the files of all namespaces in one place of its cache, through which
/// each look goes. With a thousand pods most of a snapshot's time went there.
pub(super) fn settings() -> BTreeMap<String, String> {
    let read = |name: &&str| fs::read_to_string(format!("/proc/sys/net/{name}")).ok();
    let texts = SYSCTLS.iter().filter_map(|name| Some((name, read(name)?)));
    texts.map(|(name, text)| ((*name).to_owned(), text.trim().to_owned())).collect()
}

/// Asks for all of something, again when it changed meanwhile.
pub(super) fn list<T>(
    kernel: &Filter,
    question: u16,
    answer: u16,
    body: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut attempt = 1;
    loop {
        let mut found = Vec::new();
        let asked = kernel.ask_whole(Message::plain(question, body), |number, body| {
            if number == answer {
                found.extend(read(body));
            }
        });
        match asked {
            Ok(()) => return Ok(found),
            Err(error) if attempt < ATTEMPTS && error.kind() == io::ErrorKind::Interrupted => {
                attempt += 1;
            }
            // A kernel without the family has nothing of it.
            Err(error) if is_unknown(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
}

fn is_unknown(error: &io::Error) -> bool {
    let numbers = [Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|one| *one as i32 == number))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn number(bytes: &[u8]) -> Option<u32> {
    u32_at(bytes, 0)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let six = || <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    four.or_else(|_| six()).ok()
}

fn mac(bytes: &[u8]) -> Option<String> {
    let is_mac = bytes.len() == 6;
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    is_mac.then(|| parts.join(":"))
}

fn link(body: &[u8]) -> Option<Link> {
    let flags = u32_at(body, 8)?;
    let mut link = Link {
        index: u32_at(body, 4)?,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        promiscuous: flags & IFF_PROMISC != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            1 => link.mac = mac(value),
            3 => link.name = text(value),
            4 => link.mtu = number(value)?,
            5 => link.peer = number(value).filter(|index| *index != 0),
            10 => link.master = number(value),
            37 => link.peer_elsewhere = true,
            18 => info(value, &mut link),
            23 => {
                let packets =
                    |at: usize| Some(u64::from_ne_bytes(value.get(at..at + 8)?.try_into().ok()?));
                link.packets = (packets(0).unwrap_or(0), packets(8).unwrap_or(0));
            }
            26 => of_link(value, &mut link.settings),
            _ => {}
        }
    }
    Some(link)
}

/// `IFLA_LINKINFO`: the kind, what it is to its bridge, and whether a bridge looks at VLANs.
fn info(value: &[u8], link: &mut Link) {
    link.kind = find(value, 1).map(text);
    if find(value, 4).map(text).as_deref() == Some("bridge") {
        let data = find(value, 5).unwrap_or_default();
        let flag =
            |kind| find(data, kind).and_then(|bytes| bytes.first()).is_some_and(|it| *it != 0);
        let state = find(data, 1).and_then(|bytes| bytes.first().copied());
        link.port =
            Some(Port { hairpin: flag(4), isolated: flag(33), forwarding: state == Some(3) });
    }
    if link.kind.as_deref() == Some("bridge") {
        let data = find(value, 2).unwrap_or_default();
        let filtering = find(data, 7).and_then(|bytes| bytes.first());
        link.vlan_filtering = filtering.is_some_and(|it| *it != 0);
    }
}

/// `IFLA_AF_SPEC`: arrays of settings, numbered as in linux/ip.h (from 1) and linux/ipv6.h (from 0).
fn of_link(value: &[u8], settings: &mut LinkSettings) {
    let four = find(value, u16::from(INET)).and_then(|four| find(four, 1)).unwrap_or_default();
    let of_four = |place: usize| u32_at(four, (place - 1) * 4).unwrap_or_default();
    settings.forwarding = of_four(1) != 0;
    settings.rp_filter = of_four(8);
    settings.accept_local = of_four(23) != 0;
    settings.route_localnet = of_four(26) != 0;
    let six = find(value, u16::from(INET6)).and_then(|six| find(six, 2)).unwrap_or_default();
    let of_six = |place: usize| u32_at(six, place * 4).unwrap_or_default();
    settings.forwarding_v6 = of_six(0) != 0;
    settings.accept_ra = of_six(3);
    settings.disable_v6 = of_six(26) != 0;
}

fn address(body: &[u8]) -> Option<(u32, IpNet)> {
    let length = *body.get(1)?;
    let index = u32_at(body, 4)?;
    let inside = body.get(8..)?;
    // Of a link with a peer, `IFA_ADDRESS` is the peer's and `IFA_LOCAL` its own.
    let own = find(inside, 2).or_else(|| find(inside, 1))?;
    Some((index, IpNet::new(ip(own)?, length).ok()?))
}

/// A network whose address may be absent for "all".
fn net(family: u8, length: u8, bytes: Option<&[u8]>) -> Option<IpNet> {
    let any = match family {
        INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    IpNet::new(bytes.and_then(ip).unwrap_or(any), length).ok()
}

fn route(body: &[u8]) -> Option<Route> {
    let (family, length) = (*body.first()?, *body.get(1)?);
    let flags = u32_at(body, 8)?;
    if flags & CLONED != 0 {
        return None;
    }
    let inside = body.get(12..)?;
    let kind = match body.get(7)? {
        1 => "unicast",
        2 => "local",
        3 => "broadcast",
        4 => "anycast",
        5 => "multicast",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        9 => "throw",
        _ => "other",
    };
    let mut route = Route {
        destination: net(family, length, find(inside, 1))?,
        table: find(inside, 15)
            .and_then(number)
            .unwrap_or_else(|| body.get(4).copied().unwrap_or(0).into()),
        kind: kind.to_owned(),
        gateway: find(inside, 5).and_then(ip).or_else(|| find(inside, 18)?.get(2..).and_then(ip)),
        link: find(inside, 4).and_then(number),
        source: find(inside, 7).and_then(ip),
        metric: find(inside, 6).and_then(number).unwrap_or_default(),
        dead: flags & DEAD != 0,
        shared: false,
    };
    if let Some(hops) = find(inside, 9) {
        // `struct rtnexthop`: length, flags, weight, link; then the hop's own attributes.
        route.shared = true;
        route.link = u32_at(hops, 4);
        let length = hops.get(..2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        let own = hops.get(8..usize::from(length.unwrap_or_default())).unwrap_or_default();
        route.gateway = find(own, 5).and_then(ip);
    }
    Some(route)
}

fn rule(body: &[u8]) -> Option<Rule> {
    let family = *body.first().filter(|family| [INET, INET6].contains(family))?;
    let (to, from) = (*body.get(1)?, *body.get(2)?);
    let inside = body.get(12..)?;
    let action = match body.get(7)? {
        1 => "lookup",
        2 => "goto",
        3 => "nop",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => "other",
    };
    let mark = find(inside, 10).and_then(number);
    let suppress = find(inside, 14).and_then(number).filter(|length| *length != u32::MAX);
    // Tunnels, users, protocols, ports, VRFs and realms.
    let more = attributes(inside).any(|(kind, value)| match kind {
        11 | 12 | 20 | 22 | 23 | 24 => true,
        13 => number(value) != Some(u32::MAX),
        19 => value.first().is_some_and(|it| *it != 0),
        _ => false,
    });
    Some(Rule {
        v4: family == INET,
        priority: find(inside, 6).and_then(number).unwrap_or_default(),
        from: if from > 0 { net(family, from, find(inside, 2)) } else { None },
        to: if to > 0 { net(family, to, find(inside, 1)) } else { None },
        input: find(inside, 3).map(text),
        output: find(inside, 17).map(text),
        mark: mark.map(|mark| (mark, find(inside, 16).and_then(number).unwrap_or(u32::MAX))),
        table: find(inside, 15)
            .and_then(number)
            .unwrap_or_else(|| body.get(4).copied().unwrap_or(0).into()),
        action: action.to_owned(),
        suppress,
        inverted: u32_at(body, 8)? & 2 != 0,
        more: more || body.get(3).is_some_and(|tos| *tos != 0),
    })
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let state = u16::from_ne_bytes(body.get(8..10)?.try_into().ok()?);
    let state = match state {
        1 => "incomplete",
        2 => "reachable",
        4 => "stale",
        8 => "delay",
        16 => "probe",
        32 => "failed",
        128 => "permanent",
        // What needs no asking, such as loopback and multicast.
        _ => return None,
    };
    let inside = body.get(12..)?;
    Some(Neighbour {
        address: ip(find(inside, 1)?)?,
        link: u32_at(body, 4)?,
        mac: find(inside, 2).and_then(mac),
        state: state.to_owned(),
    })
}
