//! What happened to pods, as it can be told from how they are. Pure.
//!
//! Runtimes remember no events, and containerd 1.6 tells none. But each sandbox and each container says
//! when it was made, started and ended, and how; so what happened between two looks is in the second one,
//! except for what was removed, of which only that is known.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_api::{Event, EventKind};
use crilet_cri::inventory::{Container, ContainerState, Pod, PodState};
use jiff::Timestamp;

use crate::inspect::ended;

/// Pods as they were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pods: BTreeMap<String, Pod>,
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

    /// Takes a new look: all pods by lists, and those that have changed with all their details. What
    /// happened since the last look is given, the oldest first.
    pub(super) fn take(&mut self, listed: Vec<Pod>, described: Vec<Pod>) -> Vec<Event> {
        let mut described: BTreeMap<_, _> =
            described.into_iter().map(|pod| (pod.id.clone(), pod)).collect();
        let mut before = std::mem::take(&mut self.pods);
        let mut events = Vec::new();
        for pod in listed {
            let (former, described) = (before.remove(&pod.id), described.remove(&pod.id));
            let now = detailed(pod, described.as_ref(), former.as_ref());
            events.extend(of_pod(former.as_ref(), &now));
            self.pods.insert(now.id.clone(), now);
        }
        let gone = before.values().flat_map(removed);
        events.extend(gone);
        events.sort_by_key(|event| event.time);
        events
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
fn of_pod(before: Option<&Pod>, pod: &Pod) -> Vec<Event> {
    let mut events = Vec::new();
    if before.is_none() {
        events.push(event(pod, None, at(pod.created_at), "Created", "made the sandbox".to_owned()));
    }
    let was_ready = before.is_none_or(|before| before.state == PodState::Ready);
    // When a sandbox was stopped is not told; of one that was found so, not even about when.
    if pod.state == PodState::NotReady && was_ready && before.is_some() {
        events.push(event(pod, None, Timestamp::now(), "Stopped", "the sandbox ended".to_owned()));
    }
    for container in &pod.containers {
        events.extend(of_container(pod, former(before, container), container));
    }
    for container in before.map_or(&[][..], |before| &before.containers) {
        if former(Some(pod), container).is_none() {
            events.push(removed_container(pod, container));
        }
    }
    events
}

fn of_container(pod: &Pod, before: Option<&Container>, container: &Container) -> Vec<Event> {
    let was = before.map(|before| before.state);
    let details = container.details.clone().unwrap_or_default();
    let mut events = Vec::new();
    if was.is_none() {
        let message = format!("made of {}", container.image);
        events.push(event(pod, Some(container), at(container.created_at), "Created", message));
    }
    let began = matches!(was, None | Some(ContainerState::Created));
    if let Some(started_at) = details.started_at.filter(|_| began) {
        let message = match container.attempt {
            0 => "started".to_owned(),
            attempt => format!("started again, attempt {attempt}"),
        };
        events.push(event(pod, Some(container), at(started_at), "Started", message));
    }
    let is_over = |state| matches!(state, Some(ContainerState::Exited | ContainerState::Unknown));
    if is_over(Some(container.state)) && !is_over(was) {
        events.push(end(pod, container, &details));
    }
    events
}

fn end(
    pod: &Pod,
    container: &Container,
    details: &crilet_cri::inventory::ContainerDetails,
) -> Event {
    let time = details.finished_at.map_or_else(Timestamp::now, at);
    if container.state == ContainerState::Unknown {
        let message = "the runtime lost track of it".to_owned();
        return warning(event(pod, Some(container), time, "Lost", message));
    }
    let Some(code) = details.exit_code else {
        let message = "ended; it was removed before the runtime told how".to_owned();
        return event(pod, Some(container), time, "Exited", message);
    };
    let message = ended(code, &details.reason, &details.message);
    match (code, details.reason.as_str()) {
        (_, "OOMKilled") => warning(event(pod, Some(container), time, "OOMKilled", message)),
        (0, _) => event(pod, Some(container), time, "Exited", message),
        _ => warning(event(pod, Some(container), time, "Exited", message)),
    }
}

fn removed(pod: &Pod) -> Vec<Event> {
    let mut events: Vec<_> =
        pod.containers.iter().map(|container| removed_container(pod, container)).collect();
    let message = "the pod was removed".to_owned();
    events.push(event(pod, None, Timestamp::now(), "Removed", message));
    events
}

/// Of one that was not seen to end, that is said: it may have ended before.
fn removed_container(pod: &Pod, container: &Container) -> Event {
    let message = match container.state {
        ContainerState::Running => "the container was removed; how it ended was not seen",
        _ => "the container was removed",
    };
    event(pod, Some(container), Timestamp::now(), "Removed", message.to_owned())
}

fn event(
    pod: &Pod,
    container: Option<&Container>,
    time: Timestamp,
    reason: &str,
    message: String,
) -> Event {
    Event {
        revision: 0,
        time,
        first_time: time,
        count: 1,
        kind: EventKind::Normal,
        reason: reason.to_owned(),
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        container: container.map(|container| container.name.clone()),
        message,
    }
}

fn warning(event: Event) -> Event {
    Event { kind: EventKind::Warning, ..event }
}

fn at(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    Timestamp::from_nanosecond(nanoseconds).unwrap_or_default()
}
