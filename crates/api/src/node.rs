use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The daemon and what it stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeInfo {
    /// The daemon's version.
    pub version: String,
    /// The node's name.
    pub name: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// The container runtime that pods run on.
    pub runtime: RuntimeInfo,
    /// The directory whose manifests are pods of the node.
    pub pods_dir: String,
    /// How it is.
    pub health: Health,
    /// What a person should know: a kubelet on the same runtime, a manifest without any pod that
    /// could run on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<crate::Problem>,
}

/// The container runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuntimeInfo {
    /// Its name, such as `containerd`; empty while it has never answered.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its socket.
    pub endpoint: String,
    /// Whether it is crilet's own.
    pub embedded: bool,
}

/// How the daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether it works at all; a supervisor should start it again if not.
    pub live: bool,
    /// Whether it knows its pods and can act upon them.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What: `runtime`, `sources`, …
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// How it is, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
