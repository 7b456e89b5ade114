//! The way of a packet through a node, told hop by hop from a snapshot.
//!
//! [`trace()`] walks a new connection's first packet as the kernel would: the hooks of all packet
//! filters, of IP, bridges and links, in the order of their priorities, rewriting, choosing of routes,
//! bridge port, the pod's own network, and then the answer's way back. It ends with a [`Verdict`].
//! Nothing is guessed: a match that is not known makes the verdict [`Verdict::Unknown`].

mod answer;
mod bridge;
mod chains;
mod counters;
mod layers;
mod packet;
mod probe;
mod routes;
mod walk;

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

pub use counters::Counted;
pub use probe::{Probe, probe};

use crate::{
    join::Places,
    ruleset::{Chain, Rule, Ruleset, Table},
    snapshot::{Link, Namespace, Protocol, Snapshot},
};

/// A snapshot whose rules have been read.
#[derive(Debug)]
pub struct Node<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// The host's rules.
    pub host: Ruleset,
    /// Rules of the other namespaces, in the snapshot's order.
    pub others: Vec<Ruleset>,
    names: Vec<String>,
    places: Arc<Places>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The node itself.
    Node,
    /// An address: of the node, of a pod, or of somebody beyond the node.
    Address(IpAddr),
    /// A namespace, by its place in the snapshot.
    Namespace(usize),
    /// Somebody beyond the node, by its uplink.
    Outside,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Who sends.
    pub from: Sender,
    /// To which address.
    pub to: IpAddr,
    /// To which port.
    pub port: u16,
    /// By which protocol.
    pub protocol: Protocol,
}

/// A rule, as people find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleAt {
    /// Family and name of the table, with the backend where it is of the legacy tables.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Its place in the chain from 1; 0 for the chain's policy.
    pub line: usize,
    /// The rule in its tool's words.
    pub text: String,
}

impl RuleAt {
    /// Where a rule of the host stands.
    #[must_use]
    pub fn of(table: &Table, chain: &Chain, rule: &Rule) -> Self {
        Self {
            table: chains::table_name(table),
            chain: chain.name.clone(),
            line: rule.line,
            text: rule.text.clone(),
        }
    }
}

impl fmt::Display for RuleAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, chain, line, text } = self;
        match line {
            0 => write!(formatter, "{table} {chain} policy: {text}"),
            _ => write!(formatter, "{table} {chain} rule {line}: {text}"),
        }
    }
}

/// A step of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where: `host`, or the pod's name.
    pub at: String,
    /// The stage: `nat prerouting`, `route`, `bridge` and so on.
    pub stage: String,
    /// What happened.
    pub what: String,
    /// The rule that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleAt>,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Something takes it and its answer comes back.
    Delivered {
        /// Who takes it: a pod, or `host`.
        to: String,
        /// The address that the server sees.
        sees: IpAddr,
        /// Where it arrived.
        address: IpAddr,
        /// At which port.
        port: u16,
    },
    /// Nobody listens, or a rule refuses.
    Refused {
        /// Who refuses, and why.
        why: String,
    },
    /// A rule drops it.
    Dropped {
        /// The rule.
        rule: RuleAt,
    },
    /// It, or its answer, gets lost.
    Hangs {
        /// Where, and why.
        why: String,
    },
    /// There is no way, which the sender is told.
    Unreachable {
        /// Who says so, and why.
        why: String,
    },
    /// It leaves the node for another one.
    Leaves {
        /// By which link, and to whom.
        why: String,
    },
    /// Something is not known.
    Unknown {
        /// After what.
        why: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { to, sees, address, port } => {
                let at = std::net::SocketAddr::new(*address, *port);
                write!(formatter, "delivered to {to} at {at}, which sees {sees}")
            }
            Self::Refused { why } => write!(formatter, "refused: {why}"),
            Self::Dropped { rule } => write!(formatter, "dropped by {rule}"),
            Self::Hangs { why } => write!(formatter, "hangs: {why}"),
            Self::Unreachable { why } => write!(formatter, "unreachable: {why}"),
            Self::Leaves { why } => write!(formatter, "leaves the node {why}"),
            Self::Unknown { why } => write!(formatter, "unknown after {why}"),
        }
    }
}

