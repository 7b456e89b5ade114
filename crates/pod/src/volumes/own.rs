//! The group that owns a volume (`pkg/volume/volume_linux.go`).
//!
//! Containers may write there meanwhile. Everything is done on open files: a directory that becomes
//! a link between two looks is not followed.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use nix::{
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::{Gid, fchownat},
};

use super::{Context, VolumeError, names};
use crate::model::{FsGroup, FsGroupPolicy};

/// What the group may do with files, and with directories, which hand it on to what is made there.
const FILE_BITS: u32 = 0o660;
const DIRECTORY_BITS: u32 = 0o2770;

/// Deeper than this nobody nests directories; the kernel's longest path has room for no more. Each takes an
/// open file, and none of the stack: a thread that others wait for has too little of it.
const MAX_DEPTH: usize = 2048;

/// Gives a directory and all in it to a group. Other file systems mounted in it are left alone.
pub(super) fn own(path: &Path, group: FsGroup) -> Result<(), VolumeError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = open(path, flags, Mode::empty()).context("open", path)?;
    let stat = fstat(&root).context("look at", path)?;
    let is_owned = stat.st_gid == group.gid && stat.st_mode & DIRECTORY_BITS == DIRECTORY_BITS;
    if group.policy == FsGroupPolicy::OnRootMismatch && is_owned {
        return Ok(());
    }
    let walk = Walk { gid: group.gid, device: stat.st_dev };
    walk.all(root, stat).context("give its group everything in", path)
}

struct Walk {
    gid: u32,
    device: u64,
}

/// A directory with the names in it that are still to come.
struct Level {
    file: OwnedFd,
    stat: FileStat,
    names: Vec<CString>,
}

impl Walk {
    /// The root comes last: if it fits, all below it does.
    fn all(&self, root: OwnedFd, stat: FileStat) -> io::Result<()> {
        let mut levels = vec![Level::new(root, stat)?];
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.names.pop() {
                let entered = unless_removed(self.entry(level.file.as_fd(), &name))?.flatten();
                levels.extend(entered);
                if levels.len() > MAX_DEPTH {
                    return Err(io::Error::other("directories are nested too deep"));
                }
            } else if let Some(done) = levels.pop() {
                unless_removed(self.one(done.file.as_fd(), &done.stat))?;
            }
        }
        Ok(())
    }

    /// Does it, or tells what is in it first.
    fn entry(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Level>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file: OwnedFd = openat(directory, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if stat.st_dev != self.device {
            return Ok(None);
        }
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
            return Level::new(file, stat).map(Some);
        }
        self.one(file.as_fd(), &stat).map(|()| None)
    }

    fn one(&self, file: BorrowedFd<'_>, stat: &FileStat) -> io::Result<()> {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if stat.st_gid != self.gid {
            fchownat(file, "", None, Some(Gid::from_raw(self.gid)), AtFlags::AT_EMPTY_PATH)?;
        }
        let bits = match kind {
            SFlag::S_IFDIR => DIRECTORY_BITS,
            SFlag::S_IFREG => FILE_BITS,
            _ => return Ok(()),
        };
        // A change of group takes set-id bits of files away; as with the kubelet they stay away.
        let mode = fstat(file)?.st_mode & 0o7777;
        if mode & bits == bits {
            return Ok(());
        }
        // The link leads to the very file that is open, whatever its name leads to by now.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(link, fs::Permissions::from_mode(mode | bits))
    }
}

impl Level {
    fn new(file: OwnedFd, stat: FileStat) -> io::Result<Self> {
        let names = names(&file)?;
        Ok(Self { file, stat, names })
    }
}

/// Nothing, where a container removed it meanwhile.
fn unless_removed<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
