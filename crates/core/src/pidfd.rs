use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use nix::libc;
use tokio::io::{Interest, unix::AsyncFd};

/// Tells when a process ends, whoever started it, the moment the kernel knows.
///
/// Made of a pidfd (pidfd_open(2), Linux 5.3), so that the id's next owner is never mistaken for
/// it. It tells nothing about how the process ended.
#[derive(Debug)]
pub struct ProcessEnd(AsyncFd<OwnedFd>);

impl ProcessEnd {
    /// Begins to watch the process that has this id now.
    ///
    /// # Errors
    /// `ESRCH` when there is none; what the kernel or the event loop says otherwise.
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid =
            libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        // SAFETY: the call takes two integers and touches no memory of ours.
        #[expect(unsafe_code, reason = "neither std nor nix has pidfd_open")]
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
        let descriptor = match i32::try_from(descriptor) {
            Ok(descriptor) if descriptor >= 0 => descriptor,
            _ => return Err(io::Error::last_os_error()),
        };
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        #[expect(unsafe_code, reason = "a raw descriptor becomes one that closes itself")]
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: an `OwnedFd` keeps its one descriptor open until it is dropped, and only the
        // `AsyncFd` that we keep to ourselves drops it.
        #[expect(unsafe_code, reason = "the event loop has to know the descriptor")]
        let registered = unsafe { AsyncFd::register_with_interest(owned, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until the process has ended. Safe to drop and to call again.
    ///
    /// # Errors
    /// What the event loop says.
    pub async fn wait(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_seen() {
        let mut child = tokio::process::Command::new("sleep").arg("60").spawn().unwrap();
        let end = ProcessEnd::of(child.id().unwrap()).unwrap();
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), end.wait()).await;
        assert!(early.is_err(), "it still runs");
        child.start_kill().unwrap();
        end.wait().await.unwrap();
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_is_an_error() {
        let error = ProcessEnd::of(u32::MAX / 2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
