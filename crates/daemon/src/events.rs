//! What happened lately, in memory.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crilet_api::{Event, EventKind, PodRef};
use jiff::Timestamp;
use tokio::sync::broadcast;

/// Events that are remembered.
const REMEMBERED: usize = 2000;
/// Events that one watcher may be behind before it misses some.
const BEHIND: usize = 512;

/// Something that happens, as it is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// Whether somebody should look at it.
    pub kind: EventKind,
    /// What happens, in one word in CamelCase, the kubelet's where it has one.
    pub reason: String,
    /// The pod; nothing for an event of the node.
    pub pod: Option<PodRef>,
    /// The container, if it is about one.
    pub container: Option<String>,
    /// What happens, in a sentence.
    pub message: String,
}

/// The events of a node: the latest are remembered, all are sent to whoever watches.
///
/// What happens again in the same words is one event whose count grows. Revisions grow over
/// restarts of the daemon too, so that a client can go on where it was: they begin with the time in
/// milliseconds.
#[derive(Debug)]
pub struct EventLog {
    inner: Mutex<Inner>,
    sender: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct Inner {
    events: VecDeque<Event>,
    revision: u64,
}

impl EventLog {
    /// An empty log.
    pub fn new() -> Self {
        let revision = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let inner = Inner { events: VecDeque::new(), revision };
        Self { inner: Mutex::new(inner), sender: broadcast::Sender::new(BEHIND) }
    }

    /// Records that something happens now, and gives what was recorded.
    pub fn record(&self, new: NewEvent) -> Event {
        self.record_at(new, Timestamp::now())
    }

    fn record_at(&self, new: NewEvent, now: Timestamp) -> Event {
        let mut inner = self.lock();
        inner.revision += 1;
        let repeated = inner.events.iter().rposition(|event| is_again(event, &new));
        let former = repeated.and_then(|place| inner.events.remove(place));
        let pod = new.pod.unwrap_or_default();
        let event = Event {
            revision: inner.revision,
            time: now,
            first_time: former.as_ref().map_or(now, |former| former.first_time),
            count: former.map_or(0, |former| former.count).saturating_add(1),
            kind: new.kind,
            reason: new.reason,
            namespace: pod.namespace,
            pod: pod.name,
            container: new.container,
            message: new.message,
        };
        inner.events.push_back(event.clone());
        if inner.events.len() > REMEMBERED {
            inner.events.pop_front();
        }
        // Sent under the lock, so that watchers get events in order. Nobody watching is fine.
        drop(self.sender.send(event.clone()));
        event
    }

    /// What is remembered with a greater revision than `since`, oldest first, and the newest
    /// revision there is.
    pub fn since(&self, since: Option<u64>) -> (u64, Vec<Event>) {
        let inner = self.lock();
        let later = |event: &&Event| since.is_none_or(|since| event.revision > since);
        (inner.revision, inner.events.iter().filter(later).cloned().collect())
    }

    /// As [`EventLog::since`], with what is recorded from then on: no event is in both or in
    /// neither.
    pub fn subscribe(&self, since: Option<u64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let inner = self.lock();
        let later = |event: &&Event| since.is_none_or(|since| event.revision > since);
        (inner.events.iter().filter(later).cloned().collect(), self.sender.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing between locking and unlocking can fail half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

fn is_again(event: &Event, new: &NewEvent) -> bool {
    let (namespace, name) = new.pod.as_ref().map_or(("", ""), |pod| (&pod.namespace, &pod.name));
    event.reason == new.reason
        && event.kind == new.kind
        && event.namespace == namespace
        && event.pod == name
        && event.container == new.container
        && event.message == new.message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, pod: &str) -> NewEvent {
        NewEvent {
            reason: reason.to_owned(),
            pod: Some(PodRef::new("default", pod)),
            message: format!("{reason} it"),
            ..NewEvent::default()
        }
    }

    #[test]
    fn what_happens_again_is_counted_and_comes_last() {
        let log = EventLog::new();
        let first = log.record(event("Pulled", "a"));
        log.record(event("Pulled", "b"));
        let again = log.record_at(event("Pulled", "a"), Timestamp::from_second(5).unwrap());
        let (newest, events) = log.since(None);
        let seen: Vec<_> = events.iter().map(|e| (e.pod.as_str(), e.count)).collect();
        assert_eq!(seen, [("b", 1), ("a", 2)]);
        assert_eq!((newest, again.revision), (first.revision + 2, first.revision + 2));
        assert_eq!((again.first_time, again.time.as_second()), (first.time, 5));
        assert_eq!(log.since(Some(first.revision + 1)).1, [again]);
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let log = EventLog::new();
        for number in 0..=REMEMBERED {
            log.record(event("Started", &number.to_string()));
        }
        let events = log.since(None).1;
        assert_eq!((events.len(), events[0].pod.as_str()), (REMEMBERED, "1"));
    }

    #[test]
    fn a_subscription_begins_where_what_is_remembered_ends() {
        let log = EventLog::new();
        log.record(event("Pulled", "a"));
        let (before, mut receiver) = log.subscribe(None);
        let started = log.record(event("Started", "a"));
        assert_eq!(before.len(), 1);
        assert_eq!(receiver.try_recv().unwrap(), started);
    }
}
