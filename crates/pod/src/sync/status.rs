//! What a person is told of a pod, from what the plan was made of.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use crilet_cri::inventory::{self, ContainerState, Pod as Sandbox, PodState, PortMapping};

use super::{Failed, Intent, Memory, Plan, Target, marks};
use crate::model::{Container, Pod};

/// A pod as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it should be.
    pub pod: Arc<Pod>,
    /// What is wanted of it.
    pub intent: Intent,
    /// Where it is in its life, in the kubelet's words.
    pub phase: Phase,
    /// The newest sandbox; nothing before the first.
    pub sandbox: Option<SandboxStatus>,
    /// Why the pod cannot get a sandbox, or lose it.
    pub failure: Option<Failed>,
    /// When its first sandbox was made.
    pub started_at: Option<SystemTime>,
    /// Every container of the manifest, init containers first.
    pub containers: Vec<ContainerStatus>,
    /// Nothing of it is left.
    pub gone: bool,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all of its containers have been started yet.
    Pending,
    /// All have been started, and some run or will be started again.
    Running,
    /// All have ended well, and none is started again.
    Succeeded,
    /// All have ended, some not well, and none is started again.
    Failed,
    /// A person stopped it.
    Stopped,
    /// It is going away.
    Terminating,
}

/// A sandbox as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Its id.
    pub id: String,
    /// How many the pod had before.
    pub attempt: u32,
    /// Whether it is up.
    pub ready: bool,
    /// When it was made.
    pub created_at: SystemTime,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Whether it uses the host's network.
    pub host_network: bool,
    /// The ports it publishes.
    pub ports: Vec<PortMapping>,
}

/// A container as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it is an init container; sidecars are.
    pub init: bool,
    /// Its id, unless it was never made.
    pub id: Option<String>,
    /// The image as written.
    pub image: String,
    /// The image as the runtime has it.
    pub image_ref: Option<String>,
    /// Its first process, while it runs.
    pub pid: Option<u32>,
    /// What it does now.
    pub state: State,
    /// How the one before it ended, if it is still known.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its startup probe has succeeded.
    pub started: bool,
    /// Whether it may be sent work.
    pub ready: bool,
    /// The file with its output.
    pub log_path: Option<std::path::PathBuf>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not run yet, or again.
    Waiting {
        /// A word for machines: `ContainerCreating`, `CrashLoopBackOff`, `ErrImagePull`, ….
        reason: &'static str,
        /// Why, in words; may be empty.
        message: String,
        /// When it is tried again, if it is known.
        until: Option<SystemTime>,
    },
    /// It runs.
    Running {
        /// Since then.
        since: SystemTime,
    },
    /// It has ended for good.
    Ended(Ended),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; 128 + N after signal N.
    pub exit_code: i32,
    /// The runtime's word: `Completed`, `Error`, `OOMKilled`, ….
    pub reason: String,
    /// The container's own last words, or the runtime's.
    pub message: String,
    /// When it was started.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub finished_at: Option<SystemTime>,
}

/// Says what a pod is; `plan` is what was planned from the same facts.
pub fn status(
    pod: &Arc<Pod>,
    intent: Intent,
    observed: &[Sandbox],
    memory: &Memory,
    plan: &Plan,
) -> Status {
    let newest = observed.iter().max_by_key(|sandbox| (sandbox.attempt, sandbox.created_at));
    let containers: Vec<_> = pod
        .init
        .iter()
        .map(|container| (container, true))
        .chain(pod.containers.iter().map(|container| (container, false)))
        .map(|(container, init)| container_status(container, init, newest, memory, plan))
        .map(|container| match newest {
            // All of it makes way for another.
            Some(sandbox) if !marks::is_of(sandbox, pod) => {
                ContainerStatus { ready: false, ..container }
            }
            _ => container,
        })
        .collect();
    let first = |sandbox: &Sandbox| {
        marks::time(&sandbox.annotations, marks::FIRST_START).unwrap_or(sandbox.created_at)
    };
    let sandbox_target = newest.map(|sandbox| Target::Sandbox(sandbox.id.clone()));
    let failure = sandbox_target
        .and_then(|target| memory.failures.get(&target))
        .or_else(|| memory.failures.get(&Target::Pod));
    Status {
        pod: pod.clone(),
        intent,
        phase: phase(intent, &containers, plan),
        sandbox: newest.map(sandbox_status),
        failure: failure.cloned(),
        started_at: observed.iter().map(first).min(),
        containers,
        gone: plan.gone,
    }
}

impl Status {
    /// Whether every container that should run does and may be sent work.
    pub fn is_ready(&self) -> bool {
        let up = self.sandbox.as_ref().is_some_and(|sandbox| sandbox.ready);
        let serving = |container: &&ContainerStatus| !container.init;
        self.intent == Intent::Run
            && up
            && self.containers.iter().filter(serving).all(|container| container.ready)
    }
}

