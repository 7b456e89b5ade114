//! From words to logs.

use std::{collections::BTreeSet, path::Path};

use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod, PodState},
};
use crilet_log::{
    LogError,
    wanted::{Chosen, generations, of_pod, of_target, readable, set_prefixes},
};

use crate::{
    errors::CliError,
    target::{Wanted, find_target},
};

/// Where a kubelet, and who follows it, keeps the logs of pods.
const PODS: &str = "/var/log/pods";

/// Which logs are wanted.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    pub(crate) targets: &'a [String],
    pub(crate) previous: bool,
}

/// Finds the logs that are wanted, and opens their directories. Those that cannot be opened are left
/// out, and told beside the others, while there are any.
pub(crate) async fn choose(
    client: &Client,
    selection: &Selection<'_>,
    colors: bool,
) -> Result<(Vec<Chosen>, Vec<LogError>), CliError> {
    let pods = inventory::read(client, Detail::Lists).await?;
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    let mut chosen = Vec::new();
    if selection.targets.is_empty() {
        let up = pods.iter().filter(|pod| pod.state == PodState::Ready);
        wanted.extend(up.map(|pod| Wanted {
            pod,
            whole: true,
            containers: pod.containers.iter().collect(),
        }));
    }
    for target in selection.targets {
        match find_target(&pods, target) {
            Ok(found) => wanted.push(found),
            // The runtime knows it no more, but its files may be there.
            Err(error) => match of_target(Path::new(PODS), target, selection.previous) {
                found if found.is_empty() => return Err(error),
                found => chosen.extend(found),
            },
        }
    }
    let trimmed = wanted.into_iter().map(|Wanted { pod, containers, .. }| Pod {
        containers: generations(&containers, selection.previous),
        ..pod.clone()
    });
    let mut refused = Vec::new();
    for pod in inventory::describe(client, trimmed.collect(), Detail::LogPaths).await? {
        match open(client, pod, selection.previous).await {
            Ok(found) => chosen.extend(found),
            Err(CliError::Logs(error)) => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    if chosen.is_empty() && refused.is_empty() && !selection.targets.is_empty() {
        let target = selection.targets.join(" ");
        return Err(CliError::NoLog { target, previous: selection.previous });
    }
    // A pod and one of its containers may be named both.
    let mut seen = BTreeSet::new();
    chosen.retain(|chosen| chosen.is_shared() || seen.insert(chosen.log.path()));
    let (mut chosen, unreadable) = readable(chosen);
    refused.extend(unreadable);
    if chosen.is_empty()
        && let Some(error) = refused.pop()
    {
        return Err(CliError::Logs(error));
    }
    set_prefixes(&mut chosen, colors);
    Ok((chosen, refused))
}

/// Opens the logs of a pod by their paths alone. Only where there is a link on the way it matters which
/// part of it the pod's owner can write, and the runtime is asked for that, too, which takes it longer.
async fn open(client: &Client, mut pod: Pod, previous: bool) -> Result<Vec<Chosen>, CliError> {
    match of_pod(&pod, previous) {
        Err(LogError::Directory { .. }) => {}
        other => return Ok(other?),
    }
    pod.containers.iter_mut().for_each(|container| container.details = None);
    let mut chosen = Vec::new();
    for pod in inventory::describe(client, vec![pod], Detail::Logs).await? {
        chosen.extend(of_pod(&pod, previous)?);
    }
    Ok(chosen)
}
