//! Any order of failures converges, never with two containers of one name, never with a restart
//! that nothing called for.

use std::time::Duration;

use crilet_cri::inventory::{ContainerState, PodState};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::world::{World, alone, container, pod, sidecar};
use crate::sync::{Action, Condemned, Memory, Why, marks};

/// What may happen between two looks at the pod.
#[derive(Debug, Clone)]
enum Event {
    /// Something planned is begun.
    Begin(Index),
    /// Something begun succeeds, or fails without having done anything.
    End(Index, bool),
    Exit(Index, i32),
    /// A process ends; the runtime notices later.
    EndUnnoticed(Index),
    /// The runtime notices what has ended.
    Notice(i32),
    SandboxDies,
    Unknown(Index),
    Reboot,
    /// The process is killed; what it had begun has happened or has not.
    Killed(Vec<bool>),
    EditContainer(Index),
    EditSandbox,
    ProbeFails(Index),
    ProbesSucceed,
    Later(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<Index>().prop_map(Event::Begin),
        6 => (any::<Index>(), prop::bool::weighted(0.8)).prop_map(|(i, ok)| Event::End(i, ok)),
        3 => (any::<Index>(), 0..3).prop_map(|(i, code)| Event::Exit(i, code)),
        2 => any::<Index>().prop_map(Event::EndUnnoticed),
        2 => (0..3).prop_map(Event::Notice),
        1 => Just(Event::SandboxDies),
        1 => any::<Index>().prop_map(Event::Unknown),
        1 => Just(Event::Reboot),
        1 => vec(any::<bool>(), 4).prop_map(Event::Killed),
        1 => any::<Index>().prop_map(Event::EditContainer),
        1 => Just(Event::EditSandbox),
        1 => any::<Index>().prop_map(Event::ProbeFails),
        3 => Just(Event::ProbesSucceed),
        3 => (0..700_u64).prop_map(Event::Later),
    ]
}

/// A world in which things take time.
struct Life {
    world: World,
    under_way: Vec<Action>,
}

