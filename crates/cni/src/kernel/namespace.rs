//! Network namespaces.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};

use super::KernelError;

/// An open network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
    path: PathBuf,
}

impl Namespace {
    /// Opens a namespace by its path.
    ///
    /// # Errors
    /// When it is not there, or is no namespace.
    pub(crate) fn open(path: &Path) -> Result<Self, KernelError> {
        let failed = |cause| KernelError::Namespace { path: path.to_owned(), cause };
        let file = File::open(path).map_err(failed)?;
        let namespace = Self { file, path: path.to_owned() };
        // A file that is no namespace shows only when it is entered.
        namespace.run(|| ())?;
        Ok(namespace)
    }

    /// Opens a namespace that may be gone; `None` when its path leads to none any more.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub(crate) fn open_existing(path: &Path) -> Result<Option<Self>, KernelError> {
        match Self::open(path) {
            Ok(namespace) => Ok(Some(namespace)),
            // What `ip netns` and runtimes leave of an unmounted namespace is an empty file.
            Err(error) if error.is(&[Errno::ENOENT, Errno::ENOTDIR, Errno::EINVAL]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The path that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For netlink attributes that name a namespace; valid as long as this lives.
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `work` on a thread of its own within the namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        let inside = || {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok::<T, Errno>(work())
        };
        let result = thread::scope(|scope| scope.spawn(inside).join());
        let failed = |cause| KernelError::Namespace { path: self.path.clone(), cause };
        match result {
            Ok(result) => result.map_err(|errno| failed(errno.into())),
            Err(_panic) => Err(failed(io::Error::other("the thread within it died"))),
        }
    }
}

/// Whether a file is a network namespace that is there still.
#[must_use]
pub fn is_namespace(path: &Path) -> bool {
    // The files of nsfs all are on one device of its own.
    let own = fs::metadata("/proc/thread-self/ns/net").map(|meta| meta.dev());
    let other = fs::metadata(path).map(|meta| meta.dev());
    matches!((own, other), (Ok(own), Ok(other)) if own == other)
}
