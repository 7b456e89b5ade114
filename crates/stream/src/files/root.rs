use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

use super::{FileError, ids::Map};

/// Where paths begin: a container's root, or this machine as the caller sees it.
#[derive(Debug)]
pub struct Root {
    /// The top of a container; absent for the machine, where paths are what they always are.
    top: Option<OwnedFd>,
    users: Map,
    groups: Map,
}

impl Root {
    /// The files of this machine; relative paths begin where the process is.
    pub fn of_host() -> Self {
        Self { top: None, users: Map::default(), groups: Map::default() }
    }

    /// The files that a process sees.
    ///
    /// A pid may be given to another process between being told and this call: who cares asks once more
    /// whose it is, afterwards.
    ///
    /// # Errors
    /// [`FileError::Root`]: there is no such process, or it is not ours to look at.
    pub fn of_process(pid: u32) -> Result<Self, FileError> {
        let path = format!("/proc/{pid}/root");
        let top = File::open(path).map_err(|cause| FileError::Root { pid, cause })?;
        let users = Map::of_process(pid, "uid_map");
        let groups = Map::of_process(pid, "gid_map");
        Ok(Self { top: Some(top.into()), users, groups })
    }

    /// A root at a directory, for tests.
    #[cfg(test)]
    pub(super) fn at(directory: &Path) -> Self {
        let top = File::open(directory).expect("open the root");
        Self { top: Some(top.into()), users: Map::default(), groups: Map::default() }
    }

    pub(super) fn is_container(&self) -> bool {
        self.top.is_some()
    }

    /// Opens without effect what a path leads to, or with `NOFOLLOW` the link that it ends in.
    pub(super) fn open(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match &self.top {
            Some(top) => {
                let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
                again(|| openat2(top, path, OpenHow::new().flags(flags).resolve(resolve)))
            }
            None => nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty()),
        }
    }

    /// Owners as whoever is inside numbers them, of owners as we see them.
    pub(super) fn inward(&self, (user, group): (u32, u32)) -> (u32, u32) {
        (self.users.inward(user), self.groups.inward(group))
    }

    /// Owners as we see them, of owners as whoever is inside numbers them.
    pub(super) fn outward(&self, (user, group): (u32, u32)) -> (u32, u32) {
        (self.users.outward(user), self.groups.outward(group))
    }
}

/// Opens beneath a directory, and nowhere else.
pub(super) fn open_beneath(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    again(|| openat2(&directory, path, OpenHow::new().flags(flags).resolve(resolve)))
}

/// The kernel gives up with `EAGAIN` when something is renamed while it resolves `..` (openat2(2)).
fn again(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..64 {
        match open() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens again, for real, what was opened without effect: the very same file.
pub(super) fn reopen(handle: &OwnedFd, flags: OFlag) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    nix::fcntl::open(path.as_str(), flags, Mode::empty())
}
