//! `crilet stop`.

use std::process::ExitCode;

use clap::Args;

use crate::{errors::CliError, global::Global, pods::Targets};

/// Options of `crilet stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Stops pods and prints the name of each. Those that the daemon keeps stay stopped.
pub(crate) async fn run(global: &Global, args: StopArgs) -> Result<ExitCode, CliError> {
    let grace = args.targets.grace();
    let act = |client, pod| async move { crilet_pod::stop(&client, &pod, grace).await };
    args.targets.stop_each(global, act).await
}
