use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Finding;

/// Manifests that the daemon is to keep.
///
/// All of it is used or nothing: one error in any file and no pod changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApplyRequest {
    /// The manifests.
    pub sources: Vec<ManifestSource>,
    /// Tell what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The name of the set that these pods belong to from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Delete the pods of the set that are not among these; needs `set`.
    #[serde(default)]
    pub prune: bool,
}

/// Files that are read together: one manifest, or the CRI files of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ManifestSource {
    /// The files, at least one. What relative paths in them mean is decided by their names.
    pub files: Vec<ManifestFile>,
}

/// A file of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ManifestFile {
    /// Its name, for messages: a path, or `<stdin>`.
    pub name: String,
    /// What is in it, YAML or JSON.
    pub text: String,
}

/// What an apply did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApplyReport {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The pods, in the order of the files, then those that are pruned.
    pub pods: Vec<AppliedPod>,
    /// What is probably not meant so.
    pub warnings: Vec<Finding>,
}

/// What an apply did, or would do, to one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppliedPod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// What was done to it.
    pub action: Action,
    /// Whether its sandbox is made anew, and every container with it.
    pub recreates_sandbox: bool,
    /// Containers that are made anew, added or removed; all of them if the sandbox is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerChange>,
    /// What changed in the manifest as a unified diff without file names; empty if nothing did.
    /// Secrets are shown as hashes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub diff: String,
}

/// What is done to a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContainerChange {
    /// Its name.
    pub name: String,
    /// What is done.
    pub action: ContainerAction,
}

/// What is done to a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Action {
    /// It is new.
    Created,
    /// It is another than before.
    Changed,
    /// It is as before.
    #[default]
    Unchanged,
    /// It is deleted, because the set no longer has it.
    Pruned,
}

/// What is done to a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContainerAction {
    /// It is new.
    Added,
    /// It is stopped and made anew.
    #[default]
    Recreated,
    /// It is stopped and removed.
    Removed,
}

macro_rules! display_as {
    ($($name:ident { $($variant:ident => $word:literal),* })*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(match self { $(Self::$variant => $word),* })
            }
        }
    )*};
}
display_as! {
    Action {
        Created => "created", Changed => "changed", Unchanged => "unchanged", Pruned => "pruned"
    }
    ContainerAction { Added => "added", Recreated => "recreated", Removed => "removed" }
}
