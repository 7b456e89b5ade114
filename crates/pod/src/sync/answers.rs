use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Whether it has come up.
    Startup,
    /// Whether it works.
    Liveness,
    /// Whether it may be sent work.
    Readiness,
}

/// What a probe was answered the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// When.
    pub at: SystemTime,
    /// Whether it was what is hoped for.
    pub success: bool,
    /// What was wrong, in words; empty after a success.
    pub message: String,
    /// How many answers in a row were like it.
    pub in_a_row: u32,
    /// What follows from the answers so far; nothing yet while there are too few.
    pub verdict: Option<bool>,
}

/// The last answers to all probes of a node, for whoever wants to look.
///
/// They are beside the state of pods on purpose: an answer that changes nothing comes every few
/// seconds from every probe, and nobody who watches pods should be woken by it.
#[derive(Debug, Default)]
pub struct Answers {
    last: Mutex<BTreeMap<(String, ProbeKind), Answered>>,
}

impl Answers {
    /// The last answer to a probe of a container, by its id.
    pub fn last(&self, container: &str, kind: ProbeKind) -> Option<Answered> {
        self.lock().get(&(container.to_owned(), kind)).cloned()
    }

    pub(super) fn record(&self, key: (String, ProbeKind), answered: Answered) {
        self.lock().insert(key, answered);
    }

    pub(super) fn forget(&self, key: &(String, ProbeKind)) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, ProbeKind), Answered>> {
        // A map is whole between any two of its operations.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
