//! The order of a pod's containers: init containers one after the other, sidecars among them going
//! on, then all others side by side.

use crilet_cri::inventory::{self, ContainerState, Pod as Sandbox};

use super::{Action, Planner, container::Next};
use crate::{
    model::Container,
    sync::{marks, memory::Why},
};

impl Planner<'_> {
    /// Plans what the containers of the pod's sandbox need.
    pub(super) fn containers(&mut self, sandbox: &Sandbox) {
        if self.is_restarting_all(sandbox) {
            return self.clear(sandbox);
        }
        self.drop_unwanted(sandbox);
        if self.has_ended(sandbox) {
            self.plan.over = true;
            return self.act(Action::StopSandbox { id: sandbox.id.clone() });
        }
        if !self.initialize(sandbox) {
            return;
        }
        let pod = self.pod;
        for container in &pod.containers {
            self.keep(sandbox, container);
        }
    }

    /// Plans what the init containers need; tells whether the others may run.
    fn initialize(&mut self, sandbox: &Sandbox) -> bool {
        // Earlier init containers may have been removed: a container that exists proves that they
        // were done.
        let done = self.pod.containers.iter().any(|main| self.latest(sandbox, main).is_some());
        let pod = self.pod;
        for init in &pod.init {
            if init.is_sidecar() {
                let running = self.keep(sandbox, init);
                let latest = self.latest(sandbox, init);
                let started = latest.is_some_and(|found| self.memory.is_started(&found.id));
                if !(done || running && started) {
                    return false;
                }
            } else if !done {
                let next = self.next(init, self.latest(sandbox, init));
                if next != (Next::Ended { success: true }) {
                    self.keep(sandbox, init);
                    return false;
                }
            }
        }
        true
    }

    /// Whether an init container was made from something else than what the manifest says now: what
    /// it did cannot be done again beside containers that rely on it.
    pub(super) fn has_edited_init(&self, sandbox: &Sandbox) -> bool {
        let plain = self.pod.init.iter().filter(|init| !init.is_sidecar());
        plain
            .filter_map(|init| Some((init, self.latest(sandbox, init)?)))
            .any(|(init, found)| !marks::is_made_from(found, init))
    }

    /// Ends and removes containers that the manifest does not name any more.
    fn drop_unwanted(&mut self, sandbox: &Sandbox) {
        for found in &sandbox.containers {
            if self.pod.container(&found.name).is_some() {
                continue;
            }
            match found.state {
                ContainerState::Running | ContainerState::Unknown => self.stop(found, Why::Edited),
                ContainerState::Created | ContainerState::Exited => self.remove(found),
            }
        }
    }

    fn is_restarting_all(&self, sandbox: &Sandbox) -> bool {
        let asks = |container: &Container| {
            self.next(container, self.latest(sandbox, container)) == Next::RestartAll
        };
        self.pod.all_containers().any(asks)
    }

    /// Ends and removes every container; the one whose rule asked for it last, so that a process
    /// that is killed meanwhile finds the rule again.
    fn clear(&mut self, sandbox: &Sandbox) {
        let asks = |found: &inventory::Container| {
            let wanted = self.pod.container(&found.name);
            wanted.is_some_and(|wanted| self.next(wanted, Some(found)) == Next::RestartAll)
        };
        let (triggers, others): (Vec<_>, Vec<_>) =
            sandbox.containers.iter().partition(|found| asks(found));
        let last = others.is_empty();
        for found in if last { triggers } else { others } {
            match found.state {
                ContainerState::Running | ContainerState::Unknown => {
                    self.stop(found, Why::RestartAll);
                }
                ContainerState::Created | ContainerState::Exited => self.remove(found),
            }
        }
    }
}
