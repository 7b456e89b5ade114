//! Limits of pods' traffic: bursts that make them none, links that are left over.

use std::collections::HashSet;

use crilet_cni::mend::limiting_link;

use super::{Evidence, Finding, Findings, Look, Repair, called, count};
use crate::{config::Severity, join::field, snapshot::Link};

/// What runtimes give for a burst that nobody chose: 2^32 - 1 bits, CRI-O eight times that.
const NO_BURST: u64 = u32::MAX as u64;

/// What is looked for.
pub(super) const IDS: [&str; 2] = ["bandwidth-burst", "limit-leftover"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    burst(look, found);
    leftover(look, found);
}

fn burst(look: &Look<'_>, found: &mut Findings) {
    let mut pods = Vec::new();
    for (attachment, list) in look.attachments() {
        if list.is_none_or(|list| list.plugin("bandwidth").is_none()) {
            continue;
        }
        let limits = attachment.capabilities.as_ref().and_then(|all| field(all, "bandwidth"));
        let bursts = ["ingressBurst", "egressBurst"].into_iter().filter_map(|key| {
            let burst = field(limits?, key)?.as_u64()?;
            (burst >= NO_BURST).then(|| format!("{key} {burst}"))
        });
        let bursts: Vec<String> = bursts.collect();
        if !bursts.is_empty() {
            let says = format!("{} of {}", bursts.join(", "), called(attachment));
            pods.push(Evidence::new("file", attachment.file.display(), says));
        }
    }
    if pods.is_empty() {
        return;
    }
    let what = format!("limits of {} begin after 512 MB", count(pods.len(), "pod", "pods"));
    found.push(
        Finding::new(
            "bandwidth-burst",
            Severity::Note,
            what,
            "the runtime gives the largest burst that there is, which a pod may send at any speed first",
            "crilet's bandwidth plugin takes such a burst for none; the reference's does not",
        )
        .seen(pods),
    );
}

fn leftover(look: &Look<'_>, found: &mut Findings) {
    let is_limit =
        |link: &&Link| link.kind.as_deref() == Some("ifb") && link.name.starts_with("bwp");
    let links: Vec<&Link> = look.snapshot.host.links.iter().filter(is_limit).collect();
    if links.is_empty() {
        return;
    }
    let mut known: HashSet<String> = HashSet::new();
    let networks: HashSet<&str> = {
        let cached = look.snapshot.attachments.iter().map(|one| one.network.as_str());
        let files = look.files.iter().filter_map(|file| file.name.as_deref());
        cached.chain(files).collect()
    };
    for attachment in &look.snapshot.attachments {
        if look.pods.is_known(&attachment.container) {
            known.insert(limiting_link(&attachment.network, &attachment.container));
        }
    }
    for sandbox in &look.snapshot.sandboxes {
        known.extend(networks.iter().map(|network| limiting_link(network, &sandbox.id)));
    }
    // Names are made of containers that are not known any more: only those of which something tells
    // that they are gone are certain.
    let gone: HashSet<String> = {
        let cached = look.snapshot.attachments.iter();
        let cached = cached.map(|one| (one.network.as_str(), one.container.as_str()));
        let leased = look.snapshot.stores.iter().flat_map(|store| {
            store.leases.iter().map(|lease| (store.network.as_str(), lease.container.as_str()))
        });
        let all = cached.chain(leased).filter(|(_, container)| !look.pods.is_known(container));
        all.map(|(network, container)| limiting_link(network, container)).collect()
    };
    let left: Vec<&Link> = links.into_iter().filter(|link| !known.contains(&link.name)).collect();
    if left.is_empty() {
        return;
    }
    let what = format!(
        "{} of pods that are gone {} left",
        count(left.len(), "limit", "limits"),
        if left.len() == 1 { "is" } else { "are" }
    );
    let certain = left.iter().filter(|link| gone.contains(&link.name) || is_alone(look));
    found.push(
        Finding::new(
            "limit-leftover",
            Severity::Warning,
            what,
            "the reference plugin says `file exists` when the same pod is added again",
            "ip link delete NAME",
        )
        .mended_by(certain.map(|link| Repair::Link { name: link.name.clone() }))
        .seen(left.iter().map(|link| Evidence::new("link", &link.name, "ifb"))),
    );
}

/// Whether every pod is known: the runtime tells, or there is no link to a namespace that is not seen.
fn is_alone(look: &Look<'_>) -> bool {
    look.snapshot.runtime.is_some() && !look.pods.has_unseen()
}
