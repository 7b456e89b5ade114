//! Taking pods down. A failure does not stop the rest; all failures are reported.

use std::time::Duration;

use crilet_cri::{
    Client,
    inventory::{Container, ContainerState, Pod},
};
use futures_util::future::join_all;

use crate::{Failure, StateDir, Step, error::AtStep};

/// Stops a pod: its containers side by side, each with `grace` to end by itself, then the sandbox
/// with its network. The pod stays there to be looked at, with its logs. Idempotent.
///
/// # Errors
/// Every step that failed; the steps after it were tried all the same.
pub async fn stop(client: &Client, pod: &Pod, grace: Duration) -> Result<(), Vec<Failure>> {
    let mut failures = stop_containers(client, pod, grace).await;
    let step = Step::StopSandbox { pod: pod.full_name() };
    failures.extend(ignore_gone(client.stop_pod_sandbox(&pod.id).await).at(step).err());
    done(failures)
}

/// Stops a pod and removes it with its containers and its files. Log files stay. Idempotent.
///
/// # Errors
/// As [`stop`]. A sandbox that cannot be stopped is not removed: its network would be lost sight
/// of, and with it the way to give back its address and ports.
pub async fn remove(
    client: &Client,
    pod: &Pod,
    grace: Duration,
    state: &StateDir,
) -> Result<(), Vec<Failure>> {
    stop(client, pod, grace).await?;
    let mut failures = Vec::new();
    let step = Step::RemoveSandbox { pod: pod.full_name() };
    failures.extend(ignore_gone(client.remove_pod_sandbox(&pod.id).await).at(step).err());
    if failures.is_empty() {
        tracing::info!(pod = %pod.full_name(), sandbox = %pod.id, "sandbox removed");
        let step = Step::RemoveFiles { path: state.pod(&pod.id) };
        failures.extend(state.remove(&pod.id).at(step).err());
    }
    done(failures)
}

async fn stop_containers(client: &Client, pod: &Pod, grace: Duration) -> Vec<Failure> {
    let running = pod.containers.iter().filter(|container| is_alive(container));
    let stops = running.map(|container| async move {
        let step = Step::StopContainer { container: container.name.clone() };
        ignore_gone(client.stop_container(&container.id, grace).await).at(step)
    });
    join_all(stops).await.into_iter().filter_map(Result::err).collect()
}

fn is_alive(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Unknown)
}

/// Somebody else was faster: that is what was wanted.
fn ignore_gone(result: Result<(), crilet_cri::CriError>) -> Result<(), crilet_cri::CriError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn done(failures: Vec<Failure>) -> Result<(), Vec<Failure>> {
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}
