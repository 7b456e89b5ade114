use std::{io, path::PathBuf};

/// Where crilet keeps what a pod needs while its sandbox exists, one directory for each.
///
/// It may be lost at a reboot: sandboxes do not survive one either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Pods' files below this directory, `/run/crilet/pods` by default.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file that a pod's containers have as `/etc/hosts`.
    pub fn hosts_file(&self, sandbox_id: &str) -> PathBuf {
        self.pod(sandbox_id).join("hosts")
    }

    /// Removes what a pod had here. Idempotent.
    ///
    /// # Errors
    /// What the kernel said about it; some of it may be left.
    pub fn remove(&self, sandbox_id: &str) -> io::Result<()> {
        match std::fs::remove_dir_all(self.pod(sandbox_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The directory of one pod.
    pub fn pod(&self, sandbox_id: &str) -> PathBuf {
        // Ids come from the runtime and are hexadecimal; anything else must not leave the root.
        let safe: String = sandbox_id.chars().filter(char::is_ascii_alphanumeric).collect();
        self.root.join(safe)
    }
}
