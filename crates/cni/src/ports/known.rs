//! What the last call saw of the host ports in iptables.
//!
//! Listing the rules that lead to a thousand pods takes the kernel some milliseconds, and each ADD
//! wants to know that a port is free and that the shared chains are there. nf_tables numbers its
//! transactions: while the number is the one that is kept here, nobody has changed anything since,
//! and what was seen then holds. crilet's own transactions are counted: when a transaction moves the
//! number by one, it was the only one. Legacy tables have no number, so nothing is kept for them.
//!
//! After a change by somebody else it still holds that no other rule leads to a pod than those that
//! were seen and newer ones. Rules and chains of a table are numbered in the order in which they are
//! made, so the newer ones are asked for one by one, up to a number that is known to be newer still:
//! that of a chain that was made just now ([`Known::catch_up`]). Rules that are gone since cost time
//! and nothing else.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use crilet_core::fs::replace_quickly;

use super::{mapping::PortMapping, script::DISPATCH};
use crate::{
    lock::DIRECTORY,
    netfilter::{Filter, rule::Rule, tables::Table},
};

const PATH: &str = "/run/crilet/cni-ports";
const NAMESPACE: &str = "/proc/thread-self/ns/net";
/// Letters of the number, which stands at the beginning so that it can be replaced.
const NUMBER: usize = 10;
/// The number of a transaction that never is.
const NEVER: u32 = 0;
/// How many newer rules are asked for one by one before all are listed: to find one by its number,
/// the kernel walks through the chain.
const NEWER: u64 = 192;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether the shared chains are whole, for IPv4 and IPv6.
    has_shared: [bool; 2],
    /// For IPv4 and IPv6: the rules that lead to pods, where they were looked at.
    seen: [Option<Seen>; 2],
}

/// The rules that lead to pods in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// Whether nobody else has changed anything since.
    is_current: bool,
    place: Place,
    /// All rules up to this number were seen.
    last: u64,
    /// As the file has them; of a thousand lines a call looks for one and changes one.
    lines: String,
}

/// Numbers of the table and of the chain that leads to pods; nought while there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    table: u64,
    chain: u64,
}

impl Place {
    fn of(filter: &Filter, table: Table) -> io::Result<Self> {
        let chain = filter.chain_number(table, DISPATCH)?.unwrap_or_default();
        Ok(Self { table: filter.table_number(table)?.unwrap_or_default(), chain })
    }
}

impl Seen {
    fn take(&mut self, rule: &Rule) {
        let (protocol, chain) = (rule.protocol.unwrap_or(0), rule.target.as_deref());
        for port in &rule.ports {
            self.push(protocol, *port, chain.unwrap_or_default());
        }
    }

    fn push(&mut self, protocol: u8, port: u16, chain: &str) {
        let line = line(protocol, port, chain);
        if !self.lines.split_inclusive('\n').any(|own| own == line) {
            self.lines.push_str(&line);
        }
    }
}

/// A rule that leads a port to a pod's chain, as a line.
fn line(protocol: u8, port: u16, chain: &str) -> String {
    format!("{protocol} {port} {chain}\n")
}

impl Known {
    /// What was seen in this namespace.
    pub(crate) fn load(filter: &Filter) -> Self {
        let read = || {
            let text = fs::read_to_string(PATH).ok()?;
            let (first, rest) = text.split_once('\n')?;
            let now = stamp(filter.generation().ok()?).ok()?;
            let (_, place) = now.split_at_checked(NUMBER)?;
            first.strip_suffix(place)?;
            let known = parse(rest)?;
            Some(if first == now { known } else { known.outdated() })
        };
        read().unwrap_or_default()
    }

    fn outdated(mut self) -> Self {
        self.has_shared = [false; 2];
        self.seen.iter_mut().flatten().for_each(|seen| seen.is_current = false);
        self
    }

    /// Keeps what holds after the caller's transactions since `before`; others may have made some
    /// meanwhile. A failure costs time and nothing else.
    pub(crate) fn save(&self, filter: &Filter, before: u32, transactions: u32) {
        let Ok(now) = filter.generation() else { return };
        let is_alone = now.wrapping_sub(before) == transactions;
        let Ok(stamp) = stamp(if is_alone { now } else { NEVER }) else { return };
        let mut text = format!("{stamp}\n").into_bytes();
        let written = self.write(&mut text);
        drop(
            written
                .and_then(|()| fs::create_dir_all(DIRECTORY))
                .and_then(|()| replace_quickly(PATH.as_ref(), &text, 0o600)),
        );
    }

