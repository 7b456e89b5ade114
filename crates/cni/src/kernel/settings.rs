//! Settings below `/proc/sys`; those of `net` are the calling thread's namespace's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::KernelError;

/// Path of a setting of a link, as `ipv4`, `eth0`, `arp_notify`.
pub(crate) fn of_link(family: &str, link: &str, name: &str) -> PathBuf {
    // A link's name may hold dots but no slash, so it is a part of the path as it is.
    Path::new("/proc/sys/net").join(family).join("conf").join(link).join(name)
}

/// Reads a setting; `None` when this kernel has none of that name.
pub(crate) fn read(path: &Path) -> Result<Option<String>, KernelError> {
    match fs::read_to_string(path) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(KernelError::Setting { action: "read", path: path.to_owned(), cause }),
    }
}

/// Writes a setting.
///
/// # Errors
/// When it is not there or refuses the value.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), KernelError> {
    fs::write(path, value).map_err(|cause| KernelError::Setting {
        action: "write",
        path: path.to_owned(),
        cause,
    })
}

/// Writes a setting unless it has the value; `false` when this kernel has none of that name.
///
/// # Errors
/// When it refuses the value.
pub(crate) fn ensure(path: &Path, value: &str) -> Result<bool, KernelError> {
    match read(path)? {
        None => Ok(false),
        Some(current) if current == value => Ok(true),
        Some(_) => write(path, value).map(|()| true),
    }
}
