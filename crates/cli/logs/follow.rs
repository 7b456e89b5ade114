//! `crilet logs --follow`: logs to their ends, over restarts of their containers.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use crilet_cri::{
    Client, CriError,
    inventory::{self, Container, ContainerState, Detail, Pod},
};
use crilet_log::{
    Control, Counts, Follow, Followed, LogError, LogFile, Name, Query, Watch, locate,
};
use crilet_pod::sync::marks;

use super::{LogsArgs, select::Chosen, told};
use crate::{errors::CliError, output};

/// How often the runtime is asked whether the containers still run.
const ASK: Duration = Duration::from_millis(500);
/// The annotation that says whether a container is made again when it has ended.
const RESTART_POLICY: &str = "crilet.dev/restart-policy";

/// Follows the logs of containers until these have ended.
pub(super) async fn run(
    client: Client,
    args: &LogsArgs,
    query: Query,
    chosen: Vec<Chosen>,
) -> Result<ExitCode, CliError> {
    let (reader, control) = start(args, query)?;
    let tracked = chosen.into_iter().map(|chosen| {
        let number =
            control.add(Followed { log: chosen.log.clone(), name: chosen.name.clone() }, None);
        Tracked::new(chosen, number)
    });
    let tracker = Tracker { tracked: tracked.collect(), control, client };
    tokio::select! {
        read = reader => told(read.unwrap_or_else(|_| Ok(Counts::default()))),
        never = tracker.run() => match never {},
    }
}

/// Follows a file; nothing tells when its writer ends.
pub(super) fn run_file(args: &LogsArgs, query: Query, log: LogFile) -> Result<ExitCode, CliError> {
    let watch = Watch::start().map_err(|cause| CliError::Start { cause })?;
    let (follow, control) = Follow::new(Arc::new(watch), query, args.renderer());
    control.add(Followed { log, name: Name::default() }, None);
    told(follow.run(&mut output::stream()))
}

type Reader = tokio::task::JoinHandle<Result<Counts, LogError>>;

/// Reads and writes on a thread of its own: whoever takes the output may be slow.
fn start(args: &LogsArgs, query: Query) -> Result<(Reader, Control), CliError> {
    let watch = Watch::start().map_err(|cause| CliError::Start { cause })?;
    let (follow, control) = Follow::new(Arc::new(watch), query, args.renderer());
    Ok((tokio::task::spawn_blocking(move || follow.run(&mut output::stream())), control))
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

/// Asks the runtime, and tells the follower.
#[derive(Debug)]
struct Tracker {
    tracked: Vec<Tracked>,
    control: Control,
    client: Client,
}

impl Tracker {
    async fn run(mut self) -> std::convert::Infallible {
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
            let own = tracked.container.clone();
            let current = pod.zip(own.as_ref()).and_then(|(pod, own)| {
                pod.containers.iter().rev().find(|container| container.name == own.name)
            });
            let (Some(pod), Some(own), Some(current)) = (pod, own, current) else {
                tracked.end(&self.control);
                continue;
            };
            let is_other = current.id != own.id;
            if !is_other && current.state != ContainerState::Exited {
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
                Some(full) if is_other => tracked.restarted(&full, &current.id, &self.control),
                Some(full) if is_made_again(&full, &own) => {}
                _ => tracked.end(&self.control),
            }
        }
        Ok(())
    }
}

impl Tracked {
    fn end(&mut self, control: &Control) {
        self.over = true;
        control.ended(self.number);
    }

    /// Goes on with the container that came after this one.
    fn restarted(&mut self, pod: &Pod, id: &str, control: &Control) {
        let found = |id: &str| pod.containers.iter().find(|container| container.id == id);
        let former = self.container.as_ref().and_then(|own| found(&own.id));
        let Some(next) = found(id) else { return };
        let ended = former.and_then(|former| former.details.as_ref()?.exit_code);
        let code = ended.map_or_else(String::new, |code| format!(" after exit code {code}"));
        let Name { pod: pod_name, container, .. } = &self.name;
        output::say(&format!(
            "{pod_name}/{container} was restarted{code} (attempt {})",
            next.attempt
        ));
        self.container = Some(next.clone());
        let path = next.details.as_ref().and_then(|details| details.log_path.clone());
        if path.as_ref() == Some(&self.path) {
            return;
        }
        if let Some(Ok(log)) = locate(pod, next) {
            control.ended(self.number);
            self.path = log.path();
            self.number = control.add(Followed { log, name: self.name.clone() }, Some(i64::MIN));
        }
    }
}

/// Whether somebody looks after a pod who will make an ended container again.
fn is_made_again(pod: &Pod, container: &Container) -> bool {
    let details =
        pod.containers.iter().find(|c| c.id == container.id).and_then(|c| c.details.as_ref());
    let failed = details.and_then(|details| details.exit_code) != Some(0);
    // What the daemon wrote on the container goes before what a person wrote on the pod.
    let kept = container.annotations.get(marks::RESTARTS);
    let policy = kept.or_else(|| pod.annotations.get(RESTART_POLICY));
    match policy.map(|policy| policy.to_ascii_lowercase()).as_deref() {
        Some("always" | "unless-stopped") => true,
        Some("on-failure" | "onfailure") => failed,
        _ => false,
    }
}
