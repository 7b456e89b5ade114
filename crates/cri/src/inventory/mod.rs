//! What the runtime has: pods with their containers, joined from its lists and verbose statuses.
//!
//! Nobody else asks the runtime what exists. Lists alone cost two calls; [`Detail::Full`] adds one
//! verbose status for each sandbox and each container, those of 16 pods under way at a time.

mod info;
mod model;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};

pub use self::model::{
    Container, ContainerDetails, ContainerState, Pod, PodDetails, PodState, PortMapping, Protocol,
};
use self::{
    info::Info,
    model::{optional_time, time},
};
use crate::{Client, CriError, v1};

/// Status calls under way at a time: enough to hide their latency, few enough not to crowd out
/// others that want the runtime.
const CONCURRENCY: usize = 16;

/// How much to ask the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only what lists tell.
    Lists,
    /// The sandboxes' statuses as well: addresses, ports, namespaces, log directories.
    Pods,
    /// The containers' statuses as well: exit codes, log files, pids.
    Full,
    /// The containers' statuses, and of sandboxes only those without which it is not known where the
    /// containers' logs are. A sandbox's status costs the runtime the most: it asks the shim.
    Logs,
    /// The containers' plain statuses: log files, exit codes, times; neither pids nor where the sandbox's
    /// log directory is. It costs containerd half of what a verbose one does.
    LogPaths,
}

/// All pods the runtime has, newest first.
///
/// What goes away while it is being looked at is left out. Containers whose sandbox is gone are
/// left out, too: the CRI removes them with it.
///
/// # Errors
/// The first call that fails for another reason.
pub async fn read(client: &Client, detail: Detail) -> Result<Vec<Pod>, CriError> {
    let pods = list(client, None).await?;
    match detail {
        Detail::Lists => Ok(pods),
        _ => describe(client, pods, detail).await,
    }
}

/// The one pod of this sandbox id, or nothing when it is gone.
///
/// # Errors
/// As [`read`].
pub async fn read_pod(client: &Client, id: &str, detail: Detail) -> Result<Option<Pod>, CriError> {
    // The sandbox is known already: its status need not wait for the lists.
    let details = async {
        match detail {
            Detail::Lists | Detail::Logs | Detail::LogPaths => Ok(None),
            Detail::Pods | Detail::Full => read_details(client, id).await,
        }
    };
    let (pods, details) = tokio::try_join!(list(client, Some(id)), details)?;
    let Some(mut pod) = pods.into_iter().find(|pod| pod.id == id) else { return Ok(None) };
    match detail {
        Detail::Lists => return Ok(Some(pod)),
        Detail::Logs | Detail::LogPaths => return describe_logs(client, pod, detail).await,
        Detail::Pods => {}
        Detail::Full => {
            pod.containers = add_container_details(client, pod.containers, true).await?
        }
    }
    pod.details = details;
    Ok(pod.details.is_some().then_some(pod))
}

/// What a container's first process can be joined by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessStreams {
    /// It has a standard input that stays open.
    pub stdin: bool,
    /// It has a terminal.
    pub tty: bool,
}

/// How a container's first process can be joined, as far as the runtime tells it.
///
/// # Errors
/// The call fails.
pub async fn process_streams(client: &Client, id: &str) -> Result<ProcessStreams, CriError> {
    let status = client.container_status(id, true).await?;
    let (stdin, tty) = Info::read(&status.info).streams();
    Ok(ProcessStreams { stdin, tty })
}

/// The one container of this id, or nothing when it is gone.
///
/// # Errors
/// The call fails for another reason.
pub async fn read_container(
    client: &Client,
    container: &Container,
) -> Result<Option<Container>, CriError> {
    let described = add_container_details(client, vec![container.clone()], true).await?;
    Ok(described.into_iter().next())
}

/// All sandboxes with this label, with their containers that bear it, too; newest first.
///
/// # Errors
/// As [`read`].
pub async fn read_labelled(
    client: &Client,
    label: (&str, &str),
    detail: Detail,
) -> Result<Vec<Pod>, CriError> {
    let selector = BTreeMap::from([(label.0.to_owned(), label.1.to_owned())]);
    let sandboxes = v1::PodSandboxFilter { label_selector: selector.clone(), ..Default::default() };
    let containers = v1::ContainerFilter { label_selector: selector, ..Default::default() };
    let pods = list_filtered(client, Some(sandboxes), Some(containers)).await?;
    match detail {
        Detail::Lists => Ok(pods),
        _ => describe(client, pods, detail).await,
    }
}

