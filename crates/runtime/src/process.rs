//! Processes that are remembered across runs of crilet, safe from reuse of their ids.

use std::{fs, io, path::Path, time::Duration};

use crilet_core::fs::{WriteError, write_durably};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// How often it is looked whether a process is gone.
const POLL: Duration = Duration::from_millis(10);

/// A process by its id and its start, in clock ticks since boot: the pair never comes twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) start: u64,
    /// How often it had to be started again; 0 for the supervisor.
    #[serde(default)]
    pub(crate) restarts: u32,
    /// How its predecessor ended.
    #[serde(default)]
    pub(crate) last_ending: Option<String>,
}

impl Process {
    /// Looks a running process up.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, start: start_of(pid)?, restarts: 0, last_ending: None })
    }

    pub(crate) fn own() -> Option<Self> {
        Self::find(std::process::id())
    }

    /// Reads the record of a process; `None` when there is none, or no whole one.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), WriteError> {
        // Serialising a plain struct cannot fail.
        write_durably(path, &serde_json::to_vec(self).unwrap_or_default(), 0o600)
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_of(self.pid) == Some(self.start)
    }

    /// Seconds since it started.
    pub(crate) fn age(&self) -> Option<u64> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let seconds: u64 = uptime.split('.').next()?.parse().ok()?;
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
        Some(seconds.saturating_sub(self.start / u64::try_from(ticks).ok()?))
    }

    /// Sends a signal, unless the process is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => tracing::warn!(pid = self.pid, %error, "cannot signal the process"),
            }
        }
    }

    /// Asks the process to end and waits; kills it when it takes longer than `patience`.
    pub(crate) async fn end(&self, patience: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        if self.is_gone_within(patience).await {
            return true;
        }
        self.signal(Signal::SIGKILL);
        self.is_gone_within(Duration::from_secs(10)).await
    }

    pub(crate) async fn is_gone_within(&self, patience: Duration) -> bool {
        let wait = async {
            while self.is_alive() {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }
}

/// When a process started, in clock ticks since boot; `None` when it is gone or a zombie.
fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can hold anything, blanks and parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // `start` is field 22; the state was field 3.
    fields.nth(18)?.parse().ok()
}

/// Takes a lock file; `None` when another process holds it. It is let go with the value.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<Flock<fs::File>>> {
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_lives_and_one_with_another_start_does_not() {
        let own = Process::own().unwrap();
        assert!(own.is_alive());
        assert!(own.age().is_some());
        assert!(!Process { start: own.start + 1, ..own }.is_alive());
        assert_eq!(Process::find(u32::MAX), None);
    }

    #[test]
    fn a_record_is_read_back_and_a_broken_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        assert_eq!(Process::read(&path), None);
        let own = Process::own().unwrap();
        own.write(&path).unwrap();
        assert_eq!(Process::read(&path), Some(own));
        fs::write(&path, "{").unwrap();
        assert_eq!(Process::read(&path), None);
    }

    #[test]
    fn a_lock_excludes_until_it_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        drop(lock);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
