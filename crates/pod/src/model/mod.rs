//! A pod as `crilet serve` keeps it: what [`crate::manifest`] read, ready to be rendered.
//!
//! The CRI's own messages hold whatever the CRI has words for: [`Pod::sandbox`] and
//! [`Container::config`] are configurations that lack only what a single start decides (attempt,
//! addresses, paths of volumes). Beside them stands what the runtime is never told: when to restart,
//! what to probe, which volumes to make, how long to wait. [`crate::render`] joins a
//! configuration with the facts of a start.
//!
//! What an edit of a manifest needs is told by two hashes:
//!
//! | changed | needs |
//! | --- | --- |
//! | [`Pod::sandbox_hash`] | a new sandbox, and all containers with it |
//! | [`Container::hash`] | that container again, in the same sandbox |
//! | neither | nothing: probes, hooks, restart policies and grace periods hold at once, files of mounted ConfigMaps and Secrets are brought up to date in place |
//!
//! Neither hash depends on the machine or on the order of keys in a file.

mod container;
mod hash;
mod hidden;
mod network;
mod probe;
mod restart;
mod volume;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crilet_core::yaml::Position;
use crilet_cri::v1;

pub(crate) use self::hash::derive_uid;
pub use self::{
    container::{
        Container, Divisor, EnvValue, EnvVar, LateValue, Mount, Resources, SubPath, Termination,
        TerminationPolicy,
    },
    hidden::Hidden,
    network::{Dns, DnsPolicy, HostAlias, Names},
    probe::{Handler, Hook, HttpGet, Lifecycle, Probe, Probes, Scheme},
    restart::{Backoff, InvalidBackoff, RestartAction, RestartPolicy, RestartRule, RestartVerdict},
    volume::{
        FileContent, FileSet, FsGroup, FsGroupPolicy, HostPathType, Medium, Volume, VolumeFile,
        VolumeSource,
    },
};
use crate::images::{PullPolicy, PullSecrets};

/// The grace period of a pod whose manifest gives none, as Kubernetes has it.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// A pod as it should be.
///
/// `namespace/name` is unique among all pods of the node; the uid follows from it unless the
/// manifest gives one, so that an edited manifest and a restarted daemon mean the same pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// `metadata.namespace`; `default` where the manifest gives none.
    pub namespace: String,
    /// `metadata.name`; `<deployment>-<n>` for a pod of a Deployment, counted from 0.
    pub name: String,
    /// Stable identity in the form of a UUID, or the manifest's own.
    pub uid: String,
    /// Labels as written.
    pub labels: BTreeMap<String, String>,
    /// Annotations as written, crilet's own policies among them.
    pub annotations: BTreeMap<String, String>,
    /// Where it was written.
    pub origin: Origin,
    /// When containers that have no policy of their own are started again.
    pub restart_policy: RestartPolicy,
    /// How long restarts wait.
    pub backoff: Backoff,
    /// How long containers may take to end when the pod is taken down, hooks included.
    pub grace: Duration,
    /// How long the pod may be active, from its first start on; then it is taken down for good.
    pub active_deadline: Option<Duration>,
    /// Name of the runtime handler; empty for the runtime's default.
    pub runtime_handler: String,
    /// The sandbox, without attempt, with the host names, ports (those of init containers too),
    /// namespaces, sysctls, labels and annotations of the pod; without the resolver's settings
    /// unless [`Pod::dns`] is nothing.
    pub sandbox: v1::PodSandboxConfig,
    /// Under which names the pod knows itself and others find it.
    pub names: Names,
    /// Further lines of `/etc/hosts`.
    pub host_aliases: Vec<HostAlias>,
    /// How `/etc/resolv.conf` is made; nothing for CRI files, whose sandbox says it itself.
    pub dns: Option<Dns>,
    /// Which group owns the pod's volumes.
    pub fs_group: Option<FsGroup>,
    /// How the pod's demands for resources rank it.
    pub qos: Qos,
    /// What runs one after the other before the containers, in order; sidecars among them.
    pub init: Vec<Container>,
    /// What runs side by side, in the order of the manifest.
    pub containers: Vec<Container>,
    /// What containers mount, by name.
    pub volumes: Vec<Volume>,
    /// Credentials of registries that the manifest brings.
    pub pull_secrets: PullSecrets,
    /// Changes whenever the sandbox has to be made anew.
    pub sandbox_hash: String,
}

/// Where a pod was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file; the one with the sandbox for CRI files.
    pub file: PathBuf,
    /// Line and column where the pod begins.
    pub position: Option<Position>,
    /// Number of the document in its file, from 1.
    pub document: usize,
    /// In which words it was written.
    pub format: Format,
}

/// In which words a pod was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Configurations of the CRI.
    Cri,
    /// A Pod of Kubernetes.
    Pod,
    /// The template of a Deployment.
    Deployment {
        /// The Deployment's name.
        name: String,
        /// Which of its pods this is, from 0.
        index: u32,
    },
}

/// The kubelet's quality-of-service classes (`pkg/apis/core/v1/helper/qos`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container limits CPU and memory and requests just as much.
    Guaranteed,
    /// Some container requests or limits something.
    Burstable,
    /// No container says anything about CPU or memory.
    BestEffort,
}

impl Pod {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Every container, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init.iter().chain(&self.containers)
    }

    /// The container of that name; names are unique within a pod.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.all_containers().find(|container| container.name == name)
    }

    /// The volume of that name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// Whether the pod lives in the host's network namespace.
    pub fn uses_host_network(&self) -> bool {
        let linux = self.sandbox.linux.as_ref();
        linux
            .and_then(|linux| linux.security_context.as_ref())
            .and_then(|context| context.namespace_options.as_ref())
            .is_some_and(|options| options.network() == v1::NamespaceMode::Node)
    }

    /// Images that volumes are made of, with the policy that says when to pull them.
    pub fn volume_images(&self) -> impl Iterator<Item = (&str, PullPolicy)> {
        self.volumes.iter().filter_map(|volume| match &volume.source {
            VolumeSource::Image { reference, pull_policy } => {
                Some((reference.as_str(), *pull_policy))
            }
            _ => None,
        })
    }
}
