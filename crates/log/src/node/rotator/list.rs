//! Which logs there are.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crilet_cri::{
    Client, CriError,
    inventory::{self, ContainerState, Detail, Pod},
};
use tokio::{task::JoinHandle, time::Instant};

use super::{Rotator, Selection, State, THOROUGH};
use crate::{
    follow::Waker,
    node::discover::{ContainerLog, Skipped, discover},
    node::event::Problem,
};

/// The pods whose logs are looked after, by sandbox: what lists said of their containers, and what
/// statuses did.
pub(super) type Known = HashMap<String, (Signature, Pod)>;
type Signature = Vec<(String, ContainerState)>;

/// The pods, and whether they are others than before.
pub(super) type Listed = (Known, Result<bool, CriError>);

/// Waits for what the runtime is asked, if it is.
pub(super) async fn listed(listing: &mut Option<JoinHandle<Listed>>) -> Option<Listed> {
    let listed = listing.as_mut()?.await;
    *listing = None;
    // After a panic all is asked anew.
    Some(listed.unwrap_or_else(|_| (Known::new(), Ok(false))))
}

/// Asks the runtime for its containers: lists every time, statuses of what changed.
async fn update(
    client: &Client,
    selection: &Selection,
    known: &mut Known,
) -> Result<bool, CriError> {
    let mut selected = inventory::read(client, Detail::Lists).await?;
    selected.retain(|pod| selection.selects(pod));
    let before = known.len();
    known.retain(|id, _| selected.iter().any(|pod| pod.id == *id));
    let gone = known.len() < before;
    selected.retain(|pod| known.get(&pod.id).is_none_or(|(known, _)| *known != signature(pod)));
    let changed = gone || !selected.is_empty();
    for pod in inventory::describe(client, selected, Detail::Logs).await? {
        known.insert(pod.id.clone(), (signature(&pod), pod));
    }
    Ok(changed)
}

fn signature(pod: &Pod) -> Signature {
    pod.containers.iter().map(|container| (container.id.clone(), container.state)).collect()
}

impl Selection {
    fn selects(&self, pod: &Pod) -> bool {
        match self {
            Self::All => true,
            Self::Pods(pods) => pods.contains(&pod.id) || pods.contains(&pod.full_name()),
        }
    }
}

impl Rotator {
    /// Begins to ask the runtime, beside everything else: one that takes its time must not keep
    /// logs from being looked at.
    pub(super) fn start_list(&mut self) {
        let mut known = std::mem::take(&mut self.pods);
        let (client, selection) = (self.client.clone(), self.config.selection.clone());
        self.next_list = Instant::now() + self.config.relist;
        self.listing = Some(tokio::spawn(async move {
            let changed = update(&client, &selection, &mut known).await;
            (known, changed)
        }));
    }

    /// Takes what the runtime has said. Where nothing changed, directories are only looked at again
    /// once in a while: somebody may have put others in their places.
    pub(super) fn take_list(&mut self, (known, changed): Listed) {
        self.pods = known;
        let now = Instant::now();
        match changed {
            Ok(changed) if changed || now >= self.next_discovery => {
                self.next_discovery = now + THOROUGH;
                self.discover();
            }
            Ok(_) => {}
            Err(error) => {
                self.next_discovery = now;
                return self.tell_once(None, Problem::Runtime(error));
            }
        }
        self.told.retain(|told| !told.contains("Runtime("));
    }

    fn discover(&mut self) {
        let pods: Vec<Pod> = self.pods.values().map(|(_, pod)| pod.clone()).collect();
        let (logs, skipped) = discover(&pods, self.config.policy);
        self.take_logs(logs);
        for Skipped { path, cause } in skipped {
            self.tell_once(Some(path), Problem::Look(cause));
        }
    }

    /// Looks after new logs, and no longer after those that are gone.
    pub(super) fn take_logs(&mut self, found: Vec<ContainerLog>) {
        let mut kept = BTreeSet::new();
        for log in found {
            if log.kubelets && !self.config.kubelets {
                continue;
            }
            for complaint in log.complaints() {
                self.tell_once(Some(log.log.path()), complaint);
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
            let (growth, live, missing, newest) = (None, None, None, None);
            let state = State {
                found: log,
                growth,
                live,
                missing,
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
