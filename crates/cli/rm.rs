//! `crilet rm`.

use std::process::ExitCode;

use clap::Args;

use crate::{connect, errors::CliError, global::Global, pods::Targets};

/// Options of `crilet rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Stops and removes pods and prints the name of each. Those that the daemon keeps are refused.
pub(crate) async fn run(global: &Global, args: RmArgs) -> Result<ExitCode, CliError> {
    let grace = args.targets.grace();
    let state = &connect::pod_state();
    let act = |client, pod| async move { crilet_pod::remove(&client, &pod, grace, state).await };
    args.targets.remove_each(global, act).await
}
