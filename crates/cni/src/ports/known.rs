//! What the last call saw of the host ports in iptables, while it still holds.
//!
//! Listing the rules that lead to a thousand pods takes the kernel some milliseconds, and each ADD
//! wants to know that a port is free and that the shared chains are there. nf_tables numbers its
//! transactions: while the number is the one that is kept here, nobody has changed anything since,
//! and what was seen then holds. crilet's own transactions are counted: when a transaction moves the
//! number by one, it was the only one. Legacy tables have no number, so nothing is kept for them.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use crilet_core::fs::replace_quickly;

use super::mapping::PortMapping;
use crate::netfilter::Filter;

const PATH: &str = "/run/crilet/cni-ports";
const NAMESPACE: &str = "/proc/thread-self/ns/net";
/// Letters of the number, which stands at the beginning so that it can be replaced.
const NUMBER: usize = 10;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether the shared chains were whole, for IPv4 and IPv6.
    pub(crate) has_shared: [bool; 2],
    /// For IPv4 and IPv6: the rules that lead to pods, where they were looked at, as the file has
    /// them; of a thousand lines a call looks for one and changes one.
    entries: [Option<String>; 2],
}

/// A rule that leads a port to a pod's chain, as a line.
fn line(protocol: u8, port: u16, chain: &str) -> String {
    format!("{protocol} {port} {chain}\n")
}

impl Known {
    /// What holds now; nothing when somebody else has changed the tables.
    pub(crate) fn load(filter: &Filter) -> Self {
        let read = || {
            let text = fs::read_to_string(PATH).ok()?;
            let rest = text.strip_prefix(&stamp(filter).ok()?)?;
            parse(rest)
        };
        read().unwrap_or_default()
    }

    /// Keeps what holds after the caller's transactions, if there were no others since `before`.
    /// A failure costs time and nothing else.
    pub(crate) fn save(&self, filter: &Filter, before: u32, transactions: u32) {
        let Ok(now) = filter.generation() else { return };
        if now.wrapping_sub(before) != transactions {
            return;
        }
        let Ok(stamp) = stamp(filter) else { return };
        let mut text = stamp.into_bytes();
        let written = self.write(&mut text);
        drop(
            written
                .and_then(|()| fs::create_dir_all("/run/crilet"))
                .and_then(|()| replace_quickly(PATH.as_ref(), &text, 0o600)),
        );
    }

    fn write(&self, to: &mut Vec<u8>) -> io::Result<()> {
        for ((has_shared, entries), family) in
            self.has_shared.iter().zip(&self.entries).zip("46".chars())
        {
            let shared = if *has_shared { "shared" } else { "-" };
            let seen = if entries.is_some() { "seen" } else { "-" };
            writeln!(to, "{family} {shared} {seen}")?;
            to.write_all(entries.as_deref().unwrap_or_default().as_bytes())?;
        }
        Ok(())
    }

    /// Whether a port of one of the mappings leads to another pod than that of `own`, as far as is
    /// known; `None` when it is not.
    pub(crate) fn may_meet(
        &self,
        is_v4: bool,
        mappings: &[PortMapping],
        own: &str,
    ) -> Option<bool> {
        let [four, six] = &self.entries;
        let entries = if is_v4 { four } else { six };
        let end = format!(" {own}");
        let starts: Vec<String> = mappings
            .iter()
            .map(|mapping| format!("{} {} ", mapping.protocol.number(), mapping.host_port))
            .collect();
        let mut others = entries.as_ref()?.lines().filter(|line| !line.ends_with(&end));
        Some(others.any(|line| starts.iter().any(|start| line.starts_with(start.as_str()))))
    }

    /// Keeps what leads to pods: protocol, port and chain of each rule.
    pub(crate) fn see(&mut self, is_v4: bool, rules: impl Iterator<Item = (u8, u16, String)>) {
        let [four, six] = &mut self.entries;
        let seen = rules.map(|(protocol, port, chain)| line(protocol, port, &chain)).collect();
        *(if is_v4 { four } else { six }) = Some(seen);
    }

    /// Adds what leads to a pod, where the others are known.
    pub(crate) fn add(&mut self, is_v4: bool, mappings: &[PortMapping], chain: &str) {
        let [four, six] = &mut self.entries;
        let Some(entries) = (if is_v4 { four } else { six }) else { return };
        let lines = mappings.iter().map(|one| line(one.protocol.number(), one.host_port, chain));
        entries.extend(lines);
    }

    /// Forgets what led to a pod.
    pub(crate) fn remove(&mut self, chain: &str) {
        let end = format!(" {chain}\n");
        for entries in self.entries.iter_mut().flatten().filter(|text| text.contains(&end)) {
            *entries = entries.split_inclusive('\n').filter(|line| !line.ends_with(&end)).collect();
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

/// The number of the last transaction, and whose.
fn stamp(filter: &Filter) -> io::Result<String> {
    let namespace = fs::read_link(NAMESPACE)?;
    Ok(format!("{} {}\n", numbered(filter.generation()?), namespace.display()))
}

fn parse(text: &str) -> Option<Known> {
    // A line of TCP begins with a 6, too, but then there is a port.
    let second = ["\n6 shared ", "\n6 - "].into_iter().find_map(|start| text.find(start))? + 1;
    let (four, six) = text.split_at_checked(second)?;
    let mut known = Known::default();
    for (index, (part, family)) in [(four, "4 "), (six, "6 ")].into_iter().enumerate() {
        let (first, rest) = part.strip_prefix(family)?.split_once('\n')?;
        let (shared, seen) = first.split_once(' ')?;
        let is_whole = rest.is_empty() || rest.ends_with('\n');
        *known.has_shared.get_mut(index)? = shared == "shared";
        *known.entries.get_mut(index)? = (seen == "seen" && is_whole).then(|| rest.to_owned());
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let mut known = Known { has_shared: [true, false], entries: [Some(String::new()), None] };
        known.add(true, &["80:80".parse().unwrap(), "53:53/udp".parse().unwrap()], "CNI-DN-x");
        known.add(false, &["80:80".parse().unwrap()], "CNI-DN-x");
        let mut text = Vec::new();
        known.write(&mut text).unwrap();
        assert_eq!(parse(&String::from_utf8(text).unwrap()), Some(known.clone()));
        let meets = |text: &str, own: &str| known.may_meet(true, &[text.parse().unwrap()], own);
        assert_eq!(meets("80:90", "CNI-DN-y"), Some(true));
        assert_eq!(meets("80:90", "CNI-DN-x"), Some(false));
        assert_eq!(meets("80:90/udp", "CNI-DN-y"), Some(false));
        assert_eq!(known.may_meet(false, &["80:80".parse().unwrap()], "CNI-DN-y"), None);
        known.remove("CNI-DN-x");
        assert_eq!(known.entries, [Some(String::new()), None]);
        assert!(parse("80 80\n").is_none());
    }
}
