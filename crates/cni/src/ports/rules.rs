//! The rules of a pod's host ports, looked at and taken away.

use std::{io, net::IpAddr};

use ipnet::IpNet;

use super::{
    attached::{self, Own},
    flows::{self, Flows},
    known::Known,
    mapping::{PortMapping, Protocol},
    script::DISPATCH,
};
use crate::{
    netfilter::{
        Filter,
        cleaner::{Cleaner, NAT, NAT6, clean},
        names::{dnat_chain, snat_chain},
        rule::Rule,
        tables::{Table, TableFamily},
    },
    protocol::{Attachment, PluginError},
};

/// Tables of the nft backend.
pub(crate) const NFT: Table = Table::new(TableFamily::Ip, "cni_hostport");
pub(crate) const NFT6: Table = Table::new(TableFamily::Ip6, "cni_hostport");
pub(crate) const NFT_CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];
const OLD_DISPATCH: &str = "CNI-HOSTPORT-SNAT";

/// Whose ports are mapped, and to which of its addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) network: &'a str,
    pub(crate) container: &'a str,
    /// At most one of each family.
    pub(crate) addresses: &'a [IpNet],
}

/// Whether a pod's other mappings stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// These are all; what was there goes.
    Replace,
    /// They are added to those that it has.
    Append,
}

/// Flows of UDP to the mappings' ports: all, or those that were led to a pod.
pub(super) fn flows_to(mappings: &[PortMapping], is_v4: bool, pod: Option<IpAddr>) -> Vec<Flows> {
    let udp = mappings
        .iter()
        .filter(|mapping| mapping.protocol == Protocol::Udp && mapping.is_for(is_v4));
    udp.map(|mapping| Flows { port: mapping.host_port, host: mapping.destination(), pod }).collect()
}

pub(super) fn end_flows(four: &[Flows], six: &[Flows]) -> Result<(), PluginError> {
    flows::end_udp(four, six)
        .map_err(|error| PluginError::because("end old flows of the ports", &error))
}

/// Removes all host ports that a pod has in a network, of both backends and families, and ends their
/// flows. The caller holds the lock.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn remove(network: &str, container: &str) -> Result<(), PluginError> {
    let filter = Filter::open().ok();
    let before = filter.as_ref().and_then(|filter| {
        let mut known = Known::load(filter);
        known.remove(&dnat_chain(network, container));
        Some((filter, filter.generation().ok()?, known))
    });
    let own = Own::noted(network, container);
    let udp = std::cell::RefCell::new(Vec::new());
    let has_changed = clean(&[NAT, NAT6], |cleaner| {
        let mut udp = udp.borrow_mut();
        udp.clear();
        mark(cleaner, network, container, &mut udp)?;
        for table in [NFT, NFT6] {
            for chain in NFT_CHAINS {
                let rules = cleaner.look_at(table, chain)?.into_iter();
                rules.filter(|rule| own.has(rule)).for_each(|rule| udp.extend(flows_of(&rule)));
            }
            mark_nft(cleaner, table, &own)?;
        }
        Ok(())
    })?;
    attached::forget(network, container);
    if let Some((filter, generation, known)) = before {
        known.save(filter, generation, has_changed.into());
    }
    let (four, six): (Vec<Flows>, Vec<Flows>) =
        udp.into_inner().into_iter().partition(|flows| flows.pod.is_some_and(|pod| pod.is_ipv4()));
    end_flows(&four, &six)
}

/// Marks the chains of a pod's host ports in iptables, and gathers its flows of UDP.
fn mark(
    cleaner: &mut Cleaner,
    network: &str,
    container: &str,
    udp: &mut Vec<Flows>,
) -> io::Result<()> {
    let chain = dnat_chain(network, container);
    let old = snat_chain(network, container);
    for table in [NAT, NAT6] {
        for rule in cleaner.look_at(table, &chain)? {
            udp.extend(flows_of(&rule));
        }
        cleaner.chain(table, DISPATCH, &chain)?;
        cleaner.chain(table, OLD_DISPATCH, &old)?;
    }
    Ok(())
}

pub(super) fn mark_nft(cleaner: &mut Cleaner, table: Table, own: &Own<'_>) -> io::Result<()> {
    for chain in NFT_CHAINS {
        cleaner.rules(table, chain, |rule| own.has(rule))?;
    }
    Ok(())
}

/// Flows of UDP that a rule led to a pod.
fn flows_of(rule: &Rule) -> Vec<Flows> {
    let (Some(pod), true) = (rule.new_destination, rule.protocol == Some(Protocol::Udp.number()))
    else {
        return Vec::new();
    };
    let flows = |port: &u16| Flows { port: *port, host: rule.destination, pod: Some(pod) };
    rule.ports.iter().map(flows).collect()
}

