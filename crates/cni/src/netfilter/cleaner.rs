//! Taking away what belongs to a pod, or to pods that are gone, whichever tool made it.

use std::{fs, io};

use nix::errno::Errno;

use super::{
    Filter,
    iptables::Tools,
    rule::{Rule, parse_rule},
    tables::{Removal, Table, TableFamily},
};
use crate::{Family, ports::conflict::PortKey, protocol::PluginError};

/// How often it is looked again, when something else changes the tables between looking and
/// taking away.
const ATTEMPTS: u32 = 50;
/// How far from the rules of a chain the rule that leads to it is looked for, in numbers. A
/// transaction numbers its rules one after the other.
const NEAR: u64 = 24;

/// `nat` of IPv4, as iptables has it.
pub(crate) const NAT: Table = Table::new(TableFamily::Ip, "nat");
/// `nat` of IPv6, as ip6tables has it.
pub(crate) const NAT6: Table = Table::new(TableFamily::Ip6, "nat");

/// A table in the legacy tables, which only their own tools can read.
#[derive(Debug)]
struct Legacy {
    table: Table,
    tools: Tools,
    lines: Vec<String>,
    script: Vec<String>,
}

/// What is there, and what of it is to be taken away.
#[derive(Debug)]
pub(crate) struct Cleaner {
    /// Without nf_tables there is nothing in it.
    filter: Option<(Filter, u32)>,
    legacy: Vec<Legacy>,
    removal: Removal,
    /// Whether rules may be looked for where they usually are, instead of everywhere.
    is_first: bool,
}

