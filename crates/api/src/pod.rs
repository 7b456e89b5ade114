use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Container, Finding};

/// All pods that the daemon keeps, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodList {
    /// Grows with every change of any pod; begins anew when the daemon does.
    pub revision: u64,
    /// The pods, by namespace and name.
    pub items: Vec<Arc<Pod>>,
}

/// Which pod is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodRef {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A pod that the daemon keeps: what it should be, what it is, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`; with the namespace unique among the pods of the node.
    pub name: String,
    /// Stable identity, the same after an edit of the manifest and a restart of the daemon.
    pub uid: String,
    /// The node's revision when the pod changed last.
    pub revision: u64,
    /// Where its manifest is.
    pub source: Source,
    /// Labels of the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When the daemon first saw it.
    pub created_at: Timestamp,
    /// When its present sandbox was first asked for; nothing before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Whether it is to run.
    pub desired: Desired,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there, in a sentence; nothing where the phase says it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is true of it and since when.
    pub conditions: Vec<Condition>,
    /// Its sandbox; nothing while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// Its addresses; those of the host for a pod in the host's network.
    pub ips: Vec<IpAddr>,
    /// Whether it lives in the host's network namespace.
    pub host_network: bool,
    /// Ports that its containers name.
    pub ports: Vec<Port>,
    /// Containers: init containers in their order first, then the others in that of the manifest.
    pub containers: Vec<Container>,
    /// Volumes of the manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// When containers without a policy of their own are started again.
    pub restart_policy: RestartPolicy,
    /// How its demands for resources rank it.
    pub qos_class: QosClass,
    /// How long its containers may take to end, in seconds.
    pub grace_seconds: u64,
    /// The runtime handler; empty for the runtime's default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime_handler: String,
    /// What a person should know: an edit that cannot be used (the last good pod runs on), an image
    /// that cannot be pulled, an orphan that cannot be removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// Where a pod's manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Source {
    /// A file that its owner edits; the daemon never writes it.
    File {
        /// Path on the node.
        file: String,
        /// Line of the file where the pod begins, from 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
    },
    /// Given to the API and kept by the daemon.
    Applied {
        /// The name of the file it was applied from, as the client gave it.
        file: String,
        /// Line of that file where the pod begins, from 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        /// The set that it was applied in, for pruning.
        #[serde(skip_serializing_if = "Option::is_none")]
        set: Option<String>,
    },
}

/// Whether a pod is to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Desired {
    /// It is to run.
    #[default]
    Running,
    /// Somebody stopped it; it stays so over restarts of the daemon and of the machine.
    Stopped,
    /// It is being taken away.
    Deleted,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    /// It is on its way up: images, sandbox, init containers, or a container that never ran yet.
    #[default]
    Pending,
    /// Every container has been started, and one at least runs or will be started again.
    Running,
    /// Every container ended with status 0 and none will be started again.
    Succeeded,
    /// Every container ended, one at least badly, and none will be started again.
    Failed,
    /// It is on its way down.
    Stopping,
    /// It is down because somebody stopped it.
    Stopped,
}

/// Something that is true of a pod, or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// What it says, with the kubelet's words: `PodReadyToStartContainers`, `Initialized`,
    /// `ContainersReady`, `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is true.
    pub status: ConditionStatus,
    /// Since when it has this status.
    pub since: Timestamp,
    /// Why, in one word in CamelCase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a condition is true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConditionStatus {
    /// It is.
    True,
    /// It is not.
    False,
    /// Not known at this moment.
    #[default]
    Unknown,
}

/// The sandbox of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sandbox {
    /// Its id at the runtime.
    pub id: String,
    /// How many the pod had before.
    pub attempt: u32,
    /// When the runtime made it.
    pub created_at: Timestamp,
    /// Whether it is up and has its network.
    pub ready: bool,
}

/// A port that a container names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Port {
    /// The container; nothing for ports that CRI files give for the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port inside of the pod.
    pub container_port: u16,
    /// The port of the host that leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The one address of the host that does; nothing for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// A volume of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Volume {
    /// Its name in the manifest.
    pub name: String,
    /// What it is, in the manifest's word: `hostPath`, `emptyDir`, `configMap`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What a person wants to know of it: the host's path, the name of the ConfigMap, the medium.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// When containers are started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RestartPolicy {
    /// However they ended.
    #[default]
    Always,
    /// Unless they ended with status 0.
    OnFailure,
    /// Never.
    Never,
}

/// The kubelet's quality-of-service classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum QosClass {
    /// Every container limits CPU and memory and requests just as much.
    Guaranteed,
    /// Some container requests or limits something.
    Burstable,
    /// No container says anything about CPU or memory.
    #[default]
    BestEffort,
}

/// Something about a pod that a person should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// What kind it is, in one word in CamelCase: `InvalidManifest`, `PullFailed`, …
    pub reason: String,
    /// What is the matter, in a sentence.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// What is wrong in the manifest, where that is the matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl PodRef {
    /// The pod of this namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodRef {
    /// `namespace/name`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Pod {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Which pod this is.
    pub fn reference(&self) -> PodRef {
        PodRef::new(&self.namespace, &self.name)
    }

    /// The status of a condition; unknown if the pod does not have it.
    pub fn condition(&self, kind: &str) -> ConditionStatus {
        let found = self.conditions.iter().find(|condition| condition.kind == kind);
        found.map_or(ConditionStatus::Unknown, |condition| condition.status)
    }

    /// Whether it may be sent work: the condition `Ready`.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready") == ConditionStatus::True
    }

    /// How often its containers were started again, all together.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }
}

impl Source {
    /// The file, and the line in it, as `FILE:LINE`.
    pub fn place(&self) -> String {
        let (Self::File { file, line } | Self::Applied { file, line, .. }) = self;
        line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
    }

    /// Whether the daemon keeps the manifest itself.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::File { file: String::new(), line: None }
    }
}

display_as_debug!(Desired, Phase, ConditionStatus, RestartPolicy, QosClass);

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for Port {
    /// `8080->80/tcp`, `127.0.0.1:8080->80/tcp`; `80/tcp` for one that the host does not publish.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host_port) = self.host_port {
            match self.host_ip {
                Some(IpAddr::V6(ip)) => write!(formatter, "[{ip}]:")?,
                Some(IpAddr::V4(ip)) => write!(formatter, "{ip}:")?,
                None => {}
            }
            write!(formatter, "{host_port}->")?;
        }
        write!(formatter, "{}/{}", self.container_port, self.protocol)
    }
}
