//! A lock that crilet's plugins share, for what they look at before they change it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::fcntl::{Flock, FlockArg};

use crate::protocol::{Code, PluginError};

/// Directory of the lock; it goes with the machine's uptime, as chains and links do.
const DIRECTORY: &str = "/run/crilet";

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
        let path = Path::new(DIRECTORY).join(format!("cni-{name}.lock"));
        Self::at(&path)
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
        Flock::lock(file, FlockArg::LockExclusive)
            .map(|file| Self { _file: file })
            .map_err(|(_, errno)| failed(errno.into()))
    }
}