fn phase(intent: Intent, containers: &[ContainerStatus], plan: &Plan) -> Phase {
    let main = || containers.iter().filter(|container| !container.init);
    match intent {
        Intent::Delete => return Phase::Terminating,
        Intent::Stop => return Phase::Stopped,
        Intent::Run => {}
    }
    if plan.over {
        let failed = |container: &ContainerStatus| match &container.state {
            State::Ended(ended) => ended.exit_code != 0,
            _ => !container.init,
        };
        return if containers.iter().any(failed) { Phase::Failed } else { Phase::Succeeded };
    }
    if main().all(|container| container.id.is_some()) { Phase::Running } else { Phase::Pending }
}

fn sandbox_status(sandbox: &Sandbox) -> SandboxStatus {
    let details = sandbox.details.clone().unwrap_or_default();
    SandboxStatus {
        id: sandbox.id.clone(),
        attempt: sandbox.attempt,
        ready: sandbox.state == PodState::Ready,
        created_at: sandbox.created_at,
        ips: details.ips,
        host_network: details.host_network,
        ports: details.ports,
    }
}

fn container_status(
    wanted: &Container,
    init: bool,
    sandbox: Option<&Sandbox>,
    memory: &Memory,
    plan: &Plan,
) -> ContainerStatus {
    let all = sandbox.map_or(&[][..], |sandbox| &sandbox.containers);
    let mut found: Vec<_> = all.iter().filter(|found| found.name == wanted.name).collect();
    found.sort_by_key(|found| (found.attempt, found.created_at));
    let latest = found.pop();
    let health = latest.and_then(|latest| memory.health.get(&latest.id)).copied();
    let running = latest.is_some_and(|latest| latest.state == ContainerState::Running);
    let health = health.filter(|_| running).unwrap_or_default();
    // One that makes way for another, or whose end the runtime has yet to notice, is sent no work.
    let stays = latest.is_some_and(|latest| {
        marks::is_made_from(latest, wanted)
            && !memory.ended.contains_key(&latest.id)
            && !memory.condemned.contains_key(&latest.id)
    });
    ContainerStatus {
        name: wanted.name.clone(),
        init,
        id: latest.map(|latest| latest.id.clone()),
        image: wanted.image.clone(),
        image_ref: latest.map(|latest| latest.image_ref.clone()),
        pid: latest.and_then(|latest| latest.details.as_ref()?.pid),
        state: state(wanted, latest, memory, plan),
        last: found.pop().map(|found| ended(found, memory)),
        restarts: latest.map_or(0, |latest| latest.attempt),
        started: health.started,
        ready: health.ready && stays,
        log_path: latest.and_then(|latest| latest.details.as_ref()?.log_path.clone()),
    }
}

fn state(
    wanted: &Container,
    latest: Option<&inventory::Container>,
    memory: &Memory,
    plan: &Plan,
) -> State {
    if let Some(latest) = latest.filter(|latest| latest.state == ContainerState::Running) {
        let started = latest.details.as_ref().and_then(|details| details.started_at);
        return State::Running { since: started.unwrap_or(latest.created_at) };
    }
    let target = Target::Container(wanted.name.clone());
    let waiting = |reason, message: &str, until| State::Waiting {
        reason,
        message: message.to_owned(),
        until,
    };
    if let Some(failed) = memory.failures.get(&target) {
        return waiting(failed.reason, &failed.message, Some(failed.retry_at()));
    }
    let starting = memory.busy.contains(&target)
        || plan.actions.iter().any(|action| action.target() == target);
    match latest {
        _ if starting => waiting("ContainerCreating", "", None),
        None => waiting("PodInitializing", "", None),
        Some(latest) if latest.state != ContainerState::Exited => {
            waiting("ContainerCreating", "", None)
        }
        Some(latest) => match plan.restarts.get(&wanted.name) {
            Some(due) => {
                waiting("CrashLoopBackOff", &ended_text(&ended(latest, memory)), Some(*due))
            }
            None => State::Ended(ended(latest, memory)),
        },
    }
}

fn ended(found: &inventory::Container, memory: &Memory) -> Ended {
    let details = found.details.clone().unwrap_or_default();
    let own = memory.last_words.get(&found.id).filter(|words| !words.is_empty());
    Ended {
        exit_code: details.exit_code.unwrap_or(-1),
        reason: details.reason,
        message: own.cloned().unwrap_or(details.message),
        started_at: details.started_at,
        finished_at: details.finished_at,
    }
}

fn ended_text(ended: &Ended) -> String {
    match ended.reason.as_str() {
        "" => format!("ended with status {}", ended.exit_code),
        reason => format!("ended with status {} ({reason})", ended.exit_code),
    }
}