impl Life {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin(index) => self.begin(index),
            Event::End(index, success) if !self.under_way.is_empty() => {
                let action = self.under_way.remove(index.index(self.under_way.len()));
                self.end(&action, success);
            }
            Event::Exit(index, code) => {
                if let Some(id) = self.running(index) {
                    self.world.exit(&id, code);
                }
            }
            Event::EndUnnoticed(index) => {
                if let Some(id) = self.running(index) {
                    self.world.end_unnoticed(&id);
                }
            }
            Event::Notice(code) => self.world.notice(code),
            Event::Unknown(index) => {
                if let Some(id) = self.running(index) {
                    let all = self.world.sandboxes.iter_mut().flat_map(|s| &mut s.containers);
                    all.filter(|found| found.id == id)
                        .for_each(|found| found.state = ContainerState::Unknown);
                }
            }
            Event::SandboxDies => {
                if let Some(sandbox) = self.world.sandboxes.last_mut() {
                    sandbox.state = PodState::NotReady;
                }
            }
            Event::Reboot => {
                self.under_way.clear();
                self.world.reboot();
            }
            Event::Killed(happened) => self.killed(&happened),
            Event::EditContainer(index) => {
                let containers = &mut self.world.pod.containers;
                let count = containers.len();
                containers[index.index(count)].hash.push('+');
            }
            Event::EditSandbox => self.world.pod.sandbox_hash.push('+'),
            Event::ProbeFails(index) => {
                if let Some(id) = self.running(index) {
                    let condemned = Condemned { why: Why::LivenessProbe, grace: None };
                    self.world.memory.condemned.insert(id, condemned);
                }
            }
            Event::ProbesSucceed => self.world.start_all(),
            Event::Later(seconds) => self.world.now += Duration::from_secs(seconds),
            Event::End(..) => {}
        }
    }

    fn begin(&mut self, index: Index) {
        let plan = self.world.plan();
        if plan.actions.is_empty() {
            return;
        }
        let action = plan.actions[index.index(plan.actions.len())].clone();
        self.check_cause(&action);
        self.world.memory.busy.insert(action.target());
        self.under_way.push(action);
    }

    /// Nothing that runs as it should is touched, and nothing is started beside its like.
    fn check_cause(&self, action: &Action) {
        let world = &self.world;
        let all = || world.sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        match action {
            Action::StopContainer { id, why, .. } => {
                let found = all().find(|found| found.id == *id).expect("there");
                let wanted = world.pod.container(&found.name).expect("wanted");
                let edited = found.annotations[marks::CONTAINER_HASH] != wanted.hash;
                let cause = match why {
                    Why::Edited => edited,
                    Why::Unknown => found.state == ContainerState::Unknown,
                    Why::LivenessProbe => world.memory.condemned.contains_key(id),
                    other => panic!("nothing here asks for {other:?}"),
                };
                assert!(cause, "{action:?} without cause");
            }
            Action::StopSandbox { id } => {
                let sandbox = world.sandboxes.iter().find(|found| found.id == *id).expect("there");
                let newest = world.sandboxes.iter().all(|found| found.attempt <= sandbox.attempt);
                let same = sandbox.annotations[marks::SANDBOX_HASH] == world.pod.sandbox_hash;
                let good = newest && same && sandbox.state == PodState::Ready;
                assert!(!good, "a good sandbox was to be stopped");
            }
            _ => {}
        }
    }

    fn end(&mut self, action: &Action, success: bool) {
        self.world.memory.busy.remove(&action.target());
        // The runtime refuses what is not there any more, and to start in a sandbox that is down.
        let possible = match action {
            Action::StartContainer { sandbox, .. } => self
                .world
                .sandboxes
                .iter()
                .any(|found| found.id == *sandbox && found.state == PodState::Ready),
            Action::StopSandbox { id } => self.world.sandboxes.iter().any(|found| found.id == *id),
            _ => true,
        };
        if success && possible {
            self.world.succeed(action);
        } else {
            let now = self.world.now;
            self.world.memory.failed(action.target(), now, "Failed", String::new());
        }
    }

    fn killed(&mut self, happened: &[bool]) {
        let under_way = std::mem::take(&mut self.under_way);
        for (index, action) in under_way.iter().enumerate() {
            self.end(action, happened.get(index).copied().unwrap_or(false));
        }
        // A process that is not there any more is noticed by whoever looks next.
        self.world.notice(1);
        self.world.memory = Memory::default();
    }

    fn running(&self, index: Index) -> Option<String> {
        let all = self.world.sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        let running: Vec<_> = all.filter(|found| found.state == ContainerState::Running).collect();
        (!running.is_empty()).then(|| running[index.index(running.len())].id.clone())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_failures_converges(events in vec(event(), 0..80)) {
        let world = World::new(pod(
            vec![alone(sidecar("proxy"))],
            vec![alone(container("web")), container("db")],
        ));
        let mut life = Life { world, under_way: Vec::new() };
        for event in events {
            life.happen(event);
        }
        for action in std::mem::take(&mut life.under_way) {
            life.end(&action, true);
        }
        life.world.notice(1);
        let plan = life.world.settle();
        prop_assert!(!plan.over && plan.wake.is_none());
        prop_assert_eq!(life.world.sandboxes.len(), 1);
        for name in ["proxy", "web", "db"] {
            prop_assert!(life.world.is_running(name), "{} does not run", name);
            let found = life.world.newest(name);
            let wanted = life.world.pod.container(name).unwrap();
            prop_assert_eq!(&found.annotations[marks::CONTAINER_HASH], &wanted.hash);
        }
        // What stands is left alone.
        life.world.now += Duration::from_secs(3600);
        prop_assert_eq!(life.world.plan().actions, vec![]);
    }
}
