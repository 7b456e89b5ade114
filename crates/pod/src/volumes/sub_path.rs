//! Parts of volumes. A container that shares the volume can make links in it while it is looked at:
//! what was looked at is held open, and that is what the runtime is given, bound to a path that no
//! container can reach.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, SFlag, fstat, mkdirat},
};

use super::{Context, Roots, VolumeError, component, mounts, own_directory};

/// Where mount `index` of a container has its part of a volume.
pub fn sub_path_target(roots: &Roots, uid: &str, container: &str, index: usize) -> PathBuf {
    roots.pod(uid).join("sub-paths").join(component(container)).join(index.to_string())
}

/// Binds the part `sub_path` of a volume to `target`, in place of what was bound there before. A
/// part that is missing is made as a directory with the permissions of the volume.
///
/// # Errors
/// [`VolumeError::Escapes`] when a link leads out of the volume, or what the kernel refused.
pub fn bind(volume: &Path, sub_path: &str, target: &Path) -> Result<(), VolumeError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(volume, flags, Mode::empty()).context("open", volume)?;
    let part = match resolve(&root, sub_path) {
        Err(Errno::ENOENT) => make(&root, sub_path),
        other => other,
    };
    let part = part.map_err(|errno| match errno {
        // A link out of the volume; or one to a path from the root, which would be outside, too.
        Errno::EXDEV | Errno::ELOOP => {
            VolumeError::Escapes { volume: volume.to_owned(), sub_path: sub_path.to_owned() }
        }
        errno => VolumeError::Io {
            action: "open",
            path: volume.join(sub_path),
            cause: io::Error::from(errno),
        },
    })?;
    let kind = fstat(&part).context("look at", &volume.join(sub_path))?.st_mode;
    let is_directory = SFlag::from_bits_truncate(kind) & SFlag::S_IFMT == SFlag::S_IFDIR;
    clear(target)?;
    place(target, is_directory)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", part.as_raw_fd()));
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&source), target, None::<&str>, flags, None::<&str>).context("mount", target)
}

fn resolve(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, path, OpenHow::new().flags(flags).resolve(resolve))
}

/// Makes the directories that are missing, one after the other.
fn make(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_bits_truncate(fstat(root)?.st_mode & 0o777);
    let mut parent = ".".to_owned();
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    for part in parts {
        let above = resolve(root, &parent)?;
        match mkdirat(&above, part, mode) {
            Ok(()) => {
                // The umask cut the mode; a group's bit was handed on by the kernel.
                let made = resolve(&above, part)?;
                let bits = fstat(&made)?.st_mode & 0o7000 | mode.bits();
                let link = format!("/proc/self/fd/{}", made.as_raw_fd());
                let set = fs::set_permissions(link, fs::Permissions::from_mode(bits));
                set.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        parent = format!("{parent}/{part}");
    }
    resolve(root, path)
}

/// Takes away what a former start was given; containers that have it keep it.
fn clear(target: &Path) -> Result<(), VolumeError> {
    for point in mounts::below(target)? {
        umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .context("unmount", &point)?;
    }
    Ok(())
}

/// A file or directory to bind to.
fn place(target: &Path, directory: bool) -> Result<(), VolumeError> {
    if let Some(parent) = target.parent() {
        own_directory(parent)?;
    }
    let found = fs::symlink_metadata(target);
    if found.as_ref().is_ok_and(|meta| meta.is_dir() != directory) {
        // Both are empty: nothing is mounted there any more.
        let removed = if directory { fs::remove_file(target) } else { fs::remove_dir(target) };
        removed.context("remove", target)?;
    } else if found.is_ok() {
        return Ok(());
    }
    if directory {
        return own_directory(target);
    }
    fs::File::create(target).map(drop).context("make file", target)
}
