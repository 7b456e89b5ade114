//! Who has which address, without reading every lease.
//!
//! The reference reads all files of a network in every call, so that its time grows with the pods.
//! Here one file outside of the store, `/run/crilet/leases/HASH`, says whose an address is. Its
//! first line is the time at which the store's directory was last changed, in nanoseconds: while
//! that holds, nobody else has made or removed a lease since. Otherwise, and when the file is
//! missing or broken, the leases are read. The index is never taken at its word for more than
//! where to look: the lease decides.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crilet_core::fs::replace_quickly;

use crate::netfilter::names::hash;

const DIRECTORY: &str = "/run/crilet/leases";
/// Letters of the hash that stands for an owner.
const OWNER: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// State of the store's directory that the owners were read in.
    stamp: String,
    /// An address, a blank and its owner's hash on each line, as the file has them: a call looks for
    /// one owner and changes one line, so they are not taken apart.
    owners: String,
}

impl Index {
    /// Reads what the last call kept; nothing when that cannot be read.
    pub(super) fn load(directory: &Path) -> Self {
        fs::read_to_string(path_of(directory))
            .ok()
            .and_then(|text| parse(&text))
            .unwrap_or_default()
    }

    /// Whether the store is as it was then.
    pub(super) fn is_current(&self, directory: &Path) -> bool {
        !self.stamp.is_empty() && stamp(directory).is_ok_and(|now| now == self.stamp)
    }

    /// Keeps the owners for the next call. A failure costs time and nothing else.
    pub(super) fn save(&self, directory: &Path) {
        let Ok(stamp) = stamp(directory) else { return };
        let text = format!("{stamp}\n{}", self.owners);
        drop(
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(DIRECTORY)
                .and_then(|()| replace_quickly(&path_of(directory), text.as_bytes(), 0o600)),
        );
    }

    pub(super) fn rebuild(&mut self, leases: &[(IpAddr, String)]) {
        self.owners.clear();
        for (address, text) in leases {
            self.push(*address, text);
        }
    }

    pub(super) fn add(&mut self, address: IpAddr, content: &str) {
        self.remove(address);
        self.push(address, content);
    }

    fn push(&mut self, address: IpAddr, content: &str) {
        let owner = hash(content, OWNER);
        self.owners.extend([address.to_string().as_str(), " ", owner.as_str(), "\n"]);
    }

    pub(super) fn remove(&mut self, address: IpAddr) {
        let start = format!("{address} ");
        let lines = self.owners.split_inclusive('\n');
        let before: usize = lines.take_while(|line| !line.starts_with(&start)).map(str::len).sum();
        let length = self.owners.get(before..).and_then(|rest| rest.find('\n'));
        if let Some(length) = length {
            self.owners.replace_range(before..=before + length, "");
        }
    }

    pub(super) fn addresses_of(&self, content: &str) -> Vec<IpAddr> {
        let end = format!(" {}", hash(content, OWNER));
        let own = self.owners.lines().filter_map(|line| line.strip_suffix(&end));
        own.filter_map(|address| address.parse().ok()).collect()
    }
}

fn path_of(directory: &Path) -> PathBuf {
    Path::new(DIRECTORY).join(hash(&directory.to_string_lossy(), 32))
}

/// The directory itself and its last change. Removing and making it again changes the number.
fn stamp(directory: &Path) -> io::Result<String> {
    let meta = fs::metadata(directory)?;
    Ok(format!("{}:{}:{}.{:09}", meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// A file that ends within a line was not written whole.
fn parse(text: &str) -> Option<Index> {
    let (stamp, owners) = text.split_once('\n')?;
    (owners.is_empty() || owners.ends_with('\n'))
        .then(|| Index { stamp: stamp.to_owned(), owners: owners.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_index_is_none() {
        assert!(parse("").is_none());
        assert!(parse("1:2:3.000000004\n10.0.0.2").is_none());
        let index = parse("1:2:3.000000004\n10.0.0.2 0123\n").unwrap();
        assert_eq!(index.owners, "10.0.0.2 0123\n");
    }

    #[test]
    fn lines_come_and_go_alone() {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let mut index = Index::default();
        for text in ["10.0.0.2", "10.0.0.22", "fd00::2"] {
            index.add(address(text), "one");
        }
        index.add(address("10.0.0.22"), "two");
        assert_eq!(index.addresses_of("one"), [address("10.0.0.2"), address("fd00::2")]);
        assert_eq!(index.addresses_of("two"), [address("10.0.0.22")]);
        index.remove(address("10.0.0.2"));
        index.remove(address("10.0.0.3"));
        assert_eq!(index.addresses_of("one"), [address("fd00::2")]);
        assert_eq!(index.addresses_of("two"), [address("10.0.0.22")]);
        index.rebuild(&[(address("10.0.0.9"), "one".to_owned())]);
        assert_eq!(index.addresses_of("one"), [address("10.0.0.9")]);
        assert!(index.addresses_of("two").is_empty());
    }

    #[test]
    fn a_store_that_somebody_else_changed_is_not_current() {
        let directory = tempfile::tempdir().unwrap();
        let index = Index { stamp: stamp(directory.path()).unwrap(), ..Index::default() };
        assert!(index.is_current(directory.path()));
        fs::write(directory.path().join("10.0.0.2"), "one\r\neth0").unwrap();
        assert!(!index.is_current(directory.path()));
        assert!(!Index::default().is_current(directory.path()));
    }
}
