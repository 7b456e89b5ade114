use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crilet_cri::v1;

use super::{Hidden, Lifecycle, Probes, RestartAction, RestartPolicy, RestartRule, RestartVerdict};
use crate::images::PullPolicy;

/// A container as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Unique within the pod.
    pub name: String,
    /// The image as written.
    pub image: String,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// Instead of the pod's restart policy. An init container with `Always` is a sidecar.
    pub restart_policy: Option<RestartPolicy>,
    /// Go before any policy; the first that fits counts.
    pub restart_rules: Vec<RestartRule>,
    /// How it is asked whether it is well.
    pub probes: Probes,
    /// What happens after its start and before its end.
    pub lifecycle: Lifecycle,
    /// How the container may leave a last word; nothing for CRI files.
    pub termination: Option<Termination>,
    /// Instead of the pod's grace period; CRI files alone have it.
    pub grace: Option<Duration>,
    /// What it asks for and may use at most.
    pub resources: Resources,
    /// Whether a user that is root is refused; which user an image has shows at the start only.
    pub run_as_non_root: bool,
    /// Environment in order; a later variable of the same name wins. CRI files have theirs in
    /// `config`.
    pub env: Vec<EnvVar>,
    /// What it mounts of the pod's volumes. CRI files have theirs in `config`.
    pub mounts: Vec<Mount>,
    /// The CRI's configuration without attempt, environment and mounts from above, labels and
    /// annotations of crilet. `command`, `args` still have their `$(VAR)` (not those of CRI files);
    /// `log_path` is empty unless the manifest gives one.
    pub config: v1::ContainerConfig,
    /// Whether `$(VAR)` is expanded in `command`, `args` and `env`: not in CRI files.
    pub expand: bool,
    /// Changes whenever the container has to be made anew.
    pub hash: String,
}

/// Where a container may leave a last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// The file inside the container, absolute.
    pub path: String,
    /// Where the word comes from.
    pub policy: TerminationPolicy,
}

/// Where a container's last word comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TerminationPolicy {
    /// From the file.
    #[default]
    File,
    /// From the file; if that is empty and the container failed, the last lines of its log.
    FallbackToLogsOnError,
}

/// What a container asks for and may use at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Asked for, in thousandths of a CPU.
    pub cpu_request: Option<u64>,
    /// At most, in thousandths of a CPU.
    pub cpu_limit: Option<u64>,
    /// Asked for, in bytes.
    pub memory_request: Option<u64>,
    /// At most, in bytes.
    pub memory_limit: Option<u64>,
    /// At most, in bytes, by page size in bytes.
    pub hugepage_limits: BTreeMap<u64, u64>,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Text in which `$(VAR)` of variables before it is expanded.
    Text(String),
    /// Text that is taken as it is, out of a ConfigMap or the pod itself.
    Exact(String),
    /// Out of a Secret.
    Secret(Hidden<String>),
    /// What only a start knows.
    Late(LateValue),
}

/// What neither the manifest nor the pod's name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateValue {
    /// `status.podIP`.
    PodIp,
    /// `status.podIPs`, with commas.
    PodIps,
    /// `status.hostIP`.
    HostIp,
    /// `status.hostIPs`, with commas.
    HostIps,
    /// `spec.nodeName`.
    NodeName,
    /// The machine's CPUs, where a container has no limit.
    NodeCpu(Divisor),
    /// The machine's memory, where a container has no limit.
    NodeMemory(Divisor),
    /// Free space of the disk with the pods' directories, where a container has no limit.
    NodeStorage(Divisor),
}

/// By how much a resource's value is divided, rounded up: thousandths of a CPU, or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divisor(pub std::num::NonZeroU64);

/// A volume at its place in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Name of the pod's volume.
    pub volume: String,
    /// Where it is in the container, absolute.
    pub path: PathBuf,
    /// Which part of the volume; nothing for all of it.
    pub sub_path: Option<SubPath>,
    /// Whether the container cannot write there.
    pub read_only: bool,
    /// Whether it cannot write to mounts below, either.
    pub recursive_read_only: bool,
    /// Whether mounts made on one side show on the other.
    pub propagation: v1::MountPropagation,
}

/// A path inside a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubPath {
    /// As written.
    Text(String),
    /// With `$(VAR)` to be expanded.
    Expanded(String),
}

impl Divisor {
    /// How often it goes into an amount, rounded up.
    pub fn divide(self, amount: u64) -> u64 {
        amount.div_ceil(self.0.get())
    }
}

impl Container {
    /// Whether this is an init container that runs on beside the others. Meaningful for those in
    /// [`super::Pod::init`] alone.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }

    /// What follows when it ended with `exit_code`: rules first, then its own policy, then the
    /// pod's (`pkg/kubelet/container/helpers.go`). A container that a probe killed is judged by
    /// policies alone: pass `rules: false`.
    pub fn after_exit(&self, pod: RestartPolicy, exit_code: i32, rules: bool) -> RestartVerdict {
        let rule = self.restart_rules.iter().find(|rule| rules && rule.fits(exit_code));
        match rule.map(|rule| rule.action) {
            Some(RestartAction::Restart) => RestartVerdict::Restart,
            Some(RestartAction::RestartAllContainers) => RestartVerdict::RestartAll,
            None if self.restart_policy.unwrap_or(pod).restarts(exit_code) => {
                RestartVerdict::Restart
            }
            None => RestartVerdict::Stay,
        }
    }
}
