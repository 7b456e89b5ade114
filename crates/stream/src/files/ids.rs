//! Users and groups of a container in a user namespace, by other numbers than its own.

use std::fs;

/// Ranges out of `/proc/PID/uid_map` or `gid_map`: first inside, first outside, how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Map(Vec<(u32, u32, u32)>);

/// Whom nobody is, when a number has no counterpart.
const NOBODY: u32 = 65534;

impl Map {
    /// The map of a process; the same numbers where it cannot be read.
    pub(super) fn of_process(pid: u32, file: &str) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
            Some((numbers.next()??, numbers.next()??, numbers.next()??))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The number outside of one inside.
    pub(super) fn outward(&self, id: u32) -> u32 {
        self.map(id, |(inside, outside, count)| (inside, outside, count))
    }

    /// The number inside of one outside.
    pub(super) fn inward(&self, id: u32) -> u32 {
        self.map(id, |(inside, outside, count)| (outside, inside, count))
    }

    fn map(&self, id: u32, order: impl Fn((u32, u32, u32)) -> (u32, u32, u32)) -> u32 {
        if self.0.is_empty() {
            return id;
        }
        let found = self.0.iter().find_map(|range| {
            let (from, to, count) = order(*range);
            let offset = id.checked_sub(from).filter(|offset| *offset < count)?;
            to.checked_add(offset)
        });
        found.unwrap_or(NOBODY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_mapped_both_ways() {
        let map = Map::parse("         0     100000      65536\n 70000 5 1\n");
        assert_eq!((map.outward(0), map.outward(1000), map.outward(70000)), (100_000, 101_000, 5));
        assert_eq!((map.inward(100_000), map.inward(5), map.inward(4)), (0, 70_000, NOBODY));
        let all = Map::parse("0 0 4294967295");
        assert_eq!((all.outward(7), all.inward(7)), (7, 7));
        assert_eq!(Map::parse("").inward(7), 7);
    }
}
