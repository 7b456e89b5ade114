//! Following containers over their restarts.

use std::{collections::BTreeMap, convert::Infallible, fmt, path::PathBuf, time::Duration};

use crilet_cri::{
    Client, CriError,
    inventory::{self, Container, ContainerState, Detail, Pod},
};

use super::{Chosen, gone::between};
use crate::{Control, Followed, LogFile, Name, locate};

/// How often the runtime is asked whether the containers still run.
const ASK: Duration = Duration::from_millis(500);

/// Asks the runtime about the containers whose logs are followed, and tells the follower which logs
/// have ended and which go on in another file.
pub struct Tracker {
    tracked: Vec<Tracked>,
    control: Control,
    client: Client,
    /// Whether somebody will make an ended container of a pod again.
    is_made_again: fn(&Pod, &Container) -> bool,
    /// Hears of restarts, in words.
    told: Box<dyn FnMut(String) + Send>,
}

impl fmt::Debug for Tracker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tracker").field("tracked", &self.tracked).finish_non_exhaustive()
    }
}

/// A container whose log is followed.
#[derive(Debug)]
struct Tracked {
    pod: Option<String>,
    container: Option<Container>,
    name: Name,
    path: PathBuf,
    number: usize,
    over: bool,
}

impl Tracked {
    fn new(chosen: Chosen, number: usize) -> Self {
        let Chosen { log, name, container, pod, .. } = chosen;
        Self { pod, container, name, path: log.path(), number, over: false }
    }
}

impl Tracker {
    /// Has what was chosen followed. `is_made_again` says whether somebody will make an ended
    /// container of a pod again; `told` hears of restarts, in words.
    pub fn new(
        client: Client,
        control: Control,
        chosen: Vec<Chosen>,
        is_made_again: fn(&Pod, &Container) -> bool,
        told: impl FnMut(String) + Send + 'static,
    ) -> Self {
        let followed =
            |chosen: &Chosen| Followed { log: chosen.log.clone(), name: chosen.name.clone() };
        let first = control.add_all(chosen.iter().map(followed).collect());
        let numbered = chosen.into_iter().zip(first..);
        let tracked = numbered.map(|(chosen, number)| Tracked::new(chosen, number)).collect();
        Self { tracked, control, client, is_made_again, told: Box::new(told) }
    }

    /// Asks for ever. Once all containers have ended for good the follower is told to come to an
    /// end. Safe to drop between two questions.
    pub async fn run(mut self) -> Infallible {
        loop {
            // A runtime that does not answer may be on its way back.
            if let Err(error) = self.ask().await {
                tracing::debug!(%error, "the runtime does not answer");
            }
            if self.tracked.iter().all(|tracked| tracked.over) {
                self.control.close();
            }
            tokio::time::sleep(ASK).await;
        }
    }

    async fn ask(&mut self) -> Result<(), CriError> {
        let pods = inventory::read(&self.client, Detail::Lists).await?;
        let mut described: BTreeMap<String, Option<Pod>> = BTreeMap::new();
        for tracked in self.tracked.iter_mut().filter(|tracked| !tracked.over) {
            let pod = pods.iter().find(|pod| Some(&pod.id) == tracked.pod.as_ref());
            let (Some(pod), Some(own)) = (pod, tracked.container.clone()) else {
                tracked.end(&self.control);
                continue;
            };
            let next = successors(pod, &own);
            let known = pod.containers.iter().find(|container| container.id == own.id);
            if next.is_empty() && known.is_some_and(|own| own.state != ContainerState::Exited) {
                continue;
            }
            let full = match described.get(&pod.id) {
                Some(full) => full.clone(),
                None => {
                    let full = inventory::read_pod(&self.client, &pod.id, Detail::Full).await?;
                    described.entry(pod.id.clone()).or_insert(full).clone()
                }
            };
            match full {
                Some(full) if !next.is_empty() => {
                    for id in next {
                        let words = tracked.restarted(&full, &id, &self.control);
                        words.into_iter().for_each(&mut self.told);
                    }
                }
                Some(full) if known.is_some() && (self.is_made_again)(&full, &own) => {}
                _ => tracked.end(&self.control),
            }
        }
        Ok(())
    }
}

/// Ids of the containers that came after one, the oldest first: one that crashes at once may have come
/// and gone between two questions.
fn successors(pod: &Pod, own: &Container) -> Vec<String> {
    let named = pod.containers.iter().filter(|container| container.name == own.name);
    let later = named.filter(|container| {
        container.created_at > own.created_at
            || container.created_at == own.created_at && container.attempt > own.attempt
    });
    later.map(|container| container.id.clone()).collect()
}

impl Tracked {
    fn end(&mut self, control: &Control) {
        self.over = true;
        control.ended(self.number);
    }

    /// Goes on with the container that came after this one; gives words about it.
    fn restarted(&mut self, pod: &Pod, id: &str, control: &Control) -> Option<String> {
        let found = |id: &str| pod.containers.iter().find(|container| container.id == id);
        let former = self.container.as_ref().and_then(|own| found(&own.id));
        let next = found(id)?;
        if former.is_some_and(|former| former.state == ContainerState::Running) {
            // The runtime has yet to notice its end, which was seen before.
            return None;
        }
        let ended = former.and_then(|former| former.details.as_ref()?.exit_code);
        let code = ended.map_or_else(String::new, |code| format!(" after exit code {code}"));
        let Name { pod: pod_name, container, .. } = &self.name;
        let words =
            format!("{pod_name}/{container} was restarted{code} (attempt {})", next.attempt);
        let own = self.container.replace(next.clone());
        let path = next.details.as_ref().and_then(|details| details.log_path.clone());
        if path.as_ref() == Some(&self.path) {
            return Some(words);
        }
        if let Some(Ok(log)) = locate(pod, next) {
            // What the runtime has forgotten already may have left its files.
            let from = own.map_or(next.attempt, |own| own.attempt.saturating_add(1));
            for forgotten in between(&log, from, next.attempt) {
                self.turn_to(forgotten, control);
            }
            self.turn_to(log, control);
        }
        Some(words)
    }

    /// Follows another log once this one is read.
    fn turn_to(&mut self, log: LogFile, control: &Control) {
        control.ended(self.number);
        self.path = log.path();
        self.number = control.add(Followed { log, name: self.name.clone() }, Some(i64::MIN));
    }
}
