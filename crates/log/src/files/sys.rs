//! What is asked of the kernel and has no safe wrapper, or none with every C library.
#![expect(unsafe_code, reason = "leases, one thread's priority and renameat2 have no safe wrapper")]

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
};

use nix::{errno::Errno, libc};

/// `F_SETSIG` of fcntl(2), which libc does not have for every target.
const F_SETSIG: i32 = 10;

/// Whether any process has this file open for writing; nothing when the kernel will not say.
///
/// A read lease is granted on a file that nobody writes, and refused otherwise (fcntl(2),
/// `F_SETLEASE`). It is given back at once. The kernel says nothing to others than the file's owner
/// and root, and for network file systems. `file` must have been opened for reading only.
pub(crate) fn has_writer(file: &File) -> Option<bool> {
    // Should somebody open the file within this moment, the kernel sends a signal: one that is
    // ignored unless asked for, in place of SIGIO, which ends a process.
    let taken = fcntl(file.as_fd(), F_SETSIG, libc::SIGURG)
        .and_then(|()| fcntl(file.as_fd(), libc::F_SETLEASE, libc::F_RDLCK));
    match taken {
        Ok(()) => {
            fcntl(file.as_fd(), libc::F_SETLEASE, libc::F_UNLCK).unwrap_or_default();
            Some(false)
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Some(true),
        Err(_) => None,
    }
}

fn fcntl(file: BorrowedFd<'_>, command: i32, argument: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed, and these commands take an
    // integer and touch no memory of ours.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Renames within a directory unless the new name is taken (renameat2(2), `RENAME_NOREPLACE`).
///
/// # Errors
/// `EEXIST` when it is taken; `EINVAL` of a file system that cannot tell, `ENOSYS` of a kernel.
pub(crate) fn rename_no_replace(
    directory: BorrowedFd<'_>,
    from: &OsStr,
    to: &OsStr,
) -> Result<(), Errno> {
    let name = |name: &OsStr| CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL);
    let (from, to) = (name(from)?, name(to)?);
    let directory = directory.as_raw_fd();
    // By its number, because musl has had a function for it only since lately.
    // SAFETY: the directory is open for as long as it is borrowed, and both names end with a NUL and
    // outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            directory,
            from.as_ptr(),
            directory,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    Errno::result(result).map(drop)
}

/// Lets the calling thread run only when nobody else wants the processor (nice 19, which the kernel's
/// disk schedulers follow as well).
pub(crate) fn lower_priority() {
    // SAFETY: the call takes integers only. Process 0 is the calling thread (setpriority(2), Linux).
    // A refusal means that it runs as before.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = File::open(file.path()).unwrap();
        assert_eq!(has_writer(&reader), Some(true));
        drop(file.into_temp_path().keep().unwrap());
        assert_eq!(has_writer(&reader), Some(false));
        assert_eq!(has_writer(&reader), Some(false), "the lease was given back");
    }
}
