//! The JSON texts of a verbose status.
//!
//! The CRI leaves them to the runtimes. containerd (pkg/cri/server, `SandboxInfo` and
//! `ContainerInfo`) puts the CRI configuration and the OCI spec beside the pid; CRI-O
//! (server/sandbox_status.go) gives pid and OCI spec, and keeps the rest in the spec's annotations
//! `io.kubernetes.cri-o.*`. Anything may be missing: an older runtime simply tells less.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::model::{PortMapping, Protocol};

const CRIO_PORT_MAPPINGS: &str = "io.kubernetes.cri-o.PortMappings";
const CRIO_LOG_PATH: &str = "io.kubernetes.cri-o.LogPath";
const CRIO_HOSTNAME: &str = "io.kubernetes.cri-o.HostName";
const CRIO_STDIN: &str = "io.kubernetes.cri-o.Stdin";
const CRIO_TTY: &str = "io.kubernetes.cri-o.TTY";
const CRIO_CGROUP_PARENT: &str = "io.kubernetes.cri-o.CgroupParent";

/// What is read of a sandbox's or a container's `info`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Info {
    pid: u32,
    config: Option<Config>,
    runtime_spec: Option<RuntimeSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    hostname: String,
    log_directory: String,
    /// A container's, below the directory.
    log_path: String,
    #[serde(deserialize_with = "null_as_default")]
    port_mappings: Vec<ConfigPort>,
    linux: Option<ConfigLinux>,
    stdin: bool,
    tty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigLinux {
    cgroup_parent: String,
}

/// Go prints absent numbers as nothing at all: TCP is 0, so it has no `protocol`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigPort {
    protocol: i32,
    container_port: u16,
    host_port: u16,
    host_ip: String,
}

/// CRI-O's `hostport.PortMapping`, a Go structure without JSON names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CrioPort {
    protocol: String,
    container_port: u16,
    host_port: u16,
    #[serde(rename = "HostIP")]
    host_ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeSpec {
    #[serde(deserialize_with = "null_as_default")]
    annotations: BTreeMap<String, String>,
    linux: Option<SpecLinux>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecLinux {
    #[serde(deserialize_with = "null_as_default")]
    namespaces: Vec<SpecNamespace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecNamespace {
    r#type: String,
    path: String,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Info {
    /// Reads the map of a verbose answer. What cannot be read is as good as missing: the CRI
    /// promises nothing about it.
    pub(super) fn read(info: &BTreeMap<String, String>) -> Self {
        info.get("info").map_or_else(Self::default, |text| {
            serde_json::from_str(text).unwrap_or_else(|error| {
                tracing::debug!(%error, "verbose status not understood");
                Self::default()
            })
        })
    }

    /// Whether the first process has standard input, and whether it has a terminal.
    pub(super) fn streams(&self) -> (bool, bool) {
        let config = self.config.as_ref();
        let annotations = self.runtime_spec.as_ref().map(|spec| &spec.annotations);
        let says = |name| annotations.is_some_and(|all| all.get(name).is_some_and(|v| v == "true"));
        let stdin = config.is_some_and(|config| config.stdin) || says(CRIO_STDIN);
        let tty = config.is_some_and(|config| config.tty) || says(CRIO_TTY);
        (stdin, tty)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        Some(self.pid).filter(|pid| *pid > 0)
    }

    pub(super) fn hostname(&self) -> Option<String> {
        let given = self.config.as_ref().map(|config| config.hostname.as_str());
        given
            .or_else(|| self.annotation(CRIO_HOSTNAME))
            .filter(|name| !name.is_empty())
            .map(Into::into)
    }

    pub(super) fn cgroup_parent(&self) -> Option<String> {
        let linux = self.config.as_ref().and_then(|config| config.linux.as_ref());
        linux
            .map(|linux| linux.cgroup_parent.as_str())
            .or_else(|| self.annotation(CRIO_CGROUP_PARENT))
            .filter(|parent| !parent.is_empty())
            .map(Into::into)
    }

    pub(super) fn log_directory(&self) -> Option<PathBuf> {
        let given = self.config.as_ref().map(|config| config.log_directory.as_str());
        if let Some(directory) = given.filter(|directory| !directory.is_empty()) {
            return Some(directory.into());
        }
        // CRI-O notes the log of the sandbox itself, which is inside the pod's log directory.
        let log = PathBuf::from(self.annotation(CRIO_LOG_PATH)?);
        log.parent().map(Into::into)
    }

    /// The sandbox's log directory, from a container's log: containerd has joined the two.
    pub(super) fn log_directory_of(&self, log: &Path) -> Option<PathBuf> {
        let below = Path::new(&self.config.as_ref()?.log_path);
        let mut directory = log;
        for component in below.components().rev() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) if directory.file_name() == Some(name) => {
                    directory = directory.parent()?;
                }
                _ => return None,
            }
        }
        (directory != log).then(|| directory.to_owned())
    }

    pub(super) fn network_namespace(&self) -> Option<PathBuf> {
        let namespaces = &self.runtime_spec.as_ref()?.linux.as_ref()?.namespaces;
        let network = namespaces.iter().find(|namespace| namespace.r#type == "network")?;
        Some(&network.path).filter(|path| !path.is_empty()).map(Into::into)
    }

    pub(super) fn ports(&self) -> Vec<PortMapping> {
        let mut ports: Vec<_> = match &self.config {
            Some(config) => config.port_mappings.iter().filter_map(from_config).collect(),
            None => self.crio_ports().iter().filter_map(from_crio).collect(),
        };
        ports.sort_unstable_by_key(|port| (port.host_port, port.protocol, port.host_ip));
        ports
    }

    fn crio_ports(&self) -> Vec<CrioPort> {
        let text = self.annotation(CRIO_PORT_MAPPINGS);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.runtime_spec.as_ref()?.annotations.get(key).map(String::as_str)
    }
}

fn from_config(port: &ConfigPort) -> Option<PortMapping> {
    let protocol = match port.protocol {
        1 => Protocol::Udp,
        2 => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    mapping(protocol, port.host_port, port.container_port, &port.host_ip)
}

fn from_crio(port: &CrioPort) -> Option<PortMapping> {
    let protocol = match port.protocol.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    mapping(protocol, port.host_port, port.container_port, &port.host_ip)
}

fn mapping(protocol: Protocol, host: u16, container: u16, ip: &str) -> Option<PortMapping> {
    let host_ip = ip.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    (host > 0).then_some(PortMapping {
        protocol,
        host_ip,
        host_port: host,
        container_port: container,
    })
}
