use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::PodRef;

/// Events that the daemon remembers, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventList {
    /// The newest event's revision; 0 if there was none since the daemon started.
    pub revision: u64,
    /// The events.
    pub items: Vec<Event>,
}

/// Something that happened to a pod.
///
/// What happens again and again is one event whose count grows; it gets a new revision each time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Grows with every event; begins anew when the daemon does.
    pub revision: u64,
    /// When it happened, the last time.
    pub time: Timestamp,
    /// When it happened first.
    pub first_time: Timestamp,
    /// How often it happened.
    pub count: u32,
    /// Whether somebody should look at it.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What happened, in one word in CamelCase, the kubelet's where it has one: `Pulled`,
    /// `Started`, `BackOff`, `Killing`, `Unhealthy`.
    pub reason: String,
    /// The pod's namespace; empty for an event of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The pod; empty for an event of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The container, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What happened, in a sentence.
    pub message: String,
}

/// Whether somebody should look at an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventKind {
    /// All is well.
    #[default]
    Normal,
    /// Somebody should.
    Warning,
}

impl Event {
    /// Whether it is about this pod.
    pub fn is_about(&self, pod: &PodRef) -> bool {
        self.namespace == pod.namespace && self.pod == pod.name
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
