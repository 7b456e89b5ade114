//! Commands that start, stop, change and remove.

use std::{collections::BTreeSet, fs, future::Future, path::Path, time::Duration};

use crilet_cri::{Client, v1};
use futures_util::future::join_all;

use super::{
    Call, Result, print, reach,
    report::{Fail, Level, Tried, kernel_words, log},
};

/// The ids on the line, of which there must be one.
fn ids(call: &Call) -> Result<&[String]> {
    match call.line.arguments.as_slice() {
        [] => Err(Fail::fatal("ID cannot be empty")),
        ids => Ok(ids),
    }
}

/// Does all at the same time, and gives every failure.
async fn all<F: Future<Output = Result<()>>>(tasks: impl IntoIterator<Item = F>) -> Result<()> {
    let mut words = Vec::new();
    for done in join_all(tasks).await {
        match done {
            Ok(()) => {}
            Err(Fail::Fatal(failure)) => words.push(failure),
            Err(other) => return Err(other),
        }
    }
    if words.is_empty() { Ok(()) } else { Err(Fail::Fatal(words.join("\n"))) }
}

/// Refuses an empty id, as a shell makes it of a variable that is not set: runtimes take it for the beginning of any.
fn not_empty(id: &str, what: &str) -> Result<()> {
    if id.is_empty() { Err(Fail::Fatal(format!("{what} cannot be empty"))) } else { Ok(()) }
}

pub(super) async fn start_one(client: &Client, id: &str) -> Result<()> {
    not_empty(id, "ID")?;
    client.start_container(id).await?;
    print(&format!("{id}\n"))
}

pub(super) async fn start(call: &Call) -> Result<()> {
    let ids = ids(call)?;
    let client = reach::client(call).await?;
    for id in ids {
        start_one(&client, id).await.tried(format!("starting the container {id:?}"))?;
    }
    Ok(())
}

pub(super) async fn update(call: &Call) -> Result<()> {
    let ids = ids(call)?;
    let line = &call.line;
    let adjustment = match line.text("oom-score-adj") {
        "" => 0,
        text => text.parse().map_err(|_| {
            Fail::Fatal(format!("invalid value {text:?} for flag -oom-score-adj: parse error"))
        })?,
    };
    let resources = v1::LinuxContainerResources {
        cpu_period: line.int("cpu-period"),
        cpu_quota: line.int("cpu-quota"),
        cpu_shares: line.int("cpu-share"),
        cpuset_cpus: line.text("cpuset-cpus").to_owned(),
        cpuset_mems: line.text("cpuset-mems").to_owned(),
        memory_limit_in_bytes: line.int("memory"),
        oom_score_adj: adjustment,
        ..v1::LinuxContainerResources::default()
    };
    let client = reach::client(call).await?;
    for id in ids {
        let context = || format!("updating container resources for {id:?}");
        not_empty(id, "ID").tried(context())?;
        let updated = client.update_container_resources(id, resources.clone()).await;
        updated.tried(context())?;
        print(&format!("{id}\n"))?;
    }
    Ok(())
}

async fn stop_one(client: &Client, id: &str, grace: i64) -> Result<()> {
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    not_empty(id, "ID")?;
    client.stop_container(id, grace).await?;
    print(&format!("{id}\n"))
}

pub(super) async fn stop(call: &Call) -> Result<()> {
    let line = &call.line;
    let client = reach::client(call).await?;
    let ids = match (line.bool("all"), line.arguments.as_slice()) {
        (true, [_, ..]) => {
            let words = "cannot specify CONTAINER-ID(s) when using --all";
            return Err(Fail::Exit(words.to_owned(), 1));
        }
        (false, []) => {
            let words = "you must specify at least one CONTAINER-ID or use --all";
            return Err(Fail::Exit(words.to_owned(), 1));
        }
        (false, ids) => ids.to_vec(),
        (true, []) => {
            let running =
                v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning.into() };
            let filter =
                v1::ContainerFilter { state: Some(running), ..v1::ContainerFilter::default() };
            let listed = client.list_containers(Some(filter)).await.tried("listing containers")?;
            if listed.is_empty() {
                return print("No running containers found.\n");
            }
            listed.into_iter().map(|container| container.id).collect()
        }
    };
    for id in ids {
        let stopped = stop_one(&client, &id, line.int("timeout")).await;
        stopped.tried(format!("stopping the container {id:?}"))?;
    }
    Ok(())
}

