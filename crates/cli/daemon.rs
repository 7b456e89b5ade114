//! Talking to the daemon: finding its pods, following them, waiting for what they come to.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crilet_api::{Client, Desired, Phase, Pod, PodEvent, PodList, PodRef, client::PodWatch};
use crilet_core::similar;
use crilet_pod::FindError;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{connect, errors::CliError, global::Global, output};

/// How long verbs wait that wait for something.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause before a daemon that went away is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// Shortest part of a sandbox's id that may stand for its pod.
const SHORTEST_PREFIX: usize = 3;

/// A client of the daemon.
pub(crate) fn client(global: &Global) -> Client {
    Client::new(connect::socket(global))
}

/// The pods of the daemon; nothing if there is no daemon.
pub(crate) async fn pods_if_there(global: &Global) -> Result<Option<PodList>, CliError> {
    match client(global).pods().await {
        Ok(pods) => Ok(Some(pods)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Finds the pod that a person means: by name, namespace and name, or the id of its sandbox.
pub(crate) fn find(pods: &PodList, query: &str) -> Result<Arc<Pod>, FindError> {
    let named = |pod: &&Arc<Pod>| match query.split_once('/') {
        Some((namespace, name)) => pod.namespace == namespace && pod.name == name,
        None => pod.name == query,
    };
    let by_id = |pod: &&Arc<Pod>| {
        let id = pod.sandbox.as_ref().map(|sandbox| sandbox.id.as_str());
        query.len() >= SHORTEST_PREFIX && id.is_some_and(|id| id.starts_with(query))
    };
    let mut found: Vec<_> = pods.items.iter().filter(named).collect();
    if found.is_empty() {
        found = pods.items.iter().filter(by_id).collect();
    }
    match found.as_slice() {
        [] => Err(not_found(pods, query)),
        [pod] => Ok(Arc::clone(pod)),
        several => Err(FindError::Ambiguous {
            query: query.to_owned(),
            candidates: several.iter().map(|pod| pod.full_name()).collect(),
        }),
    }
}

fn not_found(pods: &PodList, query: &str) -> FindError {
    let full: Vec<_> = pods.items.iter().map(|pod| pod.full_name()).collect();
    let names = pods.items.iter().map(|pod| pod.name.as_str());
    let suggestion = similar(query, names.chain(full.iter().map(String::as_str)));
    FindError::NotFound { query: query.to_owned(), suggestion: suggestion.map(ToOwned::to_owned) }
}

/// Finds every pod that is meant; one that two words mean is given once.
pub(crate) fn find_all(pods: &PodList, queries: &[String]) -> Result<Vec<Arc<Pod>>, CliError> {
    let mut found = BTreeMap::new();
    for query in queries {
        let pod = find(pods, query).map_err(CliError::FindKept)?;
        found.insert(pod.reference(), pod);
    }
    Ok(found.into_values().collect())
}

/// The pods of a daemon, followed over its restarts.
pub(crate) struct Follower {
    client: Client,
    watch: Option<PodWatch>,
    pods: BTreeMap<PodRef, Arc<Pod>>,
}

/// A pod as it is now, or the last that was seen of one that is gone.
pub(crate) struct Seen {
    pub(crate) pod: Arc<Pod>,
    pub(crate) gone: bool,
}

impl Follower {
    /// Follows the daemon's pods; fails if there is no daemon now.
    pub(crate) async fn start(client: Client) -> Result<Self, CliError> {
        let watch = Some(client.watch_pods().await?);
        Ok(Self { client, watch, pods: BTreeMap::new() })
    }

    /// Every pod that is another than before; the first time all of them, perhaps none.
    ///
    /// Not cancel-safe in that a connection that is being made is made again.
    pub(crate) async fn next(&mut self) -> Result<Vec<Seen>, CliError> {
        loop {
            let Some(watch) = &mut self.watch else {
                self.connect_again().await?;
                continue;
            };
            match watch.next().await {
                Ok(Some(event)) => return Ok(self.take(event)),
                Ok(None) => self.watch = None,
                Err(error) if error.is_passing() => self.watch = None,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connect_again(&mut self) -> Result<(), CliError> {
        output::say("the daemon went away; waiting for it to come back");
        loop {
            match self.client.watch_pods().await {
                Ok(watch) => {
                    self.watch = Some(watch);
                    return Ok(());
                }
                Err(error) if error.is_passing() => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, event: PodEvent) -> Vec<Seen> {
        match event {
            PodEvent::Changed(pod) => {
                self.pods.insert(pod.reference(), Arc::clone(&pod));
                vec![Seen { pod, gone: false }]
            }
            PodEvent::Gone(pod) => {
                let gone = self.pods.remove(&pod);
                gone.map(|pod| Seen { pod, gone: true }).into_iter().collect()
            }
            PodEvent::Snapshot(list) => self.take_snapshot(list),
        }
    }

    /// After a restart of the daemon, only what is another than before is told.
    fn take_snapshot(&mut self, list: PodList) -> Vec<Seen> {
        let now: BTreeMap<_, _> =
            list.items.into_iter().map(|pod| (pod.reference(), pod)).collect();
        let before = std::mem::replace(&mut self.pods, now);
        let gone = before.iter().filter(|(pod, _)| !self.pods.contains_key(pod));
        let gone = gone.map(|(_, pod)| Seen { pod: Arc::clone(pod), gone: true });
        let is_new = |(reference, pod): &(&PodRef, &Arc<Pod>)| before.get(reference) != Some(pod);
        let changed = self.pods.iter().filter(is_new);
        gone.chain(changed.map(|(_, pod)| Seen { pod: Arc::clone(pod), gone: false })).collect()
    }
}

/// What pods may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Goal {
    /// It may be sent work: all its containers run and their readiness probes succeed
    Ready,
    /// Its containers have been started
    Running,
    /// None of its containers runs, and none will be started by itself
    Stopped,
    /// The daemon does not keep it any more
    Deleted,
}

enum Verdict {
    Reached,
    NotYet,
    Never(&'static str),
}

impl Goal {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }

    fn judge(self, pod: Option<&Pod>) -> Verdict {
        let Some(pod) = pod else {
            return if self == Self::Deleted {
                Verdict::Reached
            } else {
                Verdict::Never("is gone")
            };
        };
        let ended = match pod.phase {
            Phase::Failed => Some("has failed"),
            Phase::Succeeded => Some("has ended"),
            Phase::Stopped if pod.desired != Desired::Running => Some("is stopped"),
            Phase::Pending | Phase::Running | Phase::Stopping | Phase::Stopped => None,
        };
        match (self, ended) {
            (Self::Stopped, _) if pod.phase == Phase::Stopped => Verdict::Reached,
            (Self::Stopped, Some(_)) => Verdict::Reached,
            (Self::Deleted, _) | (Self::Stopped, None) => Verdict::NotYet,
            (Self::Ready, None) if pod.is_ready() => Verdict::Reached,
            (Self::Running, None) if pod.phase == Phase::Running => Verdict::Reached,
            (Self::Ready | Self::Running, None) => Verdict::NotYet,
            (Self::Ready | Self::Running, Some(how)) => Verdict::Never(how),
        }
    }
}

/// Waits until all these pods have come to what they should, or one never will.
///
/// The daemon shows what it was asked for as soon as it has answered: no pod is ready or failed from
/// before.
pub(crate) async fn wait(global: &Global, pods: &[PodRef], goal: Goal) -> Result<(), CliError> {
    let limit = global.timeout.unwrap_or(PATIENCE);
    let deadline = Instant::now() + limit;
    let mut follower = Follower::start(client(global)).await?;
    loop {
        if let Ok(next) = timeout_at(deadline, follower.next()).await {
            next?;
        } else {
            return Err(late(&follower, pods, goal, limit));
        }
        let mut left = 0;
        for pod in pods {
            let found = follower.pods.get(pod).map(AsRef::as_ref);
            match goal.judge(found) {
                Verdict::Reached => {}
                Verdict::NotYet => left += 1,
                Verdict::Never(how) => return Err(never(pod, how, found)),
            }
        }
        if left == 0 {
            return Ok(());
        }
    }
}

fn never(pod: &PodRef, how: &'static str, found: Option<&Pod>) -> CliError {
    let why = found.map(why).filter(|why| !why.is_empty());
    CliError::Never { pod: pod.to_string(), how, why: why.unwrap_or_default() }
}

fn late(follower: &Follower, pods: &[PodRef], goal: Goal, limit: Duration) -> CliError {
    let missing = |pod: &&PodRef| {
        let found = follower.pods.get(pod).map(AsRef::as_ref);
        !matches!(goal.judge(found), Verdict::Reached)
    };
    let tell = |pod: &PodRef| {
        let state = follower.pods.get(pod).map_or_else(String::new, |found| {
            format!(" is {}{}", found.phase, parenthesis(&why(found)))
        });
        format!("`{pod}`{state}")
    };
    let pods: Vec<_> = pods.iter().filter(missing).map(tell).collect();
    CliError::Late { pods, goal: goal.word(), limit }
}

fn parenthesis(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// Why a pod is where it is, as far as it or its first container that waits says.
pub(crate) fn why(pod: &Pod) -> String {
    let problem = pod.problems.first().map(|problem| problem.message.clone());
    let waiting = || {
        pod.containers.iter().find_map(|container| match &container.state {
            crilet_api::ContainerState::Waiting { reason, message } => {
                let message = message.as_ref().map_or_else(String::new, |text| format!(": {text}"));
                Some(format!("{}: {reason}{message}", container.name))
            }
            _ => None,
        })
    };
    pod.message.clone().or_else(waiting).or(problem).unwrap_or_default()
}

/// The daemon is there although nobody asked for it: tells which of these names it keeps.
pub(crate) fn kept<'a>(pods: Option<&'a PodList>, full_name: &str) -> Option<&'a Arc<Pod>> {
    pods?.items.iter().find(|pod| pod.full_name() == full_name)
}

/// How long ago something was.
pub(crate) fn age(time: jiff::Timestamp) -> String {
    let time = SystemTime::from(time);
    crate::values::age(SystemTime::now().duration_since(time).unwrap_or_default())
}