/// Takes away what `plan` finds, in one transaction; `false` when it finds nothing.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn clean(
    tables: &[Table],
    plan: impl Fn(&mut Cleaner) -> io::Result<()>,
) -> Result<bool, PluginError> {
    let failed = |cause: io::Error| PluginError::because("remove rules of the pod", &cause);
    let mut attempt = 1;
    loop {
        let mut cleaner = Cleaner::look(tables, attempt == 1)?;
        plan(&mut cleaner).map_err(failed)?;
        match cleaner.commit() {
            Ok(has_changed) => return Ok(has_changed),
            // The generation has passed, a chain is still led to, a rule is gone.
            Err(error) if attempt < ATTEMPTS && is_race(&error) => attempt += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

fn is_race(error: &io::Error) -> bool {
    let numbers = [Errno::ERESTART, Errno::EBUSY, Errno::ENOENT, Errno::EINTR];
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|e| *e as i32 == number))
}

impl Cleaner {
    fn look(tables: &[Table], is_first: bool) -> Result<Self, PluginError> {
        let filter = Filter::open().and_then(|filter| {
            let generation = filter.generation()?;
            Ok((filter, generation))
        });
        let legacy =
            tables.iter().filter_map(|table| Legacy::look(*table)).collect::<Result<_, _>>();
        Ok(Self { filter: filter.ok(), legacy: legacy?, removal: Removal::default(), is_first })
    }

    /// Marks a chain and all rules of `from` that lead to it; `false` when there is no such chain.
    pub(crate) fn chain(&mut self, table: Table, from: &str, chain: &str) -> io::Result<bool> {
        let mut found = false;
        if let Some((filter, _)) = &self.filter
            && filter.has_chain(table, chain)?
        {
            found = true;
            for rule in leading_to(filter, table, from, chain, self.is_first)? {
                self.removal.rule(&rule);
            }
            self.removal.chain(table, chain);
        }
        for legacy in self.legacy.iter_mut().filter(|legacy| legacy.table == table) {
            found |= legacy.chain(from, chain);
        }
        Ok(found)
    }

    /// Marks the rules of a chain that `is_wanted` picks.
    pub(crate) fn rules(
        &mut self,
        table: Table,
        chain: &str,
        is_wanted: impl Fn(&Rule) -> bool,
    ) -> io::Result<()> {
        for rule in self.look_at(table, chain)?.iter().filter(|rule| is_wanted(rule)) {
            match &rule.line {
                None => self.removal.rule(rule),
                Some(line) => {
                    let legacy = self.legacy.iter_mut().find(|legacy| legacy.table == table);
                    if let Some(legacy) = legacy {
                        legacy.script.push(line.replacen("-A ", "-D ", 1));
                    }
                }
            }
        }
        Ok(())
    }

    /// The rules of a chain, in nf_tables and in the legacy tables.
    pub(crate) fn look_at(&self, table: Table, chain: &str) -> io::Result<Vec<Rule>> {
        let mut rules = match &self.filter {
            Some((filter, _)) => filter.rules(table, Some(chain))?,
            None => Vec::new(),
        };
        for legacy in self.legacy.iter().filter(|legacy| legacy.table == table) {
            rules.extend(legacy.rules().filter(|rule| rule.chain == chain));
        }
        Ok(rules)
    }

    /// nf_tables, and the number of the transaction before this look.
    pub(crate) fn nf_tables(&self) -> Option<(&Filter, u32)> {
        self.filter.as_ref().map(|(filter, generation)| (filter, *generation))
    }

    /// Whether the legacy tables have such a table, too.
    pub(crate) fn has_legacy(&self, table: Table) -> bool {
        self.legacy.iter().any(|legacy| legacy.table == table)
    }

    /// Keys of a map of ports.
    pub(crate) fn elements(&self, table: Table, map: &str) -> io::Result<Vec<PortKey>> {
        let Some((filter, _)) = &self.filter else { return Ok(Vec::new()) };
        let keys = filter.keys(table, map)?;
        Ok(keys.iter().filter_map(|key| PortKey::parse(key)).collect())
    }

    /// Marks a chain of nf_tables that nothing leads to, if it is there.
    pub(crate) fn lone_chain(&mut self, table: Table, chain: &str) -> io::Result<()> {
        if let Some((filter, _)) = &self.filter
            && filter.has_chain(table, chain)?
        {
            self.removal.chain(table, chain);
        }
        Ok(())
    }

    /// `true` when nf_tables was changed.
    fn commit(&self) -> io::Result<bool> {
        let has_changed = self.filter.is_some() && !self.removal.is_empty();
        if let Some((filter, generation)) = &self.filter
            && !self.removal.is_empty()
        {
            self.removal.commit(filter, *generation)?;
        }
        for legacy in self.legacy.iter().filter(|legacy| !legacy.script.is_empty()) {
            let script = legacy.script.join("\n");
            legacy
                .tools
                .restore(&format!("*{}\n{script}\nCOMMIT\n", legacy.table.name))
                .map_err(io::Error::other)?;
        }
        Ok(has_changed)
    }
}

/// The rules of `from` that lead to `chain`. Where to begin looking is known: a transaction gives
/// its rules numbers in order, so the rule that leads to a chain stands near the chain's own. If
/// another one is elsewhere, the kernel refuses to remove the chain, and all are looked at.
fn leading_to(
    filter: &Filter,
    table: Table,
    from: &str,
    chain: &str,
    may_guess: bool,
) -> io::Result<Vec<Rule>> {
    let own = filter.rules(table, Some(chain))?;
    let handles = own.iter().map(|rule| rule.handle);
    let mut near = Vec::new();
    if let (true, Some(first)) = (may_guess, handles.min()) {
        for handle in (first.saturating_sub(NEAR)..first).rev() {
            let rule = filter.rule_at(table, from, handle)?;
            match rule.filter(|rule| rule.target.as_deref() == Some(chain)) {
                Some(rule) => near.push(rule),
                None if !near.is_empty() => break,
                None => {}
            }
        }
    }
    if near.is_empty() {
        near = filter.rules(table, Some(from))?;
        near.retain(|rule| rule.target.as_deref() == Some(chain));
    }
    Ok(near)
}

impl Legacy {
    /// `None` when the kernel has no such table, which reading it would make.
    fn look(table: Table) -> Option<Result<Self, PluginError>> {
        let (family, names) = match table.family {
            TableFamily::Ip => (Family::Ipv4, "/proc/thread-self/net/ip_tables_names"),
            TableFamily::Ip6 => (Family::Ipv6, "/proc/thread-self/net/ip6_tables_names"),
            _ => return None,
        };
        let names = fs::read_to_string(names).ok()?;
        if !names.lines().any(|name| name == table.name) {
            return None;
        }
        // Without the tools nobody can have made rules by them.
        let tools = Tools::find_legacy(family).ok()?;
        let lines = tools.save(table.name);
        let lines = lines.map_err(|error| PluginError::because("list rules", &error));
        Some(lines.map(|lines| Self { table, tools, lines, script: Vec::new() }))
    }

    fn chains(&self) -> impl Iterator<Item = &str> {
        let declared = self.lines.iter().filter_map(|line| line.strip_prefix(':'));
        // A policy of `-` tells chains of users from the kernel's.
        declared.filter_map(|line| line.split_once(" - ").map(|(name, _)| name))
    }

    fn rules(&self) -> impl Iterator<Item = Rule> {
        self.lines.iter().filter_map(|line| parse_rule(self.table, line))
    }

    fn chain(&mut self, from: &str, chain: &str) -> bool {
        if !self.chains().any(|name| name == chain) {
            return false;
        }
        let leading =
            self.rules().filter(|rule| rule.chain == from && rule.target.as_deref() == Some(chain));
        let deletions = leading.filter_map(|rule| rule.line);
        let deletions: Vec<_> = deletions.map(|line| line.replacen("-A ", "-D ", 1)).collect();
        self.script.extend(deletions);
        self.script.push(format!("-F {chain}"));
        self.script.push(format!("-X {chain}"));
        true
    }
}
