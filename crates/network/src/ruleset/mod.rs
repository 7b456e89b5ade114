//! Rules of packet filters in one form, whichever tool made and listed them.
//!
//! [`Ruleset::of`] reads what a snapshot has: the words of `iptables-save` and the JSON of nft. What
//! is not understood is kept as [`Field::Unknown`] or [`Action::Unknown`]: who asks what a rule does
//! then hears that nobody knows, and no guess.

mod chains;
mod iptables;
mod nft;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

pub use chains::Chains;
pub use iptables::parse as parse_iptables;
pub use nft::parse as parse_nft;

use crate::snapshot::Firewall;

/// Whose rules these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// iptables over the legacy tables.
    Legacy,
    /// iptables over nf_tables.
    Iptables,
    /// nft.
    Nft,
}

/// All tables of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Ruleset {
    /// The tables, in the order of the tools' lists.
    pub tables: Vec<Table>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Whose it is.
    pub tool: Tool,
    /// `ip`, `ip6`, `inet`, `bridge` and so on.
    pub family: String,
    /// Its name.
    pub name: String,
    /// Its chains.
    pub chains: Chains,
}

/// A chain.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it; absent for chains that rules lead to.
    pub base: Option<Base>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// How packets come into a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// `prerouting`, `input`, `forward`, `output` or `postrouting`; of links, `ingress` or `egress`.
    pub hook: String,
    /// Lower ones come first.
    pub priority: i64,
    /// Whether what no rule decides is dropped.
    pub drops: bool,
    /// The links of the hooks `ingress` and `egress`; absent where that is not told, as nft before 1.0.7
    /// leaves it out of its JSON.
    pub devices: Option<Vec<String>>,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its place in its chain, from 1.
    pub line: usize,
    /// nft's number of it.
    pub handle: Option<u64>,
    /// In the words of its tool, without the chain.
    pub text: String,
    /// Its comment.
    pub comment: Option<String>,
    /// Packets that matched, where they are counted.
    pub packets: Option<u64>,
    /// What packets must be.
    pub conditions: Vec<Condition>,
    /// What becomes of those.
    pub action: Action,
}

/// What a packet must be: its fields must be one of some combinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether it must not be.
    pub negated: bool,
    /// What is looked at.
    pub fields: Vec<Field>,
    /// Combinations, each with one value for each field.
    pub values: Arc<Vec<Vec<Value>>>,
}

/// Something of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    /// 2 for IPv4, 10 for IPv6, and 0 for what is neither.
    Family,
    EtherSource,
    Protocol,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    Input,
    Output,
    State,
    Status,
    Mark,
    SourceType,
    DestinationType,
    /// In the tool's words.
    Unknown(String),
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An address in a network.
    Net(IpNet),
    /// An address between two.
    Between(IpAddr, IpAddr),
    /// A number in a range.
    Range(u64, u64),
    /// Some bits of a number.
    Bits(u64, u64),
    /// A word; `*` at the end stands for anything.
    Word(String),
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    /// It goes on to the next rule.
    Nothing,
    Accept,
    Drop,
    /// With what.
    Reject(String),
    Return,
    Jump(String),
    Goto(String),
    /// A new destination.
    Destination(Option<IpAddr>, Option<u16>),
    /// A new destination by the packet's fields.
    DestinationOf(Vec<Field>, Arc<Vec<MapElement>>),
    /// A new source.
    Source(Option<IpAddr>),
    /// The source becomes the address of the link that it leaves by.
    Masquerade,
    /// The destination becomes the host itself.
    Redirect(Option<u16>),
    /// Mark: new = (old & !mask) ^ value.
    Mark(u32, u32),
    /// What to do, by the packet's fields.
    Choose(Vec<Field>, Arc<Vec<(Vec<Value>, Action)>>),
    /// In the tool's words.
    Unknown(String),
}

/// Key, address and port of a map of destinations.
pub type MapElement = (Vec<Value>, IpAddr, Option<u16>);

impl Ruleset {
    /// Reads all rules of a packet filter.
    #[must_use]
    pub fn of(firewall: &Firewall) -> Self {
        let mut ruleset = Self::default();
        for saved in &firewall.iptables {
            ruleset.tables.extend(parse_iptables(&saved.text, saved.legacy, saved.v4));
        }
        for table in &firewall.nft {
            match parse_nft(table.get()) {
                Ok(tables) => ruleset.tables.extend(tables),
                Err(error) => ruleset.problems.push(format!("nft's JSON: {error}")),
            }
        }
        ruleset
    }

    /// Base chains of a hook of IP, in the order in which packets enter them.
    #[must_use]
    pub fn hook(&self, hook: &str, v4: bool) -> Vec<(&Table, &Chain, &Base)> {
        self.hook_of(&["inet", if v4 { "ip" } else { "ip6" }], hook)
    }

    /// Base chains of a hook in tables of these families, in the order in which packets enter them.
    #[must_use]
    pub fn hook_of(&self, families: &[&str], hook: &str) -> Vec<(&Table, &Chain, &Base)> {
        let own = |table: &&Table| families.contains(&table.family.as_str());
        let chains = self.tables.iter().filter(own);
        let chains = chains.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let bases = chains.filter_map(|(table, chain)| Some((table, chain, chain.base.as_ref()?)));
        let mut found: Vec<_> = bases.filter(|(_, _, base)| base.hook == hook).collect();
        found.sort_by_key(|(_, _, base)| base.priority);
        found
    }
}

impl Table {
    /// A chain by its name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.named(name)
    }
}