    fn write(&self, to: &mut Vec<u8>) -> io::Result<()> {
        for ((has_shared, seen), family) in self.has_shared.iter().zip(&self.seen).zip("46".chars())
        {
            let shared = if *has_shared { "shared" } else { "-" };
            match seen {
                Some(Seen { is_current, place: Place { table, chain }, last, lines }) => {
                    let state = if *is_current { "current" } else { "old" };
                    writeln!(to, "{family} {shared} {state} {table} {chain} {last}")?;
                    to.write_all(lines.as_bytes())?;
                }
                None => writeln!(to, "{family} {shared}")?,
            }
        }
        Ok(())
    }

    /// Whether nobody else has changed anything since.
    pub(crate) fn is_current(&self, is_v4: bool) -> bool {
        self.seen(is_v4).is_some_and(|seen| seen.is_current)
    }

    /// Whether the shared chains are known to be whole.
    pub(crate) fn has_shared(&self, is_v4: bool) -> bool {
        self.has_shared.get(usize::from(!is_v4)) == Some(&true)
    }

    /// Notes whether the shared chains are whole.
    pub(crate) fn set_shared(&mut self, is_v4: bool, has_shared: bool) {
        if let Some(own) = self.has_shared.get_mut(usize::from(!is_v4)) {
            *own = has_shared;
        }
    }

    /// Whether the chain that leads to pods is the one that was seen, so that only newer rules are
    /// not known.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn is_of_old(&self, filter: &Filter, table: Table, is_v4: bool) -> io::Result<bool> {
        match self.seen(is_v4) {
            Some(seen) if seen.place != Place::default() => {
                Ok(seen.place == Place::of(filter, table)?)
            }
            _ => Ok(false),
        }
    }

    fn seen(&self, is_v4: bool) -> Option<&Seen> {
        let [four, six] = &self.seen;
        if is_v4 { four.as_ref() } else { six.as_ref() }
    }

    fn seen_mut(&mut self, is_v4: bool) -> &mut Option<Seen> {
        let [four, six] = &mut self.seen;
        if is_v4 { four } else { six }
    }

    /// Whether a port of one of the mappings leads to another pod than that of `own`, as far as is
    /// known; `None` when it is not.
    pub(crate) fn may_meet(
        &self,
        is_v4: bool,
        mappings: &[PortMapping],
        own: &str,
    ) -> Option<bool> {
        let end = format!(" {own}");
        let starts: Vec<String> = mappings
            .iter()
            .map(|mapping| format!("{} {} ", mapping.protocol.number(), mapping.host_port))
            .collect();
        let lines = self.seen(is_v4)?.lines.lines();
        let mut others = lines.filter(|line| !line.ends_with(&end));
        Some(others.any(|line| starts.iter().any(|start| line.starts_with(start.as_str()))))
    }

    /// Lists all rules that lead to pods, for a caller who sees to it that nobody else changes
    /// anything meanwhile, or asks later whether anybody has.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn see(&mut self, filter: &Filter, table: Table, is_v4: bool) -> io::Result<()> {
        let place = Place::of(filter, table)?;
        let mut seen = Seen { is_current: true, place, ..Seen::default() };
        // Each is another one, so they are not looked for among those before.
        for rule in filter.rules(table, Some(DISPATCH))? {
            let (protocol, chain) = (rule.protocol.unwrap_or(0), rule.target.unwrap_or_default());
            seen.lines.extend(rule.ports.iter().map(|port| line(protocol, *port, &chain)));
            seen.last = seen.last.max(rule.handle);
        }
        *self.seen_mut(is_v4) = Some(seen);
        Ok(())
    }

    /// Adds what leads to a pod since the transaction that has made its `chain`, where all others
    /// are known.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn add(
        &mut self,
        (filter, table): (&Filter, Table),
        is_v4: bool,
        mappings: &[PortMapping],
        chain: &str,
    ) -> io::Result<()> {
        let Some(seen) = self.seen_mut(is_v4) else { return Ok(()) };
        seen.place = Place::of(filter, table)?;
        seen.last = seen.last.max(filter.chain_number(table, chain)?.unwrap_or_default());
        for mapping in mappings {
            seen.push(mapping.protocol.number(), mapping.host_port, chain);
        }
        Ok(())
    }

    /// Asks for the rules that lead to pods and that were made after the last one that was seen and
    /// before the chain `own`. After the transaction that has made that chain nothing is missing
    /// that came before.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn catch_up(
        &mut self,
        (filter, table): (&Filter, Table),
        is_v4: bool,
        own: &str,
    ) -> io::Result<()> {
        let now = filter.chain_number(table, own)?.unwrap_or_default();
        let is_of_old = self.is_of_old(filter, table, is_v4)?;
        let newer = self.seen(is_v4).map_or(0..0, |seen| seen.last + 1..now);
        if !is_of_old || newer.end - newer.start.min(newer.end) > NEWER {
            self.see(filter, table, is_v4)?;
        } else if let Some(seen) = self.seen_mut(is_v4) {
            for number in newer {
                if let Some(rule) = filter.rule_at(table, DISPATCH, number)? {
                    seen.take(&rule);
                }
            }
        }
        // What is newer than the own chain and is no part of its transaction was made after it.
        if let Some(seen) = self.seen_mut(is_v4) {
            seen.last = seen.last.max(now);
            seen.is_current = true;
        }
        Ok(())
    }

    /// Forgets what led to a pod.
    pub(crate) fn remove(&mut self, chain: &str) {
        let end = format!(" {chain}\n");
        let lines = self.seen.iter_mut().flatten().map(|seen| &mut seen.lines);
        for lines in lines.filter(|lines| lines.contains(&end)) {
            *lines = lines.split_inclusive('\n').filter(|line| !line.ends_with(&end)).collect();
        }
    }
}

