//! Logs, and what only pod and containers together show.

use std::collections::HashMap;

use super::Check;
use crate::{
    config::{Finding, Located},
    v1,
};

impl Check<'_> {
    pub(super) fn log_directory(&mut self, directory: &str) {
        if !directory.is_empty() {
            self.absolute("log_directory", directory);
        }
    }

    /// Checks that a log stays inside the pod's log directory, to which its path is relative.
    pub(super) fn log_path(&mut self, path: &str) {
        if path.is_empty() {
            return;
        }
        let problem = if path.starts_with('/') {
            "is absolute; it is relative to the pod's log_directory"
        } else if escapes(path) {
            "leaves the pod's log_directory"
        } else if matches!(path.rsplit('/').next(), Some("" | "." | "..")) {
            "names a directory, not a file"
        } else {
            return;
        };
        self.wrong("log_path", format!("{path:?} {problem}"));
    }
}

/// Tells whether a relative path steps above its beginning, even if it comes back.
fn escapes(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Checks a pod and its containers against each other.
pub(in crate::config) fn together(
    pod: &Located<v1::PodSandboxConfig>,
    containers: &[Located<v1::ContainerConfig>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: HashMap<&str, &Located<v1::ContainerConfig>> = HashMap::new();
    let mut logs: HashMap<&str, &str> = HashMap::new();
    for container in containers {
        let name = container.config.metadata.as_ref().map_or("", |metadata| &metadata.name);
        if let Some(first) = names.get(name) {
            let message = format!("a second container `{name}`");
            let hint = format!("the first is in {}", first.file().display());
            findings.push(container.finding("metadata.name", message).hint(hint));
        } else if !name.is_empty() {
            names.insert(name, container);
        }
        let log = container.config.log_path.as_str();
        if log.is_empty() {
            continue;
        }
        if pod.config.log_directory.is_empty() {
            let message = format!("given, but {} has no log_directory", pod.file().display());
            let hint = "without both, the runtime writes no log";
            findings.push(container.finding("log_path", message).hint(hint));
        }
        if let Some(other) = logs.insert(log, name).filter(|other| *other != name) {
            let message = format!("{log:?} is the log of container `{other}`, too");
            findings.push(container.finding("log_path", message));
        }
    }
    findings
}
