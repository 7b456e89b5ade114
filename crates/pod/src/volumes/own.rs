//! The group that owns a volume (`pkg/volume/volume_linux.go`).
//!
//! Containers may write there meanwhile. Everything is done on open files: a directory that becomes
//! a link between two looks is not followed.

use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::{Gid, fchownat},
};

use super::{Context, VolumeError};
use crate::model::{FsGroup, FsGroupPolicy};

/// What the group may do with files, and with directories, which hand it on to what is made there.
const FILE_BITS: u32 = 0o660;
const DIRECTORY_BITS: u32 = 0o2770;

/// Deeper than this nobody nests directories; the kernel's longest path has room for no more.
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
    // The root comes last: if it fits, all below it does.
    let walk = Walk { gid: group.gid, device: stat.st_dev };
    walk.below(root.as_fd(), 0).context("give its group everything in", path)?;
    walk.one(root.as_fd(), &stat).context("give its group", path)
}

struct Walk {
    gid: u32,
    device: u64,
}

impl Walk {
    fn below(&self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other("directories are nested too deep"));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(directory, ".", flags, Mode::empty())?;
        let names: Vec<_> = listing
            .iter()
            .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
            .collect::<Result<_, Errno>>()?;
        for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
            match self.entry(directory, name, depth) {
                // A container removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn entry(&self, directory: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file: OwnedFd = openat(directory, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if stat.st_dev != self.device {
            return Ok(());
        }
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
            self.below(file.as_fd(), depth + 1)?;
        }
        self.one(file.as_fd(), &stat)
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
