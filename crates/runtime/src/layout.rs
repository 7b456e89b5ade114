//! Where the embedded runtime keeps its things.

use std::path::{Path, PathBuf};

use crilet_cri::Endpoint;

/// Paths of one embedded runtime: what lasts is below `root`, what ends with the machine below
/// `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    state: PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new("/var/lib/crilet", "/run/crilet")
    }
}

impl Layout {
    /// The layout below crilet's own two directories (`CRILET_ROOT` and `CRILET_STATE`).
    pub fn new(crilet_root: impl AsRef<Path>, crilet_state: impl AsRef<Path>) -> Self {
        Self {
            root: crilet_root.as_ref().join("runtime"),
            state: crilet_state.as_ref().join("runtime"),
        }
    }

    /// Directory of what lasts: images, snapshots, configuration, log.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Directory of what ends with the machine: socket, mounts, leases, records of processes.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Socket of the CRI and of containerd's own API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// The socket as verbs name it.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.socket())
    }

    /// containerd's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Directory with a `hosts.toml` for each registry that has mirrors.
    #[must_use]
    pub fn registries(&self) -> PathBuf {
        self.root.join("registries")
    }

    /// Directory of the network configuration, which holds one file.
    #[must_use]
    pub fn cni_config_directory(&self) -> PathBuf {
        self.root.join("cni/net.d")
    }

    /// Directory of crilet's own network plugins.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.root.join("cni/bin")
    }

    /// Directory of address leases. They end with the machine, as the pods that hold them do.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.state.join("cni/leases")
    }

    /// containerd's log; an older part has the suffix `.1`.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.root.join("containerd.log")
    }

    /// What was set by the last `up`, and the subnets that it chose.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.root.join("settings.json")
    }

    /// Held by `up` and `down` while they work.
    pub(crate) fn change_lock(&self) -> PathBuf {
        self.root.join("change.lock")
    }

    /// Held by the supervisor while it lives.
    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.state.join("supervisor.lock")
    }

    /// Which process supervises.
    pub(crate) fn supervisor_record(&self) -> PathBuf {
        self.state.join("supervisor.json")
    }

    /// Which process is containerd, and how often it had to be started.
    pub(crate) fn containerd_record(&self) -> PathBuf {
        self.state.join("containerd.json")
    }

    /// Which chains existed before the first `up` since the machine started.
    pub(crate) fn chains_record(&self) -> PathBuf {
        self.state.join("chains.json")
    }
}
