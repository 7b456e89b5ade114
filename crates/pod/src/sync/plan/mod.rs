//! What to do next for a pod, as a pure function.
//!
//! The rules are the kubelet's (`pkg/kubelet/kuberuntime/kuberuntime_manager.go`,
//! `computePodActions`) but for these: an edit of one container restarts that one alone; what an
//! action works on is left alone while it does, and nothing else waits for it.

mod container;
mod init;
mod sandbox;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_cri::inventory;

use super::memory::{Memory, Target, Why};
use crate::model::Pod;

/// What is wanted of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It runs as its manifest says.
    Run,
    /// It is stopped and stays there to be looked at.
    Stop,
    /// It goes, with all that it had.
    Delete,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the pod's volumes and a sandbox.
    CreateSandbox {
        /// How many sandboxes the pod had before.
        attempt: u32,
        /// When its first one was made; nothing if this is the first.
        first_start: Option<SystemTime>,
    },
    /// End the containers of a sandbox in their order, with their hooks, then give back its network.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Remove a sandbox that was stopped, with its containers.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// Pull, create and start a container.
    StartContainer {
        /// The sandbox's id.
        sandbox: String,
        /// The container's name.
        name: String,
        /// How many containers of this name the pod had before, as far as the runtime knows.
        attempt: u32,
        /// How many restarts have led to this since its backoff began anew.
        step: u32,
    },
    /// End a container, with its hook.
    StopContainer {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Instead of the pod's grace period.
        grace: Option<Duration>,
        /// Why.
        why: Why,
    },
    /// Remove a container that has ended or was never started.
    RemoveContainer {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Remove the pod's own files.
    RemoveFiles,
}

impl Action {
    /// What it works on.
    pub fn target(&self) -> Target {
        match self {
            Self::CreateSandbox { .. } | Self::RemoveFiles => Target::Pod,
            Self::StopSandbox { id } | Self::RemoveSandbox { id } => Target::Sandbox(id.clone()),
            Self::StartContainer { name, .. }
            | Self::StopContainer { name, .. }
            | Self::RemoveContainer { name, .. } => Target::Container(name.clone()),
        }
    }
}

/// What to do, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To be done side by side; each works on a target of its own.
    pub actions: Vec<Action>,
    /// When something will be due that is not yet; nothing if only events can change anything.
    pub wake: Option<SystemTime>,
    /// Which containers wait for the end of their backoff, and until when.
    pub restarts: BTreeMap<String, SystemTime>,
    /// The pod has come to its end: all its containers have, and none is to be started again.
    pub over: bool,
    /// A pod that is to go has nothing left.
    pub gone: bool,
}

/// What is kept of what has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Containers of each name that have ended, beside the one that runs.
    pub dead: usize,
}

/// Plans the next actions of a pod.
///
/// `observed` holds all sandboxes of the pod that crilet keeps, with full details; `now` is what the
/// clock of the runtime's timestamps says.
pub fn plan(
    pod: &Pod,
    intent: Intent,
    observed: &[inventory::Pod],
    memory: &Memory,
    keep: Keep,
    now: SystemTime,
) -> Plan {
    let mut planner = Planner { pod, observed, memory, keep, now, plan: Plan::default() };
    match intent {
        Intent::Run => planner.run(),
        Intent::Stop => planner.stop_all(),
        Intent::Delete => planner.delete(),
    }
    planner.plan
}

struct Planner<'a> {
    pod: &'a Pod,
    observed: &'a [inventory::Pod],
    memory: &'a Memory,
    keep: Keep,
    now: SystemTime,
    plan: Plan,
}

impl Planner<'_> {
    /// Takes an action, unless something is being done with its target already or has failed so
    /// lately that it is not yet due again.
    fn act(&mut self, action: Action) {
        let target = action.target();
        if self.memory.busy.contains(&target)
            || self.plan.actions.iter().any(|planned| planned.target() == target)
        {
            return;
        }
        match self.memory.failures.get(&target).map(super::Failed::retry_at) {
            Some(due) if due > self.now => self.wake_at(due),
            _ => self.plan.actions.push(action),
        }
    }

    fn wake_at(&mut self, due: SystemTime) {
        self.plan.wake = Some(self.plan.wake.map_or(due, |earlier| earlier.min(due)));
    }
}
