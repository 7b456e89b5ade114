//! Who has a host port already.
//!
//! The kernel takes two rules for one port, and the first one wins; a process that listens on a
//! mapped port hears nothing any more. The reference plugin says success in both cases. Looked at
//! are the rules of all programs that map ports on hosts of containers, whoever made them: CNI's
//! portmap in both backends, CRI-O, the kubelet's and dockershim's old ones, podman (netavark),
//! docker; and the sockets of the host.

use std::{io, net::IpAddr};

use super::{
    known::Known,
    listeners::Listener,
    mapping::PortMapping,
    rules::{NFT, NFT6, Target},
    script::DISPATCH,
};
use crate::{
    cache,
    netfilter::{
        cleaner::{Cleaner, NAT, NAT6, clean},
        names::dnat_chain,
        rule::Rule,
        tables::{Table, TableFamily},
    },
    protocol::PluginError,
};

/// Chains of iptables in which programs keep their mapped ports, with the program.
const CHAINS: [(&str, &str); 4] = [
    (DISPATCH, "CNI"),
    ("KUBE-HOSTPORTS", "CRI-O"),
    ("NETAVARK-HOSTPORT-DNAT", "podman"),
    ("DOCKER", "docker"),
];
const NETAVARK: Table = Table::new(TableFamily::Inet, "netavark");
const CRIO: [Table; 2] =
    [Table::new(TableFamily::Ip, "crio-hostports"), Table::new(TableFamily::Ip6, "crio-hostports")];

/// How rules that lead to pods are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// All of them.
    Whole,
    /// Those that were seen once; whoever asks sees to newer ones later.
    Seen,
}

/// Refuses mappings whose port somebody else has, in words that name the owner.
///
/// # Errors
/// For the first such port, and when rules cannot be read.
pub(crate) fn refuse(
    target: Target<'_>,
    mappings: &[PortMapping],
    look: Look,
) -> Result<(), PluginError> {
    if mappings.is_empty() {
        return Ok(());
    }
    if let Some((mapping, listener)) = Listener::find(mappings) {
        return Err(refusal(&mapping, &listener.owner()));
    }
    refuse_by_rules(target, mappings, look)
}

/// As [`refuse`], but sockets of the host are not looked at.
///
/// # Errors
/// As [`refuse`].
pub(super) fn refuse_by_rules(
    target: Target<'_>,
    mappings: &[PortMapping],
    look: Look,
) -> Result<(), PluginError> {
    let found = std::cell::RefCell::new(None);
    clean(&[NAT, NAT6], |cleaner| {
        *found.borrow_mut() = owner(cleaner, target, mappings, look)?;
        Ok(())
    })?;
    match found.into_inner() {
        Some((mapping, owner)) => Err(refusal(&mapping, &owner)),
        None => Ok(()),
    }
}

fn refusal(mapping: &PortMapping, owner: &str) -> PluginError {
    PluginError::internal(format!(
        "host port {}/{} is taken: {owner}; choose another hostPort, or remove the owner",
        mapping.host_port,
        mapping.protocol.as_str()
    ))
}

type Found = Option<(PortMapping, String)>;

