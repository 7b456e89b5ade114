//! One daemon for what lasts: a second one, with other manifests, would take the first one's pods down.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::StartError;

/// Held for as long as the pods below `data` are this daemon's.
pub(super) fn lock(data: &Path) -> Result<Flock<File>, StartError> {
    let path = data.join("serve.lock");
    let failed = |cause| StartError::Directory { path: path.clone(), cause };
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    match Flock::lock(opened.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(StartError::Taken { path: data.to_owned() }),
        Err((_, errno)) => Err(failed(errno.into())),
    }
}
