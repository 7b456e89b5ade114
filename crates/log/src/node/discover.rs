//! Finding containers' logs in what the runtime has.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crilet_cri::inventory::{Container, ContainerState, Pod};

use super::event::Problem;
use crate::{
    files::Directory,
    read::LogFile,
    rotate::{InvalidSetting, Policy},
};

/// A container that writes a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The container's id.
    pub id: String,
    /// The container's name.
    pub container: String,
    /// How many containers of this name the pod had before.
    pub attempt: u32,
    /// `namespace/name` of its pod.
    pub pod: String,
    /// Whether it runs.
    pub running: bool,
}

/// A log with those who write it.
#[derive(Debug, Clone)]
pub struct ContainerLog {
    /// Its files.
    pub log: LogFile,
    /// Who writes it; more than one where several containers were given one path.
    pub writers: Vec<Writer>,
    /// How long it is kept.
    pub policy: Policy,
    /// Annotations that could not be used.
    pub invalid: Vec<InvalidSetting>,
    /// Whether the pod is a kubelet's, which rotates its logs itself.
    pub kubelets: bool,
}

impl ContainerLog {
    /// What is wrong with annotations of the pod and the container.
    pub fn complaints(&self) -> impl Iterator<Item = Problem> {
        let writer = self.writers.first();
        let of = writer
            .map_or_else(String::new, |writer| format!("{}/{}", writer.pod, writer.container));
        self.invalid
            .iter()
            .map(move |cause| Problem::Setting { of: of.clone(), cause: cause.clone() })
    }
}

/// A log that cannot be reached.
#[derive(Debug)]
pub struct Skipped {
    /// Its path.
    pub path: PathBuf,
    /// What the kernel said.
    pub cause: io::Error,
}

/// Whether a kubelet made a pod, and so looks after its logs.
///
/// It marks its pods with where it has them from (pkg/kubelet/types/pod_update.go).
pub fn is_kubelets(pod: &Pod) -> bool {
    let made_here = pod.annotations.keys().any(|key| key.starts_with("crilet.dev/"));
    pod.annotations.contains_key("kubernetes.io/config.source") && !made_here
}

/// Opens where a container's log is: below the sandbox's log directory, whose owner is not trusted;
/// nothing when the container has none. Where nobody has asked for that directory
/// ([`crilet_cri::inventory::Detail::LogPaths`]) no symbolic link is followed at all.
///
/// # Errors
/// The kernel's; `ELOOP` for a symbolic link that is not followed.
pub fn locate(pod: &Pod, container: &Container) -> Option<Result<LogFile, Skipped>> {
    let details = container.details.as_ref()?;
    let path = details.log_path.clone()?;
    let of_pod = pod.details.as_ref().and_then(|details| details.log_directory.clone());
    let root = of_pod.or_else(|| details.log_directory.clone());
    let root = root.or_else(|| pod.details.is_none().then(|| PathBuf::from("/")));
    Some(open(root.as_deref(), &path).map_err(|cause| Skipped { path, cause }))
}

fn open(root: Option<&Path>, path: &Path) -> io::Result<LogFile> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "it names no file");
    let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(invalid)?;
    let below = root.and_then(|root| Some((root, parent.strip_prefix(root).ok()?)));
    let (root, below) = below.unwrap_or_else(|| (parent, Path::new("")));
    let directory = Directory::open_below(root, below)?;
    Ok(LogFile::new(Arc::new(directory), name))
}

/// All logs of pods that were read with all details. Containers that write one file are one log.
pub fn discover(pods: &[Pod], defaults: Policy) -> (Vec<ContainerLog>, Vec<Skipped>) {
    let mut logs: BTreeMap<PathBuf, ContainerLog> = BTreeMap::new();
    let mut skipped = Vec::new();
    for pod in pods {
        for container in &pod.containers {
            let writer = Writer {
                id: container.id.clone(),
                container: container.name.clone(),
                attempt: container.attempt,
                pod: pod.full_name(),
                running: container.state == ContainerState::Running,
            };
            let path = container.details.as_ref().and_then(|details| details.log_path.clone());
            if let Some(known) = path.as_ref().and_then(|path| logs.get_mut(path)) {
                known.writers.push(writer);
                continue;
            }
            match locate(pod, container) {
                None => {}
                // What has no directory has written nothing.
                Some(Err(Skipped { cause, .. })) if cause.kind() == io::ErrorKind::NotFound => {}
                Some(Err(error)) => skipped.push(error),
                Some(Ok(log)) => {
                    let (policy, invalid) = defaults.of_container(
                        &pod.annotations,
                        &container.name,
                        &container.annotations,
                    );
                    let kubelets = is_kubelets(pod);
                    let found =
                        ContainerLog { log, writers: vec![writer], policy, invalid, kubelets };
                    logs.insert(path.unwrap_or_default(), found);
                }
            }
        }
    }
    (logs.into_values().collect(), skipped)
}
