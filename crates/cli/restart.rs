//! `crilet restart`.

use std::process::ExitCode;

use clap::Args;
use crilet_api::{Pod, PodList, PodRef, RestartRequest};
use crilet_pod::FindError;

use crate::{
    daemon::{self, Goal},
    errors::CliError,
    global::Global,
    output,
};

/// Options of `crilet restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Pods, each as [NAMESPACE/]NAME, or with /CONTAINER for one container alone
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

/// `A/B` may be a pod in a namespace or a container of a pod; what is there decides.
fn resolve(kept: &PodList, target: &str) -> Result<(PodRef, Option<String>), CliError> {
    let as_pod = daemon::find(kept, target);
    let Some((pod, container)) = target.rsplit_once('/') else {
        return as_pod.map(|pod| (pod.reference(), None)).map_err(CliError::FindKept);
    };
    let with_container = daemon::find(kept, pod).ok().filter(|pod| has(pod, container));
    match (as_pod, with_container) {
        (Ok(pod), Some(other)) => Err(CliError::FindKept(FindError::Ambiguous {
            query: target.to_owned(),
            candidates: vec![
                format!("pod {}", pod.full_name()),
                format!("container {}/{container}", other.full_name()),
            ],
        })),
        (Ok(pod), None) => Ok((pod.reference(), None)),
        (Err(_), Some(pod)) => Ok((pod.reference(), Some(container.to_owned()))),
        (Err(error), None) => match daemon::find(kept, pod) {
            // The daemon says that there is no such container.
            Ok(pod) => Ok((pod.reference(), Some(container.to_owned()))),
            Err(_) => Err(CliError::FindKept(error)),
        },
    }
}

fn has(pod: &Pod, container: &str) -> bool {
    pod.containers.iter().any(|found| found.name == container)
}
