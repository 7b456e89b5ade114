//! From the model to the CRI: a pod's configurations joined with the facts of one start.
//!
//! All of it is pure. The order of a start, with who gives which fact:
//!
//! ```text
//! dns::resolve ──▶ sandbox_config ──▶ (sandbox runs, has addresses)
//! volumes::materialise ──▶ paths ─┐
//! sub_paths ──▶ volumes::bind ────┤
//! hosts_file, termination file ───┴──▶ container_config
//! ```
//!
//! Names, labels, annotations, cgroup numbers and paths are those of the kubelet
//! (`pkg/kubelet/kuberuntime`), so that tools for its pods work on crilet's.

pub mod dns;
mod env;
mod facts;
mod hosts;
mod marks;
mod resources;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use crilet_cri::v1;

pub(crate) use self::env::find;
pub use self::{
    env::{environment, expand},
    facts::{ImageUser, NodeFacts, SandboxFacts, StartFacts},
    hosts::{Peer, hosts_file},
    marks::{
        ATTEMPT, CONTAINER_HASH, CONTAINER_NAME, GRACE, MANAGED_BY, MANAGER, Marks, POD_NAME,
        POD_NAMESPACE, POD_UID, PRE_STOP, SANDBOX_HASH, TERMINATION_PATH, TERMINATION_POLICY,
    },
};
use crate::model::{Container, Mount, Pod, SubPath, VolumeSource};

/// Why a container cannot be started as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A volume was not made.
    #[error("volume `{volume}` has no path yet")]
    Volume {
        /// The volume.
        volume: String,
    },
    /// Part of a volume was not prepared.
    #[error("`{sub_path}` of volume `{volume}` has no path yet")]
    SubPath {
        /// The volume.
        volume: String,
        /// The part.
        sub_path: String,
    },
    /// What a `subPathExpr` expands to leads out of the volume.
    #[error("subPathExpr of {path} became {expanded:?}, which is not a path inside the volume")]
    Expanded {
        /// Where it was to be mounted.
        path: PathBuf,
        /// What it became.
        expanded: String,
    },
    /// The image's user is root.
    #[error("the image's user is root, which `runAsNonRoot` refuses")]
    Root,
    /// The image names its user, and only its own files tell the number.
    #[error("the image's user `{user}` may be root, which `runAsNonRoot` refuses")]
    UnknownUser {
        /// The name.
        user: String,
    },
}

impl RenderError {
    /// What the reader can do about it, where there is such a thing.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Root | Self::UnknownUser { .. } => {
                Some("give the number of another user: `securityContext.runAsUser`")
            }
            _ => None,
        }
    }
}

/// The configuration to run a pod's sandbox with.
pub fn sandbox_config(pod: &Pod, facts: SandboxFacts) -> v1::PodSandboxConfig {
    let mut config = pod.sandbox.clone();
    if let Some(metadata) = config.metadata.as_mut() {
        metadata.attempt = facts.attempt;
    }
    config.dns_config = facts.dns.or(config.dns_config);
    let linux = config.linux.get_or_insert_default();
    if linux.cgroup_parent.is_empty() {
        linux.cgroup_parent = facts.cgroup_parent;
    }
    marks::mark_sandbox(pod, &mut config);
    config
}

/// The configuration to create a container with.
///
/// # Errors
/// [`RenderError`] when a fact is missing that the container needs, or forbids its start.
pub fn container_config(
    pod: &Pod,
    container: &Container,
    facts: &StartFacts<'_>,
) -> Result<v1::ContainerConfig, RenderError> {
    let mut config = container.config.clone();
    check_user(container, facts)?;
    if let Some(metadata) = config.metadata.as_mut() {
        metadata.attempt = facts.attempt;
    }
    if container.expand {
        let env = environment(container, facts);
        let words = |words: &mut Vec<String>| {
            for word in words {
                *word = expand(word, |name| find(&env, name));
            }
        };
        words(&mut config.command);
        words(&mut config.args);
        config.mounts = mounts(pod, container, facts, &env)?;
        config.envs = env
            .into_iter()
            .map(|(key, value)| v1::KeyValue { key, value: value.into_bytes() })
            .collect();
        let linux = config.linux.get_or_insert_default();
        linux.resources = Some(resources::linux(pod, container, facts.node));
        if let Some(context) = linux.security_context.as_mut() {
            complete_user(context, &facts.image_user);
        }
    }
    add_files(container, facts, &mut config);
    if config.log_path.is_empty() {
        config.log_path = format!("{}/{}.log", container.name, facts.attempt);
    }
    marks::mark_container(pod, container, facts.attempt, &mut config);
    Ok(config)
}

