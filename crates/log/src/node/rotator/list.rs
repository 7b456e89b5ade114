//! Which logs there are.

use std::{collections::BTreeSet, sync::Arc};

use crilet_cri::{
    CriError, inventory, inventory::Container, inventory::ContainerState, inventory::Detail,
    inventory::Pod,
};
use tokio::time::Instant;

use super::{Rotator, Selection, State};
use crate::{
    follow::Waker,
    node::discover::{ContainerLog, Skipped, discover},
    node::event::Problem,
};

impl Rotator {
    /// Asks the runtime for its containers: lists every time, statuses of what changed.
    pub(super) async fn list(&mut self) {
        match self.read_pods().await {
            Ok(pods) => {
                self.listed = true;
                self.told.retain(|told| !told.contains("Runtime("));
                let (logs, skipped) = discover(&pods, self.config.policy);
                self.take_logs(logs);
                for Skipped { path, cause } in skipped {
                    self.tell_once(Some(path), Problem::Look(cause));
                }
            }
            Err(error) => self.tell_once(None, Problem::Runtime(error)),
        }
    }

    pub(super) async fn read_pods(&mut self) -> Result<Vec<Pod>, CriError> {
        let listed = inventory::read(&self.client, Detail::Lists).await?;
        let signature = |pod: &Pod| -> Vec<(String, ContainerState)> {
            pod.containers.iter().map(|Container { id, state, .. }| (id.clone(), *state)).collect()
        };
        let selected: Vec<Pod> = listed.into_iter().filter(|pod| self.selects(pod)).collect();
        let changed = selected
            .iter()
            .filter(|pod| self.pods.get(&pod.id).is_none_or(|(known, _)| *known != signature(pod)));
        let changed: Vec<Pod> = changed.cloned().collect();
        self.pods.retain(|id, _| selected.iter().any(|pod| pod.id == *id));
        for pod in inventory::describe(&self.client, changed, Detail::Full).await? {
            self.pods.insert(pod.id.clone(), (signature(&pod), pod));
        }
        Ok(self.pods.values().map(|(_, pod)| pod.clone()).collect())
    }

    pub(super) fn selects(&self, pod: &Pod) -> bool {
        match &self.config.selection {
            Selection::All => true,
            Selection::Pods(pods) => pods.contains(&pod.id) || pods.contains(&pod.full_name()),
        }
    }

    /// Looks after new logs, and no longer after those that are gone.
    pub(super) fn take_logs(&mut self, found: Vec<ContainerLog>) {
        let mut kept = BTreeSet::new();
        for mut log in found {
            if log.kubelets && !self.config.kubelets {
                continue;
            }
            for setting in std::mem::take(&mut log.invalid) {
                self.tell_once(Some(log.log.path()), Problem::Setting(setting));
            }
            let Ok((device, inode)) = log.log.directory().id() else { continue };
            let key = (device, inode, log.log.name().to_owned());
            kept.insert(key.clone());
            if let Some(state) = self.logs.get_mut(&key) {
                if state.found.writers != log.writers {
                    state.next = Instant::now();
                }
                state.found = log;
                continue;
            }
            let poked = Arc::clone(&self.poked);
            let now = Instant::now();
            let waker = Waker::new(move || poked.notify_one());
            let (growth, live, newest) = (None, None, None);
            let state = State {
                found: log,
                growth,
                live,
                newest,
                rotated: 0,
                next: now,
                next_thorough: now,
                failures: 0,
                retry: now,
                waker,
            };
            self.logs.insert(key, state);
        }
        self.logs.retain(|key, _| kept.contains(key));
    }
}
