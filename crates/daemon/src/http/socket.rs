//! The unix socket: who may use it, and whose it is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener as StdListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
    unistd::{Group, chown},
};
use tokio::net::UnixListener;

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon serves it.
    #[error("another daemon serves `{}`", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something is there that is no socket.
    #[error("`{}` is there and is no socket", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The group that may use it does not exist.
    #[error("no group `{group}`")]
    NoGroup {
        /// The group.
        group: String,
    },
    /// The kernel refused something.
    #[error("{action} `{}`", path.display())]
    Refused {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// A socket that this daemon serves, until it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
    /// Held as long as the socket is: two daemons that start at once see the same stale socket.
    _lock: Flock<File>,
}

impl Socket {
    /// Binds the socket, for root alone or for a group, too.
    ///
    /// One that a daemon left behind is replaced; one that is served is not.
    pub(crate) fn bind(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        let group = group.map(find_group).transpose()?;
        let refused =
            |action| move |cause| SocketError::Refused { action, path: path.to_owned(), cause };
        if let Some(parent) = path.parent() {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o755).create(parent);
            made.map_err(refused("make the directory of"))?;
        }
        let lock = lock(path)?;
        clear(path)?;
        let listener = listen_at(path, group.as_ref()).map_err(refused("listen at"))?;
        let inode = fs::metadata(path).map_err(refused("look at"))?.ino();
        listener.set_nonblocking(true).map_err(refused("listen at"))?;
        let listener = UnixListener::from_std(listener).map_err(refused("listen at"))?;
        Ok(Self { listener, path: path.to_owned(), inode, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Not one that somebody else has put there meanwhile. A socket that stays is replaced.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn find_group(name: &str) -> Result<Group, SocketError> {
    let missing = || SocketError::NoGroup { group: name.to_owned() };
    Group::from_name(name).ok().flatten().ok_or_else(missing)
}

fn lock(path: &Path) -> Result<Flock<File>, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path);
    let file = opened.map_err(|cause| SocketError::Refused {
        action: "open",
        path: lock_path.clone(),
        cause,
    })?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            Err(SocketError::Taken { path: path.to_owned() })
        }
        Err((_, errno)) => {
            Err(SocketError::Refused { action: "lock", path: lock_path, cause: errno.into() })
        }
    }
}

/// Removes what a daemon left behind.
fn clear(path: &Path) -> Result<(), SocketError> {
    let refused =
        |action| move |cause| SocketError::Refused { action, path: path.to_owned(), cause };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused("remove"))
        }
        Ok(_) => Err(SocketError::Taken { path: path.to_owned() }),
        Err(error) => Err(refused("connect to")(error)),
    }
}

/// Nobody can connect before the permissions are right: listening comes last.
fn listen_at(path: &Path, group: Option<&Group>) -> io::Result<StdListener> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    if let Some(group) = group {
        chown(path, None, Some(group.gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    }
    listen(&fd, Backlog::new(128)?)?;
    Ok(StdListener::from(fd))
}
