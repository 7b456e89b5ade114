//! Server-sent events.
//!
//! A stream makes its next event when the client has taken the last one, from what the node is
//! then: a slow reader is told less, and costs the daemon no memory.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};

use axum::response::sse::Event as Message;
use crilet_api::{Event, Pod, PodList, PodRef};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::Node;

type Item = Result<Message, Infallible>;

/// All pods, then each that changes.
pub(super) fn pods(app: &App) -> impl Stream<Item = Item> + use<> {
    let watch = Pods {
        node: Arc::clone(&app.node),
        revision: app.node.revision(),
        closing: app.closing.clone(),
        known: None,
        waiting: VecDeque::new(),
    };
    stream::unfold(watch, |mut watch| async move {
        let message = watch.next().await?;
        Some((Ok(message), watch))
    })
}

struct Pods {
    node: Arc<dyn Node>,
    revision: watch::Receiver<u64>,
    closing: CancellationToken,
    /// What the client knows; nothing before the snapshot.
    known: Option<BTreeMap<PodRef, Arc<Pod>>>,
    waiting: VecDeque<Change>,
}

enum Change {
    Snapshot(PodList),
    Changed(u64, Arc<Pod>),
    Gone(u64, PodRef),
}

impl Pods {
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return message(&change);
            }
            if self.known.is_some() {
                tokio::select! {
                    () = self.closing.cancelled() => return None,
                    changed = self.revision.changed() => changed.ok()?,
                }
            }
            self.revision.mark_unchanged();
            self.compare();
        }
    }

    /// Finds what the client does not know yet.
    fn compare(&mut self) {
        let list = self.node.pods();
        let revision = list.revision;
        let now: BTreeMap<_, _> =
            list.items.iter().map(|pod| (pod.reference(), Arc::clone(pod))).collect();
        let Some(known) = self.known.replace(now.clone()) else {
            self.waiting.push_back(Change::Snapshot(list));
            return;
        };
        for pod in known.keys().filter(|pod| !now.contains_key(pod)) {
            self.waiting.push_back(Change::Gone(revision, pod.clone()));
        }
        for (reference, pod) in now {
            let same = |old: &Arc<Pod>| Arc::ptr_eq(old, &pod) || *old == pod;
            if !known.get(&reference).is_some_and(same) {
                self.waiting.push_back(Change::Changed(revision, pod));
            }
        }
    }
}

fn message(change: &Change) -> Option<Message> {
    match change {
        Change::Snapshot(list) => write("snapshot", list.revision, list),
        Change::Changed(revision, pod) => write("pod", *revision, pod),
        Change::Gone(revision, pod) => write("gone", *revision, pod),
    }
}

fn write(name: &str, revision: u64, data: &impl Serialize) -> Option<Message> {
    let message = Message::default().event(name).id(revision.to_string());
    message.json_data(data).inspect_err(|error| tracing::error!(%error, "an event is lost")).ok()
}

/// What happened lately, then what happens.
pub(super) fn events(
    app: &App,
    since: Option<u64>,
    pod: Option<PodRef>,
) -> impl Stream<Item = Item> + use<> {
    let (waiting, receiver) = app.node.events().subscribe(since);
    let watch = Events {
        node: Arc::clone(&app.node),
        closing: app.closing.clone(),
        receiver,
        waiting: waiting.into(),
        last: since.unwrap_or_default(),
        pod,
    };
    stream::unfold(watch, |mut watch| async move {
        let message = watch.next().await?;
        Some((Ok(message), watch))
    })
}

struct Events {
    node: Arc<dyn Node>,
    closing: CancellationToken,
    receiver: broadcast::Receiver<Event>,
    waiting: VecDeque<Event>,
    last: u64,
    pod: Option<PodRef>,
}

impl Events {
    async fn next(&mut self) -> Option<Message> {
        loop {
            let event = match self.waiting.pop_front() {
                Some(event) => event,
                None => self.receive().await?,
            };
            self.last = self.last.max(event.revision);
            if self.pod.as_ref().is_none_or(|pod| event.is_about(pod)) {
                return write("event", event.revision, &event);
            }
        }
    }

    /// Whoever fell behind goes on with what is still remembered.
    async fn receive(&mut self) -> Option<Event> {
        loop {
            let received = tokio::select! {
                () = self.closing.cancelled() => return None,
                received = self.receiver.recv() => received,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let (waiting, receiver) = self.node.events().subscribe(Some(self.last));
                    self.waiting = waiting.into();
                    self.receiver = receiver;
                    if let Some(event) = self.waiting.pop_front() {
                        return Some(event);
                    }
                }
            }
        }
    }
}
