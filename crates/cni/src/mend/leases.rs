//! Leases of containers that are gone.

use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    plugin::lock_leases,
    protocol::{Code, PluginError},
};

/// A lease that nobody uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleLease {
    /// The address, which is the file's name.
    pub address: IpAddr,
    /// The container that the file names; empty when the file is.
    pub container: String,
}

/// Removes leases under the store's lock; gives those that were removed. A file that is younger than
/// `youngest`, or names another container by now, stays.
///
/// # Errors
/// When the store cannot be locked, or a file cannot be read or removed.
pub fn free_leases(
    directory: &Path,
    leases: &[StaleLease],
    youngest: Duration,
) -> Result<Vec<IpAddr>, PluginError> {
    let Some(_lock) = lock_leases(directory)? else { return Ok(Vec::new()) };
    let mut freed = Vec::new();
    for lease in leases {
        let path = directory.join(lease.address.to_string());
        let failed = |what: &str, cause: &io::Error| {
            let message = format!("failed to {what} lease `{}`: {cause}", path.display());
            PluginError::new(Code::Io, message)
        };
        match is_as_it_was(&path, &lease.container, youngest) {
            Ok(true) => fs::remove_file(&path).map_err(|cause| failed("remove", &cause))?,
            Ok(false) => continue,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(failed("read", &cause)),
        }
        freed.push(lease.address);
    }
    Ok(freed)
}

fn is_as_it_was(path: &Path, container: &str, youngest: Duration) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let written = file.metadata()?.modified()?;
    // What was written in the future is of a clock that was set back: its age is not known.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let names = text.trim().lines().next().unwrap_or_default().trim();
    Ok(age >= youngest && names == container)
}
