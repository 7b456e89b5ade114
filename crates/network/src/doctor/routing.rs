//! The host's uplinks: answers that are taken for forged, router advertisements that are ignored.

use std::collections::BTreeSet;

use super::{Evidence, Finding, Findings, Look};
use crate::{
    config::Severity,
    snapshot::{Link, Namespace},
};

/// Kinds of links that lead to other machines; hardware has none.
const REAL: [&str; 4] = ["", "bond", "team", "vlan"];

/// What is looked for.
pub(super) const IDS: [&str; 2] = ["rp-filter", "v6-router"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    reverse_path(look, found);
    advertisements(look, found);
}

/// Links by which a default route of a family leaves.
fn uplinks(host: &Namespace, v4: bool) -> BTreeSet<u32> {
    let defaults = host.routes.iter().filter(|route| {
        let is_default = route.destination.prefix_len() == 0 && route.kind == "unicast";
        is_default && route.destination.addr().is_ipv4() == v4
    });
    defaults.filter_map(|route| route.link).collect()
}

/// Answers that leave by another uplink than the one that is the way back are dropped.
fn reverse_path(look: &Look<'_>, found: &mut Findings) {
    let host = &look.snapshot.host;
    let links: Vec<&Link> =
        uplinks(host, true).into_iter().filter_map(|index| host.link(index)).collect();
    let all = host.sysctl("ipv4/conf/all/rp_filter");
    let strict: Vec<&&Link> =
        links.iter().filter(|link| all.max(link.settings.rp_filter) == 1).collect();
    if links.len() < 2 || strict.is_empty() || look.ports.is_empty() {
        return;
    }
    found.push(
        Finding::new(
            "rp-filter",
            Severity::Warning,
            format!("the host has {} uplinks and takes packets by the best one only", links.len()),
            "what comes in by another uplink than the one that its answer would leave by is dropped \
             without a word",
            "sysctl -w net.ipv4.conf.LINK.rp_filter=2 for the uplinks; the larger of that and of \
             net.ipv4.conf.all.rp_filter counts",
        )
        .seen(strict.iter().map(|link| {
            let at = format!("net.ipv4.conf.{}.rp_filter", link.name);
            let says = format!("{}, all {all}", link.settings.rp_filter);
            Evidence::new("setting", at, says)
        })),
    );
}

/// A host that forwards ignores router advertisements unless it is told otherwise, and so loses the
/// default route that it learned from one.
fn advertisements(look: &Look<'_>, found: &mut Findings) {
    let host = &look.snapshot.host;
    if host.sysctl("ipv6/conf/all/forwarding") == 0 || !uplinks(host, false).is_empty() {
        return;
    }
    let of_v4 = uplinks(host, true);
    let is_uplink = |link: &&Link| {
        let kind = link.kind.as_deref().unwrap_or_default();
        let is_real = of_v4.contains(&link.index) || REAL.contains(&kind);
        let is_real = is_real && link.name != "lo" && link.master.is_none();
        let has_v6 = link.addresses.iter().any(|net| match net.addr() {
            std::net::IpAddr::V6(six) => !six.is_unicast_link_local() && !six.is_loopback(),
            std::net::IpAddr::V4(_) => false,
        });
        is_real && link.up && has_v6 && link.settings.accept_ra == 1
    };
    let links: Vec<&Link> = host.links.iter().filter(is_uplink).collect();
    if links.is_empty() {
        return;
    }
    found.push(
        Finding::new(
            "v6-router",
            Severity::Warning,
            "the host has an IPv6 address and no IPv6 default route, and ignores routers that tell one",
            "the bridge plugin makes the host forward IPv6, and the kernel then takes the host for a \
             router, which no other router tells its routes",
            "sysctl -w net.ipv6.conf.LINK.accept_ra=2 for the uplink, and keep it in /etc/sysctl.d",
        )
        .seen(links.iter().map(|link| {
            Evidence::new("setting", format!("net.ipv6.conf.{}.accept_ra", link.name), "1")
        })),
    );
}
