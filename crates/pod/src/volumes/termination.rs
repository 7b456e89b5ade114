//! The last word of a container: a file that it may write to.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Context, Roots, VolumeError, component, own_directory};

/// Longest last word, in bytes, as with the kubelet.
const MAX_WORD: u64 = 4096;

/// How much of a log stands in for a last word: these bytes and lines of its end, as with the
/// kubelet (`MaxContainerTerminationMessageLogLength` and `…LogLines`).
const MAX_LOG: usize = 2048;
const MAX_LINES: usize = 80;

/// How much of a log is looked at for them; each line has a time and a stream before it.
const LOOKED_AT: u64 = 16 * 1024;

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
    let path = termination_path(roots, uid, container, attempt);
    let directory = path.parent().unwrap_or(&roots.pods);
    own_directory(directory)?;
    forget(directory, attempt)?;
    // A start that was tried and failed may have left one.
    let file = fs::File::create(&path).context("make file", &path)?;
    // The container's user is nobody in particular, and the umask would cut a mode at creation.
    file.set_permissions(fs::Permissions::from_mode(0o666)).context("set mode of", &path)?;
    Ok(path)
}

/// Where the last word of start `attempt` of a container is.
pub fn termination_path(roots: &Roots, uid: &str, container: &str, attempt: u32) -> PathBuf {
    roots.pod(uid).join("containers").join(component(container)).join(attempt.to_string())
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

/// The last lines of a log in the CRI's form (`TIME STREAM TAG TEXT`), at most 80 of them and 2048
/// bytes; nothing where there are none.
pub fn last_lines(log: &Path) -> Option<String> {
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT))).ok()?;
    let mut end = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut end).ok()?;
    // What a line before the first looked at was cut from is none.
    let cut = usize::from(length > LOOKED_AT);
    let lines = end.split_inclusive(|&byte| byte == b'\n').skip(cut);
    let texts: Vec<Vec<u8>> = lines.filter_map(text_of).collect();
    let last = texts.iter().skip(texts.len().saturating_sub(MAX_LINES));
    let text: Vec<u8> = last.flatten().copied().collect();
    let text = text.get(text.len().saturating_sub(MAX_LOG)..)?;
    let text = String::from_utf8_lossy(text).trim_end().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// The text of a line with its end, unless the next line continues it; nothing of a line that is
/// not in the CRI's form.
fn text_of(line: &[u8]) -> Option<Vec<u8>> {
    let mut parts = line.splitn(4, |&byte| byte == b' ');
    let (tag, text) = (parts.nth(2)?, parts.next()?);
    if !matches!(tag.first(), Some(b'P' | b'F')) {
        return None;
    }
    let partial = tag.split(|&byte| byte == b':').next() == Some(b"P");
    let text = if partial { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
    Some(text.to_vec())
}
