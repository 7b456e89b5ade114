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
    cell::OnceCell,
    collections::HashMap,
    fmt, fs, io,
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
    pub(super) mark: Mark,
}

/// What tells a file from another one that was made in its place: its number, and when it was last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u64,
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
}

impl Mark {
    pub(super) fn of(file: &fs::Metadata) -> Self {
        let (seconds, nanoseconds) = (file.ctime(), file.ctime_nsec());
        Self { number: file.ino(), seconds, nanoseconds }
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, time) = text.split_once(':')?;
        let (seconds, nanoseconds) = time.split_once('.')?;
        let (number, seconds) = (number.parse().ok()?, seconds.parse().ok()?);
        Some(Self { number, seconds, nanoseconds: nanoseconds.parse().ok()? })
    }

    fn changed(self) -> SystemTime {
        let seconds = Duration::from_secs(self.seconds.try_into().unwrap_or_default());
        let rest = Duration::from_nanos(self.nanoseconds.try_into().unwrap_or_default());
        SystemTime::UNIX_EPOCH + seconds + rest
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{:09}", self.number, self.seconds, self.nanoseconds)
    }
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

    /// Brings the index up to date with the files that are there, by name, and reads of these what it has
    /// not read before.
    ///
    /// # Errors
    /// The first one of `read`, which gives nothing for what is gone.
    pub(super) fn refresh<E>(
        &mut self,
        files: impl Iterator<Item = (String, Mark)>,
        read: impl Fn(IpAddr) -> Result<Option<Lease>, E>,
    ) -> Result<(), E> {
        let settled = self.changed().and_then(|time| time.checked_sub(TICKS));
        let mut before = Before::new(&self.owners);
        let mut owners = String::with_capacity(self.owners.len());
        for (name, mark) in files {
            let is_settled = settled.is_some_and(|settled| mark.changed() < settled);
            let known = before.line_of(&name).filter(|_| is_settled);
            match known.filter(|line| line.split(' ').nth(1).and_then(Mark::parse) == Some(mark)) {
                Some(line) => owners.push_str(line),
                // A file whose name is no address is no lease.
                None => {
                    let Ok(address) = name.parse() else { continue };
                    owners.extend(read(address)?.as_ref().map(line));
                }
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

/// Lines of the index, looked for in the order of the directory, which is that of the last refresh but for what
/// came and went since.
struct Before<'a> {
    all: &'a str,
    rest: &'a str,
    /// Where the line of each address begins, once one was not where it was expected.
    places: OnceCell<HashMap<&'a str, usize>>,
}

impl<'a> Before<'a> {
    fn new(all: &'a str) -> Self {
        Self { all, rest: all, places: OnceCell::new() }
    }

    fn line_of(&mut self, name: &str) -> Option<&'a str> {
        if !begins_with(self.rest, name) {
            let place = *self.places.get_or_init(|| places(self.all)).get(name)?;
            self.rest = self.all.get(place..)?;
        }
        let (line, rest) = self.rest.split_at_checked(self.rest.find('\n')? + 1)?;
        self.rest = rest;
        Some(line)
    }
}

fn begins_with(lines: &str, name: &str) -> bool {
    lines.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
}

fn places(lines: &str) -> HashMap<&str, usize> {
    let mut place = 0;
    let of_line = |line: &'_ str| {
        let begin = place;
        place += line.len();
        begin
    };
    let begins: Vec<usize> = lines.split_inclusive('\n').map(of_line).collect();
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.zip(begins).collect()
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
