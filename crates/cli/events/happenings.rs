//! What happened to pods, as it can be told from how they are and what was heard. Pure.
//!
//! Each sandbox and each container says when it was made, started and ended, and how; so what happened
//! between two looks is in the second one, except for what was removed, of which only that is known.
//! What came and went between two looks is known to those alone who heard of it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_api::{Event, EventKind};
use crilet_cri::inventory::{Container, ContainerDetails, ContainerState, Pod, PodState};
use crilet_runtime::events::Names;
use jiff::Timestamp;

use super::{
    heard::Heard,
    ledger::{Ledger, Step, Telling, started},
};
use crate::inspect::ended;

/// Pods as they were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pods: BTreeMap<String, Pod>,
    ledger: Ledger,
}

/// What was known of a container before.
fn former<'a>(before: Option<&'a Pod>, container: &Container) -> Option<&'a Container> {
    before?.containers.iter().find(|known| known.id == container.id)
}

impl Seen {
    /// The pods of which more is to be asked than lists tell: those that are others than before.
    pub(super) fn changed<'a>(&self, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
        pods.iter().filter(|pod| match self.pods.get(&pod.id) {
            None => true,
            Some(before) => {
                let states = |pod: &Pod| -> Vec<_> {
                    pod.containers.iter().map(|one| (one.id.clone(), one.state)).collect()
                };
                before.state != pod.state || states(before) != states(pod)
            }
        })
    }

    /// Takes a new look: all pods by lists, those that have changed with all their details, and what was
    /// heard since the last one, in its order. What happened is given, the oldest first.
    pub(super) fn take(
        &mut self,
        listed: Vec<Pod>,
        described: Vec<Pod>,
        heard: Vec<Heard>,
    ) -> Vec<Event> {
        let mut described: BTreeMap<_, _> =
            described.into_iter().map(|pod| (pod.id.clone(), pod)).collect();
        let mut before = std::mem::take(&mut self.pods);
        let mut tellings = Vec::new();
        for pod in listed {
            let (former, described) = (before.remove(&pod.id), described.remove(&pod.id));
            let now = detailed(pod, described.as_ref(), former.as_ref());
            self.ledger.know(&now.id, || names(&now, None));
            for container in &now.containers {
                self.ledger.know(&container.id, || names(&now, Some(container)));
            }
            tellings.extend(of_pod(former.as_ref(), &now));
            self.pods.insert(now.id.clone(), now);
        }
        tellings.extend(before.values().flat_map(removed));
        self.ledger.settle(tellings, heard)
    }
}

/// A pod as it is listed with details as they were asked for, or as they were before of what is as it was.
/// What is listed and was gone when it was asked about has none: it is told without them.
fn detailed(mut pod: Pod, described: Option<&Pod>, before: Option<&Pod>) -> Pod {
    let details = [described, before].into_iter().flatten().find_map(|one| one.details.clone());
    pod.details = details;
    for container in &mut pod.containers {
        let described = former(described, container);
        let before = former(before, container).filter(|before| before.state == container.state);
        container.details =
            [described, before].into_iter().flatten().find_map(|one| one.details.clone());
    }
    pod
}

/// What happened to a pod and its containers since it was seen.
fn of_pod(before: Option<&Pod>, pod: &Pod) -> Vec<Telling> {
    let mut tellings = Vec::new();
    let tell = |time, reason: &str, message: &str| {
        event(&names(pod, None), time, reason, message.to_owned())
    };
    if before.is_none() {
        let event = tell(at(pod.created_at), "Created", "made the sandbox");
        tellings.push(exact(&pod.id, Step::Created, event));
    }
    let was_ready = before.is_none_or(|before| before.state == PodState::Ready);
    // When a sandbox was stopped is not told; of one that was found so, not even about when.
    if pod.state == PodState::NotReady && was_ready && before.is_some() {
        let event = tell(Timestamp::now(), "Stopped", "the sandbox ended");
        tellings.push(missed(&pod.id, Step::Ended, event));
    }
    for container in &pod.containers {
        tellings.extend(of_container(pod, former(before, container), container));
    }
    for container in before.map_or(&[][..], |before| &before.containers) {
        if former(Some(pod), container).is_none() {
            tellings.push(removed_container(pod, container));
        }
    }
    tellings
}

