//! Files that are whole or absent, whenever the power goes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write `{}`", path.display())]
pub struct WriteError {
    /// File that was to be written.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub cause: io::Error,
}

/// Writes a file so that a reader, or a machine after a power cut, sees the old content or the new.
///
/// A temporary file beside the target gets `mode` (octal permission bits, less the umask) and the
/// bytes, is flushed to disk and renamed over the target; then the directory is flushed. A failure
/// leaves the old file and no temporary one.
///
/// # Errors
/// When any of these steps fails.
pub fn write_durably(path: &Path, contents: &[u8], mode: u32) -> Result<(), WriteError> {
    replace(path, contents, mode).map_err(|cause| WriteError { path: path.to_owned(), cause })
}

/// Replaces a file so that a reader sees the old content or the new; a power cut may leave neither.
///
/// For what is worth nothing after a restart of the machine.
///
/// # Errors
/// What the kernel says; then the old file stays and no temporary one.
pub fn replace_quickly(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, |temporary| write_new(temporary, contents, mode).map(drop), |_| Ok(()))
}

fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let write = |temporary: &Path| write_new(temporary, contents, mode)?.sync_all();
    replace_by(path, write, sync_directory)
}

/// Writes a temporary file beside `path`, renames it over that, and finishes with the directory.
fn replace_by(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "path names no file");
    let name = path.file_name().ok_or_else(invalid)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    temporary_name.push(format!(".{}-{number}.tmp", process::id()));
    let temporary = directory.join(temporary_name);

    let written = write(&temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| finish(directory));
    if written.is_err() {
        // The first error is the one to report; the file may not exist, or be the target by now.
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<File> {
    // Another process with our id may have died here before; its leftover is replaced.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    Ok(file)
}

/// Flushes a directory, so that files created, renamed or removed in it stay so.
///
/// # Errors
/// When the directory cannot be opened or flushed.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        write_durably(&path, b"a longer first text", 0o600).unwrap();
        write_durably(&path, b"second", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(names(directory.path()), ["state"]);
    }

    #[test]
    fn a_file_is_replaced_quickly() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        replace_quickly(&path, b"first", 0o600).unwrap();
        replace_quickly(&path, b"second", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["state"]);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write_durably(&path, b"text", 0o600).unwrap_err();
        assert_eq!(error.to_string(), format!("write `{}`", path.display()));
        assert_eq!(names(directory.path()), ["taken"]);
    }

    #[test]
    fn a_path_without_a_file_name_is_refused() {
        let error = write_durably(Path::new("/"), b"", 0o600).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::InvalidInput);
    }
}
