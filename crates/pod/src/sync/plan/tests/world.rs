//! A runtime without time of its own, and one pod to keep in it.

use std::time::{Duration, SystemTime};

use crilet_cri::{
    inventory::{
        Container as Found, ContainerDetails, ContainerState, Pod as Sandbox, PodDetails, PodState,
    },
    v1,
};

use crate::{
    images::PullPolicy,
    model::{Backoff, Container, Format, Origin, Pod, Qos, RestartPolicy},
    sync::{Action, Health, Intent, Keep, Memory, Plan, marks, plan},
};

pub(super) struct World {
    pub(super) pod: Pod,
    pub(super) intent: Intent,
    pub(super) sandboxes: Vec<Sandbox>,
    pub(super) memory: Memory,
    pub(super) now: SystemTime,
    pub(super) keep_dead: usize,
    made: u32,
}

pub(super) fn container(name: &str) -> Container {
    Container {
        name: name.into(),
        hash: format!("{name}-1"),
        image: String::new(),
        pull_policy: PullPolicy::Missing,
        restart_policy: None,
        restart_rules: Vec::new(),
        probes: Default::default(),
        lifecycle: Default::default(),
        termination: None,
        grace: None,
        resources: Default::default(),
        run_as_non_root: false,
        env: Vec::new(),
        mounts: Vec::new(),
        config: Default::default(),
        expand: false,
    }
}

/// One whose processes have a process namespace of their own, as Kubernetes' have by default.
pub(super) fn alone(mut container: Container) -> Container {
    let options =
        v1::NamespaceOption { pid: v1::NamespaceMode::Container.into(), ..Default::default() };
    let linux = container.config.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().namespace_options = Some(options);
    container
}

pub(super) fn sidecar(name: &str) -> Container {
    Container { restart_policy: Some(RestartPolicy::Always), ..container(name) }
}

pub(super) fn pod(init: Vec<Container>, containers: Vec<Container>) -> Pod {
    Pod {
        namespace: "default".into(),
        name: "web".into(),
        uid: "uid".into(),
        labels: Default::default(),
        annotations: Default::default(),
        origin: Origin {
            file: "web.yaml".into(),
            position: None,
            document: 1,
            format: Format::Pod,
        },
        restart_policy: RestartPolicy::Always,
        backoff: Backoff::DEFAULT,
        grace: Duration::from_secs(30),
        active_deadline: None,
        runtime_handler: String::new(),
        sandbox: Default::default(),
        names: Default::default(),
        host_aliases: Vec::new(),
        dns: None,
        fs_group: None,
        qos: Qos::BestEffort,
        init,
        containers,
        volumes: Vec::new(),
        pull_secrets: Default::default(),
        sandbox_hash: "sandbox-1".into(),
    }
}

