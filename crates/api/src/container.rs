use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Container {
    /// Its name, unique within the pod.
    pub name: String,
    /// What part it has in the pod's life.
    #[serde(rename = "type")]
    pub kind: ContainerKind,
    /// The image as the manifest names it.
    pub image: String,
    /// The runtime's id of that image; nothing before it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// The runtime's id of the present container; nothing while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Number of the present container: how many the pod had of this name before.
    pub attempt: u32,
    /// What it does now.
    pub state: ContainerState,
    /// How it ended the last time, once it has been started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_termination: Option<Terminated>,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it was or will be started again, in a sentence: `back-off 40s, exit 137, out of memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_reason: Option<String>,
    /// When it will be started again; nothing unless it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_restart_at: Option<Timestamp>,
    /// Whether its startup probe, if it has one, has succeeded.
    pub started: bool,
    /// Whether it may be sent work.
    pub ready: bool,
    /// What its probes found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<ProbeStatus>,
    /// What it asks for and may use.
    pub resources: Resources,
    /// What it runs, if the manifest says so: command and arguments, variables not expanded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What is mounted into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Path of its log on the node; nothing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_path: Option<String>,
    /// Id of its first process on the host; nothing unless it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// What part a container has in its pod's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContainerKind {
    /// Runs to its end before the others start.
    Init,
    /// An init container that goes on running beside the others.
    Sidecar,
    /// What the pod is for.
    #[default]
    Regular,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContainerState {
    /// It does not run, but will.
    Waiting {
        /// Why, in one word in CamelCase, the kubelet's where it has one: `ContainerCreating`,
        /// `PodInitializing`, `CrashLoopBackOff`, `ImagePullBackOff`, `ErrImagePull`.
        reason: String,
        /// Why, in a sentence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// It runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// It ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Terminated {
    /// Exit status, or 128 and the number of the signal that ended it.
    pub exit_code: i32,
    /// Why, in one word in CamelCase: `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`.
    pub reason: String,
    /// Its termination message, or what the runtime said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it began; nothing if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended; nothing if nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The runtime's id of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}

/// What a probe found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeStatus {
    /// Which probe it is.
    #[serde(rename = "type")]
    pub kind: ProbeKind,
    /// How it asks, and how often, for a person: `http-get :8080/healthz every 10s`.
    pub question: String,
    /// What follows from its answers.
    pub result: ProbeResult,
    /// How many answers in a row were like the last one.
    pub in_a_row: u32,
    /// When the last answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// What the last answer was, in a sentence: `status 503 in 12 ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Which probe it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProbeKind {
    /// Has the container come up?
    Startup,
    /// Does it still work?
    #[default]
    Liveness,
    /// May it be sent work?
    Readiness,
}

/// What follows from a probe's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProbeResult {
    /// Nothing yet.
    #[default]
    Unknown,
    /// All is well.
    Success,
    /// It is not.
    Failure,
}

/// What a container asks for and may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resources {
    /// Thousandths of a processor that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_request_millis: Option<u64>,
    /// Thousandths of a processor that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit_millis: Option<u64>,
    /// Bytes of memory that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_request_bytes: Option<u64>,
    /// Bytes of memory that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

/// Something mounted into a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mount {
    /// The volume's name, or the host's path for CRI files.
    pub source: String,
    /// Where it is in the container.
    pub target: String,
    /// Whether it can only be read there.
    pub read_only: bool,
}

impl Container {
    /// Whether its first process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

impl Default for ContainerState {
    fn default() -> Self {
        Self::Waiting { reason: "ContainerCreating".to_owned(), message: None }
    }
}

display_as_debug!(ContainerKind, ProbeKind, ProbeResult);
