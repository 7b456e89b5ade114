//! Hashes of what the runtime is told, stable over machines, key order, policy and versions.

use std::{collections::BTreeMap, fmt::Write, os::unix::ffi::OsStrExt};

use crilet_cri::v1;
use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    Container, Dns, EnvValue, EnvVar, LateValue, Medium, Mount, Pod, Resources, SubPath, Volume,
    VolumeSource,
};

/// Annotations that are crilet's: what they say is policy, which needs nothing to be made anew.
const OWN_PREFIX: &str = "crilet.dev/";

impl Pod {
    /// Computes [`Pod::sandbox_hash`] and the hash of each container; the last thing that is done
    /// to a pod that was read or built.
    pub fn seal(&mut self) {
        self.sandbox_hash = sandbox(self);
        let volumes = std::mem::take(&mut self.volumes);
        for init in &mut self.init {
            init.hash = container(init, &volumes, true);
        }
        for main in &mut self.containers {
            main.hash = container(main, &volumes, false);
        }
        self.volumes = volumes;
    }
}

/// A uid in the form of a UUID (version 8, its own kind of name) that follows from a pod's name.
pub(crate) fn derive_uid(namespace: &str, name: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("crilet.dev/pod\0{namespace}\0{name}"));
    let digest = hasher.finalize();
    let mut bytes: Vec<u8> = digest.iter().take(16).copied().collect();
    if let Some(version) = bytes.get_mut(6) {
        *version = (*version & 0x0f) | 0x80;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = (*variant & 0x3f) | 0x80;
    }
    let mut uid = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        // Writing to a string cannot fail.
        let _infallible = write!(uid, "{dash}{byte:02x}");
    }
    uid
}

fn sandbox(pod: &Pod) -> String {
    let mut config = pod.sandbox.clone();
    forget_policy(&mut config.annotations);
    let mut hasher = Hasher::default();
    hasher.part(&config.encode_to_vec()).part(pod.runtime_handler.as_bytes());
    if let Some(Dns { policy, nameservers, searches, options }) = &pod.dns {
        hasher.text(&format!("{policy:?} {nameservers:?}"));
        searches.iter().for_each(|search| hasher.text(search));
        hasher.text("options");
        options.iter().for_each(|option| hasher.text(option));
    }
    hasher.finish()
}

fn container(container: &Container, volumes: &[Volume], init: bool) -> String {
    let mut config: v1::ContainerConfig = container.config.clone();
    forget_policy(&mut config.annotations);
    let mut hasher = Hasher::default();
    hasher.part(&config.encode_to_vec());
    hasher.text(&format!("{} {} {init}", container.expand, container.run_as_non_root));
    container.env.iter().for_each(|variable| hasher.variable(variable));
    for mount in &container.mounts {
        hasher.mount(mount);
        let volume = volumes.iter().find(|volume| volume.name == mount.volume);
        hasher.text(&volume.map_or_else(String::new, |volume| source(&volume.source)));
    }
    hasher.resources(&container.resources);
    hasher.text(container.termination.as_ref().map_or("", |termination| &termination.path));
    hasher.finish()
}

fn forget_policy(annotations: &mut BTreeMap<String, String>) {
    annotations.retain(|key, _| !key.starts_with(OWN_PREFIX));
}

/// What a container would notice if it changed; files are brought up to date in place.
fn source(source: &VolumeSource) -> String {
    match source {
        VolumeSource::HostPath { path, kind } => format!("host {} {kind:?}", path.display()),
        VolumeSource::EmptyDir { medium: Medium::Disk, .. } => "empty".to_owned(),
        VolumeSource::EmptyDir { medium, size_limit } => format!("empty {medium:?} {size_limit:?}"),
        VolumeSource::Files(files) => format!("files {}", files.secret),
        VolumeSource::Claim { name } => format!("claim {name}"),
        VolumeSource::Image { reference, .. } => format!("image {reference}"),
    }
}

/// 16 hexadecimal digits over parts that are kept apart.
#[derive(Default)]
struct Hasher(Sha256);

impl Hasher {
    /// Adds a part with its length, so that moving text from one part to the next shows.
    fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn finish(self) -> String {
        self.0.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
    }

    fn text(&mut self, text: &str) {
        self.part(text.as_bytes());
    }

    fn variable(&mut self, variable: &EnvVar) {
        self.text(&variable.name);
        match &variable.value {
            EnvValue::Text(text) => self.part(b"text").text(text),
            EnvValue::Exact(text) => self.part(b"exact").text(text),
            EnvValue::Secret(text) => self.part(b"exact").text(text.reveal()),
            EnvValue::Late(late) => self.part(b"late").text(&late_name(*late)),
        }
    }

    fn mount(&mut self, mount: &Mount) {
        self.part(mount.path.as_os_str().as_bytes());
        let (expanded, sub_path) = match &mount.sub_path {
            None => (false, ""),
            Some(SubPath::Text(text)) => (false, text.as_str()),
            Some(SubPath::Expanded(text)) => (true, text.as_str()),
        };
        self.text(sub_path);
        let Mount { read_only, recursive_read_only, propagation, .. } = mount;
        let propagation = propagation.as_str_name();
        self.text(&format!("{expanded} {read_only} {recursive_read_only} {propagation}"));
    }

    fn resources(&mut self, resources: &Resources) {
        let Resources { cpu_request, cpu_limit, memory_request, memory_limit, hugepage_limits } =
            resources;
        let cpu = format!("{cpu_request:?} {cpu_limit:?}");
        self.text(&format!("{cpu} {memory_request:?} {memory_limit:?} {hugepage_limits:?}"));
    }
}

fn late_name(late: LateValue) -> String {
    match late {
        LateValue::PodIp => "podIP".to_owned(),
        LateValue::PodIps => "podIPs".to_owned(),
        LateValue::HostIp => "hostIP".to_owned(),
        LateValue::HostIps => "hostIPs".to_owned(),
        LateValue::NodeName => "nodeName".to_owned(),
        LateValue::NodeCpu(divisor) => format!("cpu {}", divisor.0),
        LateValue::NodeMemory(divisor) => format!("memory {}", divisor.0),
        LateValue::NodeStorage(divisor) => format!("storage {}", divisor.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_follows_from_the_name_for_ever() {
        let uid = derive_uid("default", "web");
        // Changing it would make every pod of every machine anew.
        assert_eq!(uid, "e2ec762b-fdc3-8e0d-9fa5-3c09febe4125");
        assert_ne!(uid, derive_uid("defaultw", "eb"));
    }

    #[test]
    fn parts_are_kept_apart() {
        let hash = |parts: &[&str]| {
            let mut hasher = Hasher::default();
            parts.iter().for_each(|part| hasher.text(part));
            hasher.finish()
        };
        assert_eq!(hash(&["ab", "c"]).len(), 16);
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["ab", "c"]), hash(&["ab", "c"]));
    }
}