impl World {
    pub(super) fn new(pod: Pod) -> Self {
        Self {
            pod,
            intent: Intent::Run,
            sandboxes: Vec::new(),
            memory: Memory::default(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            keep_dead: 1,
            made: 0,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        let keep = Keep { dead: self.keep_dead };
        plan(&self.pod, self.intent, &self.sandboxes, &self.memory, keep, self.now)
    }

    /// Does what is planned and whatever that leads to; no faults.
    pub(super) fn settle(&mut self) -> Plan {
        for _ in 0..200 {
            self.start_all();
            let plan = self.plan();
            match plan.wake {
                _ if !plan.actions.is_empty() => {
                    for action in &plan.actions {
                        self.succeed(action);
                    }
                }
                Some(wake) => self.now = wake,
                None => return plan,
            }
        }
        panic!("not settled: {:?}", self.plan());
    }

    /// Does what is due now, without waiting.
    pub(super) fn settle_now(&mut self) -> Plan {
        for _ in 0..200 {
            let plan = self.plan();
            if plan.actions.is_empty() {
                return plan;
            }
            for action in &plan.actions {
                self.succeed(action);
            }
            self.start_all();
        }
        panic!("not settled: {:?}", self.plan());
    }

    /// Every running container's probes succeed.
    pub(super) fn start_all(&mut self) {
        for found in self.sandboxes.iter().flat_map(|sandbox| &sandbox.containers) {
            let health = Health { started: true, ready: true };
            self.memory.health.insert(found.id.clone(), health);
        }
    }

    pub(super) fn succeed(&mut self, action: &Action) {
        self.memory.failures.remove(&action.target());
        match action {
            Action::CreateSandbox { attempt, first_start } => {
                self.create_sandbox(*attempt, first_start.unwrap_or(self.now));
            }
            Action::StopSandbox { id } => {
                let now = self.now;
                let sandbox = self.sandbox(id);
                sandbox.state = PodState::NotReady;
                sandbox.containers.iter_mut().for_each(|found| end(found, 137, now));
                self.memory.stopped.insert(id.clone());
            }
            Action::RemoveSandbox { id } => {
                assert!(self.memory.stopped.contains(id), "removed without being stopped");
                self.sandboxes.retain(|sandbox| sandbox.id != *id);
            }
            Action::StartContainer { sandbox, name, attempt, step } => {
                self.start_container(&sandbox.clone(), name, *attempt, *step);
            }
            Action::StopContainer { id, .. } => self.exit(&id.clone(), 143),
            Action::RemoveContainer { id, .. } => self.remove_container(id),
            Action::RemoveFiles => self.memory.files_removed = true,
        }
    }

    fn create_sandbox(&mut self, attempt: u32, first_start: SystemTime) {
        let taken = |sandbox: &Sandbox| sandbox.attempt == attempt;
        assert!(!self.sandboxes.iter().any(taken), "the runtime has this name already");
        let up = |sandbox: &Sandbox| !self.memory.stopped.contains(&sandbox.id);
        assert!(!self.sandboxes.iter().any(up), "another sandbox has the ports");
        let annotations = [
            (marks::SANDBOX_HASH, self.pod.sandbox_hash.clone()),
            (marks::FIRST_START, marks::format_time(first_start)),
        ];
        self.made += 1;
        self.sandboxes.push(Sandbox {
            id: format!("sandbox{}", self.made),
            name: self.pod.name.clone(),
            namespace: self.pod.namespace.clone(),
            uid: self.pod.uid.clone(),
            attempt,
            state: PodState::Ready,
            created_at: self.now,
            labels: Default::default(),
            annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into(),
            runtime_handler: String::new(),
            details: Some(PodDetails {
                ips: vec!["10.0.0.2".parse().unwrap()],
                ..PodDetails::default()
            }),
            containers: Vec::new(),
        });
    }

    fn start_container(&mut self, sandbox: &str, name: &str, attempt: u32, step: u32) {
        let ended = |found: &Found| {
            found.state == ContainerState::Exited || self.memory.ended.contains_key(&found.id)
        };
        let alive = |found: &Found| found.name == name && !ended(found);
        let twins = self.sandboxes.iter().flat_map(|s| &s.containers).filter(|found| alive(found));
        assert_eq!(twins.count(), 0, "two containers of one name");
        let hash = self.pod.container(name).expect("wanted").hash.clone();
        let annotations = [(marks::CONTAINER_HASH, hash), (marks::BACKOFF_STEP, step.to_string())];
        self.made += 1;
        let (id, now) = (format!("container{}", self.made), self.now);
        self.sandbox(sandbox).containers.push(Found {
            id,
            name: name.to_owned(),
            attempt,
            state: ContainerState::Running,
            created_at: now,
            image: String::new(),
            image_ref: String::new(),
            labels: Default::default(),
            annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into(),
            details: Some(ContainerDetails {
                started_at: Some(now),
                ..ContainerDetails::default()
            }),
        });
    }

    pub(super) fn exit(&mut self, id: &str, code: i32) {
        let now = self.now;
        let containers = self.sandboxes.iter_mut().flat_map(|sandbox| &mut sandbox.containers);
        containers.filter(|found| found.id == id).for_each(|found| end(found, code, now));
    }

    /// A process ends, and the runtime does not know it yet.
    pub(super) fn end_unnoticed(&mut self, id: &str) {
        self.memory.ended.insert(id.to_owned(), self.now);
    }

    /// The runtime notices all ends.
    pub(super) fn notice(&mut self, code: i32) {
        let ended = std::mem::take(&mut self.memory.ended);
        ended.keys().for_each(|id| self.exit(id, code));
    }

    fn remove_container(&mut self, id: &str) {
        for sandbox in &mut self.sandboxes {
            let running = |found: &Found| found.id == id && found.state == ContainerState::Running;
            assert!(!sandbox.containers.iter().any(running), "removed while it runs");
            sandbox.containers.retain(|found| found.id != id);
        }
    }

    pub(super) fn sandbox(&mut self, id: &str) -> &mut Sandbox {
        self.sandboxes.iter_mut().find(|sandbox| sandbox.id == id).expect("there")
    }

    /// The newest container of a name, wherever it is.
    pub(super) fn newest(&self, name: &str) -> &Found {
        let all = self.sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        all.filter(|found| found.name == name).max_by_key(|found| found.attempt).expect("there")
    }

    pub(super) fn is_running(&self, name: &str) -> bool {
        let all = self.sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        let running = |found: &&Found| found.name == name && found.state == ContainerState::Running;
        all.filter(running).count() == 1
    }

    /// All that runs dies, as when the machine is switched off and on.
    pub(super) fn reboot(&mut self) {
        let now = self.now;
        for sandbox in &mut self.sandboxes {
            sandbox.state = PodState::NotReady;
            sandbox.containers.iter_mut().for_each(|found| end(found, 255, now));
        }
        self.memory = Memory::default();
    }
}

fn end(found: &mut Found, code: i32, now: SystemTime) {
    if matches!(found.state, ContainerState::Running | ContainerState::Unknown) {
        found.state = ContainerState::Exited;
        let details = found.details.get_or_insert_default();
        details.exit_code = Some(code);
        details.finished_at = Some(now);
    }
}
