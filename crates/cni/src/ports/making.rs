//! The rules of a pod's host ports, made.

use ipnet::IpNet;

use super::{
    attached::{self, Own},
    conflict::{self, Look},
    known::Known,
    localnet,
    mapping::PortMapping,
    rules::{Mode, NFT, NFT6, Target, end_flows, flows_to, mark_nft, remove, remove_some},
    script::{self, DISPATCH, Missing, Options},
    shared::{ATTEMPTS, Seen},
};
use crate::{
    Family,
    netfilter::{
        Filter,
        cleaner::{NAT, NAT6, clean},
        iptables::{Flavour, Tools},
        maker::{Backend, Maker},
        names::dnat_chain,
        nft,
        tables::Table,
    },
    protocol::PluginError,
};

/// Makes the rules for mappings, then ends old flows, then opens 127.0.0.1. The caller holds the
/// lock.
///
/// # Errors
/// When a tool is missing or refuses, and when somebody else has taken a port since it was looked at
/// last; what was made is taken away again.
pub(crate) fn add(
    target: Target<'_>,
    mappings: &[PortMapping],
    options: &Options,
    by: Maker,
    mode: Mode,
) -> Result<(), PluginError> {
    let made = add_all(target, mappings, options, by, mode);
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
    mut by: Maker,
    mode: Mode,
) -> Result<(), PluginError> {
    let backend = by.backend();
    let before = Own::before(target);
    if backend == Backend::Nftables {
        attached::note(target, mode)?;
    }
    for address in target.addresses {
        match backend {
            Backend::Nftables => add_nft(target, *address, mappings, options, mode, &before)?,
            Backend::Iptables => {
                let wanted = Wanted { target, address: *address, mappings, options, mode };
                wanted.add_iptables(&mut by)?;
            }
        }
    }
    let of_family = |is_v4: bool| target.addresses.iter().any(|net| net.addr().is_ipv4() == is_v4);
    let flows = |is_v4: bool| {
        let families = Some(is_v4).filter(|is_v4| of_family(*is_v4));
        families.map_or_else(Vec::new, |is_v4| flows_to(mappings, is_v4, None))
    };
    end_flows(&flows(true), &flows(false))?;
    let four = target.addresses.iter().find(|address| address.addr().is_ipv4());
    match four {
        Some(four) if options.snat => localnet::open(four.addr(), backend),
        _ => Ok(()),
    }
}

/// How closely a caller has to look at what leads to pods before [`add`]: rules of iptables' nf_tables
/// are looked at again once the pod's own are made, which tell what is newer.
pub(crate) fn look_before(by: &Maker, mode: Mode) -> Look {
    let is_nft = || by.tools(Family::Ipv4).is_ok_and(|tools| tools.flavour == Flavour::Nft);
    match (by.backend(), mode) {
        (Backend::Iptables, Mode::Replace) if is_nft() => Look::Seen,
        _ => Look::Whole,
    }
}

fn add_nft(
    target: Target<'_>,
    address: IpNet,
    mappings: &[PortMapping],
    options: &Options,
    mode: Mode,
    before: &Own<'_>,
) -> Result<(), PluginError> {
    let mut script = script::nft(target.container, address, mappings, options);
    if mode == Mode::Replace {
        clean(&[], |cleaner| {
            let table = if address.addr().is_ipv4() { NFT } else { NFT6 };
            mark_nft(cleaner, table, before)
        })?;
    } else if has_nft_masquerade(target, address)? {
        let lines = script.lines().filter(|line| !line.contains(" masquerade comment "));
        script = lines.map(|line| format!("{line}\n")).collect();
    }
    nft::run(&script).map_err(|error| PluginError::because("map ports by nft", &error))
}

fn has_nft_masquerade(target: Target<'_>, address: IpNet) -> Result<bool, PluginError> {
    let table = if address.addr().is_ipv4() { NFT } else { NFT6 };
    let rules = Filter::open().and_then(|filter| filter.rules(table, Some("masquerading")));
    let rules = rules.map_err(|error| PluginError::because("list rules", &error))?;
    let own = Own::of(target);
    Ok(rules.iter().any(|rule| own.has(rule)))
}

