//! Namespaces: finding them, and reading each on a thread that enters it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::{Namespace, SnapshotError, firewall, kernel, sockets};

/// Where runtimes and `ip netns` give namespaces names.
const DIRECTORIES: [&str; 2] = ["/run/netns", "/run/docker/netns"];
const OWN: &str = "/proc/thread-self/ns/net";

/// What was read on the thread.
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

/// Reads the host's namespace and the others, on one thread of their own: a netlink socket belongs
/// to the namespace of the thread that opened it, and no other thread is ever moved.
pub(super) async fn read(paths: Vec<PathBuf>) -> Result<Read, SnapshotError> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // The receiver is gone when nobody wants to know any more.
        drop(sender.send(read_all(&paths)));
    };
    let builder = thread::Builder::new().name("namespaces".to_owned());
    builder.spawn(work).map_err(SnapshotError::Thread)?;
    let died = || SnapshotError::Host(io::Error::other("the thread that reads it died"));
    receiver.await.map_err(|_| died())?
}

fn read_all(paths: &[PathBuf]) -> Result<Read, SnapshotError> {
    let inode = inode_of(Path::new(OWN)).map_err(SnapshotError::Host)?;
    let mut problems = Vec::new();
    let host = read_one(None, inode, &mut problems).map_err(SnapshotError::Host)?;
    let mut seen = BTreeSet::from([inode]);
    let mut others = Vec::new();
    for path in paths {
        // What is left of a namespace that is gone is an empty file, or nothing.
        let Ok(file) = File::open(path) else { continue };
        let Ok(inode) = file.metadata().map(|meta| meta.ino()) else { continue };
        if seen.contains(&inode) || setns(file.as_fd(), CloneFlags::CLONE_NEWNET).is_err() {
            continue;
        }
        seen.insert(inode);
        match read_one(Some(path), inode, &mut problems) {
            Ok(namespace) => others.push(namespace),
            Err(cause) => problems.push(format!("namespace {}: {cause}", path.display())),
        }
    }
    Ok(Read { host, others, problems })
}

fn inode_of(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

/// Reads the namespace that the calling thread is in.
fn read_one(
    path: Option<&PathBuf>,
    inode: u64,
    problems: &mut Vec<String>,
) -> io::Result<Namespace> {
    let mut namespace = Namespace { path: path.cloned(), inode, ..Namespace::default() };
    kernel::read(&mut namespace)?;
    sockets::read(&mut namespace);
    // The host's is read at the same time by programs; see `take`.
    if path.is_some() {
        firewall::read_blocking(&mut namespace.firewall, problems);
    }
    Ok(namespace)
}
