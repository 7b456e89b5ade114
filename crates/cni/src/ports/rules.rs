//! The rules of a pod's host ports.

use std::io;

use ipnet::IpNet;

use super::{
    flows,
    known::Known,
    localnet,
    mapping::{PortMapping, Protocol},
    script::{self, DISPATCH, MARK, MASQUERADE, Missing, Options},
};
use crate::{
    Family,
    netfilter::{
        Filter,
        cleaner::{Cleaner, NAT, NAT6, clean},
        iptables::{Flavour, Tools},
        masquerade::Backend,
        names::{dnat_chain, snat_chain},
        nft,
        rule::{Rule, parse_rule},
        tables::{Table, TableFamily},
    },
    protocol::{Attachment, PluginError},
};

/// Tables of the nft backend.
pub(crate) const NFT: Table = Table::new(TableFamily::Ip, "cni_hostport");
pub(crate) const NFT6: Table = Table::new(TableFamily::Ip6, "cni_hostport");
pub(crate) const NFT_CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];
const OLD_DISPATCH: &str = "CNI-HOSTPORT-SNAT";
/// How often rules are made again when another plugin changed the shared chains meanwhile.
const ATTEMPTS: u32 = 20;

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

/// Makes the rules for mappings, then ends old flows, then opens 127.0.0.1. The caller holds the
/// lock.
///
/// # Errors
/// When a tool is missing or refuses; what was made is taken away again.
pub(crate) fn add(
    target: Target<'_>,
    mappings: &[PortMapping],
    options: &Options,
    backend: Backend,
    mode: Mode,
) -> Result<(), PluginError> {
    let made = add_all(target, mappings, options, backend, mode);
    if made.is_err() {
        // The failure is what to tell; what cannot be taken back is left to DEL.
        drop(match mode {
            Mode::Replace => remove(target.network, target.container).map(drop),
            Mode::Append => remove_some(target, mappings),
        });
    }
    made
}

fn add_all(
    target: Target<'_>,
    mappings: &[PortMapping],
    options: &Options,
    backend: Backend,
    mode: Mode,
) -> Result<(), PluginError> {
    for address in target.addresses {
        match backend {
            Backend::Nftables => add_nft(target, *address, mappings, options, mode)?,
            Backend::Iptables => add_iptables(target, *address, mappings, options, mode)?,
        }
    }
    end_flows(mappings)?;
    let four = target.addresses.iter().find(|address| address.addr().is_ipv4());
    match four {
        Some(four) if options.snat => localnet::open(four.addr(), backend),
        _ => Ok(()),
    }
}

fn end_flows(mappings: &[PortMapping]) -> Result<(), PluginError> {
    let udp = mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp);
    let ports: Vec<u16> = udp.map(|mapping| mapping.host_port).collect();
    flows::end_udp(&ports)
        .map_err(|error| PluginError::because("end old flows of the ports", &error))
}

fn add_nft(
    target: Target<'_>,
    address: IpNet,
    mappings: &[PortMapping],
    options: &Options,
    mode: Mode,
) -> Result<(), PluginError> {
    let mut script = script::nft(target.container, address, mappings, options);
    if mode == Mode::Replace {
        clean(&[], |cleaner| {
            let table = if address.addr().is_ipv4() { NFT } else { NFT6 };
            mark_nft(cleaner, table, target.container)
        })?;
    } else if has_nft_masquerade(target.container, address)? {
        let lines = script.lines().filter(|line| !line.contains(" masquerade comment "));
        script = lines.map(|line| format!("{line}\n")).collect();
    }
    nft::run(&script).map_err(|error| PluginError::because("map ports by nft", &error))
}

fn has_nft_masquerade(container: &str, address: IpNet) -> Result<bool, PluginError> {
    let table = if address.addr().is_ipv4() { NFT } else { NFT6 };
    let rules = Filter::open().and_then(|filter| filter.rules(table, Some("masquerading")));
    let rules = rules.map_err(|error| PluginError::because("list rules", &error))?;
    Ok(rules.iter().any(|rule| rule.comment.as_deref() == Some(container)))
}

