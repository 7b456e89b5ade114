//! `crilet delete`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, Args};
use crilet_api::{ApplyRequest, Client, PodRef, StopRequest};

use crate::{
    daemon::{self, Goal},
    errors::{self, CliError},
    global::Global,
    manifests, output, values,
};

/// Options of `crilet delete`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("targets").required(true))]
pub(crate) struct DeleteArgs {
    /// Pods: NAME, NAMESPACE/NAME, or the beginning of a sandbox's id
    #[arg(value_name = "POD", group = "targets")]
    pods: Vec<String>,
    /// The pods of a manifest, a directory of them, or `-` for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", group = "targets")]
    files: Vec<PathBuf>,
    /// How long containers may take to end, instead of what their manifest says
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    grace: Option<Duration>,
    /// Leave as soon as the daemon has taken it on
    #[arg(long)]
    no_wait: bool,
}

/// Has the daemon stop, remove and forget pods, and prints the name of each.
pub(crate) async fn run(global: &Global, args: DeleteArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    let pods = targets(&client, &args).await?;
    let request = StopRequest { grace_seconds: args.grace.map(values::whole_seconds) };
    let mut taken = Vec::new();
    let mut failed = 0;
    for pod in &pods {
        match client.delete(pod, request).await {
            Ok(_) => taken.push(pod.clone()),
            // One refusal does not keep the others; without a daemon there are no others.
            Err(error) if pods.len() > 1 && !error.is_passing() => {
                failed += 1;
                errors::tell(&CliError::Daemon(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !args.no_wait {
        daemon::wait(global, &taken, Goal::Deleted).await?;
    }
    for pod in &taken {
        output::line(&pod.to_string()).map_err(CliError::Output)?;
    }
    let total = pods.len();
    if failed > 0 {
        return Err(CliError::Some { failed, total, done: "deleted" });
    }
    Ok(ExitCode::SUCCESS)
}

/// Which pods files describe, the daemon knows best.
async fn targets(client: &Client, args: &DeleteArgs) -> Result<Vec<PodRef>, CliError> {
    if args.files.is_empty() {
        let found = daemon::find_all(&client.pods().await?, &args.pods)?;
        return Ok(found.iter().map(|pod| pod.reference()).collect());
    }
    let mut sources = Vec::new();
    for path in &args.files {
        sources.extend(manifests::read(path)?);
    }
    let request = ApplyRequest { sources, dry_run: true, ..ApplyRequest::default() };
    let report = client.apply(&request).await?;
    let kept = client.pods().await?;
    let described = report.pods.iter().map(|pod| PodRef::new(&pod.namespace, &pod.name));
    let is_kept = |pod: &PodRef| daemon::kept(Some(&kept), &pod.to_string()).is_some();
    Ok(described.filter(is_kept).collect())
}