/// The way, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// What was sent, in words.
    pub request: String,
    /// The steps.
    pub hops: Vec<Hop>,
    /// How it ends.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl<'a> Node<'a> {
    /// Reads the rules of a snapshot.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let others = snapshot.namespaces.iter().map(|one| Ruleset::of(&one.firewall)).collect();
        let known = names(snapshot);
        let names = snapshot.namespaces.iter().map(|one| name_of(&known, one)).collect();
        let host = Ruleset::of(&snapshot.host.firewall);
        Self { snapshot, host, others, names, places: Arc::new(Places::of(snapshot)) }
    }

    /// What a namespace is called: the pod, else the file's name.
    #[must_use]
    pub fn name_of(&self, place: usize) -> &str {
        self.names.get(place).map_or("host", String::as_str)
    }

    /// The namespace of a pod, by `name`, `namespace/name`, its id, the id's beginning, or the name of
    /// the namespace's file.
    #[must_use]
    pub fn find(&self, query: &str) -> Vec<usize> {
        let is_it = |name: &str| {
            let name = name.strip_prefix("pod ").unwrap_or(name);
            name == query || name.rsplit('/').next() == Some(query)
        };
        let of_id = |place: usize| {
            let namespace = self.snapshot.namespaces.get(place);
            let file = |path: Option<&PathBuf>| {
                path.and_then(|path| path.file_name()).map(OsStr::to_owned)
            };
            let own = file(namespace.and_then(|one| one.path.as_ref()));
            let is_id = |id: &str| query.len() >= 4 && id.starts_with(query);
            own.as_deref() == Some(query.as_ref())
                || self
                    .snapshot
                    .sandboxes
                    .iter()
                    .any(|one| is_id(&one.id) && file(one.namespace.as_ref()) == own)
                || self.snapshot.attachments.iter().any(|one| {
                    is_id(&one.container)
                        && one.namespace.is_some()
                        && file(one.namespace.as_ref()) == own
                })
        };
        let all = self.names.iter().enumerate();
        all.filter(|(place, name)| is_it(name) || of_id(*place)).map(|(place, _)| place).collect()
    }

    /// The namespace that has an address on a link other than `lo`.
    #[must_use]
    pub fn namespace_with(&self, address: IpAddr) -> Option<usize> {
        self.places.holder(address)
    }

    /// The namespace, its place, and the link in it, that a link of the host leads to.
    pub(crate) fn behind(&self, link: &Link) -> Option<(usize, &'a Link, &'a Namespace)> {
        self.places.behind(self.snapshot, link)
    }

    /// What is where, for others who look at the same snapshot.
    pub(crate) fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places)
    }
}

/// What the namespaces' files are of: the runtime's word before a cached attachment's.
fn names(snapshot: &Snapshot) -> HashMap<&OsStr, &str> {
    let sandboxes =
        snapshot.sandboxes.iter().map(|one| (one.namespace.as_deref(), one.pod.as_str()));
    let attached = snapshot.attachments.iter().map(|one| {
        (one.namespace.as_deref(), one.pod.as_deref().unwrap_or(one.container.as_str()))
    });
    let mut names = HashMap::new();
    for (path, name) in sandboxes.chain(attached) {
        if let Some(file) = path.and_then(Path::file_name) {
            names.entry(file).or_insert(name);
        }
    }
    names
}

fn name_of(known: &HashMap<&OsStr, &str>, namespace: &Namespace) -> String {
    let own = namespace.path.as_deref().and_then(Path::file_name).unwrap_or_default();
    match known.get(own) {
        Some(name) => format!("pod {name}"),
        None => own.to_string_lossy().into_owned(),
    }
}

/// Follows a new connection, or the first packet of one over UDP.
#[must_use]
pub fn trace(node: &Node<'_>, request: &Request) -> Trace {
    walk::walk(node, request)
}
