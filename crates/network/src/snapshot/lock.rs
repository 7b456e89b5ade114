//! Who holds the lock of iptables.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::LockHolder;

const LOCK: &str = "/run/xtables.lock";

/// The process that holds it now; a lock is seen only from the process namespace that it is held in.
pub(super) fn holder() -> Option<LockHolder> {
    let inode = fs::metadata(Path::new(LOCK)).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, inode))?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(LockHolder { pid, program: program.trim().to_owned(), seconds: age(pid)? })
}

/// `1: FLOCK  ADVISORY  WRITE 1234 00:19:567 0 EOF`; who waits has `->` behind the number.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = words.as_slice() else { return None };
    let own = file.rsplit(':').next()?.parse() == Ok(inode);
    pid.parse().ok().filter(|pid| own && *pid > 0)
}

/// Seconds since a process was started.
fn age(pid: u32) -> Option<u64> {
    let started = fs::metadata(format!("/proc/{pid}")).ok()?.modified().ok()?;
    Some(std::time::SystemTime::now().duration_since(started).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::holder_in;

    #[test]
    fn only_the_holder_is_found() {
        let line = "4: FLOCK  ADVISORY  WRITE 1234 00:19:567 0 EOF";
        assert_eq!(holder_in(line, 567), Some(1234));
        assert_eq!(holder_in(line, 568), None);
        assert_eq!(holder_in("4: -> FLOCK  ADVISORY  WRITE 99 00:19:567 0 EOF", 567), None);
        assert_eq!(holder_in("4: POSIX  ADVISORY  WRITE 99 00:19:567 0 EOF", 567), None);
    }
}
