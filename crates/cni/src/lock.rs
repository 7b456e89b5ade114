//! A lock that crilet's plugins share, for what they look at before they change it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::protocol::{Code, PluginError};

/// Directory of the lock and of what was seen; it goes with the machine's uptime, as chains and links do.
pub(crate) const DIRECTORY: &str = "/run/crilet";
/// Name of the lock that is held while rules are looked at and changed.
const NETFILTER: &str = "netfilter";

/// Held until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Waits for the lock of a name, such as `netfilter`.
    ///
    /// # Errors
    /// When its file cannot be made or locked.
    pub(crate) fn acquire(name: &str) -> Result<Self, PluginError> {
        Self::at(&path_of(name))
    }

    /// Waits for the lock of a file, which is made when it is missing; so are directories above.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub(crate) fn at(path: &Path) -> Result<Self, PluginError> {
        let failed = |cause: std::io::Error| {
            PluginError::new(Code::Io, format!("failed to lock `{}`: {cause}", path.display()))
        };
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| failed(errno.into()))?;
        // Whoever held it before may have removed the file; then there is another one to lock.
        let held = file.metadata().map_err(failed)?.ino();
        match fs::metadata(path) {
            Ok(now) if now.ino() == held => Ok(Self { _file: file }),
            _ => Self::at(path),
        }
    }
}

/// Removes what crilet's plugins keep from call to call on this host, but for what belongs to pods
/// that are still there. To be called when crilet's own network has no pod any more.
pub fn remove_state() {
    // What stays costs a call some time, or is removed with its pod.
    let directory = Path::new(DIRECTORY);
    let Ok(_lock) = Lock::acquire(NETFILTER) else { return };
    for seen in ["cni-ports", "cni-iptables4", "cni-iptables6"] {
        drop(fs::remove_file(directory.join(seen)));
    }
    drop(fs::remove_dir_all(directory.join("leases")));
    for of_pods in ["hostports", "published"] {
        drop(fs::remove_dir(directory.join(of_pods)));
    }
    drop(fs::remove_file(path_of(NETFILTER)));
    drop(fs::remove_dir(directory));
}

fn path_of(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("cni-{name}.lock"))
}
