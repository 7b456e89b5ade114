use serde::Deserialize;

/// A container's link in a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Attachment {
    /// Id of the container, for CRI pods that of the sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Name of the link inside.
    #[serde(rename = "ifname")]
    pub link: String,
}
