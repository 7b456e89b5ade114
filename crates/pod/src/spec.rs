use std::{io, path::Path};

use crilet_cri::{config, v1};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::hosts::CONTAINER_PATH;

/// The sandbox annotation that holds the hash of the configuration a pod was made from.
pub const CONFIG_HASH: &str = "crilet.dev/config-hash";

/// Longest hostname that the kernel and the kubelet take, in bytes.
const LONGEST_HOSTNAME: usize = 63;

/// A pod as it should be: the CRI's own configurations of a sandbox and its containers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodSpec {
    /// The sandbox.
    pub sandbox: v1::PodSandboxConfig,
    /// The containers; their names are unique.
    pub containers: Vec<v1::ContainerConfig>,
}

impl PodSpec {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.sandbox.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.sandbox.metadata.as_ref().map_or("", |metadata| &metadata.namespace)
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    /// Whether the pod uses the host's network namespace.
    pub fn uses_host_network(&self) -> bool {
        let linux = self.sandbox.linux.as_ref();
        linux
            .and_then(|linux| linux.security_context.as_ref())
            .and_then(|context| context.namespace_options.as_ref())
            .is_some_and(|options| options.network() == v1::NamespaceMode::Node)
    }

    /// A hash of the whole configuration, 16 hexadecimal digits: the same files give the same.
    ///
    /// The order of containers does not count. Take it before [`PodSpec::complete`] changes
    /// anything.
    pub fn hash(&self) -> String {
        let mut containers: Vec<_> = self.containers.iter().map(Message::encode_to_vec).collect();
        containers.sort_unstable();
        let mut hasher = Sha256::new();
        hasher.update(self.sandbox.encode_length_delimited_to_vec());
        containers.iter().for_each(|container| hasher.update(container));
        let digest = hasher.finalize();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Fills in what a kubelet would: a hostname for a pod with a network of its own (the pod's
    /// name, cut to what a hostname may be), a uid where none is given, and the configuration's
    /// hash as an annotation.
    ///
    /// # Errors
    /// When the kernel has no randomness for a uid.
    pub fn complete(mut self) -> io::Result<Self> {
        let hash = self.hash();
        if self.sandbox.hostname.is_empty() && !self.uses_host_network() {
            self.sandbox.hostname = hostname(self.name());
        }
        config::fill_uid(&mut self.sandbox)?;
        self.sandbox.annotations.insert(CONFIG_HASH.to_owned(), hash);
        Ok(self)
    }

    /// Mounts a file as `/etc/hosts` into every container that does not bring one.
    pub(crate) fn mount_hosts(&mut self, file: &Path) {
        for container in &mut self.containers {
            let own =
                |mount: &v1::Mount| Path::new(&mount.container_path) == Path::new(CONTAINER_PATH);
            if !container.mounts.iter().any(own) {
                container.mounts.push(v1::Mount {
                    container_path: CONTAINER_PATH.to_owned(),
                    host_path: file.display().to_string(),
                    ..Default::default()
                });
            }
        }
    }
}

/// A pod's name as a hostname, the kubelet's way: cut, and without `-` or `.` at the end.
pub(crate) fn hostname(pod: &str) -> String {
    let cut: String = pod.chars().take(LONGEST_HOSTNAME).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> PodSpec {
        let metadata = v1::PodSandboxMetadata { name: name.into(), ..Default::default() };
        let sandbox = v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
        PodSpec { sandbox, containers: Vec::new() }
    }

    #[test]
    fn a_pod_gets_its_name_as_hostname_cut_to_length() {
        let name = format!("{}-tail", "a".repeat(62));
        let complete = spec(&name).complete().unwrap();
        assert_eq!(complete.sandbox.hostname, "a".repeat(62));
        assert!(!complete.sandbox.metadata.unwrap().uid.is_empty());
    }

    #[test]
    fn the_hash_ignores_what_is_filled_in_and_the_order_of_containers() {
        let container = |name: &str| v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.into(), attempt: 0 }),
            ..Default::default()
        };
        let mut one = spec("a");
        one.containers = vec![container("x"), container("y")];
        let mut other = spec("a");
        other.containers = vec![container("y"), container("x")];
        assert_eq!(one.hash(), other.hash());
        let hash = one.hash();
        assert_eq!(one.complete().unwrap().sandbox.annotations[CONFIG_HASH], hash);
        other.containers.pop();
        assert_ne!(hash, other.hash());
    }
}
