//! The end of a pod's directory.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::fd::OwnedFd,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, renameat},
    mount::{MntFlags, umount2},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{Context, Roots, VolumeError, mounts, names};

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// So many directories are open at once while a tree is removed.
const MOST_LEVELS: usize = 50;

/// The uids of all pods that have a directory.
///
/// # Errors
/// When the directory is there and cannot be listed.
pub fn list(roots: &Roots) -> Result<Vec<String>, VolumeError> {
    let entries = match fs::read_dir(&roots.pods) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list", &roots.pods),
    };
    let names = entries.map(|entry| entry.context("list", &roots.pods));
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Removes all that a pod has here: its volumes, but no claim and nothing of the host. Idempotent.
///
/// Everything below is unmounted first, and if anything stays mounted nothing is removed: what is
/// mounted there may be a directory of the host.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove(roots: &Roots, uid: &str) -> Result<(), VolumeError> {
    let directory = roots.pod(uid);
    for point in mounts::below(&directory)? {
        // Lazily: a container that is still ending keeps what it has.
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        umount2(&point, flags).context("unmount", &point)?;
    }
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Removes an `emptyDir` with all that is in it, so that it can be made anew. Idempotent.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove_volume(roots: &Roots, uid: &str, name: &str) -> Result<(), VolumeError> {
    let directory = roots.volume(uid, name);
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Removes a claim with all that is in it. Idempotent.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove_claim(roots: &Roots, namespace: &str, name: &str) -> Result<(), VolumeError> {
    let directory = roots.claim(namespace, name);
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Follows no links, and removes what a container has nested as deep as it liked: std's way takes an open file
/// and some of the stack for each level.
fn remove_all(directory: &Path) -> Result<(), VolumeError> {
    let removed = empty(directory).and_then(|()| fs::remove_dir(directory));
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context("remove", directory)
        }
        _ => Ok(()),
    }
}

fn empty(directory: &Path) -> io::Result<()> {
    let root = open(directory, DIRECTORY, Mode::empty())?;
    let mut emptying = Emptying { levels: vec![Level::new(root)?], moved: 0 };
    while emptying.step()? {}
    Ok(())
}

/// A directory that is being emptied.
struct Level {
    file: OwnedFd,
    /// What is still in it. The last one may be the directory of the next level.
    names: Vec<CString>,
    /// Whether the last one is a directory that was emptied.
    is_empty: bool,
}

impl Level {
    fn new(file: OwnedFd) -> io::Result<Self> {
        let names = names(&file)?;
        Ok(Self { file, names, is_empty: false })
    }
}

struct Emptying {
    /// From the root down; never more than [`MOST_LEVELS`].
    levels: Vec<Level>,
    moved: u64,
}

impl Emptying {
    /// Removes one file or goes one level down or up; false when the root is empty.
    fn step(&mut self) -> io::Result<bool> {
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        let Some(name) = level.names.last() else {
            self.levels.pop();
            if let Some(parent) = self.levels.last_mut() {
                parent.is_empty = true;
            }
            return Ok(true);
        };
        match unlink(&level.file, name) {
            Err(Errno::ENOTEMPTY) if !level.is_empty => self.enter()?,
            Ok(()) | Err(Errno::ENOENT) => {
                level.names.pop();
                level.is_empty = false;
            }
            // Somebody fills it again meanwhile, or it is none of ours to remove.
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Goes on with the directory that the last name means; where there are levels enough, it becomes one of
    /// the root's and has its turn later.
    fn enter(&mut self) -> io::Result<()> {
        let is_deep = self.levels.len() >= MOST_LEVELS;
        let Some((level, above)) = self.levels.split_last_mut() else { return Ok(()) };
        let Some(name) = level.names.last() else { return Ok(()) };
        let (true, Some(root)) = (is_deep, above.first_mut()) else {
            let file = openat(&level.file, name.as_c_str(), DIRECTORY, Mode::empty())?;
            self.levels.push(Level::new(file)?);
            return Ok(());
        };
        let place = CString::new(format!(".crilet-removes-{}", self.moved))?;
        self.moved += 1;
        match renameat(&level.file, name.as_c_str(), &root.file, place.as_c_str()) {
            Ok(()) => {
                level.names.pop();
                root.names.insert(0, place);
            }
            // A container has that name: the next step tries another one.
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Removes a file, or a directory that is empty.
fn unlink(directory: &OwnedFd, name: &CStr) -> nix::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => unlinkat(directory, name, UnlinkatFlags::RemoveDir),
        other => other,
    }
}
