//! `crilet restart`.

use std::process::ExitCode;

use clap::Args;
use crilet_api::{PodList, PodRef, RestartRequest};

use crate::{
    daemon::{self, Goal},
    errors::CliError,
    global::Global,
    output,
};

/// Options of `crilet restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Pods as NAME or NAMESPACE/NAME; with /CONTAINER behind it that container alone
    #[arg(value_name = "POD[/CONTAINER]", required = true)]
    targets: Vec<String>,
    /// Wait until they are ready again; --timeout says how long (5m)
    #[arg(short, long)]
    wait: bool,
}

/// Has the daemon start pods or containers again, and prints the name of each.
pub(crate) async fn run(global: &Global, args: RestartArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    let kept = client.pods().await?;
    let targets = args.targets.iter().map(|target| resolve(&kept, target));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    for (pod, container) in &targets {
        let request = RestartRequest { container: container.clone() };
        client.restart(pod, &request).await?;
    }
    if args.wait {
        let pods: Vec<_> = targets.iter().map(|(pod, _)| pod.clone()).collect();
        daemon::wait(global, &pods, Goal::Ready).await?;
    }
    for (pod, container) in &targets {
        let container = container.as_ref().map_or_else(String::new, |name| format!("/{name}"));
        output::line(&format!("{pod}{container}")).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `A/B` is the pod of that name in that namespace if there is one, else a container of the pod `A`.
fn resolve(kept: &PodList, target: &str) -> Result<(PodRef, Option<String>), CliError> {
    let as_pod = daemon::find(kept, target);
    let Some((pod, container)) = target.rsplit_once('/') else {
        return as_pod.map(|pod| (pod.reference(), None)).map_err(CliError::FindKept);
    };
    match (as_pod, daemon::find(kept, pod)) {
        (Ok(pod), _) => Ok((pod.reference(), None)),
        // Whether it has such a container, the daemon says.
        (Err(_), Ok(pod)) => Ok((pod.reference(), Some(container.to_owned()))),
        (Err(error), Err(_)) => Err(CliError::FindKept(error)),
    }
}
