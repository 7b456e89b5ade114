//! Rules that choose a routing table by the source of packets.

use std::net::IpAddr;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use super::{KernelError, Mode, Netlink};

/// A rule `from SOURCE lookup TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceRule {
    /// `None` for every source.
    pub(crate) source: Option<IpAddr>,
    pub(crate) table: u32,
    message: RuleMessage,
}

impl SourceRule {
    /// A rule for one address.
    pub(crate) fn new(source: IpAddr, table: u32) -> Self {
        let mut message = RuleMessage::default();
        let (family, length) = match source {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message.header.family = family;
        message.header.src_len = length;
        // A table of a larger number is in the attribute alone.
        message.header.table = u8::try_from(table).unwrap_or_default();
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![RuleAttribute::Source(source), RuleAttribute::Table(table)];
        Self { source: Some(source), table, message }
    }

    fn read(message: RuleMessage) -> Self {
        let source = message.attributes.iter().find_map(|attribute| match attribute {
            RuleAttribute::Source(source) => Some(*source),
            _ => None,
        });
        let table = message.attributes.iter().find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
        let table = table.unwrap_or_else(|| message.header.table.into());
        Self { source, table, message }
    }

    fn describe(&self) -> String {
        let source = self.source.map_or_else(|| "all".to_owned(), |source| source.to_string());
        format!("rule from {source} lookup {}", self.table)
    }
}

impl Netlink {
    /// Rules of both families.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn rules(&self) -> Result<Vec<SourceRule>, KernelError> {
        let mut rules = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let message = RouteNetlinkMessage::GetRule(message);
            let answers = self.request(message, Mode::List, || "list rules".to_owned())?;
            rules.extend(answers.into_iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRule(message) => Some(SourceRule::read(message)),
                _ => None,
            }));
        }
        Ok(rules)
    }

    /// Adds a rule, before those that are there.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when there is such a rule.
    pub(crate) fn add_rule(&self, rule: &SourceRule) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::NewRule(rule.message.clone());
        self.request(message, Mode::Create, || format!("add {}", rule.describe())).map(drop)
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_rule(&self, rule: &SourceRule) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::DelRule(rule.message.clone());
        self.request(message, Mode::Change, || format!("remove {}", rule.describe())).map(drop)
    }
}