/// Which parts of which volumes a container mounts, by the index of the mount: they are to be
/// prepared and given as [`StartFacts::sub_paths`].
///
/// # Errors
/// [`RenderError::Expanded`] when an expression leads out of its volume.
pub fn sub_paths(
    container: &Container,
    facts: &StartFacts<'_>,
) -> Result<BTreeMap<usize, String>, RenderError> {
    let env = environment(container, facts);
    let mounts = container.mounts.iter().enumerate();
    let parts = mounts.filter_map(|(index, mount)| {
        Some(sub_path(mount, &env).transpose()?.map(|part| (index, part)))
    });
    parts.collect()
}

fn sub_path(mount: &Mount, env: &[(String, String)]) -> Result<Option<String>, RenderError> {
    match &mount.sub_path {
        None => Ok(None),
        Some(SubPath::Text(text)) => Ok(Some(text.clone())),
        Some(SubPath::Expanded(text)) => {
            let expanded = expand(text, |name| find(env, name));
            let inside = !expanded.starts_with('/')
                && !expanded.is_empty()
                && !expanded.split('/').any(|part| part == "..");
            if inside {
                Ok(Some(expanded))
            } else {
                Err(RenderError::Expanded { path: mount.path.clone(), expanded })
            }
        }
    }
}

fn mounts(
    pod: &Pod,
    container: &Container,
    facts: &StartFacts<'_>,
    env: &[(String, String)],
) -> Result<Vec<v1::Mount>, RenderError> {
    let mut mounts = Vec::new();
    for (index, mount) in container.mounts.iter().enumerate() {
        let part = sub_path(mount, env)?;
        let rendered = v1::Mount {
            container_path: mount.path.display().to_string(),
            readonly: mount.read_only,
            recursive_read_only: mount.recursive_read_only,
            propagation: mount.propagation.into(),
            ..Default::default()
        };
        let source = pod.volume(&mount.volume).map(|volume| &volume.source);
        if let Some(VolumeSource::Image { reference, .. }) = source {
            let image = v1::ImageSpec { image: reference.clone(), ..Default::default() };
            let image_sub_path = part.unwrap_or_default();
            mounts.push(v1::Mount { image: Some(image), image_sub_path, ..rendered });
            continue;
        }
        let volume = || mount.volume.clone();
        let path = match part {
            None => facts
                .volumes
                .get(&mount.volume)
                .ok_or_else(|| RenderError::Volume { volume: volume() }),
            Some(sub_path) => facts
                .sub_paths
                .get(&index)
                .ok_or_else(|| RenderError::SubPath { volume: volume(), sub_path }),
        }?;
        mounts.push(v1::Mount { host_path: path.display().to_string(), ..rendered });
    }
    Ok(mounts)
}

/// Mounts `/etc/hosts` and the file for the last word, unless the container has something there.
fn add_files(container: &Container, facts: &StartFacts<'_>, config: &mut v1::ContainerConfig) {
    let mut add = |path: &str, file: &std::path::Path| {
        let taken = |mount: &v1::Mount| {
            std::path::Path::new(&mount.container_path) == std::path::Path::new(path)
        };
        if !config.mounts.iter().any(taken) {
            config.mounts.push(v1::Mount {
                container_path: path.to_owned(),
                host_path: file.display().to_string(),
                ..Default::default()
            });
        }
    };
    if let Some(file) = facts.hosts_file {
        add(crate::hosts::CONTAINER_PATH, file);
    }
    if let (Some(termination), Some(file)) = (&container.termination, facts.termination_file) {
        add(&termination.path, file);
    }
}

/// The CRI takes a group with a user only; without one in the manifest that is the image's.
fn complete_user(context: &mut v1::LinuxContainerSecurityContext, image: &ImageUser) {
    if context.run_as_group.is_none() || context.run_as_user.is_some() {
        return;
    }
    match image {
        ImageUser::Unset => context.run_as_user = Some(v1::Int64Value { value: 0 }),
        ImageUser::Number(value) => context.run_as_user = Some(v1::Int64Value { value: *value }),
        ImageUser::Name(name) => context.run_as_username.clone_from(name),
    }
}

/// The kubelet's check (`kuberuntime/security_context.go`, `verifyRunAsNonRoot`).
fn check_user(container: &Container, facts: &StartFacts<'_>) -> Result<(), RenderError> {
    let linux = container.config.linux.as_ref();
    let given = linux.and_then(|linux| linux.security_context.as_ref()?.run_as_user.as_ref());
    if !container.run_as_non_root || given.is_some() {
        return Ok(());
    }
    match &facts.image_user {
        ImageUser::Number(0) | ImageUser::Unset => Err(RenderError::Root),
        ImageUser::Number(_) => Ok(()),
        ImageUser::Name(user) => Err(RenderError::UnknownUser { user: user.clone() }),
    }
}