fn owner(
    cleaner: &Cleaner,
    target: Target<'_>,
    mappings: &[PortMapping],
    look: Look,
) -> io::Result<Found> {
    for address in target.addresses {
        let is_v4 = address.addr().is_ipv4();
        let (nat, nft, crio) = if is_v4 { (NAT, NFT, CRIO[0]) } else { (NAT6, NFT6, CRIO[1]) };
        let mappings: Vec<PortMapping> =
            mappings.iter().filter(|mapping| mapping.is_for(is_v4)).copied().collect();
        let found = in_iptables(cleaner, nat, target, &mappings, look)?;
        let found = or_else(found, || in_cni_nft(cleaner, nft, target, &mappings))?;
        let found = or_else(found, || in_netavark(cleaner, &mappings))?;
        let found = or_else(found, || in_crio(cleaner, crio, &mappings))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn or_else(found: Found, next: impl FnOnce() -> io::Result<Found>) -> io::Result<Found> {
    if found.is_some() { Ok(found) } else { next() }
}

fn in_iptables(
    cleaner: &Cleaner,
    table: Table,
    target: Target<'_>,
    mappings: &[PortMapping],
    look: Look,
) -> io::Result<Found> {
    let own = dnat_chain(target.network, target.container);
    let is_free = is_known_free(cleaner, table, mappings, &own, look)?;
    for (chain, program) in CHAINS {
        if chain == DISPATCH && is_free {
            continue;
        }
        for entry in cleaner.look_at(table, chain)? {
            // The pod's other networks take nothing from it: all of them lead to it.
            let is_own = || owner_of(&entry).is_some_and(|(_, id)| id == target.container);
            if entry.target.as_deref() == Some(&own) || is_own() {
                continue;
            }
            let Some(mapping) = meeting(&entry, mappings) else { continue };
            // The entry names all ports of a pod; for which address each is says its chain.
            let pod = entry.target.as_deref().filter(|chain| is_chain(chain));
            let is_meant = match pod {
                Some(pod) => {
                    let rules = cleaner.look_at(table, pod)?;
                    let ports = rules.iter().filter(|rule| !rule.ports.is_empty());
                    let ports: Vec<&Rule> = ports.collect();
                    ports.is_empty() || ports.iter().any(|rule| meets(rule, &mapping))
                }
                None => true,
            };
            if is_meant {
                return Ok(Some((mapping, describe(&entry, program))));
            }
        }
    }
    Ok(None)
}

/// Whether no pod's chain has one of the ports. What is seen for that is kept.
fn is_known_free(
    cleaner: &Cleaner,
    table: Table,
    mappings: &[PortMapping],
    own: &str,
    look: Look,
) -> io::Result<bool> {
    let Some((filter, generation)) = cleaner.nf_tables() else { return Ok(false) };
    let is_v4 = table == NAT;
    let mut known = Known::load(filter);
    let is_enough = known.is_current(is_v4)
        || (look == Look::Seen
            && known.may_meet(is_v4, mappings, own) == Some(false)
            && known.is_of_old(filter, table, is_v4)?);
    if !is_enough {
        known.see(filter, table, is_v4)?;
        known.save(filter, generation, 0);
    }
    let may_meet = known.may_meet(is_v4, mappings, own);
    Ok(may_meet == Some(false) && !cleaner.has_legacy(table))
}

/// Whether a target is a chain of a program, and not what iptables does with a packet.
fn is_chain(target: &str) -> bool {
    !matches!(target, "ACCEPT" | "DROP" | "RETURN" | "DNAT" | "REDIRECT")
}

/// The first mapping that packets of a rule could be for.
fn meeting(rule: &Rule, mappings: &[PortMapping]) -> Option<PortMapping> {
    mappings.iter().find(|mapping| meets(rule, mapping)).copied()
}

fn meets(rule: &Rule, mapping: &PortMapping) -> bool {
    let protocol = rule.protocol.unwrap_or_else(|| mapping.protocol.number());
    rule.ports.iter().any(|port| mapping.meets(protocol, *port, rule.destination))
}

/// Network and container that an entry of CNI's portmap is made for.
fn owner_of(entry: &Rule) -> Option<(&str, &str)> {
    let quoted: Vec<&str> = entry.comment.as_deref()?.split('"').collect();
    match quoted.as_slice() {
        ["dnat name: ", network, " id: ", container, ..] => Some((*network, *container)),
        _ => None,
    }
}

fn describe(entry: &Rule, program: &str) -> String {
    let comment = entry.comment.as_deref().unwrap_or_default();
    if let Some((network, container)) = owner_of(entry) {
        let pod = pod_name(container).map_or_else(String::new, |name| format!(" {name}"));
        return format!("pod{pod} (id {container}) of network `{network}` has it");
    }
    if comment.is_empty() {
        return format!("{program} leads it elsewhere by chain {}", entry.chain);
    }
    format!("{program} leads it elsewhere by chain {} ({comment})", entry.chain)
}

fn in_cni_nft(
    cleaner: &Cleaner,
    table: Table,
    target: Target<'_>,
    mappings: &[PortMapping],
) -> io::Result<Found> {
    for chain in ["hostports", "hostip_hostports"] {
        for rule in cleaner.look_at(table, chain)? {
            let container = rule.comment.clone().unwrap_or_default();
            if container == target.container {
                continue;
            }
            if let Some(mapping) = meeting(&rule, mappings) {
                let pod = pod_name(&container).map_or_else(String::new, |name| format!(" {name}"));
                return Ok(Some((mapping, format!("pod{pod} (id {container}) has it"))));
            }
        }
    }
    Ok(None)
}

fn in_netavark(cleaner: &Cleaner, mappings: &[PortMapping]) -> io::Result<Found> {
    for rule in cleaner.look_at(NETAVARK, "NETAVARK-HOSTPORT-DNAT")? {
        if let Some(mapping) = meeting(&rule, mappings) {
            return Ok(Some((mapping, describe(&rule, "podman"))));
        }
    }
    Ok(None)
}

/// CRI-O keeps its ports in maps whose keys are ports, perhaps after an address.
fn in_crio(cleaner: &Cleaner, table: Table, mappings: &[PortMapping]) -> io::Result<Found> {
    for map in ["hostports", "hostipports"] {
        for element in cleaner.elements(table, map)? {
            let found = mappings
                .iter()
                .find(|mapping| mapping.meets(element.protocol, element.port, element.address));
            if let Some(mapping) = found {
                return Ok(Some((*mapping, format!("a pod of CRI-O has it by map {map}"))));
            }
        }
    }
    Ok(None)
}

/// A key of a map: a protocol and a port, after an address where the map has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortKey {
    pub(crate) address: Option<IpAddr>,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

impl PortKey {
    /// Reads a key: each part fills whole words of 4 bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (address, rest) = match bytes.len() {
            8 => (None, bytes),
            12 => (Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?)), bytes.get(4..)?),
            24 => {
                (Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?)), bytes.get(16..)?)
            }
            _ => return None,
        };
        let port = u16::from_be_bytes(rest.get(4..6)?.try_into().ok()?);
        Some(Self { address, protocol: *rest.first()?, port })
    }
}