/// What is to be removed: what was named, or all there is. Nothing to do with `--all` is said.
fn named_or_all(call: &Call, all: Option<Vec<String>>, kind: &str) -> Result<Vec<String>> {
    match all {
        Some(all) if all.is_empty() => {
            log(Level::Info, &format!("No {kind} to remove"));
            Ok(all)
        }
        Some(all) => Ok(all),
        None if call.line.arguments.is_empty() => Err(Fail::Help),
        None => Ok(call.line.arguments.clone()),
    }
}

pub(super) async fn remove(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let listed = match call.line.bool("all") {
        true => Some(client.list_containers(None).await?.into_iter().map(|c| c.id).collect()),
        false => None,
    };
    let ids = named_or_all(call, listed, "containers")?;
    all(ids.iter().map(|id| remove_one(call, &client, id))).await
}

async fn remove_one(call: &Call, client: &Client, id: &str) -> Result<()> {
    let answer = client.container_status(id, false).await;
    let status = answer.tried(format!("getting container status {id:?}"))?.status;
    let status = status.unwrap_or_default();
    if status.state() == v1::ContainerState::ContainerRunning {
        if !call.line.bool("force") {
            let words = format!("container {id:?} is running, please stop it first");
            return Err(Fail::Fatal(words));
        }
        stop_one(client, id, 0).await.tried(format!("stopping the container {id:?}"))?;
    }
    client.remove_container(id).await.tried(format!("removing container {id:?}"))?;
    print(&format!("{id}\n"))?;
    if !call.line.bool("keep-logs") && !status.log_path.is_empty() {
        remove_logs(id, Path::new(&status.log_path));
    }
    Ok(())
}

/// Removes a container's log and what was rotated away from it. Failing is told, and no failure.
fn remove_logs(id: &str, log_path: &Path) {
    let name = log_path.file_name().unwrap_or_default().as_encoded_bytes();
    let entries = log_path.parent().and_then(|parent| fs::read_dir(parent).ok());
    let rotated = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let rotated = rotated.filter(|path| {
        let own = path.file_name().unwrap_or_default().as_encoded_bytes();
        own.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"."))
    });
    for path in rotated.chain([log_path.to_owned()]) {
        if let Err(error) = fs::remove_file(&path) {
            let path = path.display();
            let error = kernel_words(&error);
            let words = format!(
                "removing log file {path} for container {id:?} failed: remove {path}: {error}"
            );
            log(Level::Error, &words);
        }
    }
}

async fn stop_pod(client: &Client, id: &str) -> Result<()> {
    not_empty(id, "ID")?;
    client.stop_pod_sandbox(id).await?;
    print(&format!("Stopped sandbox {id}\n"))
}

pub(super) async fn stop_pods(call: &Call) -> Result<()> {
    if call.line.arguments.is_empty() {
        return Err(Fail::Help);
    }
    let client = reach::client(call).await?;
    for id in &call.line.arguments {
        stop_pod(&client, id).await.tried(format!("stopping the pod sandbox {id:?}"))?;
    }
    Ok(())
}

pub(super) async fn remove_pods(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let listed = match call.line.bool("all") {
        true => Some(client.list_pod_sandboxes(None).await?.into_iter().map(|p| p.id).collect()),
        false => None,
    };
    let ids = named_or_all(call, listed, "pods")?;
    all(ids.iter().map(|id| remove_pod(call, &client, id))).await
}

