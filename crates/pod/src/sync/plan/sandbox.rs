//! Which sandbox is the pod's, and what becomes of all others.

use std::{cmp::Reverse, time::SystemTime};

use crilet_cri::inventory::{Pod as Sandbox, PodState};

use super::{Action, Planner, container::Next};
use crate::sync::{marks, memory::Target};

impl<'a> Planner<'a> {
    /// Brings the pod, or what is left of it, to run.
    pub(super) fn run(&mut self) {
        let sandboxes = self.newest_first();
        let current = sandboxes.first().copied().filter(|sandbox| self.is_good(sandbox));
        let last = sandboxes.first().copied();
        if current.is_none() && last.is_some_and(|last| self.is_over_in(last)) {
            self.plan.over = true;
            return self.stop_all();
        }
        if self.is_past_deadline() {
            self.plan.over = true;
            return self.stop_all();
        }
        for sandbox in sandboxes.iter().skip(usize::from(current.is_some())) {
            if !self.memory.stopped.contains(&sandbox.id) {
                self.act(Action::StopSandbox { id: sandbox.id.clone() });
            } else if current.is_some() {
                // Its successor knows the numbers that it held.
                self.act(Action::RemoveSandbox { id: sandbox.id.clone() });
            }
        }
        match current {
            Some(current) => self.containers(current),
            None => self.create(last),
        }
    }

    /// Stops every sandbox and keeps the newest.
    pub(super) fn stop_all(&mut self) {
        for (index, sandbox) in self.newest_first().into_iter().enumerate() {
            if !self.memory.stopped.contains(&sandbox.id) {
                self.act(Action::StopSandbox { id: sandbox.id.clone() });
            } else if index > 0 {
                self.act(Action::RemoveSandbox { id: sandbox.id.clone() });
            }
        }
    }

    /// Removes every sandbox, then the pod's files.
    pub(super) fn delete(&mut self) {
        for sandbox in self.observed {
            let id = sandbox.id.clone();
            self.act(match self.memory.stopped.contains(&id) {
                true => Action::RemoveSandbox { id },
                false => Action::StopSandbox { id },
            });
        }
        if self.observed.is_empty() && self.memory.busy.is_empty() {
            match self.memory.files_removed {
                true => self.plan.gone = true,
                false => self.act(Action::RemoveFiles),
            }
        }
    }

    /// Makes a sandbox once all others have given back their addresses and ports.
    fn create(&mut self, last: Option<&Sandbox>) {
        let stopped = |sandbox: &Sandbox| self.memory.stopped.contains(&sandbox.id);
        if self.observed.iter().all(stopped) {
            self.act(Action::CreateSandbox {
                attempt: last.map_or(0, |last| last.attempt.saturating_add(1)),
                first_start: self.first_start(),
            });
        }
    }

    fn newest_first(&self) -> Vec<&'a Sandbox> {
        let mut sandboxes: Vec<_> = self.observed.iter().collect();
        sandboxes.sort_by_key(|sandbox| Reverse((sandbox.attempt, sandbox.created_at)));
        sandboxes
    }

    /// Whether a sandbox can go on: it is up, has its network, and nothing that it was made from
    /// has changed since.
    fn is_good(&self, sandbox: &Sandbox) -> bool {
        let networked = sandbox
            .details
            .as_ref()
            .is_some_and(|details| details.host_network || !details.ips.is_empty());
        sandbox.state == PodState::Ready
            && networked
            && !self.memory.stopped.contains(&sandbox.id)
            && !self.memory.evicted.contains(&sandbox.id)
            && !self.memory.busy.contains(&Target::Sandbox(sandbox.id.clone()))
            && marks::is_of(sandbox, self.pod)
            && !self.has_edited_init(sandbox)
    }

    /// Whether a pod whose last sandbox is down needs no other one: all that ran in it has ended
    /// for good, and the manifest still says the same.
    fn is_over_in(&self, last: &Sandbox) -> bool {
        marks::is_of(last, self.pod) && !self.has_edited_init(last) && self.has_ended(last)
    }

    /// Whether nothing is left to do in a sandbox: each container has ended and is not started
    /// again, or an init container has failed for good.
    pub(super) fn has_ended(&self, sandbox: &Sandbox) -> bool {
        let ended = |container| {
            matches!(self.next(container, self.latest(sandbox, container)), Next::Ended { .. })
        };
        let failed = |container| {
            let next = self.next(container, self.latest(sandbox, container));
            matches!(next, Next::Ended { success: false })
        };
        let plain = self.pod.init.iter().filter(|container| !container.is_sidecar());
        let all = || self.pod.containers.iter().all(ended);
        !self.pod.containers.is_empty() && all() || plain.clone().any(failed)
    }

    /// When the pod's first sandbox was made.
    pub(super) fn first_start(&self) -> Option<SystemTime> {
        let known = |sandbox: &Sandbox| {
            marks::time(&sandbox.annotations, marks::FIRST_START).unwrap_or(sandbox.created_at)
        };
        self.observed.iter().map(known).min()
    }

    fn is_past_deadline(&mut self) -> bool {
        let Some(limit) = self.pod.active_deadline else { return false };
        let Some(due) = self.first_start().map(|start| start + limit) else { return false };
        if due > self.now {
            self.wake_at(due);
        }
        due <= self.now
    }
}
