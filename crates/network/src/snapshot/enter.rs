//! Namespaces: finding them, and reading each on a thread that enters it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    num::NonZero,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::{
    Namespace, SnapshotError,
    firewall::{self, Legacy},
    kernel, sockets,
};

/// Where runtimes and `ip netns` give namespaces names.
const DIRECTORIES: [&str; 2] = ["/run/netns", "/run/docker/netns"];
const OWN: &str = "/proc/thread-self/ns/net";
/// Most threads that read side by side: what they ask for takes locks of the kernel that all share.
const THREADS: usize = 4;

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) host: Namespace,
    pub(super) others: Vec<Namespace>,
    pub(super) problems: Vec<String>,
}

/// Files of namespaces: those with names, and those that are known otherwise.
pub(super) fn find(known: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let listed = DIRECTORIES.iter().filter_map(|directory| fs::read_dir(directory).ok());
    let listed = listed.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let all: BTreeSet<PathBuf> = listed.chain(known).collect();
    all.into_iter().collect()
}

/// Reads the host's namespace and the others, on threads of their own: a netlink socket belongs to the
/// namespace of the thread that opened it, and no other thread is ever moved.
pub(super) async fn read(paths: Vec<PathBuf>) -> Result<Read, SnapshotError> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // The receiver is gone when nobody wants to know any more.
        drop(sender.send(read_all(&paths)));
    };
    builder().spawn(work).map_err(SnapshotError::Thread)?;
    receiver.await.map_err(|_| died())?
}

fn builder() -> thread::Builder {
    thread::Builder::new().name("namespaces".to_owned())
}

fn died() -> SnapshotError {
    SnapshotError::Host(io::Error::other("a thread that reads it died"))
}

fn read_all(paths: &[PathBuf]) -> Result<Read, SnapshotError> {
    let own = inode_of(Path::new(OWN)).map_err(SnapshotError::Host)?;
    let queue = Queue::of(own, paths);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(THREADS).min(queue.paths.len());
    let (host, mut found) = thread::scope(|scope| {
        // They begin in the host's namespace, for this thread has entered none yet. Where no other can
        // be started, there are fewer.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| builder().spawn_scoped(scope, || queue.work()).ok())
            .collect();
        let mut problems = Vec::new();
        let host = read_one(None, own, &mut problems).map_err(SnapshotError::Host)?;
        let mut found = queue.work();
        for other in others {
            found.extend(other.join().map_err(|_| died())?);
        }
        Ok((host, found))
    })?;
    found.sort_by_key(|one| one.place);
    let mut read = Read { host, others: Vec::new(), problems: Vec::new() };
    let mut seen = BTreeSet::from([own]);
    for one in found {
        read.problems.extend(one.problems);
        // A file may have been given another namespace since it was looked at.
        read.others.extend(one.namespace.filter(|namespace| seen.insert(namespace.inode)));
    }
    Ok(read)
}

/// Namespaces to read, which threads take one by one.
struct Queue<'a> {
    /// One file for each.
    paths: Vec<&'a PathBuf>,
    legacy: Vec<Legacy>,
    next: AtomicUsize,
}

/// What was read of one of them.
struct One {
    place: usize,
    namespace: Option<Namespace>,
    problems: Vec<String>,
}

impl<'a> Queue<'a> {
    /// All but the own one; of several files of one namespace the first.
    fn of(own: u64, paths: &'a [PathBuf]) -> Self {
        let mut seen = BTreeSet::from([own]);
        let is_new = |path: &&PathBuf| inode_of(path).is_ok_and(|inode| seen.insert(inode));
        Self {
            paths: paths.iter().filter(is_new).collect(),
            legacy: Legacy::known(),
            next: AtomicUsize::new(0),
        }
    }

    /// Reads what no other thread has taken; the calling thread ends in one of them.
    fn work(&self) -> Vec<One> {
        let mut found = Vec::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = self.paths.get(place) else { return found };
            // What is left of a namespace that is gone is an empty file, or nothing.
            let Ok(file) = File::open(path) else { continue };
            let Ok(inode) = file.metadata().map(|meta| meta.ino()) else { continue };
            if setns(file.as_fd(), CloneFlags::CLONE_NEWNET).is_err() {
                continue;
            }
            let mut problems = Vec::new();
            let read = read_one(Some((path, &self.legacy)), inode, &mut problems);
            let namespace = read
                .map_err(|cause| problems.push(format!("namespace {}: {cause}", path.display())))
                .ok();
            found.push(One { place, namespace, problems });
        }
    }
}

fn inode_of(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

/// Reads the namespace that the calling thread is in.
fn read_one(
    other: Option<(&PathBuf, &[Legacy])>,
    inode: u64,
    problems: &mut Vec<String>,
) -> io::Result<Namespace> {
    let path = other.map(|(path, _)| path.clone());
    let mut namespace = Namespace { path, inode, ..Namespace::default() };
    kernel::read(&mut namespace)?;
    sockets::read(&mut namespace);
    // The host's rules are read at the same time by programs; see `take`.
    if let Some((_, legacy)) = other {
        firewall::read_blocking(legacy, &mut namespace.firewall, problems);
    }
    let has_rules = !namespace.firewall.iptables.is_empty() || !namespace.firewall.nft.is_empty();
    if other.is_none() || has_rules {
        namespace.sysctls = kernel::settings();
    }
    Ok(namespace)
}
