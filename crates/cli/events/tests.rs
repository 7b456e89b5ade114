use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_api::{Event, EventKind};
use crilet_cri::{
    inventory::{Container, ContainerDetails, ContainerState, Pod, PodState},
    v1,
};
use crilet_runtime::events::{Happening, Names, What};
use proptest::prelude::*;

use super::{Heard, happenings::Seen};

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

fn look(seen: &mut Seen, pods: &[Pod]) -> Vec<Event> {
    look_and_hear(seen, pods, vec![])
}

/// What is told of a look; as the real one, it asks only for what has changed.
fn look_and_hear(seen: &mut Seen, pods: &[Pod], heard: Vec<Heard>) -> Vec<Event> {
    let described = seen.changed(pods).cloned().collect();
    let listed = pods.iter().cloned().map(|mut pod| {
        pod.containers.iter_mut().for_each(|container| container.details = None);
        pod
    });
    seen.take(listed.collect(), described, heard)
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
        let events = seen.take(vec![pod(PodState::Ready, vec![ended])], described, vec![]);
        assert_eq!(told(&events), ["app Exited"]);
        assert_eq!(events[0].message, "ended; it was removed before the runtime told how");
        assert_eq!(told(&look(&mut seen, &[])), ["app Removed", "web Removed"]);
    }
}

fn heard(id: &str, second: u64, what: What) -> Heard {
    Happening { id: id.to_owned(), time: at(second), what }.into()
}

/// As containerd tells it: whose it is only while it is there.
fn made(id: &str, second: u64, container: Option<&str>) -> Heard {
    let container = container.map(|name| (name.to_owned(), 0));
    let names = Names { namespace: "default".to_owned(), pod: "web".to_owned(), container };
    heard(id, second, What::Created { image: "app:1".to_owned(), names: Some(names) })
}

#[test]
fn what_came_and_went_between_two_looks_is_told_as_it_was_heard() {
    let mut seen = Seen::default();
    look(&mut seen, &[]);
    let life = vec![
        made("pod1", 9, None),
        heard("pod1", 10, What::Started),
        made("c1", 11, Some("app")),
        heard("c1", 12, What::Started),
        heard("c1", 13, What::OutOfMemory),
        heard("c1", 14, What::Exited { status: 137 }),
        heard("c1", 15, What::Removed),
        heard("pod1", 16, What::Exited { status: 0 }),
        heard("pod1", 17, What::Removed),
    ];
    let events = look_and_hear(&mut seen, &[], life.clone());
    let reasons = [
        "web Created",
        "app Created",
        "app Started",
        "app OOMKilled",
        "app Removed",
        "web Stopped",
        "web Removed",
    ];
    assert_eq!(told(&events), reasons);
    let seconds: Vec<_> = events.iter().map(|event| event.time.as_second()).collect();
    assert_eq!(seconds, [9, 11, 12, 14, 15, 16, 17]);
    assert_eq!(look_and_hear(&mut seen, &[], life), [], "once");
}

#[test]
fn what_is_seen_is_told_by_its_details_and_what_was_heard_gives_the_time() {
    let mut seen = Seen::default();
    let running = container("c1", ContainerState::Running, None);
    look(&mut seen, &[pod(PodState::Ready, vec![running])]);
    let exit = || heard("c1", 20, What::Exited { status: 3 });
    let ended = container("c1", ContainerState::Exited, Some((21, 3, "OOMKilled")));
    let events = look_and_hear(&mut seen, &[pod(PodState::Ready, vec![ended])], vec![exit()]);
    assert_eq!(told(&events), ["app OOMKilled"]);
    let gone = vec![heard("c1", 30, What::Removed), heard("pod1", 31, What::Removed)];
    let events = look_and_hear(&mut seen, &[], gone);
    assert_eq!(told(&events), ["app Removed", "web Removed"]);
    let seconds: Vec<_> = events.iter().map(|event| event.time.as_second()).collect();
    assert_eq!(seconds, [30, 31]);
}

/// The list was taken before, and there was nobody to ask how it ended.
#[test]
fn an_end_that_only_was_heard_is_told_with_its_exit_code() {
    let mut seen = Seen::default();
    let running = container("c1", ContainerState::Running, None);
    look(&mut seen, &[pod(PodState::Ready, vec![running])]);
    let heard = vec![heard("c1", 20, What::Exited { status: 3 }), heard("c1", 21, What::Removed)];
    let events = look_and_hear(&mut seen, &[pod(PodState::Ready, vec![])], heard);
    let messages: Vec<_> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["failed, exit code 3", "the container was removed"]);
}

#[test]
fn containers_that_are_nobodys_are_not_told() {
    let foreign = vec![
        heard("x", 1, What::Created { image: "app:1".to_owned(), names: None }),
        heard("x", 2, What::Started),
        heard("x", 3, What::Exited { status: 0 }),
        heard("x", 4, What::Removed),
    ];
    assert_eq!(look_and_hear(&mut Seen::default(), &[], foreign), []);
}

