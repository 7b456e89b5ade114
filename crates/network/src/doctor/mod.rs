//! What is wrong with a node's network, and how to mend it.
//!
//! [`examine`] is a function of a snapshot: each family of checks has a file of its own and adds its
//! [`Finding`]s. A finding says what was seen and where, why it matters, and what a person does about
//! it; where that is safe it also has [`Repair`]s, which [`mend()`] carries out.
//!
//! ```text
//! snapshot ──▶ examine ──▶ findings ──▶ plan (shown, agreed to)
//!                                         │
//! another snapshot ──▶ examine ──▶ what is still wrong of it ──▶ mend, bound to that snapshot's rules
//! ```
//!
//! What a live pod owns is never repaired away: see [`crate::join::Pods`] for who counts as alive.

mod backends;
mod bandwidth;
mod bridges;
mod configs;
mod exposure;
mod finding;
mod flows;
mod forward;
mod leases;
mod leftovers;
mod mend;
mod missing;
mod ports;
mod routing;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use finding::{Evidence, Finding, Repair, YOUNGEST};
pub use mend::{MendError, Mended, mend};
pub use scope::{Scope, scope};

use crate::{
    config::{ConfigFile, judge},
    join::{Life, List, Lists, Pods, host_network},
    ports::{Port, published},
    snapshot::{Attachment, Snapshot},
    trace::Node,
};

/// Everything that checks look at.
struct Look<'a> {
    snapshot: &'a Snapshot,
    node: Node<'a>,
    lists: &'a Lists,
    pods: Pods<'a>,
    ports: Vec<Port>,
    files: Vec<ConfigFile>,
}

/// What checks find.
type Findings = Vec<Finding>;

/// Checks that look at the same things, by the ids of what they find.
struct Family {
    ids: &'static [&'static str],
    check: fn(&Look<'_>, &mut Findings),
}

/// The families of checks, in the order in which their findings are told.
const FAMILIES: [Family; 12] = [
    Family { ids: &configs::IDS, check: configs::check },
    Family { ids: &leases::IDS, check: leases::check },
    Family { ids: &leftovers::IDS, check: leftovers::check },
    Family { ids: &missing::IDS, check: missing::check },
    Family { ids: &ports::IDS, check: ports::check },
    Family { ids: &flows::IDS, check: flows::check },
    Family { ids: &forward::IDS, check: forward::check },
    Family { ids: &backends::IDS, check: backends::check },
    Family { ids: &exposure::IDS, check: exposure::check },
    Family { ids: &bridges::IDS, check: bridges::check },
    Family { ids: &routing::IDS, check: routing::check },
    Family { ids: &bandwidth::IDS, check: bandwidth::check },
];

/// Finds what is wrong, worst first.
#[must_use]
pub fn examine(snapshot: &Snapshot) -> Vec<Finding> {
    let lists = Lists::of(snapshot);
    let node = Node::new(snapshot);
    let ports = published(&node);
    let look = Look {
        snapshot,
        ports,
        pods: Pods::of(snapshot, &lists, node.places()),
        files: judge(&snapshot.configuration, &host_network(&snapshot.host)),
        node,
        lists: &lists,
    };
    let mut found = Vec::new();
    for family in FAMILIES {
        let before = found.len();
        (family.check)(&look, &mut found);
        debug_assert!(found.iter().skip(before).all(|one| look.is_named(&family, one)));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

impl<'a> Look<'a> {
    /// Attachments of pods that are there, loopback left out, with the configuration that each was
    /// made with.
    fn attachments(&self) -> impl Iterator<Item = (&'a Attachment, Option<&List>)> {
        let live = self.snapshot.attachments.iter().filter(|one| self.is_live(one));
        live.map(|one| (one, one.config.as_deref().and_then(|text| self.lists.get(text))))
    }

    /// Whether a family names what it found; what it says of configurations is named there.
    fn is_named(&self, family: &Family, finding: &Finding) -> bool {
        let mut of_files = self.files.iter().flat_map(|file| &file.findings);
        family.ids.contains(&finding.id) || of_files.any(|one| one.id == finding.id)
    }

    fn is_live(&self, attachment: &Attachment) -> bool {
        let addresses: Vec<_> = attachment.addresses.iter().map(ipnet::IpNet::addr).collect();
        attachment.link != "lo"
            && self.pods.is_known(&attachment.container)
            && self.pods.life(Some(&attachment.network), &attachment.container, &addresses)
                == Life::Live
            && attachment.namespace_exists != Some(false)
            && self.pods.place(attachment).is_some()
    }

    /// The network that a container was in, where something still tells.
    fn network_of(&self, container: &str) -> Option<&'a str> {
        let cached = self.snapshot.attachments.iter().filter(|one| one.link != "lo");
        let cached = cached.map(|one| (one.container.as_str(), one.network.as_str()));
        let leased = self.snapshot.stores.iter().flat_map(|store| {
            let network = store.network.as_str();
            store.leases.iter().map(move |lease| (lease.container.as_str(), network))
        });
        cached.chain(leased).find(|(own, _)| *own == container).map(|(_, network)| network)
    }

    /// Live attachments, by network.
    fn networks(&self) -> BTreeMap<&'a str, Vec<(&'a Attachment, Option<&List>)>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (attachment, list) in self.attachments() {
            all.entry(attachment.network.as_str()).or_default().push((attachment, list));
        }
        all
    }
}

/// `1 address`, `3 addresses`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What a pod is called: its name, or its container's id.
fn called(attachment: &Attachment) -> &str {
    attachment.pod.as_deref().unwrap_or(&attachment.container)
}
