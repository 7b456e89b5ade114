use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::v1;

/// Whether a pod's sandbox is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PodState {
    /// The sandbox runs and has its network.
    Ready,
    /// The sandbox is stopped or died.
    NotReady,
}

impl fmt::Display for PodState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ready => "ready",
            Self::NotReady => "not ready",
        })
    }
}

/// Where a container is in its life; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Created, not started yet.
    Created,
    /// Its first process runs.
    Running,
    /// Its first process has ended.
    Exited,
    /// The runtime lost track of it.
    Unknown,
}

impl fmt::Display for ContainerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        })
    }
}

impl From<v1::ContainerState> for ContainerState {
    fn from(state: v1::ContainerState) -> Self {
        match state {
            v1::ContainerState::ContainerCreated => Self::Created,
            v1::ContainerState::ContainerRunning => Self::Running,
            v1::ContainerState::ContainerExited => Self::Exited,
            v1::ContainerState::ContainerUnknown => Self::Unknown,
        }
    }
}

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl From<v1::Protocol> for Protocol {
    fn from(protocol: v1::Protocol) -> Self {
        match protocol {
            v1::Protocol::Tcp => Self::Tcp,
            v1::Protocol::Udp => Self::Udp,
            v1::Protocol::Sctp => Self::Sctp,
        }
    }
}

/// A port of the host that leads to a port of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortMapping {
    /// The transport protocol, the same on both sides.
    pub protocol: Protocol,
    /// The only address of the host that is mapped; absent for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port on the host, 1 to 65535.
    pub host_port: u16,
    /// The port inside the pod, 1 to 65535.
    pub container_port: u16,
}

impl PortMapping {
    /// What a CRI mapping publishes; nothing without a host port, or past what a port can be.
    pub fn published(mapping: &v1::PortMapping) -> Option<Self> {
        let host_port = u16::try_from(mapping.host_port).ok().filter(|port| *port > 0)?;
        Some(Self {
            protocol: mapping.protocol().into(),
            // An unspecified address is the CRI's other way to say "all of them".
            host_ip: mapping.host_ip.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified()),
            host_port,
            container_port: u16::try_from(mapping.container_port).ok()?,
        })
    }

    /// Whether both cannot be had at once: one port of one protocol at an address in common, where
    /// none is every address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let addresses = match (self.host_ip, other.host_ip) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        addresses && self.host_port == other.host_port && self.protocol == other.protocol
    }
}

impl fmt::Display for PortMapping {
    /// `8080->80/tcp`, `127.0.0.1:8080->80/tcp`, `[::1]:8080->80/tcp`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(formatter, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(formatter, "{ip}:")?,
            None => {}
        }
        write!(formatter, "{}->{}/{}", self.host_port, self.container_port, self.protocol)
    }
}

/// A pod: a sandbox with its containers, as the runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// The sandbox's id.
    pub id: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.attempt`, how many sandboxes this pod had before.
    pub attempt: u32,
    /// Whether the sandbox is up.
    pub state: PodState,
    /// When the sandbox was made.
    #[serde(serialize_with = "epoch_nanoseconds")]
    pub created_at: SystemTime,
    /// Labels, as given.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as given.
    pub annotations: BTreeMap<String, String>,
    /// The runtime handler; empty for the default one.
    pub runtime_handler: String,
    /// What only a status tells; absent where only lists were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<PodDetails>,
    /// The containers by name, of one name the oldest first.
    pub containers: Vec<Container>,
}

impl Pod {
    /// `namespace/name`, as people call it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Takes over what an earlier view of the same sandbox tells of it and cannot have changed.
    pub(super) fn keep_details(&mut self, earlier: &Self) {
        let has_pid = earlier.details.as_ref().is_some_and(|details| details.pid.is_some());
        // One that is no longer ready loses its network bit by bit.
        if has_pid && (self.state, earlier.state) == (PodState::Ready, PodState::Ready) {
            self.details.clone_from(&earlier.details);
        }
        for container in &mut self.containers {
            let earlier = earlier.containers.iter().find(|earlier| earlier.id == container.id);
            if let Some(earlier) = earlier.filter(|earlier| earlier.state == container.state)
                && earlier.is_settled()
            {
                container.details.clone_from(&earlier.details);
            }
        }
    }
}

/// What a verbose status tells of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PodDetails {
    /// The pod's addresses, the main one first; none for a pod on the host's network, or stopped.
    pub ips: Vec<IpAddr>,
    /// Whether the pod uses the host's network.
    pub host_network: bool,
    /// The published ports.
    pub ports: Vec<PortMapping>,
    /// Where its containers' logs are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_directory: Option<PathBuf>,
    /// The network namespace's file; absent on the host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_namespace: Option<PathBuf>,
    /// The sandbox's first process, where it has one and it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The hostname, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The cgroup that the pod's cgroups are in, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
}

/// A container, as the runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.attempt`, how many containers of this name the pod had before.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: ContainerState,
    /// When it was made.
    #[serde(serialize_with = "epoch_nanoseconds")]
    pub created_at: SystemTime,
    /// The image as it was asked for.
    pub image: String,
    /// The image as the runtime has it: an id or a digest.
    pub image_ref: String,
    /// Labels, as given.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as given.
    pub annotations: BTreeMap<String, String>,
    /// What only a status tells; absent where only lists were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ContainerDetails>,
}

impl Container {
    /// Whether what its status told is all that it will tell while its state is the same.
    fn is_settled(&self) -> bool {
        let Some(details) = &self.details else { return false };
        match self.state {
            ContainerState::Running => details.pid.is_some(),
            ContainerState::Exited => details.finished_at.is_some(),
            ContainerState::Created | ContainerState::Unknown => false,
        }
    }
}

/// What a verbose status tells of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ContainerDetails {
    /// When its process was started.
    #[serde(serialize_with = "optional_epoch_nanoseconds")]
    pub started_at: Option<SystemTime>,
    /// When its process ended.
    #[serde(serialize_with = "optional_epoch_nanoseconds")]
    pub finished_at: Option<SystemTime>,
    /// The process's exit code, once it has ended; 128 + N after signal N.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The runtime's word for why it ended: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// More words of the runtime.
    pub message: String,
    /// The log file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_path: Option<PathBuf>,
    /// The sandbox's log directory, where the container's own status tells it, too.
    #[serde(skip)]
    pub log_directory: Option<PathBuf>,
    /// The first process, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// The CRI's time: nanoseconds since 1970. Zero, "never", and what is before are the epoch.
pub(super) fn time(nanoseconds: i64) -> SystemTime {
    let since = u64::try_from(nanoseconds).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_nanos(since)
}

/// As [`time`], with zero as "not yet".
pub(super) fn optional_time(nanoseconds: i64) -> Option<SystemTime> {
    (nanoseconds > 0).then(|| time(nanoseconds))
}

fn epoch_nanoseconds<S: serde::Serializer>(at: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    out.serialize_u64(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
fn optional_epoch_nanoseconds<S: serde::Serializer>(
    at: &Option<SystemTime>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => epoch_nanoseconds(at, out),
        None => out.serialize_none(),
    }
}
