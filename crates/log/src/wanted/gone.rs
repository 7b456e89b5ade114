//! Logs of pods and containers that the runtime has forgotten, while their files exist.
//!
//! A kubelet, and who follows it, keeps them in `/var/log/pods/NAMESPACE_NAME_UID/CONTAINER/N.log`,
//! N being how many containers of this name there were before.

use std::{ffi::OsStr, fs, path::Path, sync::Arc};

use super::Chosen;
use crate::{LogFile, files::Directory};

/// The logs of a pod that is gone, or of one container of it: `POD[/CONTAINER]` or
/// `NAMESPACE/POD[/CONTAINER]`. `root` is where pods have their directories.
pub fn of_target(root: &Path, target: &str, previous: bool) -> Vec<Chosen> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let mut parts = file_name.to_str().unwrap_or_default().splitn(3, '_');
        let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else { continue };
        let full = format!("{namespace}/{name}");
        let container = [name, full.as_str()].into_iter().find_map(|pod| {
            let rest = target.strip_prefix(pod)?;
            if rest.is_empty() { Some(None) } else { rest.strip_prefix('/').map(Some) }
        });
        if let Some(container) = container {
            found.extend(of_directory(&entry.path(), &full, container, previous));
        }
    }
    found
}

/// The newest log of each container, or of the `wanted` one, in the log directory of a pod; with
/// `previous` the one before. `pod` is what the pod is called.
pub fn of_directory(path: &Path, pod: &str, wanted: Option<&str>, previous: bool) -> Vec<Chosen> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let names = names.iter().filter_map(|name| name.to_str());
    let names = names.filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    names
        .filter_map(|container| {
            let directory = Directory::open_below(path, Path::new(container)).ok()?;
            let mut attempts = attempts(&directory);
            attempts.sort_unstable_by(|a, b| b.cmp(a));
            let attempt = attempts.get(usize::from(previous))?;
            let log = LogFile::new(Arc::new(directory), format!("{attempt}.log"));
            Some(Chosen::of_files(log, pod, container))
        })
        .collect()
}

/// Numbers of the containers that have a log in a directory, rotated away or not.
fn attempts(directory: &Directory) -> Vec<u32> {
    let number = |name: &str| name.split_once(".log")?.0.parse().ok();
    let names = directory.names().unwrap_or_default().into_iter();
    let mut attempts: Vec<u32> = names.filter_map(|name| number(name.to_str()?)).collect();
    attempts.sort_unstable();
    attempts.dedup();
    attempts
}

/// The log of the container before one of this attempt: `N-1.log` beside `N.log`.
pub(super) fn before(log: &LogFile, attempt: u32) -> Option<LogFile> {
    let before = attempt.checked_sub(1)?;
    between(log, before, attempt).pop()
}

/// The logs of containers from one attempt up to that of `log`, beside it, whose files are there.
pub(super) fn between(log: &LogFile, from: u32, attempt: u32) -> Vec<LogFile> {
    if log.name() != OsStr::new(&format!("{attempt}.log")) {
        return Vec::new();
    }
    let found =
        attempts(log.directory()).into_iter().filter(|found| (from..attempt).contains(found));
    // The very directory that was opened, whatever its path leads to by now.
    found.map(|found| LogFile::new(Arc::clone(&log.directory), format!("{found}.log"))).collect()
}
