//! The chains of iptables that all pods' host ports share.

use std::io;

use super::{
    known::Known,
    script::{self, DISPATCH, MARK, MASQUERADE, Missing, Options},
};
use crate::{
    Family,
    netfilter::{
        Filter,
        cleaner::{NAT, NAT6},
        iptables::{Flavour, Tools},
        rule::{Rule, parse_rule},
        tables::Table,
    },
    protocol::PluginError,
};

/// How often rules are made again when another plugin changed the shared chains meanwhile.
pub(super) const ATTEMPTS: u32 = 20;

/// The nat table of a family as it is at one moment.
pub(super) enum Seen {
    Nft { filter: Filter, table: Table, generation: u32 },
    Legacy { table: Table, lines: Vec<String> },
}

impl Seen {
    pub(super) fn look(tools: &Tools, table: Table) -> io::Result<Self> {
        if tools.flavour == Flavour::Legacy {
            let lines = tools.save(table.name).map_err(io::Error::other)?;
            return Ok(Self::Legacy { table, lines });
        }
        let filter = Filter::open()?;
        let generation = filter.generation()?;
        Ok(Self::Nft { filter, table, generation })
    }

    /// What is known from earlier calls, and still holds.
    pub(super) fn known(&self) -> Known {
        match self {
            Self::Nft { filter, .. } => Known::load(filter),
            Self::Legacy { .. } => Known::default(),
        }
    }

    /// nf_tables, where the table is of that.
    pub(super) fn nf_tables(&self) -> Option<(&Filter, Table)> {
        match self {
            Self::Nft { filter, table, .. } => Some((filter, *table)),
            Self::Legacy { .. } => None,
        }
    }

    /// Whether the caller's one transaction since was the only one.
    pub(super) fn is_alone(&self) -> bool {
        match self {
            Self::Nft { filter, generation, .. } => {
                filter.generation().is_ok_and(|now| now.wrapping_sub(*generation) == 1)
            }
            Self::Legacy { .. } => false,
        }
    }

    /// Keeps what is known after a transaction.
    pub(super) fn save(&self, known: &Known) {
        if let Self::Nft { filter, generation, .. } = self {
            known.save(filter, *generation, 1);
        }
    }

    /// Whether something else has changed the table since; legacy tables do not tell.
    pub(super) fn has_changed(&self) -> bool {
        match self {
            Self::Nft { filter, generation, .. } => {
                filter.generation().is_ok_and(|now| now != *generation)
            }
            Self::Legacy { .. } => true,
        }
    }

    pub(super) fn has_chain(&self, chain: &str) -> io::Result<bool> {
        match self {
            Self::Nft { filter, table, .. } => filter.has_chain(*table, chain),
            Self::Legacy { lines, .. } => {
                let start = format!(":{chain} ");
                Ok(lines.iter().any(|line| line.starts_with(&start)))
            }
        }
    }

    fn has_rule(&self, chain: &str, is_wanted: impl Fn(&Rule) -> bool) -> io::Result<bool> {
        match self {
            Self::Nft { table, .. } => Filter::has_rule(*table, chain, is_wanted),
            Self::Legacy { table, lines } => {
                let rules = lines.iter().filter_map(|line| parse_rule(*table, line));
                Ok(rules.filter(|rule| rule.chain == chain).any(|rule| is_wanted(&rule)))
            }
        }
    }

    /// What of the chains that all pods share is missing. A rule that leads to them is looked for
    /// from the beginning of its chain on, where it is as a rule.
    pub(super) fn missing(&self) -> io::Result<Missing> {
        let leads =
            |from: &str, to: &str| self.has_rule(from, |rule| rule.target.as_deref() == Some(to));
        Ok(Missing {
            mark_chain: !self.has_chain(MARK)?,
            mark_rule: !self.has_rule(MARK, |_| true)?,
            masquerade_chain: !self.has_chain(MASQUERADE)?,
            masquerade_rule: !self.has_rule(MASQUERADE, |_| true)?,
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
