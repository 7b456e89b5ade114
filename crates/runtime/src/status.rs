//! How the embedded runtime is.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crilet_cni::Network;
use serde::Serialize;

use crate::{
    Cgroups, Layout, Mirror, RuntimeError, host,
    process::Process,
    up::{is_supervised, look_whether_ready, read_settings},
};

/// What is known about the embedded runtime.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RuntimeStatus {
    /// Whether containerd runs.
    pub running: bool,
    /// Whether a supervisor restarts it when it ends.
    pub supervised: bool,
    /// Whether it can run pods.
    pub ready: bool,
    /// Why it cannot, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// containerd's process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Seconds since containerd started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    /// How often the supervisor had to start it again of late.
    pub restarts: u32,
    /// The runtime's name for itself and its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it listens, or would.
    pub endpoint: String,
    /// How the host groups processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<Cgroups>,
    /// Where pods live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Pods that are ready, where the runtime answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<usize>,
    /// Registry mirrors.
    pub mirrors: Vec<Mirror>,
    /// Directory of images and settings.
    pub root: PathBuf,
    /// Bytes on disk below it.
    pub disk_bytes: u64,
    /// containerd's log.
    pub log: PathBuf,
}

/// Asks the runtime and the host how things are. Changes nothing.
///
/// # Errors
/// When a thread of ours ends early; a runtime that is not there is no error.
pub async fn status(layout: &Layout) -> Result<RuntimeStatus, RuntimeError> {
    let hidden = fs::read_dir(layout.state());
    if hidden.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        // To whom it may not be shown it would look as if it did not run.
        return Err(RuntimeError::NotRoot);
    }
    let containerd = Process::read(&layout.containerd_record()).filter(Process::is_alive);
    let settings = read_settings(layout);
    let ready = look_whether_ready(layout).await;
    let (mut version, mut pods) = (None, None);
    if let Ok(client) = &ready {
        let answer = client.version().await?;
        version = Some(format!("{} {}", answer.runtime_name, answer.runtime_version));
        let sandboxes = client.list_pod_sandboxes(Default::default()).await?;
        pods = Some(sandboxes.iter().filter(|sandbox| sandbox.state == 0).count());
    }
    let root = layout.root().to_owned();
    let disk = tokio::task::spawn_blocking(move || disk_bytes(&root));
    Ok(RuntimeStatus {
        running: containerd.is_some(),
        supervised: is_supervised(layout),
        ready: ready.is_ok(),
        reason: ready.err().map(|not_ready| not_ready.reason),
        pid: containerd.as_ref().map(|process| process.pid),
        uptime_seconds: containerd.as_ref().and_then(Process::age),
        restarts: containerd.as_ref().map_or(0, |process| process.restarts),
        version,
        endpoint: layout.endpoint().to_string(),
        cgroups: host::cgroups().ok(),
        network: settings.as_ref().map(|settings| settings.network.clone()),
        pods,
        mirrors: settings.map(|settings| settings.mirrors).unwrap_or_default(),
        root: layout.root().to_owned(),
        disk_bytes: disk.await.unwrap_or_default(),
        log: layout.log_file(),
    })
}

/// Bytes that files below a directory take on its own file system; what cannot be read counts as
/// nothing.
fn disk_bytes(directory: &Path) -> u64 {
    let Ok(own) = directory.metadata() else { return 0 };
    let mut bytes = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != own.dev() {
                continue;
            }
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}