/// Mappings to one address of a pod.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    target: Target<'a>,
    address: IpNet,
    mappings: &'a [PortMapping],
    options: &'a Options,
    mode: Mode,
}

impl Wanted<'_> {
    fn is_v4(&self) -> bool {
        self.address.addr().is_ipv4()
    }

    fn table(&self) -> Table {
        if self.is_v4() { NAT } else { NAT6 }
    }

    fn chain(&self) -> String {
        dnat_chain(self.target.network, self.target.container)
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> PluginError {
        PluginError::because(format_args!("map ports to {}", self.address.addr()), error)
    }

    fn add_iptables(&self, by: &mut Maker) -> Result<(), PluginError> {
        let family = if self.is_v4() { Family::Ipv4 } else { Family::Ipv6 };
        let tools = by.tools(family).map_err(|error| self.failed(&error))?;
        let mut attempt = 1;
        loop {
            let seen = self.look(&tools)?;
            let known = seen.known();
            let script = self.script(&seen, &known)?;
            match by.restore(&tools, &script) {
                Ok(()) => return self.keep(&seen, known),
                // Another plugin made or removed a shared chain meanwhile.
                Err(_) if attempt < ATTEMPTS && seen.has_changed() => attempt += 1,
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Looks at the table, without a chain that is to be replaced.
    fn look(&self, tools: &Tools) -> Result<Seen, PluginError> {
        let (table, chain) = (self.table(), self.chain());
        let look = || Seen::look(tools, table).map_err(|error| self.failed(&error));
        let seen = look()?;
        let has_chain = seen.has_chain(&chain).map_err(|error| self.failed(&error))?;
        if !has_chain || self.mode == Mode::Append {
            return Ok(seen);
        }
        clean(&[table], |cleaner| cleaner.chain(table, DISPATCH, &chain).map(drop))?;
        look()
    }

    fn script(&self, seen: &Seen, known: &Known) -> Result<String, PluginError> {
        let failed = |error| self.failed(&error);
        let chain = self.chain();
        let missing = if known.has_shared(self.is_v4()) && self.options == &Options::default() {
            Missing::default()
        } else {
            seen.missing().map_err(failed)?
        };
        let mut lines = Vec::new();
        if self.mode == Mode::Replace || !seen.has_chain(&chain).map_err(failed)? {
            lines.push(format!(":{chain} - [0:0]"));
        }
        lines.extend(script::shared(&missing, self.options));
        let Target { network, container, .. } = self.target;
        lines.extend(script::pod(network, container, self.address, self.mappings, self.options));
        Ok(format!("*nat\n{}\nCOMMIT\n", lines.join("\n")))
    }

    /// Keeps what is known once the rules are made. What others have made since it was seen is looked
    /// at now: a port that one of them has taken is refused.
    fn keep(&self, seen: &Seen, mut known: Known) -> Result<(), PluginError> {
        let Some((filter, table)) = seen.nf_tables() else { return Ok(()) };
        let failed = |error| self.failed(&error);
        let (is_v4, chain) = (self.is_v4(), self.chain());
        if !(known.is_current(is_v4) && seen.is_alone()) {
            if self.mode == Mode::Append {
                // All was looked at just before; the chain is old and tells nothing.
                return Ok(());
            }
            known.catch_up((filter, table), is_v4, &chain).map_err(failed)?;
            if known.may_meet(is_v4, self.mappings, &chain) != Some(false) {
                conflict::refuse_by_rules(self.target, self.mappings, Look::Whole)?;
            }
        }
        known.add((filter, table), is_v4, self.mappings, &chain).map_err(failed)?;
        known.set_shared(is_v4, self.options == &Options::default());
        seen.save(&known);
        Ok(())
    }
}