fn add_iptables(
    target: Target<'_>,
    address: IpNet,
    mappings: &[PortMapping],
    options: &Options,
    mode: Mode,
) -> Result<(), PluginError> {
    let is_v4 = address.addr().is_ipv4();
    let (family, table) = if is_v4 { (Family::Ipv4, NAT) } else { (Family::Ipv6, NAT6) };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        PluginError::because(format_args!("map ports to {}", address.addr()), error)
    };
    let tools = Tools::find(family).map_err(|error| failed(&error))?;
    let chain = dnat_chain(target.network, target.container);
    let mut attempt = 1;
    loop {
        let mut seen = Seen::look(&tools, table).map_err(|error| failed(&error))?;
        let has_chain = seen.has_chain(&chain).map_err(|error| failed(&error))?;
        if has_chain && mode == Mode::Replace {
            clean(&[table], |cleaner| cleaner.chain(table, DISPATCH, &chain).map(drop))?;
            seen = Seen::look(&tools, table).map_err(|error| failed(&error))?;
        }
        let mut known = seen.known();
        let has_shared = known.has_shared.get(usize::from(!is_v4)) == Some(&true);
        let missing = if has_shared && options == &Options::default() {
            Missing::default()
        } else {
            seen.missing().map_err(|error| failed(&error))?
        };
        let mut lines = script::shared(&missing, options);
        if !has_chain || mode == Mode::Replace {
            lines.insert(0, format!(":{chain} - [0:0]"));
        }
        let own = script::pod(target.network, target.container, address, mappings, options);
        lines.extend(own);
        match tools.restore(&format!("*nat\n{}\nCOMMIT\n", lines.join("\n"))) {
            Ok(()) => {
                known.add(is_v4, mappings, &chain);
                if let Some(has_shared) = known.has_shared.get_mut(usize::from(!is_v4)) {
                    *has_shared = options == &Options::default();
                }
                seen.save(&known);
                return Ok(());
            }
            // Another plugin made or removed a shared chain meanwhile.
            Err(_) if attempt < ATTEMPTS && seen.has_changed() => attempt += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// The nat table of a family as it is at one moment.
enum Seen {
    Nft { filter: Filter, table: Table, generation: u32 },
    Legacy { table: Table, lines: Vec<String> },
}

impl Seen {
    fn look(tools: &Tools, table: Table) -> io::Result<Self> {
        if tools.flavour == Flavour::Legacy {
            let lines = tools.save(table.name).map_err(io::Error::other)?;
            return Ok(Self::Legacy { table, lines });
        }
        let filter = Filter::open()?;
        let generation = filter.generation()?;
        Ok(Self::Nft { filter, table, generation })
    }

    /// What is known from earlier calls, and still holds.
    fn known(&self) -> Known {
        match self {
            Self::Nft { filter, .. } => Known::load(filter),
            Self::Legacy { .. } => Known::default(),
        }
    }

    /// Keeps what is known after a transaction.
    fn save(&self, known: &Known) {
        if let Self::Nft { filter, generation, .. } = self {
            known.save(filter, *generation, 1);
        }
    }

    /// Whether something else has changed the table since; legacy tables do not tell.
    fn has_changed(&self) -> bool {
        match self {
            Self::Nft { filter, generation, .. } => {
                filter.generation().is_ok_and(|now| now != *generation)
            }
            Self::Legacy { .. } => true,
        }
    }

    fn has_chain(&self, chain: &str) -> io::Result<bool> {
        match self {
            Self::Nft { filter, table, .. } => filter.has_chain(*table, chain),
            Self::Legacy { lines, .. } => {
                let start = format!(":{chain} ");
                Ok(lines.iter().any(|line| line.starts_with(&start)))
            }
        }
    }

    fn rules(&self, chain: &str) -> io::Result<Vec<Rule>> {
        match self {
            Self::Nft { filter, table, .. } => filter.rules(*table, Some(chain)),
            Self::Legacy { table, lines } => {
                let rules = lines.iter().filter_map(|line| parse_rule(*table, line));
                Ok(rules.filter(|rule| rule.chain == chain).collect())
            }
        }
    }

    fn missing(&self) -> io::Result<Missing> {
        let leads = |from: &str, to: &str| -> io::Result<bool> {
            let rules = self.rules(from)?;
            Ok(rules.iter().any(|rule| rule.target.as_deref() == Some(to)))
        };
        Ok(Missing {
            mark_chain: !self.has_chain(MARK)?,
            mark_rule: self.rules(MARK)?.is_empty(),
            masquerade_chain: !self.has_chain(MASQUERADE)?,
            masquerade_rule: self.rules(MASQUERADE)?.is_empty(),
            masquerade_entry: !leads("POSTROUTING", MASQUERADE)?,
            dispatch_chain: !self.has_chain(DISPATCH)?,
            dispatch_entries: [!leads("PREROUTING", DISPATCH)?, !leads("OUTPUT", DISPATCH)?],
        })
    }
}

/// Makes what is missing of the chains that all pods share in iptables; the caller holds the lock.
///
/// # Errors
/// When a tool is missing or refuses; then nothing was made.
pub(crate) fn share_again(is_v4: bool) -> Result<(), PluginError> {
    let (family, table) = if is_v4 { (Family::Ipv4, NAT) } else { (Family::Ipv6, NAT6) };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        PluginError::because("make the chains that lead to pods", error)
    };
    let tools = Tools::find(family).map_err(|error| failed(&error))?;
    let mut attempt = 1;
    loop {
        let seen = Seen::look(&tools, table).map_err(|error| failed(&error))?;
        let missing = seen.missing().map_err(|error| failed(&error))?;
        let lines = script::shared(&missing, &Options::default());
        if lines.is_empty() {
            return Ok(());
        }
        match tools.restore(&format!("*nat\n{}\nCOMMIT\n", lines.join("\n"))) {
            Ok(()) => return Ok(()),
            Err(_) if attempt < ATTEMPTS && seen.has_changed() => attempt += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Removes all host ports of a pod, of both backends and families, and ends their flows; gives
/// whether there were any. The caller holds the lock.
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
    let udp = std::cell::RefCell::new(Vec::new());
    let has_changed = clean(&[NAT, NAT6], |cleaner| {
        let mut udp = udp.borrow_mut();
        udp.clear();
        mark(cleaner, network, container, &mut udp)?;
        for table in [NFT, NFT6] {
            for chain in NFT_CHAINS {
                let own = cleaner.look_at(table, chain)?.into_iter();
                let own = own.filter(|rule| rule.comment.as_deref() == Some(container));
                own.for_each(|rule| udp.extend(udp_ports(&rule)));
            }
            mark_nft(cleaner, table, container)?;
        }
        Ok(())
    })?;
    if let Some((filter, generation, known)) = before {
        known.save(filter, generation, has_changed.into());
    }
    flows::end_udp(&udp.into_inner())
        .map_err(|error| PluginError::because("end old flows of the ports", &error))
}

/// Marks the chains of a pod's host ports in iptables, and gathers its ports of UDP.
fn mark(
    cleaner: &mut Cleaner,
    network: &str,
    container: &str,
    udp: &mut Vec<u16>,
) -> io::Result<()> {
    let chain = dnat_chain(network, container);
    let old = snat_chain(network, container);
    for table in [NAT, NAT6] {
        for rule in cleaner.look_at(table, &chain)? {
            udp.extend(udp_ports(&rule));
        }
        cleaner.chain(table, DISPATCH, &chain)?;
        cleaner.chain(table, OLD_DISPATCH, &old)?;
    }
    Ok(())
}

fn mark_nft(cleaner: &mut Cleaner, table: Table, container: &str) -> io::Result<()> {
    for chain in NFT_CHAINS {
        cleaner.rules(table, chain, |rule| rule.comment.as_deref() == Some(container))?;
    }
    Ok(())
}

fn udp_ports(rule: &Rule) -> Vec<u16> {
    if rule.protocol == Some(Protocol::Udp.number()) { rule.ports.clone() } else { Vec::new() }
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
    clean(&[NAT, NAT6], |cleaner| {
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
            let is_own = |rule: &Rule| rule.comment.as_deref() == Some(target.container);
            let own = cleaner.look_at(table, "hostports")?;
            let mut own = own.iter().filter(|rule| is_own(rule)).peekable();
            if own.peek().is_some() && own.all(is_one) {
                mark_nft(cleaner, table, target.container)?;
                continue;
            }
            cleaner.rules(table, "hostports", |rule| is_own(rule) && is_one(rule))?;
        }
        Ok(())
    })?;
    end_flows(mappings)
}

/// Removes the host ports of the network's pods that are not among `valid`. The caller holds the
/// lock. Rules of the nft backend name the pod alone: `is_own` says which pods are the network's.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn keep_only(
    network: &str,
    valid: &[Attachment],
    gone_of_nft: &[String],
) -> Result<(), PluginError> {
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
            for container in gone_of_nft {
                mark_nft(cleaner, table, container)?;
            }
        }
        Ok(())
    })
    .map(drop)
}

/// The first mapping that has no rule, as CHECK asks.
///
/// # Errors
/// When the tables cannot be read, and when a rule is missing.
pub(crate) fn check(target: Target<'_>, mappings: &[PortMapping]) -> Result<(), PluginError> {
    let chain = dnat_chain(target.network, target.container);
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
            let own = all.filter(|rule| rule.comment.as_deref() == Some(target.container));
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
