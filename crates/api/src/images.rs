use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Asks for images that nobody needs to be removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageGcRequest {
    /// Tell what would be removed, and remove nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Remove all images that are not needed, however full the disk is.
    #[serde(default)]
    pub all: bool,
}

/// What a collection of images did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageGcReport {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// How full the file system of images is, in percent, before.
    pub used_percent: u8,
    /// Bytes that were freed.
    pub freed_bytes: u64,
    /// Images that were removed, longest unused first.
    pub removed: Vec<RemovedImage>,
    /// Why images could not be removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// An image that was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemovedImage {
    /// The runtime's id.
    pub id: String,
    /// Its names.
    pub names: Vec<String>,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// When a container last used it; nothing if none has since the daemon first saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}
