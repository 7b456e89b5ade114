use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

/// What only the process that keeps a pod knows. It may be lost at any time.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// What is being done right now; nothing else is planned for the same target.
    pub busy: BTreeSet<Target>,
    /// Sandboxes whose network is known to be given back.
    pub stopped: BTreeSet<String>,
    /// Sandboxes that are to make way for another one, because a volume of theirs holds too much.
    pub evicted: BTreeSet<String>,
    /// What the probes say of a running container, by its id.
    pub health: BTreeMap<String, Health>,
    /// Running containers whose first process has ended, which the runtime has yet to notice, by
    /// id; when that was.
    pub ended: BTreeMap<String, SystemTime>,
    /// Containers that are to end, or were ended on purpose, by id.
    pub condemned: BTreeMap<String, Condemned>,
    /// The last words of containers that have ended, by id; empty where they left none.
    pub last_words: BTreeMap<String, String>,
    /// What could not be done, until it is.
    pub failures: BTreeMap<Target, Failed>,
    /// Whether the files of a pod that is to go have been removed.
    pub files_removed: bool,
}

/// What an action works on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The sandbox that is to be made, and the end of the pod's own files.
    Pod,
    /// The files that containers mount, brought up to date.
    Files,
    /// What volumes hold, measured.
    Usage,
    /// A sandbox that is there, by id.
    Sandbox(String),
    /// The containers of this name.
    Container(String),
}

/// What the probes of a running container say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Its hook after the start is done and its startup probe has succeeded; true without both.
    pub started: bool,
    /// It may be sent work: it has started and its readiness probe succeeds, if there is one.
    pub ready: bool,
}

/// A container that is to end although nothing changed in its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    /// Why.
    pub why: Why,
    /// Instead of the pod's grace period.
    pub grace: Option<Duration>,
}

/// Why a container is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its manifest was edited.
    Edited,
    /// Its startup probe failed.
    StartupProbe,
    /// Its liveness probe failed.
    LivenessProbe,
    /// Its hook after the start failed.
    PostStartHook,
    /// A person asked for a restart; it is started again whatever its policy says.
    Requested,
    /// The runtime lost track of it.
    Unknown,
    /// Another container's rule restarts the whole pod.
    RestartAll,
}

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// How often in a row, at least once.
    pub times: u32,
    /// When the last time was.
    pub at: SystemTime,
    /// A word for machines: `ErrImagePull`, `CreateContainerError`, ….
    pub reason: &'static str,
    /// What went wrong, whole.
    pub message: String,
}

impl Failed {
    /// The first pause; it doubles up to [`Failed::LONGEST`].
    pub const FIRST: Duration = Duration::from_secs(1);

    /// The longest pause, the kubelet's for images and restarts alike.
    pub const LONGEST: Duration = Duration::from_secs(300);

    /// When it may be tried again.
    pub fn retry_at(&self) -> SystemTime {
        let factor = 1_u32.checked_shl(self.times.saturating_sub(1)).unwrap_or(u32::MAX);
        self.at + Self::FIRST.saturating_mul(factor).min(Self::LONGEST)
    }
}

impl Memory {
    /// Remembers that something could not be done.
    pub fn failed(
        &mut self,
        target: Target,
        at: SystemTime,
        reason: &'static str,
        message: String,
    ) {
        let times = self.failures.get(&target).map_or(0, |failed| failed.times);
        let times = times.saturating_add(1);
        self.failures.insert(target, Failed { times, at, reason, message });
    }

    /// Forgets what is about sandboxes and containers that are gone.
    pub fn retain(&mut self, sandboxes: &BTreeSet<&str>, containers: &BTreeSet<&str>) {
        self.stopped.retain(|id| sandboxes.contains(id.as_str()));
        self.evicted.retain(|id| sandboxes.contains(id.as_str()));
        self.health.retain(|id, _| containers.contains(id.as_str()));
        self.ended.retain(|id, _| containers.contains(id.as_str()));
        self.condemned.retain(|id, _| containers.contains(id.as_str()));
        self.last_words.retain(|id, _| containers.contains(id.as_str()));
    }

    /// Whether a container counts as started.
    pub fn is_started(&self, id: &str) -> bool {
        self.health.get(id).is_some_and(|health| health.started)
    }
}
