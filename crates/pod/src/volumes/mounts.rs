//! What is mounted, from `/proc/self/mountinfo`.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::{Context, VolumeError};

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Whether something is mounted at this very path.
pub(super) fn is_mounted(path: &Path) -> Result<bool, VolumeError> {
    // The kernel writes resolved paths; a path that is not there has nothing mounted.
    let Ok(resolved) = fs::canonicalize(path) else { return Ok(false) };
    Ok(points()?.contains(&resolved))
}

/// Everything that is mounted at or below a path, the deepest first.
pub(super) fn below(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let Ok(resolved) = fs::canonicalize(path) else { return Ok(Vec::new()) };
    let mut found = points()?;
    found.retain(|point| point.starts_with(&resolved));
    // What was mounted later covers what was mounted before.
    found.reverse();
    found.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    Ok(found)
}

fn points() -> Result<Vec<PathBuf>, VolumeError> {
    let text = fs::read(MOUNTINFO).context("read", Path::new(MOUNTINFO))?;
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4)).map(unescape).collect())
}

/// Blanks and the like are written as `\040` (proc_pid_mountinfo(5)).
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let byte = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_blanks_are_blanks() {
        assert_eq!(unescape(br"/a\040b\134c"), PathBuf::from(r"/a b\c"));
        assert_eq!(unescape(br"/a\"), PathBuf::from(r"/a\"));
    }

    #[test]
    fn proc_is_mounted_and_its_files_are_not() {
        assert!(is_mounted(Path::new("/proc")).unwrap());
        assert!(!is_mounted(Path::new("/proc/self/status")).unwrap());
        assert!(!is_mounted(Path::new("/nowhere")).unwrap());
    }
}
