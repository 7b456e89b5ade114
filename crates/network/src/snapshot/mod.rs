//! A node's network as it is at one moment.
//!
//! [`take()`] reads it and changes nothing; [`Snapshot`] holds it and is written and read as JSON, so
//! that everything else works as well on a file that somebody sent. Rules are kept in the words of
//! the tools that list them; [`crate::ruleset`] understands them.

mod enter;
mod firewall;
mod flows;
mod kernel;
mod loaded;
mod lock;
mod namespace;
mod sockets;
mod stores;
mod take;
mod traffic;

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use loaded::{Loaded, LoadedNetwork};
pub use namespace::{Link, LinkSettings, Namespace, Neighbour, Port, Route, Rule};
pub use take::{Options, host, take};
pub use traffic::{TrafficAction, TrafficFilter};

use crate::config::Configuration;

/// Version of the form that snapshots are written in.
pub const VERSION: u32 = 1;

/// A node's network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this form: [`VERSION`].
    pub version: u32,
    /// When it was taken, in seconds since 1970.
    pub taken_at: u64,
    /// The node's name.
    pub node: String,
    /// The host's own network.
    pub host: Namespace,
    /// Other network namespaces, pods' and whatever else has a name.
    pub namespaces: Vec<Namespace>,
    /// What the kernel tracks.
    pub flows: Flows,
    /// Network configurations and plugins.
    pub configuration: Configuration,
    /// Addresses that host-local gave out.
    pub stores: Vec<Store>,
    /// Attachments as runtimes remember them.
    pub attachments: Vec<Attachment>,
    /// The runtime that was asked, if one answered.
    pub runtime: Option<String>,
    /// The networks that it says it has; absent without a runtime, and where it does not tell.
    #[serde(default)]
    pub loaded: Option<Loaded>,
    /// Its sandboxes; none without a runtime.
    pub sandboxes: Vec<Sandbox>,
    /// Who held the lock of iptables from the beginning to the end.
    #[serde(default)]
    pub xtables_lock: Option<LockHolder>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub program: String,
    /// Seconds since it was started.
    pub seconds: u64,
}

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As IP numbers it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// From IP's number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|one| one.number() == number)
    }

    /// From its name in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Tcp, Self::Udp, Self::Sctp];
        all.into_iter().find(|one| one.to_string().eq_ignore_ascii_case(name))
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A socket that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that it is bound to.
    pub address: IpAddr,
    /// The port that it is bound to.
    pub port: u16,
    /// Whether a socket of IPv6 takes packets of IPv4, too.
    pub takes_v4: bool,
    /// The kernel's number of the socket.
    pub inode: u32,
}

impl Listener {
    /// Whether packets to an address and port come to it.
    #[must_use]
    pub fn takes(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        let is_any = self.address.is_unspecified()
            && (self.address.is_ipv4() == address.is_ipv4()
                || (self.takes_v4 && address.is_ipv4()));
        self.protocol == protocol && self.port == port && (is_any || self.address == address)
    }
}

/// A packet filter, in the words of its tools.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Firewall {
    /// The number of the last transaction of nf_tables.
    pub generation: u32,
    /// Tables of iptables, one entry for each tool that has some.
    pub iptables: Vec<Saved>,
    /// Tables of nft, each as `nft -j list table` tells it.
    pub nft: Vec<Box<RawValue>>,
}

/// What one of iptables' tools lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Whether it is of the legacy tables instead of nf_tables.
    pub legacy: bool,
    /// Whether it is of IPv4.
    pub v4: bool,
    /// The output of `iptables-save -c`.
    pub text: String,
}

/// Flows that the kernel tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// How many there are.
    pub count: u64,
    /// How many there may be.
    pub limit: u64,
    /// Those whose destination is rewritten, up to some ten thousand.
    pub rewritten: Vec<Flow>,
}

