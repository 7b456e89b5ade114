//! Settings below `/proc/sys`; those of `net` are the calling thread's namespace's.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

use super::KernelError;

/// Directories of settings that every namespace has.
const FAMILIES: [&str; 2] = ["/proc/sys/net/ipv4", "/proc/sys/net/ipv6"];

/// These directories of one namespace, held open: the kernel's cache of names has one for every namespace,
/// which are compared one by one, so that beside a thousand pods each walk through it takes a millisecond.
#[derive(Debug, Default)]
pub(super) struct Held([Option<OwnedFd>; 2]);

thread_local! {
    /// Those of the thread's namespace.
    static HELD: RefCell<Held> = const { RefCell::new(Held([const { None }; 2])) };
}

/// Gives the calling thread, which enters another namespace, what is held of that; gives back what it had.
pub(super) fn exchange(held: Held) -> Held {
    HELD.replace(held)
}

/// Path of a setting of a link, as `ipv4`, `eth0`, `arp_notify`.
pub(crate) fn of_link(family: &str, link: &str, name: &str) -> PathBuf {
    // A link's name may hold dots but no slash, so it is a part of the path as it is.
    Path::new("/proc/sys/net").join(family).join("conf").join(link).join(name)
}

/// Opens a setting.
fn file(path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC;
    let opened = HELD.with_borrow_mut(|held| {
        let of_family = |(directory, held): (_, &mut Option<_>)| {
            let below = path.strip_prefix(directory).ok()?;
            if held.is_none() {
                *held = open(directory, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok();
            }
            Some(openat(held.as_ref()?, below, flags, Mode::empty()))
        };
        FAMILIES.into_iter().zip(&mut held.0).find_map(of_family)
    });
    Ok(opened.unwrap_or_else(|| open(path, flags, Mode::empty()))?.into())
}

/// Reads a setting; `None` when this kernel has none of that name.
pub(crate) fn read(path: &Path) -> Result<Option<String>, KernelError> {
    let mut value = String::new();
    let opened = file(path, OFlag::O_RDONLY);
    match opened.and_then(|mut file| file.read_to_string(&mut value)) {
        Ok(_) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(KernelError::Setting { action: "read", path: path.to_owned(), cause }),
    }
}

/// Writes a setting.
///
/// # Errors
/// When it is not there or refuses the value.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), KernelError> {
    let written = file(path, OFlag::O_WRONLY).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|cause| KernelError::Setting { action: "write", path: path.to_owned(), cause })
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
