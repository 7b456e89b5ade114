//! What people call a container: `POD`, `POD/CONTAINER`, `NAMESPACE/POD[/CONTAINER]`, an id or its beginning.

use crilet_cri::{
    Client,
    inventory::{self, Container, ContainerState, Detail, Pod, PodState},
};
use crilet_pod::{FindError, find};

use crate::errors::CliError;

/// kubectl's word for the container that is meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Containers of one pod.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) pod: &'a Pod,
    /// Whether the pod was named, and not one of its containers.
    pub(crate) whole: bool,
    pub(crate) containers: Vec<&'a Container>,
}

/// Finds the one container that is meant; it must run.
pub(crate) async fn running_container(
    client: &Client,
    target: &str,
) -> Result<(Pod, Container), CliError> {
    let pods = inventory::read(client, Detail::Lists).await?;
    let wanted = find_target(&pods, target)?;
    let running = |container: &&&Container| container.state == ContainerState::Running;
    let found: Vec<&Container> = wanted.containers.iter().filter(running).copied().collect();
    let default = wanted.pod.annotations.get(DEFAULT_CONTAINER);
    let named = found.iter().find(|container| Some(&container.name) == default).copied();
    match (found.as_slice(), named) {
        (&[container], _) | (_, Some(container)) => Ok((wanted.pod.clone(), container.clone())),
        ([], None) => Err(match wanted.containers.last() {
            Some(last) if wanted.pod.state == PodState::Ready => CliError::ContainerState {
                container: format!("{}/{}", wanted.pod.full_name(), last.name),
                state: last.state,
            },
            _ => CliError::NotRunning { pod: wanted.pod.full_name() },
        }),
        (several, None) => {
            let names = several.iter().map(|container| container.name.clone()).collect();
            Err(CliError::SeveralContainers { pod: wanted.pod.full_name(), names })
        }
    }
}

/// Finds the one pod that is meant; it must be up.
pub(crate) async fn running_pod(client: &Client, target: &str) -> Result<Pod, CliError> {
    let pods = inventory::read(client, Detail::Lists).await?;
    let found = find(&pods, target)?.into_iter().next().ok_or_else(|| not_found(target))?;
    match found.state {
        PodState::Ready => Ok(found.clone()),
        PodState::NotReady => Err(CliError::NotRunning { pod: found.full_name() }),
    }
}

/// Finds a pod, or a container of one.
pub(crate) fn find_target<'a>(pods: &'a [Pod], target: &str) -> Result<Wanted<'a>, CliError> {
    let whole = find(pods, target);
    let part = target.rsplit_once('/').and_then(|(pod, container)| {
        let found = find(pods, pod).ok()?;
        let pod = *found.first()?;
        let containers: Vec<_> = pod.containers.iter().filter(|c| c.name == container).collect();
        (!containers.is_empty()).then_some(Wanted { pod, whole: false, containers })
    });
    match (whole, part) {
        (Ok(found), None) => {
            let pod = *found.first().ok_or_else(|| not_found(target))?;
            Ok(Wanted { pod, whole: true, containers: pod.containers.iter().collect() })
        }
        (Err(_), Some(part)) => Ok(part),
        (Ok(found), Some(part)) => {
            let pod = found.first().map(|pod| format!("pod {}", pod.full_name()));
            let container = format!("container {}/{}", part.pod.full_name(), last(target));
            let candidates = pod.into_iter().chain([container]).collect();
            Err(FindError::Ambiguous { query: target.to_owned(), candidates }.into())
        }
        (Err(error), None) => {
            by_container_id(pods, target).ok_or_else(|| of_a_pod(pods, target, error))
        }
    }
}

fn by_container_id<'a>(pods: &'a [Pod], id: &str) -> Option<Wanted<'a>> {
    let all = pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)));
    let mut matching = all.filter(|(_, container)| id.len() >= 3 && container.id.starts_with(id));
    let (pod, container) = matching.next()?;
    matching.next().is_none().then(|| Wanted { pod, whole: false, containers: vec![container] })
}

/// Of `POD/CONTAINER`, names what is missing: the container where the pod is there.
fn of_a_pod(pods: &[Pod], target: &str, error: FindError) -> CliError {
    let split = target.rsplit_once('/');
    let found =
        split.and_then(|(pod, _)| find(pods, pod).ok()).and_then(|found| found.first().copied());
    match found {
        Some(pod) => {
            let mut names: Vec<_> = pod.containers.iter().map(|c| c.name.clone()).collect();
            names.dedup();
            let (pod, container) = (pod.full_name(), last(target).to_owned());
            CliError::NoContainer { pod, container, names }
        }
        None => error.into(),
    }
}

fn last(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or(target)
}

fn not_found(target: &str) -> CliError {
    FindError::NotFound { query: target.to_owned(), suggestion: None }.into()
}