fn of_container(pod: &Pod, before: Option<&Container>, container: &Container) -> Vec<Telling> {
    let was = before.map(|before| before.state);
    let details = container.details.clone().unwrap_or_default();
    let names = names(pod, Some(container));
    let mut tellings = Vec::new();
    if was.is_none() {
        let message = format!("made of {}", container.image);
        let event = event(&names, at(container.created_at), "Created", message);
        tellings.push(exact(&container.id, Step::Created, event));
    }
    let began = matches!(was, None | Some(ContainerState::Created));
    if let Some(started_at) = details.started_at.filter(|_| began) {
        tellings.push(exact(&container.id, Step::Started, started(&names, started_at)));
    }
    let is_over = |state| matches!(state, Some(ContainerState::Exited | ContainerState::Unknown));
    if is_over(Some(container.state)) && !is_over(was) {
        tellings.push(end(&names, container, &details));
    }
    tellings
}

fn end(names: &Names, container: &Container, details: &ContainerDetails) -> Telling {
    let time = details.finished_at.map_or_else(Timestamp::now, at);
    if container.state == ContainerState::Unknown {
        let message = "the runtime lost track of it".to_owned();
        let event = warning(event(names, time, "Lost", message));
        return exact(&container.id, Step::Ended, event);
    }
    let Some(code) = details.exit_code else {
        let message = "ended; it was removed before the runtime told how".to_owned();
        return missed(&container.id, Step::Ended, event(names, time, "Exited", message));
    };
    let event = ended_event(names, time, code, &details.reason, &details.message);
    exact(&container.id, Step::Ended, event)
}

/// That a container ended, and how, by the words of the runtime.
pub(super) fn ended_event(
    names: &Names,
    time: Timestamp,
    code: i32,
    reason: &str,
    message: &str,
) -> Event {
    let message = ended(code, reason, message);
    match (code, reason) {
        (_, "OOMKilled") => warning(event(names, time, "OOMKilled", message)),
        (0, _) => event(names, time, "Exited", message),
        _ => warning(event(names, time, "Exited", message)),
    }
}

fn removed(pod: &Pod) -> Vec<Telling> {
    let mut tellings: Vec<_> =
        pod.containers.iter().map(|container| removed_container(pod, container)).collect();
    let message = "the pod was removed".to_owned();
    let event = event(&names(pod, None), Timestamp::now(), "Removed", message);
    tellings.push(missed(&pod.id, Step::Removed, event));
    tellings
}

/// Of one that was not seen to end, that is said: it may have ended before.
fn removed_container(pod: &Pod, container: &Container) -> Telling {
    let message = match container.state {
        ContainerState::Running => "the container was removed; how it ended was not seen",
        _ => "the container was removed",
    };
    let names = names(pod, Some(container));
    let event = event(&names, Timestamp::now(), "Removed", message.to_owned());
    missed(&container.id, Step::Removed, event)
}

/// An event of which the runtime told everything.
fn exact(id: &str, step: Step, event: Event) -> Telling {
    Telling { id: id.to_owned(), step, is_exact: true, event }
}

/// An event that is only known from what is not there any more.
fn missed(id: &str, step: Step, event: Event) -> Telling {
    Telling { id: id.to_owned(), step, is_exact: false, event }
}

fn names(pod: &Pod, container: Option<&Container>) -> Names {
    Names {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        container: container.map(|container| (container.name.clone(), container.attempt)),
    }
}

pub(super) fn event(names: &Names, time: Timestamp, reason: &str, message: String) -> Event {
    Event {
        revision: 0,
        time,
        first_time: time,
        count: 1,
        kind: EventKind::Normal,
        reason: reason.to_owned(),
        namespace: names.namespace.clone(),
        pod: names.pod.clone(),
        container: names.container.as_ref().map(|(name, _)| name.clone()),
        message,
    }
}

fn warning(event: Event) -> Event {
    Event { kind: EventKind::Warning, ..event }
}

pub(super) fn at(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    Timestamp::from_nanosecond(nanoseconds).unwrap_or_default()
}
