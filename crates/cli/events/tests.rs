use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_api::{Event, EventKind};
use crilet_cri::inventory::{Container, ContainerDetails, ContainerState, Pod, PodState};

use super::happenings::Seen;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn container(id: &str, state: ContainerState, ended: Option<(u64, i32, &str)>) -> Container {
    let started = state != ContainerState::Created;
    Container {
        id: id.to_owned(),
        name: "app".to_owned(),
        attempt: 0,
        state,
        created_at: at(10),
        image: "app:1".to_owned(),
        image_ref: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        details: Some(ContainerDetails {
            started_at: started.then(|| at(11)),
            finished_at: ended.map(|(second, ..)| at(second)),
            exit_code: ended.map(|(_, code, _)| code),
            reason: ended.map_or_else(String::new, |(.., reason)| reason.to_owned()),
            ..ContainerDetails::default()
        }),
    }
}

fn pod(state: PodState, containers: Vec<Container>) -> Pod {
    Pod {
        id: "pod1".to_owned(),
        name: "web".to_owned(),
        namespace: "default".to_owned(),
        uid: String::new(),
        attempt: 0,
        state,
        created_at: at(9),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        runtime_handler: String::new(),
        details: None,
        containers,
    }
}

/// What is told of a look; as the real one, it asks only for what has changed.
fn look(seen: &mut Seen, pods: &[Pod]) -> Vec<Event> {
    let described = seen.changed(pods).cloned().collect();
    let listed = pods.iter().cloned().map(|mut pod| {
        pod.containers.iter_mut().for_each(|container| container.details = None);
        pod
    });
    seen.take(listed.collect(), described)
}

fn told(events: &[Event]) -> Vec<String> {
    let object = |event: &Event| event.container.clone().unwrap_or_else(|| event.pod.clone());
    events.iter().map(|event| format!("{} {}", object(event), event.reason)).collect()
}

#[test]
fn a_first_look_tells_what_can_still_be_seen_in_order() {
    let ended = container("c1", ContainerState::Exited, Some((15, 137, "OOMKilled")));
    let mut seen = Seen::default();
    let events = look(&mut seen, &[pod(PodState::Ready, vec![ended])]);
    assert_eq!(told(&events), ["web Created", "app Created", "app Started", "app OOMKilled"]);
    let seconds: Vec<_> = events.iter().map(|event| event.time.as_second()).collect();
    assert_eq!(seconds, [9, 10, 11, 15]);
    let last = events.last().unwrap();
    assert_eq!(last.kind, EventKind::Warning);
    assert_eq!(last.message, "killed: it used more memory than it may, exit code 137, OOMKilled");
    assert_eq!(look(&mut seen, &[pod(PodState::Ready, vec![])]).len(), 1, "it was removed");
}

#[test]
fn every_change_is_told_once() {
    let mut seen = Seen::default();
    look(&mut seen, &[]);
    let created = [pod(PodState::Ready, vec![container("c1", ContainerState::Created, None)])];
    assert_eq!(told(&look(&mut seen, &created)), ["web Created", "app Created"]);
    assert_eq!(look(&mut seen, &created), []);
    let running = [pod(PodState::Ready, vec![container("c1", ContainerState::Running, None)])];
    assert_eq!(told(&look(&mut seen, &running)), ["app Started"]);
    let end = Some((20, 0, "Completed"));
    let exited = [pod(PodState::NotReady, vec![container("c1", ContainerState::Exited, end)])];
    let events = look(&mut seen, &exited);
    assert_eq!(told(&events), ["app Exited", "web Stopped"]);
    assert_eq!(events[0].kind, EventKind::Normal);
    assert_eq!(look(&mut seen, &exited), []);
    assert_eq!(told(&look(&mut seen, &[])), ["app Removed", "web Removed"]);
}

#[test]
fn a_container_that_came_and_ended_between_two_looks_is_told_whole() {
    let mut seen = Seen::default();
    look(&mut seen, &[pod(PodState::Ready, vec![])]);
    let end = Some((12, 3, "Error"));
    let events = look(
        &mut seen,
        &[pod(PodState::Ready, vec![container("c1", ContainerState::Exited, end)])],
    );
    assert_eq!(told(&events), ["app Created", "app Started", "app Exited"]);
    assert_eq!(events[2].message, "failed, exit code 3");
}

/// What is stopped and removed at once leaves only what the list said of it.
#[test]
fn an_end_that_nobody_saw_is_told_as_far_as_it_is_known() {
    let running = || container("c1", ContainerState::Running, None);
    let mut seen = Seen::default();
    look(&mut seen, &[pod(PodState::Ready, vec![running()])]);
    let events = look(&mut seen, &[]);
    assert_eq!(told(&events), ["app Removed", "web Removed"]);
    assert_eq!(events[0].message, "the container was removed; how it ended was not seen");
    // It was listed as ended, and was gone when the runtime was asked how.
    for is_pod_gone in [true, false] {
        let mut seen = Seen::default();
        look(&mut seen, &[pod(PodState::Ready, vec![running()])]);
        let mut ended = container("c1", ContainerState::Exited, None);
        ended.details = None;
        let described = if is_pod_gone { vec![] } else { vec![pod(PodState::Ready, vec![])] };
        let events = seen.take(vec![pod(PodState::Ready, vec![ended])], described);
        assert_eq!(told(&events), ["app Exited"]);
        assert_eq!(events[0].message, "ended; it was removed before the runtime told how");
        assert_eq!(told(&look(&mut seen, &[])), ["app Removed", "web Removed"]);
    }
}
