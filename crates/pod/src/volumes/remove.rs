//! The end of a pod's directory.

use std::{fs, io, path::Path};

use nix::mount::{MntFlags, umount2};

use super::{Context, Roots, VolumeError, mounts};

/// The uids of all pods that have a directory.
///
/// # Errors
/// When the directory is there and cannot be listed.
pub fn list(roots: &Roots) -> Result<Vec<String>, VolumeError> {
    let entries = match fs::read_dir(&roots.pods) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list", &roots.pods),
    };
    let names = entries.map(|entry| entry.context("list", &roots.pods));
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Removes all that a pod has here: its volumes, but no claim and nothing of the host. Idempotent.
///
/// Everything below is unmounted first, and if anything stays mounted nothing is removed: what is
/// mounted there may be a directory of the host.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove(roots: &Roots, uid: &str) -> Result<(), VolumeError> {
    let directory = roots.pod(uid);
    for point in mounts::below(&directory)? {
        // Lazily: a container that is still ending keeps what it has.
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        umount2(&point, flags).context("unmount", &point)?;
    }
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Removes an `emptyDir` with all that is in it, so that it can be made anew. Idempotent.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove_volume(roots: &Roots, uid: &str, name: &str) -> Result<(), VolumeError> {
    let directory = roots.volume(uid, name);
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Removes a claim with all that is in it. Idempotent.
///
/// # Errors
/// What stands in the way; some of it may be left.
pub fn remove_claim(roots: &Roots, namespace: &str, name: &str) -> Result<(), VolumeError> {
    let directory = roots.claim(namespace, name);
    if let Some(path) = mounts::below(&directory)?.into_iter().next() {
        return Err(VolumeError::Mounted { path });
    }
    remove_all(&directory)
}

/// Follows no links (std makes sure of that).
fn remove_all(directory: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context("remove", directory)
        }
        _ => Ok(()),
    }
}
