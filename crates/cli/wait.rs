//! `crilet wait`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    daemon::{self, Goal},
    errors::CliError,
    global::Global,
    output,
};

/// Options of `crilet wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Pods: NAME or NAMESPACE/NAME
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// What they are to come to; --timeout says how long to wait (5m)
    #[arg(long = "for", value_enum, value_name = "STATE", default_value_t = Goal::Ready)]
    goal: Goal,
}

/// Waits for pods and prints the name of each.
pub(crate) async fn run(global: &Global, args: WaitArgs) -> Result<ExitCode, CliError> {
    let kept = daemon::client(global).pods().await?;
    let mut pods = Vec::new();
    for query in &args.pods {
        match daemon::find(&kept, query) {
            Ok(pod) => pods.push(pod.reference()),
            // What is not there is deleted.
            Err(crilet_pod::FindError::NotFound { .. }) if args.goal == Goal::Deleted => {}
            Err(error) => return Err(CliError::FindKept(error)),
        }
    }
    daemon::wait(global, &pods, args.goal).await?;
    for pod in &pods {
        output::line(&pod.to_string()).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}
