//! Ending containers and sandboxes in the kubelet's order
//! (`pkg/kubelet/kuberuntime/kuberuntime_termination_order.go`): all others side by side, then
//! sidecars from the last to the first, all within one grace period.

use std::time::Duration;

use crilet_core::failpoint;
use crilet_cri::inventory::{Container as Found, ContainerState, Pod as Sandbox};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Why,
    act::{Effect, Failure, Job},
    ask::{self, Asker},
    look::address,
};
use crate::{
    model::{Container, Hook},
    render::Marks,
};

/// Containers have this long at least, even when hooks have used up the grace period, unless it was
/// zero to begin with (the kubelet's `minimumGracePeriodInSeconds`).
const LEAST: Duration = Duration::from_secs(2);

impl Job {
    pub(super) async fn stop_sandbox(&self, id: &str) -> Result<Effect, Failure> {
        if let Some(sandbox) = self.sandbox(id) {
            self.stop_all(sandbox).await?;
        }
        failpoint::pass("containers-stopped");
        match self.node.client.stop_pod_sandbox(id).await {
            Err(error) if !error.is_not_found() => {
                Err(Failure::of_runtime("FailedStopPodSandBox", &error))
            }
            _ => {
                failpoint::pass("sandbox-stopped");
                tracing::info!(pod = %self.pod.full_name(), sandbox = id, "sandbox stopped");
                Ok(Effect::SandboxStopped(id.to_owned()))
            }
        }
    }

    async fn stop_all(&self, sandbox: &Sandbox) -> Result<(), Failure> {
        let begin = Instant::now();
        let is_sidecar =
            |found: &&Found| self.pod.container(&found.name).is_some_and(|c| self.sidecar(c));
        let alive = sandbox.containers.iter().filter(|found| is_alive(found));
        let (sidecars, others): (Vec<_>, Vec<_>) = alive.partition(is_sidecar);
        let stops = others.into_iter().map(|found| self.stop(sandbox, found, self.grace, begin));
        let mut failures: Vec<_> =
            join_all(stops).await.into_iter().filter_map(Result::err).collect();
        let order = |found: &&Found| self.pod.init.iter().position(|init| init.name == found.name);
        let mut sidecars = sidecars;
        sidecars.sort_by_key(|found| std::cmp::Reverse(order(found)));
        for found in sidecars {
            failures.extend(self.stop(sandbox, found, self.grace, begin).await.err());
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn sidecar(&self, container: &Container) -> bool {
        container.is_sidecar() && self.pod.init.iter().any(|init| init.name == container.name)
    }

    pub(super) async fn stop_container(
        &self,
        id: &str,
        name: &str,
        grace: Option<Duration>,
        why: Why,
    ) -> Result<Effect, Failure> {
        let reason = match why {
            Why::Edited => "its manifest was edited",
            Why::StartupProbe => "its startup probe failed",
            Why::LivenessProbe => "its liveness probe failed",
            Why::PostStartHook => "its hook after the start failed",
            Why::Requested => "a restart was asked for",
            Why::Unknown => "the runtime lost track of it",
            Why::RestartAll => "the pod's containers are restarted together",
        };
        self.tell(Some(name), "Killing", format!("stopping container {name}: {reason}"));
        let grace = if why == Why::RestartAll { Some(Duration::ZERO) } else { grace };
        let found = self.sandboxes.iter().find_map(|sandbox| {
            let found = sandbox.containers.iter().find(|found| found.id == id)?;
            Some((sandbox, found))
        });
        if let Some((sandbox, found)) = found {
            self.stop(sandbox, found, grace.or(self.grace), Instant::now()).await?;
        }
        Ok(Effect::Nothing)
    }

    /// Runs the hook and ends the container, both within the grace period that began at `begin`.
    async fn stop(
        &self,
        sandbox: &Sandbox,
        found: &Found,
        grace: Option<Duration>,
        begin: Instant,
    ) -> Result<(), Failure> {
        let wanted = self.pod.container(&found.name);
        let marks = Marks::read(&found.labels, &found.annotations);
        let own = wanted
            .and_then(|wanted| wanted.grace)
            .or_else(|| marks.grace.filter(|_| wanted.is_none()));
        let grace = grace.or(own).unwrap_or(self.pod.grace);
        let hook = match wanted {
            Some(wanted) => wanted.lifecycle.pre_stop.clone(),
            None => marks.pre_stop,
        };
        if let Some(hook) =
            hook.filter(|_| !grace.is_zero() && found.state == ContainerState::Running)
        {
            let left = grace.saturating_sub(begin.elapsed());
            self.before_stop(sandbox, found, &hook, left).await;
        }
        let left = match grace.is_zero() {
            true => Duration::ZERO,
            false => grace.saturating_sub(begin.elapsed()).max(LEAST),
        };
        match self.node.client.stop_container(&found.id, left).await {
            Err(error) if !error.is_not_found() => {
                let failure = Failure::of_runtime("FailedKillContainer", &error);
                Err(Failure { container: Some(found.name.clone()), ..failure })
            }
            _ => Ok(()),
        }
    }

    /// A hook that fails, or takes too long, changes nothing about the end.
    async fn before_stop(&self, sandbox: &Sandbox, found: &Found, hook: &Hook, left: Duration) {
        let asker = self.asker(sandbox, &found.id);
        let name = &found.name;
        let result =
            tokio::time::timeout(left, run_hook(&asker, &self.pod, name, hook, left)).await;
        let message = match result {
            Ok(Ok(())) => return,
            Ok(Err(message)) => message,
            Err(_) => format!("it took longer than the {} s that were left", left.as_secs()),
        };
        self.node.events.event(super::Event {
            pod: self.pod.full_name(),
            container: Some(name.clone()),
            warning: true,
            reason: "FailedPreStopHook",
            message: format!("the hook before the end of {name} failed: {message}"),
        });
    }

    pub(super) fn asker(&self, sandbox: &Sandbox, container: &str) -> Asker {
        Asker {
            client: self.node.client.clone(),
            container: container.to_owned(),
            address: address(sandbox).or_else(|| self.node.host_ips.first().copied()),
        }
    }
}

/// Runs a hook to its end.
pub(super) async fn run_hook(
    asker: &Asker,
    pod: &crate::model::Pod,
    name: &str,
    hook: &Hook,
    timeout: Duration,
) -> Result<(), String> {
    match hook {
        Hook::Sleep(time) => {
            tokio::time::sleep(*time).await;
            Ok(())
        }
        Hook::Handler(handler) => {
            let handler = ask::expanded(pod, name, handler);
            match asker.ask(&handler, timeout).await {
                Ok(ask::Answer::Success) => Ok(()),
                Ok(ask::Answer::Failure(message)) => Err(message),
                Err(error) => Err(crilet_core::ErrorChain(&error).to_string()),
            }
        }
    }
}

fn is_alive(found: &Found) -> bool {
    matches!(found.state, ContainerState::Running | ContainerState::Unknown)
}
