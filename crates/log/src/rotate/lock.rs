//! Two rotators on one machine, such as the daemon and somebody at a shell, take turns.
//!
//! Locks are on bytes of one file that only rotators open, two bytes for each directory: nobody who
//! owns a log directory can hold them. They are of the open file (`F_OFD_SETLK`, fcntl(2)), so they
//! end with it however that ends, and two tasks of one process exclude each other as well.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::error::LogError;

/// What is locked of a directory's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Renaming and removing.
    Names,
    /// Compressing, and cleaning up after it.
    Archives,
}

/// The file with the locks.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    path: PathBuf,
    file: Arc<File>,
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    file: Arc<File>,
    range: libc::flock,
}

impl Locks {
    /// Opens the file; clones share it, so they do not exclude each other.
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |cause| LogError::Lock { path: path.to_owned(), cause };
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file) })
    }

    /// Takes a lock of a directory, or nothing when somebody else has it.
    pub(crate) fn take(&self, lock: Lock, directory: (u64, u64)) -> Result<Option<Held>, LogError> {
        let range = range(lock, directory, libc::F_WRLCK);
        match fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&range)) {
            Ok(_) => Ok(Some(Held { file: Arc::clone(&self.file), range })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(cause) => Err(LogError::Lock { path: self.path.clone(), cause: cause.into() }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.range.l_type = kind(libc::F_UNLCK);
        // What cannot be unlocked is so when the file is closed.
        fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&self.range)).unwrap_or_default();
    }
}

fn kind(kind: i32) -> i16 {
    i16::try_from(kind).unwrap_or_default()
}

fn range(lock: Lock, (device, inode): (u64, u64), kind_of: i32) -> libc::flock {
    // Two directories that meet here take turns, that is all.
    let mixed = (inode ^ device.rotate_left(40)) % (1 << 60);
    let start = mixed * 2 + u64::from(lock == Lock::Archives);
    libc::flock {
        l_type: kind(kind_of),
        l_whence: kind(libc::SEEK_SET),
        l_start: i64::try_from(start).unwrap_or_default(),
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_exclude_others_and_end_with_their_holder() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("new/locks");
        let (one, two) = (Locks::open(&path).unwrap(), Locks::open(&path).unwrap());
        let held = one.take(Lock::Names, (1, 2)).unwrap().unwrap();
        assert!(two.take(Lock::Names, (1, 2)).unwrap().is_none());
        assert!(two.take(Lock::Archives, (1, 2)).unwrap().is_some());
        assert!(two.take(Lock::Names, (1, 3)).unwrap().is_some());
        drop(held);
        let again = two.take(Lock::Names, (1, 2)).unwrap();
        assert!(again.is_some() && one.take(Lock::Names, (1, 2)).unwrap().is_none());
        drop((again, two));
        assert!(one.take(Lock::Names, (1, 2)).unwrap().is_some());
    }
}
