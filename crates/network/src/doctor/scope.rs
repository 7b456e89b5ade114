//! What was looked at.

use std::{collections::BTreeSet, fmt};

use super::{FAMILIES, count};
use crate::{config::judge, join::host_network, snapshot::Snapshot};

/// How much there was to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Pods with a network of their own: those of the runtime, and those that have attachments and a
    /// namespace.
    pub pods: usize,
    /// Networks that these pods are in, and those that a runtime uses.
    pub networks: usize,
    /// Kinds of mistakes that were looked for; those in configurations count as one.
    pub checks: usize,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = count(self.pods, "pod", "pods");
        let networks = count(self.networks, "network", "networks");
        write!(formatter, "{pods}, {networks}, {}", count(self.checks, "check", "checks"))
    }
}

/// What [`super::examine`] looks at in a snapshot.
#[must_use]
pub fn scope(snapshot: &Snapshot) -> Scope {
    let attached = snapshot
        .attachments
        .iter()
        .filter(|one| one.link != "lo" && one.namespace_exists == Some(true));
    let known = snapshot.sandboxes.iter().filter(|one| !one.host_network);
    let pods: BTreeSet<&str> = known
        .map(|one| one.id.as_str())
        .chain(attached.clone().map(|one| one.container.as_str()))
        .collect();
    let files = judge(&snapshot.configuration, &host_network(&snapshot.host));
    let used = files.iter().filter(|file| file.active).filter_map(|file| file.name.as_deref());
    let networks: BTreeSet<&str> = attached.map(|one| one.network.as_str()).chain(used).collect();
    let checks: usize = FAMILIES.iter().map(|family| family.ids.len()).sum();
    Scope { pods: pods.len(), networks: networks.len(), checks: checks + 1 }
}