/// The CRI's own events come with the statuses of the whole pod.
#[test]
fn events_of_the_cri_say_whose_they_are_and_how_it_ended() {
    let metadata = v1::ContainerMetadata { name: "app".to_owned(), attempt: 2 };
    let status = v1::ContainerStatus {
        id: "c1".to_owned(),
        metadata: Some(metadata),
        state: v1::ContainerState::ContainerExited.into(),
        exit_code: 3,
        reason: "Error".to_owned(),
        image: Some(v1::ImageSpec { image: "app:1".to_owned(), ..v1::ImageSpec::default() }),
        ..v1::ContainerStatus::default()
    };
    let sandbox = v1::PodSandboxStatus {
        id: "pod1".to_owned(),
        metadata: Some(v1::PodSandboxMetadata {
            name: "web".to_owned(),
            namespace: "default".to_owned(),
            ..v1::PodSandboxMetadata::default()
        }),
        ..v1::PodSandboxStatus::default()
    };
    let event = |second: i64, kind: v1::ContainerEventType, is_there: bool| {
        Heard::from(v1::ContainerEventResponse {
            container_id: "c1".to_owned(),
            container_event_type: kind.into(),
            created_at: second * 1_000_000_000,
            pod_sandbox_status: is_there.then(|| sandbox.clone()),
            containers_statuses: if is_there { vec![status.clone()] } else { vec![] },
        })
    };
    let life = vec![
        event(1, v1::ContainerEventType::ContainerCreatedEvent, true),
        event(2, v1::ContainerEventType::ContainerStartedEvent, true),
        event(3, v1::ContainerEventType::ContainerStoppedEvent, true),
        event(4, v1::ContainerEventType::ContainerDeletedEvent, false),
    ];
    let events = look_and_hear(&mut Seen::default(), &[], life);
    assert_eq!(told(&events), ["app Created", "app Started", "app Exited", "app Removed"]);
    let messages: Vec<_> = events.iter().map(|event| event.message.as_str()).collect();
    let words = ["made of app:1", "started again, attempt 2", "failed, exit code 3"];
    assert_eq!(messages.get(..3), Some(&words[..]));
}

/// What is in store for a container, in its order.
const LIFE: [&str; 4] = ["Created", "Started", "Exited", "Removed"];

/// The containers of a pod after so many of these steps, each of which is one of the container that it names.
fn world(steps: &[usize]) -> Vec<Container> {
    let lived = |id: usize| steps.iter().filter(|step| **step == id).count();
    let there = (0..3).filter_map(|id| {
        let name = format!("c{id}");
        let mut container = match lived(id) {
            1 => container(&name, ContainerState::Created, None),
            2 => container(&name, ContainerState::Running, None),
            3 => container(&name, ContainerState::Exited, Some((15, 3, "Error"))),
            _ => return None,
        };
        container.name = name;
        Some(container)
    });
    there.collect()
}

/// What is heard of the step at a place.
fn heard_of(steps: &[usize], place: usize) -> Heard {
    let id = steps[place];
    let name = format!("c{id}");
    let second = 100 + u64::try_from(place).unwrap();
    match steps[..place].iter().filter(|step| **step == id).count() {
        0 => made(&name, second, Some(&name)),
        1 => heard(&name, second, What::Started),
        2 => heard(&name, second, What::Exited { status: 3 }),
        _ => heard(&name, second, What::Removed),
    }
}

/// Steps of three containers, and looks: how far the list goes, and how far what was heard.
fn histories() -> impl Strategy<Value = (Vec<usize>, Vec<(usize, usize)>)> {
    let steps: Vec<usize> = (0..3).flat_map(|id| [id; 4]).collect();
    let looks = proptest::collection::vec((0..=12_usize, 0..=12_usize), 0..8);
    (Just(steps).prop_shuffle(), looks).prop_map(|(steps, looks)| {
        let (mut listed, mut heard): (Vec<_>, Vec<_>) = looks.into_iter().unzip();
        listed.sort_unstable();
        heard.sort_unstable();
        (steps, listed.into_iter().zip(heard).collect())
    })
}

/// Everything that is told of a history, by container.
fn all_told(steps: &[usize], looks: &[(usize, usize)]) -> BTreeMap<String, Vec<String>> {
    let (mut seen, mut past) = (Seen::default(), 0);
    look(&mut seen, &[pod(PodState::Ready, vec![])]);
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for &(listed, heard) in looks.iter().chain([&(steps.len(), steps.len())]) {
        let news = (past..heard).map(|place| heard_of(steps, place)).collect();
        past = past.max(heard);
        let pods = [pod(PodState::Ready, world(&steps[..listed]))];
        for event in look_and_hear(&mut seen, &pods, news) {
            told.entry(event.container.unwrap()).or_default().push(event.reason);
        }
    }
    told
}

proptest! {
    /// Whatever a list has missed or shows late, and however late things are heard.
    #[test]
    fn everything_is_told_once((steps, looks) in histories()) {
        for (container, mut reasons) in all_told(&steps, &looks) {
            reasons.sort_unstable();
            let mut life = LIFE;
            life.sort_unstable();
            prop_assert_eq!(reasons, life, "{}", container);
        }
    }

    #[test]
    fn a_life_is_told_in_its_order_where_nothing_is_heard_late((steps, looks) in histories()) {
        let looks: Vec<_> =
            looks.into_iter().map(|(listed, heard)| (listed, heard.max(listed))).collect();
        let told = all_told(&steps, &looks);
        prop_assert_eq!(told.len(), 3);
        for (container, reasons) in told {
            prop_assert_eq!(reasons, LIFE, "{}", container);
        }
    }
}
