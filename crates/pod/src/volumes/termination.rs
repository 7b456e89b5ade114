//! The last word of a container: a file that it may write to.

use std::{
    fs,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Context, Roots, VolumeError, component, own_directory};

/// Longest last word, in bytes, as with the kubelet.
const MAX_WORD: u64 = 4096;

/// Makes the empty file that start `attempt` of a container may write its last word to. The file of
/// the start before stays, earlier ones go.
///
/// # Errors
/// What the kernel refused.
pub fn termination_file(
    roots: &Roots,
    uid: &str,
    container: &str,
    attempt: u32,
) -> Result<PathBuf, VolumeError> {
    let directory = roots.pod(uid).join("containers").join(component(container));
    own_directory(&directory)?;
    forget(&directory, attempt)?;
    let path = directory.join(attempt.to_string());
    // A start that was tried and failed may have left one.
    let file = fs::File::create(&path).context("make file", &path)?;
    // The container's user is nobody in particular, and the umask would cut a mode at creation.
    file.set_permissions(fs::Permissions::from_mode(0o666)).context("set mode of", &path)?;
    Ok(path)
}

fn forget(directory: &Path, attempt: u32) -> Result<(), VolumeError> {
    for entry in fs::read_dir(directory).context("list", directory)? {
        let entry = entry.context("list", directory)?;
        let former = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if former.is_some_and(|former| former < attempt.saturating_sub(1)) {
            fs::remove_file(entry.path()).context("remove", &entry.path())?;
        }
    }
    Ok(())
}

/// Reads a last word, at most 4096 bytes of it; nothing where there is none.
pub fn last_word(path: &Path) -> Option<String> {
    // The container cannot replace the file, which is bound into it, but may have ended long ago.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut word = Vec::new();
    file.take(MAX_WORD).read_to_end(&mut word).ok()?;
    Some(String::from_utf8_lossy(&word).into_owned()).filter(|word| !word.is_empty())
}
