//! What a check finds.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use crilet_cni::mend::{StaleFlow, StaleRules};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::{config::Severity, trace::RuleAt};

/// Younger leases may be of pods that are being made: their plugins take an address first.
pub const YOUNGEST: Duration = Duration::from_secs(60);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing; stable over versions.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub what: String,
    /// Why it matters, in plain words.
    pub why: String,
    /// Where it was seen.
    pub evidence: Vec<Evidence>,
    /// What a person does about it.
    pub fix: String,
    /// What can be mended by itself.
    pub repairs: Vec<Repair>,
}

/// Where something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// `file`, `rule`, `address`, `link`, `setting`, `flow`, `pod` or `status`.
    pub kind: &'static str,
    /// Which one.
    pub at: String,
    /// What it says.
    pub says: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.at)?;
        if self.says.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.says) }
    }
}

impl Evidence {
    pub(super) fn new(kind: &'static str, at: impl fmt::Display, says: impl Into<String>) -> Self {
        Self { kind, at: at.to_string(), says: says.into() }
    }

    pub(super) fn rule(rule: &RuleAt) -> Self {
        let at = match rule.line {
            0 => format!("{} {} policy", rule.table, rule.chain),
            line => format!("{} {} rule {line}", rule.table, rule.chain),
        };
        Self::new("rule", at, rule.text.clone())
    }
}

impl Finding {
    pub(super) fn new(
        id: &'static str,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity,
            what: what.into(),
            why: why.into(),
            evidence: Vec::new(),
            fix: fix.into(),
            repairs: Vec::new(),
        }
    }

    #[must_use]
    pub(super) fn seen(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    #[must_use]
    pub(super) fn mended_by(mut self, repairs: impl IntoIterator<Item = Repair>) -> Self {
        self.repairs.extend(repairs);
        self
    }
}

/// A change that mends something, and touches nothing that a live pod owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Repair {
    /// Free an address.
    Lease {
        /// The store's directory.
        directory: PathBuf,
        /// The address.
        address: IpAddr,
        /// The container that the lease names; empty when it is an empty file.
        container: String,
    },
    /// Remove rules of a pod that is gone.
    Rules(StaleRules),
    /// Remove a link that limited what a pod sent that is gone.
    Link {
        /// Its name.
        name: String,
    },
    /// Make what plugins wrote into the packet filter again.
    Attach {
        /// The network.
        network: String,
        /// The container.
        container: String,
        /// The link in it.
        link: String,
    },
    /// Make the chains again that lead to pods.
    Share {
        /// Whether of IPv4.
        v4: bool,
    },
    /// End flows that lead to nobody.
    Flow {
        /// The port of the host.
        port: u16,
        /// Where they lead.
        answers: IpAddr,
    },
    /// Keep other links from 127.0.0.0/8.
    Guard,
}

impl Repair {
    fn kind(&self) -> &'static str {
        match self {
            Self::Lease { .. } => "lease",
            Self::Rules(_) => "rules",
            Self::Link { .. } => "link",
            Self::Attach { .. } => "attach",
            Self::Share { .. } => "share",
            Self::Flow { .. } => "flow",
            Self::Guard => "guard",
        }
    }
}

impl From<StaleFlow> for Repair {
    fn from(flow: StaleFlow) -> Self {
        Self::Flow { port: flow.port, answers: flow.answers }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { directory, address, .. } => {
                write!(formatter, "remove {}", directory.join(address.to_string()).display())
            }
            Self::Rules(StaleRules::Chain { v4, from, chain }) => {
                let family = if *v4 { "ip" } else { "ip6" };
                write!(formatter, "remove chain {chain} of {family} nat and its rules in {from}")
            }
            Self::Rules(StaleRules::NftPorts { container }) => {
                write!(formatter, "remove rules of container {container} from cni_hostport")
            }
            Self::Rules(StaleRules::NftMasquerade { comment }) => {
                write!(formatter, "remove rules `{comment}` from inet cni_plugins_masquerade")
            }
            Self::Rules(StaleRules::Spoof { chain }) => {
                write!(formatter, "remove chains {chain} and {chain}-mac from bridge nat")
            }
            Self::Rules(StaleRules::Forward { address }) => {
                write!(formatter, "remove rules for {address} from chain CNI-FORWARD")
            }
            Self::Link { name } => write!(formatter, "remove link {name}"),
            Self::Attach { network, container, link } => write!(
                formatter,
                "make the rules of {link} of container {container} in network {network} again"
            ),
            Self::Share { v4 } => write!(
                formatter,
                "make the rules again that lead to pods' ports over IPv{}",
                if *v4 { 4 } else { 6 }
            ),
            Self::Flow { port, answers } => {
                write!(formatter, "end flows of UDP to port {port} that lead to {answers}")
            }
            Self::Guard => {
                formatter.write_str("drop what comes in for 127.0.0.0/8 by another link than lo")
            }
        }
    }
}

impl Serialize for Repair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Repair", 2)?;
        object.serialize_field("kind", self.kind())?;
        object.serialize_field("what", &self.to_string())?;
        object.end()
    }
}
