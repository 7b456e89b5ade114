//! Seeing what the runtime has of a pod, and watching what runs.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crilet_core::ErrorChain;
use crilet_cri::inventory::{Container as Found, ContainerState, Pod as Sandbox, PodState};

use super::{
    FIRST_RETRY, Health, LAST_RETRY, Node, Target, Worker,
    ask::{self, Asker},
    exits::Watched,
    observe,
};
use crate::{
    model::{Container, Pod, Probe, TerminationPolicy},
    sync::names::Present,
    volumes::{self, Roots},
};

impl Worker {
    /// Looks at the pod and watches what runs.
    pub(super) async fn look(&mut self, pod: &Arc<Pod>) {
        let observed = self.observe(&pod.uid).await;
        let containers = || observed.iter().flat_map(|sandbox| &sandbox.containers);
        let sandboxes: BTreeSet<_> = observed.iter().map(|found| found.id.as_str()).collect();
        let all: BTreeSet<_> = containers().map(|found| found.id.as_str()).collect();
        self.memory.retain(&sandboxes, &all);
        for sandbox in &observed {
            self.watch_sandbox(sandbox);
            let running = |found: &&Found| found.state == ContainerState::Running;
            for found in sandbox.containers.iter().filter(running) {
                self.watch_container(pod, sandbox, found);
            }
        }
        let running = |id: &str| {
            containers().any(|found| found.id == id && found.state == ContainerState::Running)
        };
        self.probes.retain(running);
        for found in containers() {
            self.hear_last_words(pod, found);
        }
        self.observed = observed;
        self.node.names.set(&pod.uid, self.present(pod));
    }

    /// Reads once what a container that has ended left to say.
    fn hear_last_words(&mut self, pod: &Pod, found: &Found) {
        let Some(termination) = pod.container(&found.name).and_then(|it| it.termination.as_ref())
        else {
            return;
        };
        if found.state != ContainerState::Exited || self.memory.last_words.contains_key(&found.id) {
            return;
        }
        let roots = Roots::below(&self.node.data);
        let file = volumes::termination_path(&roots, &pod.uid, &found.name, found.attempt);
        let details = found.details.as_ref();
        let failed = details.and_then(|details| details.exit_code).is_some_and(|code| code != 0);
        let log = || {
            let wanted = termination.policy == TerminationPolicy::FallbackToLogsOnError && failed;
            volumes::last_lines(details.filter(|_| wanted)?.log_path.as_deref()?)
        };
        let words = volumes::last_word(&file).or_else(log).unwrap_or_default();
        self.memory.last_words.insert(found.id.clone(), words);
    }

    /// Where the pod is found by others.
    fn present(&self, pod: &Arc<Pod>) -> Option<Present> {
        let up = |sandbox: &&Sandbox| {
            sandbox.state == PodState::Ready && !self.memory.stopped.contains(&sandbox.id)
        };
        let newest = |sandbox: &&Sandbox| (sandbox.attempt, sandbox.created_at);
        let sandbox = self.observed.iter().filter(up).max_by_key(newest)?;
        present(&self.node, pod, sandbox).filter(|present| !present.addresses.is_empty())
    }

    /// Asks the runtime until it answers; a restart of it is no reason to give up.
    async fn observe(&self, uid: &str) -> Vec<Sandbox> {
        let mut pause = FIRST_RETRY;
        loop {
            match observe(&self.node.client, uid, &self.observed).await {
                Ok(observed) => return observed,
                Err(error) => {
                    tracing::debug!(uid, error = %ErrorChain(&error), "cannot look at a pod");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_RETRY);
                }
            }
        }
    }

    fn watch_sandbox(&mut self, sandbox: &Sandbox) {
        let pid = sandbox.details.as_ref().and_then(|details| details.pid);
        if let Some(pid) = pid.filter(|_| sandbox.state == PodState::Ready) {
            let watched = Watched::Sandbox(sandbox.id.clone());
            self.exits.watch(&self.node.client, watched, pid);
        }
    }

    fn watch_container(&mut self, pod: &Arc<Pod>, sandbox: &Sandbox, found: &Found) {
        let details = found.details.clone().unwrap_or_default();
        if let Some(pid) = details.pid {
            let watched = Watched::Container(found.id.clone());
            self.exits.watch(&self.node.client, watched, pid);
        }
        // While it is being started its hook may be under way; it is asked nothing yet.
        let target = Target::Container(found.name.clone());
        let Some(wanted) =
            pod.container(&found.name).filter(|_| !self.memory.busy.contains(&target))
        else {
            return;
        };
        let health = self.memory.health.entry(found.id.clone()).or_insert_with(|| before(wanted));
        let asker = Arc::new(Asker {
            client: self.node.client.clone(),
            container: found.id.clone(),
            address: address(sandbox).or_else(|| self.node.host_ips.first().copied()),
        });
        let (pod, name) = (Arc::clone(pod), found.name.clone());
        let ask = move |probe: &Probe| {
            let asker = Arc::clone(&asker);
            let handler = ask::expanded(&pod, &name, &probe.handler);
            let timeout = probe.timeout;
            async move { asker.ask(&handler, timeout).await }
        };
        let since = details.started_at.unwrap_or(found.created_at);
        self.probes.follow(&found.id, &wanted.probes, health.started, since, ask);
    }
}

/// What counts before any probe has said something, as with the kubelet.
fn before(container: &Container) -> Health {
    let started = container.probes.startup.is_none();
    Health { started, ready: started && container.probes.readiness.is_none() }
}

/// Where a pod is in one of its sandboxes; nothing if not all is known of that.
pub(super) fn present(node: &Node, pod: &Arc<Pod>, sandbox: &Sandbox) -> Option<Present> {
    let details = sandbox.details.as_ref()?;
    let addresses = if details.host_network { &node.host_ips } else { &details.ips };
    Some(Present {
        pod: Arc::clone(pod),
        file: node.state.hosts_file(&sandbox.id),
        addresses: addresses.clone(),
    })
}

/// A pod's first address; nothing on the host's network.
pub(super) fn address(sandbox: &Sandbox) -> Option<IpAddr> {
    sandbox.details.as_ref().and_then(|details| details.ips.first().copied())
}
