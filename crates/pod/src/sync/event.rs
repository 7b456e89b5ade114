use std::fmt;

/// Something that happened to a pod, worth telling a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `namespace/name`.
    pub pod: String,
    /// The container, if it is about one.
    pub container: Option<String>,
    /// Whether something is not as it should be.
    pub warning: bool,
    /// A word for machines, the kubelet's own where it has one (`pkg/kubelet/events`).
    pub reason: &'static str,
    /// What happened, in words.
    pub message: String,
}

/// Hears of events. Nothing may block in here.
pub trait EventSink: fmt::Debug + Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}