/// A flow whose destination is rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its protocol.
    pub protocol: Protocol,
    /// Who began it.
    pub source: IpAddr,
    /// From which port.
    pub source_port: u16,
    /// Where it was sent.
    pub destination: IpAddr,
    /// To which port.
    pub destination_port: u16,
    /// Who answers.
    pub answers: IpAddr,
    /// From which port.
    pub answer_port: u16,
    /// Seconds until it is forgotten.
    pub timeout: u32,
}

/// A store of host-local: the addresses of one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its directory.
    pub directory: PathBuf,
    /// The network's name.
    pub network: String,
    /// Addresses that are given out.
    pub leases: Vec<Lease>,
    /// Files that are neither lease nor the store's own.
    pub strange: Vec<PathBuf>,
}

/// An address that is given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address, which is the file's name.
    pub address: IpAddr,
    /// The container's id; empty when the file is.
    pub container: String,
    /// The link in the container; empty in stores of old releases.
    pub link: String,
    /// Seconds since the file was written.
    pub age: u64,
}

/// An attachment as libcni remembers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file that says so.
    pub file: PathBuf,
    /// The network's name.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The link in the container.
    pub link: String,
    /// The namespace's file, where the runtime wrote it down.
    pub namespace: Option<PathBuf>,
    /// Whether that file is a namespace still; absent without one.
    pub namespace_exists: Option<bool>,
    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME` as `namespace/name`.
    pub pod: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Hardware address of its link, as the plugins said.
    pub mac: Option<String>,
    /// Its host ports.
    pub ports: Vec<Mapping>,
    /// The configuration that it was made with.
    pub config: Option<String>,
    /// The result that plugins gave.
    pub result: Option<serde_json::Value>,
    /// What runtimes gave for capabilities.
    pub capabilities: Option<serde_json::Value>,
    /// Seconds since the file was written.
    pub age: u64,
}

/// A host port that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mapping {
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address, where only one was meant.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The pod's port.
    pub container_port: u16,
}

/// A pod's sandbox as the runtime knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// The pod as `namespace/name`.
    pub pod: String,
    /// Whether it is up.
    pub ready: bool,
    /// Whether it has the host's network.
    pub host_network: bool,
    /// Its namespace's file.
    pub namespace: Option<PathBuf>,
    /// Its addresses, as the runtime knows them.
    pub addresses: Vec<IpAddr>,
    /// Its published ports.
    pub ports: Vec<Mapping>,
    /// Names of its containers that run.
    pub containers: Vec<String>,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// A file is no snapshot.
    #[error("`{}` is no snapshot of a node's network", path.display())]
    Form {
        /// Its path.
        path: PathBuf,
        /// What is wrong, with line and column.
        #[source]
        cause: serde_json::Error,
    },
    /// A file is one of another version.
    #[error("`{}` is a snapshot of version {found}; this program reads version {VERSION}", path.display())]
    Version {
        /// Its path.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The kernel does not tell of the host's network.
    #[error("failed to read the host's network")]
    Host(#[source] io::Error),
    /// No thread could be started.
    #[error("failed to start a thread to read the network")]
    Thread(#[source] io::Error),
}

impl Snapshot {
    /// Reads a snapshot from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no snapshot that this program knows.
    pub fn load(path: &Path) -> Result<Self, SnapshotError> {
        let failed = |cause| SnapshotError::Read { path: path.to_owned(), cause };
        let bytes = fs::read(path).map_err(failed)?;
        Self::parse(&bytes).map_err(|error| match error {
            ParseError::Form(cause) => SnapshotError::Form { path: path.to_owned(), cause },
            ParseError::Version(found) => SnapshotError::Version { path: path.to_owned(), found },
        })
    }

    /// Reads a snapshot from its text.
    fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(ParseError::Form)?;
        if head.version != VERSION {
            return Err(ParseError::Version(head.version));
        }
        serde_json::from_slice(bytes).map_err(ParseError::Form)
    }
}

enum ParseError {
    Form(serde_json::Error),
    Version(u32),
}