/// Runs something that changes no host ports, and says whether it made a transaction; what was
/// known stays known.
pub(crate) fn unchanged<E>(
    filter: Option<&Filter>,
    change: impl FnOnce() -> Result<bool, E>,
) -> Result<(), E> {
    let before = filter.and_then(|filter| Some((filter, filter.generation().ok()?)));
    let has_changed = change()?;
    if let (Some((filter, before)), true) = (before, has_changed) {
        // Nothing is lost but time when this fails.
        drop(renumber(filter, before));
    }
    Ok(())
}

fn renumber(filter: &Filter, before: u32) -> io::Result<()> {
    let now = filter.generation()?;
    if now.wrapping_sub(before) != 1 {
        return Ok(());
    }
    let file = fs::OpenOptions::new().read(true).write(true).open(PATH)?;
    let mut number = [0; NUMBER];
    file.read_exact_at(&mut number, 0)?;
    if number == *numbered(before).as_bytes() {
        file.write_all_at(numbered(now).as_bytes(), 0)?;
    }
    Ok(())
}

fn numbered(generation: u32) -> String {
    format!("{generation:0NUMBER$}")
}

/// The number of a transaction, and whose.
fn stamp(generation: u32) -> io::Result<String> {
    let namespace = fs::read_link(NAMESPACE)?;
    Ok(format!("{} {}", numbered(generation), namespace.display()))
}

fn parse(text: &str) -> Option<Known> {
    let (four, six) = text.split_at_checked(second(text)?)?;
    let mut known = Known::default();
    for (is_v4, part, family) in [(true, four, "4 "), (false, six, "6 ")] {
        let (first, lines) = part.strip_prefix(family)?.split_once('\n')?;
        let mut words = first.split(' ');
        known.set_shared(is_v4, words.next()? == "shared");
        let is_current = words.next() == Some("current");
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let is_whole = lines.is_empty() || lines.ends_with('\n');
        *known.seen_mut(is_v4) = match (numbers.as_slice(), is_whole) {
            ([table, chain, last], true) => {
                let place = Place { table: *table, chain: *chain };
                Some(Seen { is_current, place, last: *last, lines: lines.to_owned() })
            }
            _ => None,
        };
    }
    Some(known)
}

/// Where the second family begins. Few pods have ports of IPv6, so it is looked for from the end.
fn second(text: &str) -> Option<usize> {
    let ends = text.rmatch_indices('\n').map(|(end, _)| end + 1);
    ends.into_iter().find(|begin| {
        let rest = text.get(*begin..).unwrap_or_default();
        // A line of TCP begins with a 6, too, but then there is a port.
        rest.starts_with("6 shared") || rest.starts_with("6 -")
    })
}

#[cfg(test)]
mod tests;
