//! `crilet log`: how logs are kept.

mod du;
mod ls;
mod rotate;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod, PodState},
};
use crilet_daemon::config::{self, LogsConfig};
use crilet_log::{ContainerLog, Policy, discover};
use crilet_pod::find;

use crate::{connect, errors::CliError, global::Global, output, serve::CONFIG};

/// Verbs of `crilet log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    verb: LogVerb,
}

#[derive(Debug, Subcommand)]
enum LogVerb {
    /// Keep logs within their limits: rotate, compress, remove
    Rotate(rotate::RotateArgs),
    /// List logs with their growth, files, limits and next rotation
    Ls(ls::LsArgs),
    /// Show what logs take on disk, the largest first
    Du(du::DuArgs),
}

/// Where limits are found that nobody gives otherwise.
#[derive(Debug, Args)]
struct Configured {
    /// The daemon's configuration, whose limits of logs count here as well; without,
    /// /etc/crilet/config.yaml if it is there
    #[arg(long, value_name = "FILE", env = "CRILET_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl Configured {
    fn logs(&self) -> Result<LogsConfig, CliError> {
        let path = self.config.as_deref().unwrap_or_else(|| Path::new(CONFIG));
        Ok(config::read(path, self.config.is_some()).map_err(CliError::Config)?.logs)
    }
}

/// Runs a verb of `crilet log`.
pub(crate) async fn run(global: &Global, args: LogArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    match args.verb {
        LogVerb::Rotate(args) => rotate::run(client, args).await,
        LogVerb::Ls(args) => ls::run(&client, args).await,
        LogVerb::Du(args) => du::run(&client, args).await,
    }
}

/// The logs of the pods that are named, or of all, with what counts where no annotation says otherwise;
/// what cannot be reached is told.
async fn logs(
    client: &Client,
    targets: &[String],
    defaults: Policy,
) -> Result<Vec<ContainerLog>, CliError> {
    let pods = inventory::read(client, Detail::Lists).await?;
    let pods = inventory::describe(client, select(pods, targets)?, Detail::Logs).await?;
    let (logs, skipped) = discover(&pods, defaults);
    for skipped in skipped {
        output::say(&format!("{}: {}", skipped.path.display(), skipped.cause));
    }
    for log in &logs {
        for complaint in log.complaints() {
            output::say(&format!("{}: {complaint}", log.log.path().display()));
        }
    }
    Ok(logs)
}

fn select(pods: Vec<Pod>, targets: &[String]) -> Result<Vec<Pod>, CliError> {
    if targets.is_empty() {
        return Ok(pods);
    }
    let mut ids = Vec::new();
    for target in targets {
        ids.extend(find(&pods, target)?.into_iter().map(|pod| pod.id.clone()));
    }
    Ok(pods.into_iter().filter(|pod| ids.contains(&pod.id)).collect())
}

/// What a log is called: the containers that write it, the newest of each name.
fn name(log: &ContainerLog) -> String {
    let mut names: Vec<_> =
        log.writers.iter().map(|writer| format!("{}/{}", writer.pod, writer.container)).collect();
    names.sort();
    names.dedup();
    names.join(",")
}

/// Whether anything of it still runs.
fn is_running(log: &ContainerLog) -> bool {
    log.writers.iter().any(|writer| writer.running)
}

/// Pods that are up, and those that are named.
fn is_up(pod: &Pod) -> bool {
    pod.state == PodState::Ready
}
