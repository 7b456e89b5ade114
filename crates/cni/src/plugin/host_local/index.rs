//! Who has which address, without reading every lease.
//!
//! The reference reads all files of a network in every call, so that its time grows with the pods.
//! Here one file outside of the store, `/run/crilet/leases/HASH`, says whose an address is. Its
//! first line is the time at which the store's directory was last changed, in nanoseconds: while
//! that holds, nobody else has made or removed a lease since. Otherwise only those leases are read
//! whose files are not those that were read before, by number and last change; when the index is
//! missing or broken, all. It is never taken at its word for more than where to look: the lease
//! decides.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crilet_core::fs::replace_quickly;

use crate::netfilter::names::hash;

const DIRECTORY: &str = "/run/crilet/leases";
/// Letters of the hash that stands for an owner.
const OWNER: usize = 16;
/// File systems tell times of the same tick of the clock alike, so what was changed so shortly
/// before it was seen may have been changed again since.
const TICKS: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Index {
    /// State of the store's directory that the owners were read in.
    stamp: String,
    /// An address, its file's mark and its owner's hash on each line, with blanks between, as the file
    /// has them: a call looks for one owner and changes one line, so they are not taken apart.
    owners: String,
}

/// A lease as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: IpAddr,
    /// Its content without what surrounds it.
    pub(super) text: String,
    pub(super) mark: String,
}

/// What tells a file from another one that was made in its place.
pub(super) fn mark(file: &Metadata) -> String {
    format!("{}:{}.{:09}", file.ino(), file.ctime(), file.ctime_nsec())
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

    pub(super) fn rebuild(&mut self, leases: &[Lease]) {
        self.owners = leases.iter().map(line).collect();
    }

    /// Brings the index up to date with the files that are there, and reads of these what it has not
    /// read before.
    ///
    /// # Errors
    /// The first one of `read`, which gives nothing for what is gone.
    pub(super) fn refresh<E>(
        &mut self,
        files: impl Iterator<Item = (IpAddr, Metadata)>,
        read: impl Fn(IpAddr) -> Result<Option<Lease>, E>,
    ) -> Result<(), E> {
        let known: HashMap<&str, &str> =
            self.owners.split_inclusive('\n').filter_map(|line| line.split_once(' ')).collect();
        let settled = self.changed().and_then(|time| time.checked_sub(TICKS));
        let mut owners = String::with_capacity(self.owners.len());
        for (address, file) in files {
            let (address_text, mark) = (address.to_string(), mark(&file));
            let is_settled = settled.is_some_and(|settled| changed(&file) < settled);
            let rest = known.get(address_text.as_str()).filter(|_| is_settled);
            match rest.filter(|rest| rest.split(' ').next() == Some(&mark)) {
                Some(rest) => owners.extend([address_text.as_str(), " ", *rest]),
                None => owners.extend(read(address)?.as_ref().map(line)),
            }
        }
        self.owners = owners;
        Ok(())
    }

    /// When the store's directory was last changed as the index was kept.
    fn changed(&self) -> Option<SystemTime> {
        let (seconds, rest) = self.stamp.rsplit(':').next()?.split_once('.')?;
        let time = Duration::new(seconds.parse().ok()?, rest.parse().ok()?);
        Some(SystemTime::UNIX_EPOCH + time)
    }

    pub(super) fn add(&mut self, lease: &Lease) {
        self.remove(lease.address);
        self.owners.push_str(&line(lease));
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
        let own = self.owners.lines().filter(|line| line.ends_with(&end));
        own.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
    }
}

fn line(Lease { address, text, mark }: &Lease) -> String {
    format!("{address} {mark} {}\n", hash(text, OWNER))
}

fn changed(file: &Metadata) -> SystemTime {
    let seconds = Duration::from_secs(file.ctime().try_into().unwrap_or_default());
    let rest = Duration::from_nanos(file.ctime_nsec().try_into().unwrap_or_default());
    SystemTime::UNIX_EPOCH + seconds + rest
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
mod tests;
