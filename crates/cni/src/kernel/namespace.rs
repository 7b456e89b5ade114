//! Network namespaces.

use std::{
    fs::{self, File},
    io, mem,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    process, thread,
};

use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, setns},
};

use super::{KernelError, settings};

/// The namespace that the calling thread is in.
const OWN: &str = "/proc/thread-self/ns/net";
/// `NS_GET_NSTYPE`.
const GET_KIND: libc::Ioctl = 0xb703;

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
        // What the kernel does not call one shows only when it is entered.
        if !is_of_network(&namespace.file) {
            namespace.run(|| ())?;
        }
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

    /// Runs `work` within the namespace. The calling thread goes there and comes back, for to start another one
    /// and to wait for it takes longer than most work; where it may not come back, another one goes. Meanwhile
    /// `/proc/self` and `/proc/net` are those of the first thread for all others, so these read
    /// `/proc/thread-self` where it is about the network.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        let Some(home) = Home::returnable() else { return self.run_apart(work) };
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| self.failed(errno.into()))?;
        let _away = home.leave();
        Ok(work())
    }

    /// Runs `work` on a thread of its own within the namespace.
    fn run_apart<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        let inside = || {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok::<T, Errno>(work())
        };
        let result = thread::scope(|scope| scope.spawn(inside).join());
        match result {
            Ok(result) => result.map_err(|errno| self.failed(errno.into())),
            Err(_panic) => Err(self.failed(io::Error::other("the thread within it died"))),
        }
    }

    fn failed(&self, cause: io::Error) -> KernelError {
        KernelError::Namespace { path: self.path.clone(), cause }
    }
}

/// The namespace of a thread, to which it can come back.
struct Home(File);

impl Home {
    /// That of the calling thread, unless it may not enter it: a process that was given another's network but
    /// no rights over it may enter those of pods alone.
    fn returnable() -> Option<Self> {
        let home = File::open(OWN).ok()?;
        setns(home.as_fd(), CloneFlags::CLONE_NEWNET).ok()?;
        Some(Self(home))
    }

    /// To be called after another one was entered; whoever drops what is given comes home.
    fn leave(self) -> Away {
        Away { home: self.0, held: settings::exchange(settings::Held::default()) }
    }
}

/// A thread that is in another namespace than its own.
struct Away {
    home: File,
    held: settings::Held,
}

impl Drop for Away {
    fn drop(&mut self) {
        // It was entered a moment ago. Whatever came next would be done to the pod instead of the host.
        if setns(self.home.as_fd(), CloneFlags::CLONE_NEWNET).is_err() {
            process::abort();
        }
        drop(settings::exchange(mem::take(&mut self.held)));
    }
}

/// Whether the kernel calls a file a network namespace (ioctl_ns(2), since Linux 4.11).
#[expect(unsafe_code, reason = "no wrapper for this call is worth a feature of a dependency")]
fn is_of_network(file: &File) -> bool {
    // SAFETY: this call takes nothing and writes nothing, whatever kind of file that is.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), GET_KIND) };
    kind == CloneFlags::CLONE_NEWNET.bits()
}

/// Whether a file is a network namespace that is there still.
#[must_use]
pub fn is_namespace(path: &Path) -> bool {
    // The files of nsfs all are on one device of its own.
    let own = fs::metadata(OWN).map(|meta| meta.dev());
    let other = fs::metadata(path).map(|meta| meta.dev());
    matches!((own, other), (Ok(own), Ok(other)) if own == other)
}