/// As [`read_labelled`] with all details, asking only for those that may differ from what was `known`:
/// of a sandbox that is ready, of a process that runs, and of one that has ended, nothing changes.
///
/// # Errors
/// As [`read`].
pub async fn read_labelled_again(
    client: &Client,
    label: (&str, &str),
    known: &[Pod],
) -> Result<Vec<Pod>, CriError> {
    let mut pods = read_labelled(client, label, Detail::Lists).await?;
    for pod in &mut pods {
        if let Some(known) = known.iter().find(|known| known.id == pod.id) {
            pod.keep_details(known);
        }
    }
    describe(client, pods, Detail::Full).await
}

async fn list(client: &Client, id: Option<&str>) -> Result<Vec<Pod>, CriError> {
    let sandboxes = id.map(|id| v1::PodSandboxFilter { id: id.to_owned(), ..Default::default() });
    let containers =
        id.map(|id| v1::ContainerFilter { pod_sandbox_id: id.to_owned(), ..Default::default() });
    list_filtered(client, sandboxes, containers).await
}

async fn list_filtered(
    client: &Client,
    sandboxes: Option<v1::PodSandboxFilter>,
    containers: Option<v1::ContainerFilter>,
) -> Result<Vec<Pod>, CriError> {
    let (sandboxes, containers) =
        tokio::try_join!(client.list_pod_sandboxes(sandboxes), client.list_containers(containers))?;
    Ok(join(sandboxes, containers))
}

/// Puts containers to their sandboxes and both in order.
fn join(sandboxes: Vec<v1::PodSandbox>, containers: Vec<v1::Container>) -> Vec<Pod> {
    let mut pods: Vec<Pod> = sandboxes.into_iter().map(pod).collect();
    let mut containers: Vec<_> = containers
        .into_iter()
        .map(|listed| (listed.pod_sandbox_id.clone(), container(listed)))
        .collect();
    // Containers of a pod may be made side by side; by name they always stand alike.
    containers.sort_by(|(_, a), (_, b)| (&a.name, a.created_at).cmp(&(&b.name, b.created_at)));
    for (sandbox_id, container) in containers {
        if let Some(pod) = pods.iter_mut().find(|pod| pod.id == sandbox_id) {
            pod.containers.push(container);
        }
    }
    pods.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    pods
}

/// Adds to pods of a list what their statuses tell, where it is not there yet, and leaves out those
/// that are gone.
///
/// # Errors
/// As [`read()`].
pub async fn describe(
    client: &Client,
    pods: Vec<Pod>,
    detail: Detail,
) -> Result<Vec<Pod>, CriError> {
    stream::iter(pods)
        .map(|pod| describe_one(client, pod, detail))
        .buffered(CONCURRENCY)
        .try_filter_map(|pod| async { Ok(pod) })
        .try_collect()
        .await
}

async fn describe_one(
    client: &Client,
    mut pod: Pod,
    detail: Detail,
) -> Result<Option<Pod>, CriError> {
    if matches!(detail, Detail::Logs | Detail::LogPaths) {
        return describe_logs(client, pod, detail).await;
    }
    let containers = std::mem::take(&mut pod.containers);
    let described = async {
        match detail {
            Detail::Full => add_container_details(client, containers, true).await,
            _ => Ok(containers),
        }
    };
    let known = pod.details.take();
    let details = async {
        match known {
            Some(known) => Ok(Some(known)),
            None => read_details(client, &pod.id).await,
        }
    };
    // Side by side: neither needs the other.
    (pod.details, pod.containers) = tokio::try_join!(details, described)?;
    Ok(pod.details.is_some().then_some(pod))
}

