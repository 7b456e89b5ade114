//! `crilet start`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    daemon::{self, Goal},
    errors::CliError,
    global::Global,
    output,
};

/// Options of `crilet start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Pods: NAME or NAMESPACE/NAME
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// Wait until they are ready; --timeout says how long (5m)
    #[arg(short, long)]
    wait: bool,
}

/// Has the daemon start pods that were stopped or ended, and prints the name of each.
pub(crate) async fn run(global: &Global, args: StartArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    let pods = daemon::find_all(&client.pods().await?, &args.pods)?;
    let pods: Vec<_> = pods.iter().map(|pod| pod.reference()).collect();
    for pod in &pods {
        client.start(pod).await?;
    }
    if args.wait {
        daemon::wait(global, &pods, Goal::Ready).await?;
    }
    for pod in &pods {
        output::line(&pod.to_string()).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}