/// Removes some mappings of a pod that were appended, and the chain with the last one. The caller
/// holds the lock.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn remove_some(target: Target<'_>, mappings: &[PortMapping]) -> Result<(), PluginError> {
    let chain = dnat_chain(target.network, target.container);
    let is_one = |rule: &Rule| {
        mappings.iter().any(|mapping| {
            rule.protocol == Some(mapping.protocol.number())
                && rule.ports == [mapping.host_port]
                && rule.destination == mapping.destination()
        })
    };
    // The rule that leads to the chain names the port and no address.
    let is_entry = |rule: &Rule| {
        rule.target.as_deref() == Some(&chain)
            && mappings.iter().any(|mapping| {
                rule.protocol == Some(mapping.protocol.number())
                    && rule.ports == [mapping.host_port]
            })
    };
    let own_nft = Own::of(target);
    let keeps_some = std::cell::Cell::new(false);
    clean(&[NAT, NAT6], |cleaner| {
        keeps_some.set(false);
        for table in [NAT, NAT6] {
            let own = cleaner.look_at(table, &chain)?;
            if !own.is_empty() && own.iter().all(is_one) {
                cleaner.chain(table, DISPATCH, &chain)?;
                continue;
            }
            cleaner.rules(table, &chain, is_one)?;
            cleaner.rules(table, DISPATCH, is_entry)?;
        }
        for table in [NFT, NFT6] {
            let own = cleaner.look_at(table, "hostports")?;
            if own.iter().filter(|rule| own_nft.has(rule)).all(is_one) {
                mark_nft(cleaner, table, &own_nft)?;
                continue;
            }
            keeps_some.set(true);
            cleaner.rules(table, "hostports", |rule| own_nft.has(rule) && is_one(rule))?;
        }
        Ok(())
    })?;
    if !keeps_some.get() {
        attached::forget(target.network, target.container);
    }
    let flows = |is_v4: bool| {
        let pod = target.addresses.iter().map(IpNet::addr).find(|pod| pod.is_ipv4() == is_v4);
        pod.map_or_else(Vec::new, |pod| flows_to(mappings, is_v4, Some(pod)))
    };
    end_flows(&flows(true), &flows(false))
}

/// Removes the host ports of the network's pods that are not among `valid`. The caller holds the
/// lock.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn keep_only(network: &str, valid: &[Attachment]) -> Result<(), PluginError> {
    let gone_of_nft: Vec<String> = attached::noted(network)
        .into_iter()
        .filter(|container| !valid.iter().any(|pod| pod.container_id == *container))
        .collect();
    let kept: Vec<String> =
        valid.iter().map(|pod| dnat_chain(network, &pod.container_id)).collect();
    let own = format!("dnat name: \"{network}\" id: \"");
    clean(&[NAT, NAT6], |cleaner| {
        for table in [NAT, NAT6] {
            let entries = cleaner.look_at(table, DISPATCH)?.into_iter();
            let own =
                entries.filter(|rule| rule.comment.as_deref().is_some_and(|c| c.starts_with(&own)));
            let mut gone: Vec<String> =
                own.filter_map(|rule| rule.target).filter(|chain| !kept.contains(chain)).collect();
            gone.sort();
            gone.dedup();
            for chain in gone {
                cleaner.chain(table, DISPATCH, &chain)?;
            }
        }
        for table in [NFT, NFT6] {
            for container in &gone_of_nft {
                mark_nft(cleaner, table, &Own::noted(network, container))?;
            }
        }
        Ok(())
    })?;
    gone_of_nft.iter().for_each(|container| attached::forget(network, container));
    Ok(())
}

/// The first mapping that has no rule, as CHECK asks.
///
/// # Errors
/// When the tables cannot be read, and when a rule is missing.
pub(crate) fn check(target: Target<'_>, mappings: &[PortMapping]) -> Result<(), PluginError> {
    let chain = dnat_chain(target.network, target.container);
    let own_nft = Own::of(target);
    let found = std::cell::RefCell::new((Vec::new(), Vec::new()));
    clean(&[NAT, NAT6], |cleaner| {
        let mut rules = Vec::new();
        let mut entries = Vec::new();
        for table in [NAT, NAT6] {
            rules.extend(cleaner.look_at(table, &chain)?);
            let all = cleaner.look_at(table, DISPATCH)?.into_iter();
            entries.extend(all.filter(|rule| rule.target.as_deref() == Some(&chain)));
        }
        for table in [NFT, NFT6] {
            let all = cleaner.look_at(table, "hostports")?.into_iter();
            let own = all.filter(|rule| own_nft.has(rule));
            rules.extend(own.clone());
            // There is one rule for all pods that leads to this chain.
            entries.extend(own);
        }
        *found.borrow_mut() = (rules, entries);
        Ok(())
    })?;
    let (rules, entries) = found.into_inner();
    for address in target.addresses {
        let is_v4 = address.addr().is_ipv4();
        for mapping in mappings.iter().filter(|mapping| mapping.is_for(is_v4)) {
            let of_family = |rule: &&Rule| (rule.table.family == TableFamily::Ip) == is_v4;
            let is_one = |rule: &Rule| {
                rule.protocol == Some(mapping.protocol.number())
                    && rule.ports.contains(&mapping.host_port)
            };
            let has_rule = rules
                .iter()
                .filter(of_family)
                .any(|rule| is_one(rule) && rule.destination == mapping.destination());
            if !has_rule || !entries.iter().filter(of_family).any(is_one) {
                return Err(PluginError::internal(format!(
                    "host port {mapping} of the pod has no rule in chain {chain}"
                )));
            }
        }
    }
    Ok(())
}