async fn describe_logs(
    client: &Client,
    mut pod: Pod,
    detail: Detail,
) -> Result<Option<Pod>, CriError> {
    let verbose = detail == Detail::Logs;
    pod.containers = add_container_details(client, pod.containers, verbose).await?;
    if !verbose {
        return Ok(Some(pod));
    }
    let mut details = pod.containers.iter().filter_map(|container| container.details.as_ref());
    if details.all(|details| details.log_path.is_none() || details.log_directory.is_some()) {
        return Ok(Some(pod));
    }
    pod.details = read_details(client, &pod.id).await?;
    Ok(pod.details.is_some().then_some(pod))
}

async fn add_container_details(
    client: &Client,
    containers: Vec<Container>,
    verbose: bool,
) -> Result<Vec<Container>, CriError> {
    stream::iter(containers)
        .map(|mut container| async move {
            if container.details.is_none() {
                container.details = container_details(client, &container.id, verbose).await?;
            }
            Ok(container.details.is_some().then_some(container))
        })
        .buffered(CONCURRENCY)
        .try_filter_map(|container| async { Ok(container) })
        .try_collect()
        .await
}

fn pod(listed: v1::PodSandbox) -> Pod {
    let state = match listed.state() {
        v1::PodSandboxState::SandboxReady => PodState::Ready,
        v1::PodSandboxState::SandboxNotready => PodState::NotReady,
    };
    let metadata = listed.metadata.unwrap_or_default();
    Pod {
        id: listed.id,
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
        state,
        created_at: time(listed.created_at),
        labels: listed.labels,
        annotations: listed.annotations,
        runtime_handler: listed.runtime_handler,
        details: None,
        containers: Vec::new(),
    }
}

fn container(listed: v1::Container) -> Container {
    let state = listed.state().into();
    let metadata = listed.metadata.unwrap_or_default();
    let image = listed.image.unwrap_or_default();
    Container {
        id: listed.id,
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        created_at: time(listed.created_at),
        // containerd resolves `image` to an id; what was written is kept beside it.
        image: if image.user_specified_image.is_empty() {
            image.image
        } else {
            image.user_specified_image
        },
        image_ref: listed.image_ref,
        labels: listed.labels,
        annotations: listed.annotations,
        details: None,
    }
}

/// What the status of the sandbox of this id tells, or nothing when it is gone.
///
/// # Errors
/// The call fails for another reason.
pub async fn read_details(client: &Client, id: &str) -> Result<Option<PodDetails>, CriError> {
    match client.pod_sandbox_status(id, true).await {
        Ok(answer) => Ok(Some(pod_details(answer))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a verbose status tells of a sandbox.
pub fn pod_details(answer: v1::PodSandboxStatusResponse) -> PodDetails {
    let info = Info::read(&answer.info);
    let status = answer.status.unwrap_or_default();
    let namespaces = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
    let options = namespaces.and_then(|namespaces| namespaces.options.as_ref());
    let network = status.network.clone().unwrap_or_default();
    let additional = network.additional_ips.iter().map(|additional| additional.ip.as_str());
    let ips = std::iter::once(network.ip.as_str()).chain(additional);
    PodDetails {
        ips: ips.filter_map(|ip| ip.parse::<IpAddr>().ok()).collect(),
        host_network: options.is_some_and(|options| options.network() == v1::NamespaceMode::Node),
        ports: info.ports(),
        log_directory: info.log_directory(),
        network_namespace: info.network_namespace(),
        pid: info.pid(),
        hostname: info.hostname(),
        cgroup_parent: info.cgroup_parent(),
    }
}

async fn container_details(
    client: &Client,
    id: &str,
    verbose: bool,
) -> Result<Option<ContainerDetails>, CriError> {
    match client.container_status(id, verbose).await {
        Ok(answer) => Ok(Some(to_container_details(answer))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn to_container_details(answer: v1::ContainerStatusResponse) -> ContainerDetails {
    let info = Info::read(&answer.info);
    let status = answer.status.unwrap_or_default();
    let exited = status.state() == v1::ContainerState::ContainerExited;
    let log_path = Some(status.log_path).filter(|path| !path.is_empty()).map(PathBuf::from);
    ContainerDetails {
        started_at: optional_time(status.started_at),
        finished_at: optional_time(status.finished_at),
        exit_code: exited.then_some(status.exit_code),
        reason: status.reason,
        message: status.message,
        log_directory: log_path.as_deref().and_then(|path| info.log_directory_of(path)),
        log_path,
        pid: info.pid().filter(|_| !exited),
    }
}