/// Namespace and name of a pod that a runtime has attached, as `default/web`.
fn pod_name(container: &str) -> Option<String> {
    let mut kept = cache::of_container(container).filter_map(|(_, read)| read.ok().flatten());
    kept.find_map(|one| one.pod().map(|(namespace, name)| format!("{namespace}/{name}")))
}

/// Mappings of one pod that take a port from each other.
pub(crate) fn within(mappings: &[PortMapping]) -> Option<(usize, usize)> {
    let pairs = mappings.iter().enumerate().flat_map(|(first, one)| {
        let rest = mappings.iter().enumerate().skip(first + 1);
        rest.map(move |(second, two)| (first, one, second, two))
    });
    let clash = |one: &PortMapping, two: &PortMapping| {
        let same = one.container_port == two.container_port;
        !same
            && one.host_ip == two.host_ip
            && one.meets(two.protocol.number(), two.host_port, two.destination())
    };
    let found = pairs.into_iter().find(|(_, one, _, two)| clash(one, two));
    found.map(|(first, _, second, _)| (first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_maps_are_read() {
        let key = PortKey::parse(&[6, 0, 0, 0, 0x1f, 0x90, 0, 0]).unwrap();
        assert_eq!(key, PortKey { address: None, protocol: 6, port: 8080 });
        let key = PortKey::parse(&[10, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0]).unwrap();
        assert_eq!((key.address, key.port), ("10.0.0.1".parse().ok(), 53));
        assert!(PortKey::parse(&[1, 2, 3]).is_none());
    }

    #[test]
    fn a_port_that_leads_to_two_is_found() {
        let mappings = |list: &[&str]| -> Vec<PortMapping> {
            list.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(within(&mappings(&["80:80", "81:80", "80:80"])), None);
        assert_eq!(within(&mappings(&["80:80", "80:81/udp"])), None);
        assert_eq!(within(&mappings(&["80:80", "81:81", "80:82"])), Some((0, 2)));
    }
}
