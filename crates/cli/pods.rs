//! What verbs that act on existing pods share: resolving names, acting on several at once, and
//! leaving to the daemon what is the daemon's.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    process::ExitCode,
    time::Duration,
};

use clap::{ArgGroup, Args};
use crilet_api::{Desired, PodList, PodRef, Source, StopRequest};
use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod},
};
use crilet_pod::{Failure, FindError, find};
use futures_util::future::join_all;

use crate::{
    connect,
    daemon::{self, Goal},
    errors::{self, CliError},
    global::Global,
    output, values,
};

/// How long containers may take to end, where neither the user nor a manifest says it.
const GRACE: Duration = Duration::from_secs(10);

/// Which pods, and how long they may take to end.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("targets").required(true))]
pub(crate) struct Targets {
    /// Pods: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD", group = "targets")]
    pods: Vec<String>,
    /// All pods of the runtime, whoever made them
    #[arg(short, long, group = "targets")]
    all: bool,
    /// How long containers may take to end before they are killed; 10s without, or for a pod that the
    /// daemon keeps what its manifest says
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    grace: Option<Duration>,
}

/// What is meant: pods that the daemon keeps, and sandboxes of the runtime that it does not.
#[derive(Default)]
struct Meant {
    kept: BTreeSet<PodRef>,
    others: BTreeMap<String, Pod>,
}

impl Targets {
    /// How long containers may take to end that the daemon does not keep.
    pub(crate) fn grace(&self) -> Duration {
        self.grace.unwrap_or(GRACE)
    }

    /// Stops each of the pods, and prints the name of each for which it went well.
    pub(crate) async fn stop_each<F, R>(
        &self,
        global: &Global,
        act: F,
    ) -> Result<ExitCode, CliError>
    where
        F: Fn(Client, Pod) -> R,
        R: Future<Output = Result<(), Vec<Failure>>>,
    {
        let kept = daemon::pods_if_there(global).await?;
        let client = connect::client(global).await?;
        let meant = self.resolve(&client, kept.as_ref()).await?;
        self.stop_kept(global, &meant.kept).await?;
        for_each(&client, meant.others, "stopped", act).await
    }

    async fn stop_kept(&self, global: &Global, kept: &BTreeSet<PodRef>) -> Result<(), CliError> {
        let client = daemon::client(global);
        let request = StopRequest { grace_seconds: self.grace.map(values::whole_seconds) };
        for pod in kept {
            client.stop(pod, request).await?;
        }
        let pods: Vec<_> = kept.iter().cloned().collect();
        if !pods.is_empty() {
            daemon::wait(global, &pods, Goal::Stopped).await?;
        }
        for pod in &pods {
            output::line(&pod.to_string()).map_err(CliError::Output)?;
        }
        Ok(())
    }

    /// Removes each of the pods, and prints the name of each for which it went well.
    pub(crate) async fn remove_each<F, R>(
        &self,
        global: &Global,
        act: F,
    ) -> Result<ExitCode, CliError>
    where
        F: Fn(Client, Pod) -> R,
        R: Future<Output = Result<(), Vec<Failure>>>,
    {
        let kept = daemon::pods_if_there(global).await?;
        let client = connect::client(global).await?;
        let meant = self.resolve(&client, kept.as_ref()).await?;
        if let Some(pod) = meant.kept.first() {
            return Err(is_kept(kept.as_ref(), pod));
        }
        for_each(&client, meant.others, "removed", act).await
    }

    /// Finds every pod that is meant; one that two words mean is given once.
    async fn resolve(&self, client: &Client, kept: Option<&PodList>) -> Result<Meant, CliError> {
        let pods = inventory::read(client, Detail::Lists).await?;
        let mut meant = Meant::default();
        if self.all {
            pods.iter().for_each(|pod| meant.take(kept, pod));
        }
        for query in &self.pods {
            match find(&pods, query) {
                Ok(found) => found.into_iter().for_each(|pod| meant.take(kept, pod)),
                Err(error) => meant.take_kept(kept, query, error)?,
            }
        }
        Ok(meant)
    }
}

impl Meant {
    fn take(&mut self, kept: Option<&PodList>, pod: &Pod) {
        if daemon::kept(kept, &pod.full_name()).is_some() {
            self.kept.insert(PodRef::new(&pod.namespace, &pod.name));
        } else {
            self.others.insert(pod.id.clone(), pod.clone());
        }
    }

    /// A pod may have no sandbox at the moment, and still be kept.
    fn take_kept(
        &mut self,
        kept: Option<&PodList>,
        query: &str,
        error: FindError,
    ) -> Result<(), CliError> {
        let found = kept.and_then(|kept| daemon::find(kept, query).ok());
        match (found, error) {
            (Some(pod), FindError::NotFound { .. }) => {
                self.kept.insert(pod.reference());
                Ok(())
            }
            (_, error) => Err(error.into()),
        }
    }
}

/// Refuses to do something to a pod behind the daemon's back.
pub(crate) fn is_kept(kept: Option<&PodList>, pod: &PodRef) -> CliError {
    let found = daemon::kept(kept, &pod.to_string());
    if found.is_some_and(|found| found.desired == Desired::Deleted) {
        return CliError::Leaving { pod: pod.to_string() };
    }
    let hint = match found.map(|found| &found.source) {
        Some(Source::File { file, .. }) => format!("remove `{file}`, and the pod goes"),
        _ => format!("`crilet delete {pod}` takes it away"),
    };
    CliError::Kept { pod: pod.to_string(), hint }
}

/// Does something to each of the sandboxes side by side, prints the name of each pod for which it
/// went well, and tells all failures.
async fn for_each<F, R>(
    client: &Client,
    pods: BTreeMap<String, Pod>,
    done: &'static str,
    act: F,
) -> Result<ExitCode, CliError>
where
    F: Fn(Client, Pod) -> R,
    R: Future<Output = Result<(), Vec<Failure>>>,
{
    let names: Vec<_> = pods.values().map(Pod::full_name).collect();
    let results = join_all(pods.into_values().map(|pod| act(client.clone(), pod))).await;
    let mut by_name: BTreeMap<&str, Vec<Failure>> = BTreeMap::new();
    for (name, result) in names.iter().zip(results) {
        by_name.entry(name).or_default().extend(result.err().unwrap_or_default());
    }
    let total = by_name.len();
    let mut failed = 0;
    for (name, failures) in by_name {
        if failures.is_empty() {
            output::line(name).map_err(CliError::Output)?;
        } else {
            failed += 1;
            failures.iter().for_each(errors::report_failure);
        }
    }
    if failed > 0 { Err(CliError::Some { failed, total, done }) } else { Ok(ExitCode::SUCCESS) }
}
