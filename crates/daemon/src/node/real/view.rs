//! What the API sees, kept up to date by whoever knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crilet_api::{ConditionStatus, Desired, EventKind, Pod, PodList, PodRef, Problem};
use crilet_pod::sync::{Event, EventSink};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{EventLog, NewEvent};

/// The pods as the API shows them, and what a person should know of the node.
#[derive(Debug)]
pub(super) struct View {
    inner: Mutex<Inner>,
    revision: watch::Sender<u64>,
    events: EventLog,
}

#[derive(Debug, Default)]
struct Inner {
    pods: BTreeMap<PodRef, Arc<Pod>>,
    /// Pods that have not been looked at yet.
    unseen: BTreeSet<PodRef>,
    /// Whether all sources have been read once.
    read: bool,
    problems: Vec<Problem>,
    runtime_problem: Option<String>,
    runtime_version: Option<(String, String)>,
}

impl View {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), revision: watch::Sender::new(1), events: EventLog::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing between locking and unlocking can fail half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> PodList {
        let inner = self.lock();
        let items = inner.pods.values().cloned().collect();
        PodList { revision: *self.revision.borrow(), items }
    }

    pub(super) fn get(&self, pod: &PodRef) -> Option<Arc<Pod>> {
        self.lock().pods.get(pod).cloned()
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn events(&self) -> &EventLog {
        &self.events
    }

    /// Expects a pod that nobody has looked at yet.
    pub(super) fn expect(&self, pod: PodRef) {
        let mut inner = self.lock();
        if !inner.pods.contains_key(&pod) {
            inner.unseen.insert(pod);
        }
    }

    /// Shows a pod, with a revision of its own if it is another than before.
    pub(super) fn show(&self, mut pod: Pod) {
        let mut inner = self.lock();
        let key = pod.reference();
        inner.unseen.remove(&key);
        if let Some(former) = inner.pods.get(&key) {
            pod.revision = former.revision;
            // A daemon that has just started has known it for a moment, and the runtime for longer.
            let known = pod.started_at.unwrap_or(former.created_at);
            pod.created_at = known.min(former.created_at);
            keep_since(&former.conditions, &mut pod.conditions);
            if **former == pod {
                return;
            }
        }
        // Under the lock, so that a list never has a pod from after its revision.
        self.revision.send_modify(|revision| *revision += 1);
        pod.revision = *self.revision.borrow();
        inner.pods.insert(key, Arc::new(pod));
    }

    /// Shows at once what is wanted of a pod from now on; what it is follows.
    pub(super) fn wish(&self, pod: &PodRef, desired: Desired) {
        let Some(mut shown) = self.get(pod).map(Arc::unwrap_or_clone) else { return };
        shown.desired = desired;
        not_ready(&mut shown);
        self.show(shown);
    }

    pub(super) fn remove(&self, pod: &PodRef) {
        let mut inner = self.lock();
        inner.unseen.remove(pod);
        if inner.pods.remove(pod).is_some() {
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Every source has been read; whatever is wrong with them is among the problems.
    pub(super) fn set_problems(&self, problems: Vec<Problem>) {
        let mut inner = self.lock();
        inner.read = true;
        inner.problems = problems;
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.lock().problems.clone()
    }

    pub(super) fn source_problem(&self) -> Option<String> {
        self.lock().problems.first().map(|problem| problem.message.clone())
    }

    pub(super) fn set_runtime(&self, answer: Result<(String, String), String>) {
        let mut inner = self.lock();
        match answer {
            Ok(version) => (inner.runtime_version, inner.runtime_problem) = (Some(version), None),
            Err(problem) => inner.runtime_problem = Some(problem),
        }
    }

    pub(super) fn runtime_problem(&self) -> Option<String> {
        self.lock().runtime_problem.clone()
    }

    pub(super) fn runtime_version(&self) -> Option<(String, String)> {
        self.lock().runtime_version.clone()
    }

    /// Whether every pod has been looked at.
    pub(super) fn is_complete(&self) -> bool {
        let inner = self.lock();
        inner.read && inner.unseen.is_empty()
    }
}

/// A condition that says what it said before has said so since then.
fn keep_since(former: &[crilet_api::Condition], conditions: &mut [crilet_api::Condition]) {
    for condition in conditions {
        let same = former
            .iter()
            .find(|former| former.kind == condition.kind && former.status == condition.status);
        if let Some(same) = same {
            condition.since = same.since;
        }
    }
}

impl EventSink for View {
    fn event(&self, event: Event) {
        let (namespace, name) = event.pod.split_once('/').unwrap_or(("", &event.pod));
        if event.warning {
            let Event { pod, container, reason, message, .. } = &event;
            tracing::warn!(%pod, container, reason, message, "pod has a problem");
        }
        self.events.record(NewEvent {
            kind: if event.warning { EventKind::Warning } else { EventKind::Normal },
            reason: event.reason.to_owned(),
            pod: Some(PodRef::new(namespace, name)),
            container: event.container,
            message: event.message,
        });
    }
}

/// What is to change is not ready, whatever was seen of it last.
pub(super) fn not_ready(shown: &mut Pod) {
    for condition in &mut shown.conditions {
        if condition.kind == "Ready" && condition.status != ConditionStatus::False {
            condition.status = ConditionStatus::False;
            condition.since = Timestamp::now();
        }
    }
}
