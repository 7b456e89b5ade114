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

/// Stops and removes pods and prints the name of each.
pub(crate) async fn run(global: &Global, args: RmArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let grace = args.targets.grace;
    let state = &connect::pod_state();
    let act = |client, pod| async move { crilet_pod::remove(client, &pod, grace, state).await };
    args.targets.for_each(&client, "removed", act).await
}
