//! What a single container needs.

use std::time::SystemTime;

use crilet_cri::{
    inventory::{self, ContainerState, Pod as Sandbox},
    v1,
};

use super::{Action, Planner};
use crate::{
    model::{Container, RestartPolicy, RestartVerdict},
    sync::{marks, memory::Why},
};

/// What a container needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it runs.
    Running,
    /// To be started, once `due` has come.
    Start { step: u32, due: Option<SystemTime> },
    /// To be ended first.
    Stop(Why),
    /// To be removed first: it was never started.
    Remove,
    /// All containers of the pod are to be started again.
    RestartAll,
    /// Nothing: it has ended for good.
    Ended { success: bool },
}

impl Planner<'_> {
    /// The newest container of this name in a sandbox.
    pub(super) fn latest<'a>(
        &self,
        sandbox: &'a Sandbox,
        container: &Container,
    ) -> Option<&'a inventory::Container> {
        let of_name = sandbox.containers.iter().filter(|found| found.name == container.name);
        of_name.max_by_key(|found| (found.attempt, found.created_at))
    }

    pub(super) fn next(&self, wanted: &Container, found: Option<&inventory::Container>) -> Next {
        let Some(found) = found else { return Next::Start { step: 0, due: None } };
        let edited = !marks::is_made_from(found, wanted);
        let condemned = self.memory.condemned.get(&found.id).map(|condemned| condemned.why);
        if !edited
            && condemned.is_none()
            && let Some(next) = self.ahead(wanted, found)
        {
            return next;
        }
        match found.state {
            ContainerState::Created => Next::Remove,
            ContainerState::Unknown => Next::Stop(Why::Unknown),
            ContainerState::Running if edited => Next::Stop(Why::Edited),
            ContainerState::Running => condemned.map_or(Next::Running, Next::Stop),
            ContainerState::Exited if edited || condemned == Some(Why::Requested) => {
                Next::Start { step: 0, due: None }
            }
            ContainerState::Exited => self.after_exit(wanted, found, condemned),
        }
    }

    fn after_exit(
        &self,
        wanted: &Container,
        found: &inventory::Container,
        condemned: Option<Why>,
    ) -> Next {
        let details = found.details.clone().unwrap_or_default();
        let exit_code = details.exit_code.unwrap_or(-1);
        // An init container with a policy of `Always` is a sidecar; the others are done when they
        // have succeeded, whatever the pod's policy is.
        let plain_init = self.is_plain_init(wanted);
        if plain_init && exit_code == 0 {
            return Next::Ended { success: true };
        }
        let probed = matches!(condemned, Some(Why::LivenessProbe | Why::StartupProbe));
        match wanted.after_exit(self.pod.restart_policy, exit_code, !probed) {
            RestartVerdict::Stay => Next::Ended { success: exit_code == 0 },
            RestartVerdict::RestartAll => Next::RestartAll,
            RestartVerdict::Restart => {
                let ended = details.finished_at.unwrap_or(found.created_at);
                self.restart(found, ended)
            }
        }
    }

    fn restart(&self, found: &inventory::Container, ended: SystemTime) -> Next {
        let began = found.details.as_ref().and_then(|details| details.started_at);
        let ran = ended.duration_since(began.unwrap_or(found.created_at)).unwrap_or_default();
        let step = match ran >= self.pod.backoff.reset() {
            true => 0,
            false => marks::backoff_step(&found.annotations),
        };
        let due = ended + self.pod.backoff.delay(step);
        Next::Start { step: step.saturating_add(1), due: Some(due) }
    }

    /// The start that follows an end which the runtime has yet to notice, if it is due at once and
    /// follows however the container has ended. The kernel ends all of a process namespace before
    /// its first process counts as ended; of a shared one others may still be there, and those are
    /// the runtime's to end.
    fn ahead(&self, wanted: &Container, found: &inventory::Container) -> Option<Next> {
        let ended = *self.memory.ended.get(&found.id)?;
        let linux = wanted.config.linux.as_ref()?;
        let namespaces = linux.security_context.as_ref()?.namespace_options.as_ref()?;
        let policy = wanted.restart_policy.unwrap_or(self.pod.restart_policy);
        let is_sure = found.state == ContainerState::Running
            && namespaces.pid() == v1::NamespaceMode::Container
            && policy == RestartPolicy::Always
            && wanted.restart_rules.is_empty()
            && !self.is_plain_init(wanted);
        let is_due =
            |next: &Next| matches!(next, Next::Start { due: Some(due), .. } if *due <= self.now);
        Some(self.restart(found, ended)).filter(|next| is_sure && is_due(next))
    }

    fn is_plain_init(&self, wanted: &Container) -> bool {
        !wanted.is_sidecar() && self.pod.init.iter().any(|init| init.name == wanted.name)
    }

    /// Plans what a container needs; tells whether it runs.
    pub(super) fn keep(&mut self, sandbox: &Sandbox, wanted: &Container) -> bool {
        let found = self.latest(sandbox, wanted);
        let next = self.next(wanted, found);
        self.remove_old(sandbox, wanted, &next);
        match (next, found) {
            (Next::Running, _) => return true,
            (Next::Start { step, due }, _) => self.start(sandbox, wanted, step, due),
            (Next::Stop(why), Some(found)) => self.stop(found, why),
            (Next::Remove, Some(found)) => self.remove(found),
            (Next::Stop(_) | Next::Remove | Next::RestartAll | Next::Ended { .. }, _) => {}
        }
        false
    }

    fn start(&mut self, sandbox: &Sandbox, wanted: &Container, step: u32, due: Option<SystemTime>) {
        if let Some(due) = due.filter(|due| *due > self.now) {
            self.plan.restarts.insert(wanted.name.clone(), due);
            return self.wake_at(due);
        }
        let everywhere = self.observed.iter().flat_map(|sandbox| &sandbox.containers);
        let former = everywhere.filter(|found| found.name == wanted.name);
        let attempt = former.map(|found| found.attempt.saturating_add(1)).max().unwrap_or(0);
        self.act(Action::StartContainer {
            sandbox: sandbox.id.clone(),
            name: wanted.name.clone(),
            attempt,
            step,
        });
    }

    pub(super) fn stop(&mut self, found: &inventory::Container, why: Why) {
        let grace = self.memory.condemned.get(&found.id).and_then(|condemned| condemned.grace);
        let (id, name) = (found.id.clone(), found.name.clone());
        self.act(Action::StopContainer { id, name, grace, why });
    }

    pub(super) fn remove(&mut self, found: &inventory::Container) {
        let (id, name) = (found.id.clone(), found.name.clone());
        self.act(Action::RemoveContainer { id, name });
    }

    /// Keeps some dead containers of each name, so that their logs and ends can be looked at; the
    /// newest of all in any case, for its end says what comes next.
    fn remove_old(&mut self, sandbox: &Sandbox, wanted: &Container, next: &Next) {
        // It is about to get a successor, which needs the target.
        if matches!(next, Next::Start { due, .. } if due.is_none_or(|due| due <= self.now)) {
            return;
        }
        let dead = |found: &&inventory::Container| {
            found.name == wanted.name && found.state == ContainerState::Exited
        };
        let newest_is_dead = self.latest(sandbox, wanted).is_some_and(|found| dead(&found));
        let kept = self.keep.dead.max(usize::from(newest_is_dead));
        let mut all: Vec<_> = sandbox.containers.iter().filter(dead).collect();
        all.sort_by_key(|found| std::cmp::Reverse((found.attempt, found.created_at)));
        if let Some(old) = all.get(kept) {
            self.remove(old);
        }
    }
}