async fn remove_pod(call: &Call, client: &Client, id: &str) -> Result<()> {
    let answer = client.pod_sandbox_status(id, false).await;
    let status = answer.tried(format!("getting sandbox status of pod {id:?}"))?.status;
    if status.unwrap_or_default().state() == v1::PodSandboxState::SandboxReady {
        if !call.line.bool("force") {
            let words = format!("pod sandbox {id:?} is running, please stop it first");
            return Err(Fail::Fatal(words));
        }
        stop_pod(client, id).await.tried(format!("stopping the pod sandbox {id:?} failed"))?;
    }
    client.remove_pod_sandbox(id).await.tried(format!("removing the pod sandbox {id:?}"))?;
    print(&format!("Removed sandbox {id}\n"))
}

pub(super) async fn remove_images(call: &Call) -> Result<()> {
    let (every, prune) = (call.line.bool("all"), call.line.bool("prune"));
    let client = reach::client(call).await?;
    let mut wanted: BTreeSet<String> = call.line.arguments.iter().cloned().collect();
    if every || prune {
        let listed = client.list_images(None).await?;
        let kept = |image: &v1::Image| !(prune && image.pinned);
        wanted.extend(listed.into_iter().filter(kept).map(|image| image.id));
    }
    if wanted.is_empty() && (every || prune) {
        log(Level::Info, "No images to remove");
        return Ok(());
    }
    if wanted.is_empty() {
        return Err(Fail::Help);
    }
    if prune {
        for container in client.list_containers(None).await? {
            let image = container.image.unwrap_or_default().image;
            match client.image_status(&image, false).await {
                Ok(answer) => {
                    wanted.remove(&answer.image.unwrap_or_default().id);
                }
                Err(error) => {
                    let words = super::report::rpc(&error);
                    log(
                        Level::Error,
                        &format!("image status request for {image:?} failed: {words}"),
                    );
                }
            }
        }
    }
    all(wanted.iter().map(|id| remove_image(&client, id, prune))).await
}

async fn remove_image(client: &Client, id: &str, prune: bool) -> Result<()> {
    not_empty(id, "ImageID").tried(format!("error of removing image {id:?}"))?;
    let answer = client.image_status(id, false).await;
    let answer = answer.tried(format!("image status request for {id:?} failed"))?;
    let Some(image) = answer.image else {
        return Err(Fail::Fatal(format!("no such image {id}")));
    };
    let by_name = !id.starts_with("sha256:") && id.contains([':', '/']);
    if by_name && image.repo_tags.len() > 1 {
        let tags = image.repo_tags.join(", ");
        log(Level::Warning, &format!("image {id:?} goes with all of its names: {tags}"));
    }
    match client.remove_image(id).await {
        // Somebody else was faster.
        Err(_) if prune => return Ok(()),
        removed => removed.tried(format!("error of removing image {id:?}"))?,
    }
    let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
    print(&names.iter().map(|name| format!("Deleted: {name}\n")).collect::<String>())
}

pub(super) async fn checkpoint(call: &Call) -> Result<()> {
    let ids = ids(call)?;
    let archive = call.line.text("export");
    if archive.is_empty() {
        return Err(Fail::fatal(
            "cannot checkpoint a container without specifying the checkpoint destination. Use \
             --export=/path/to/checkpoint.tar",
        ));
    }
    let client = reach::client(call).await?;
    for id in ids {
        let written = client.checkpoint_container(id, archive).await;
        written.tried(format!("checkpointing the container {id:?} failed"))?;
        print(&format!("{id}\n"))?;
    }
    Ok(())
}

pub(super) async fn update_runtime_config(call: &Call) -> Result<()> {
    let range = call.line.text("pod-cidr");
    if !call.line.arguments.is_empty() || !call.line.is_set("pod-cidr") {
        return Err(Fail::Help);
    }
    let network_config = Some(v1::NetworkConfig { pod_cidr: range.to_owned() });
    let client = reach::client(call).await?;
    let updated = client.update_runtime_config(v1::RuntimeConfig { network_config }).await;
    updated.tried("update runtime config")?;
    log(Level::Info, "Runtime config successfully updated");
    Ok(())
}
