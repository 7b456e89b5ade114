//! Flows that the kernel still leads to pods that are gone, and a table of flows that is full.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use super::{Evidence, Finding, Findings, Look, Repair, count};
use crate::{
    config::Severity,
    snapshot::{Flow, Protocol},
};

/// Part of the table of flows, in percent, from which on it is worth knowing.
const NEARLY_FULL: u64 = 90;

/// What is looked for.
pub(super) const IDS: [&str; 2] = ["flow-stale", "flows-full"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    stale(look, found);
    full(look, found);
}

/// UDP has no end that the kernel could see: who keeps sending keeps the old verdict.
fn stale(look: &Look<'_>, found: &mut Findings) {
    let own: HashSet<IpAddr> = {
        let local = look.snapshot.host.routes.iter().filter(|route| route.kind == "local");
        local.map(|route| route.destination.addr()).collect()
    };
    let is_stale = |flow: &&Flow| {
        let ports = look.ports_of(flow.destination_port);
        let mut targets = ports.iter().filter(|port| {
            let same = port.host_ip.is_none_or(|address| address == flow.destination);
            port.protocol == flow.protocol && port.v4 == flow.destination.is_ipv4() && same
        });
        let is_published = targets.clone().next().is_some();
        let is_right = targets.any(|port| port.target.ip() == flow.answers);
        flow.protocol == Protocol::Udp
            && is_published
            && !is_right
            && own.contains(&flow.destination)
    };
    let stale: Vec<&Flow> = look.snapshot.flows.rewritten.iter().filter(is_stale).collect();
    if stale.is_empty() {
        return;
    }
    let mut by: BTreeMap<(u16, IpAddr), usize> = BTreeMap::new();
    for flow in &stale {
        *by.entry((flow.destination_port, flow.answers)).or_default() += 1;
    }
    let what = format!(
        "{} of UDP still {} to where a port led before",
        count(stale.len(), "flow", "flows"),
        if stale.len() == 1 { "goes" } else { "go" }
    );
    found.push(
        Finding::new(
            "flow-stale",
            Severity::Warning,
            what,
            "only the first packet of a flow is looked at; a client that keeps sending from one port \
             reaches the old pod, or nobody, for as long as it sends",
            "crilet net doctor --fix, or conntrack -D -p udp --orig-port-dst PORT",
        )
        .seen(by.iter().map(|((port, answers), number)| {
            let says = format!("{} to {answers}", count(*number, "flow", "flows"));
            Evidence::new("flow", format!("udp port {port}"), says)
        }))
        .mended_by(by.keys().map(|(port, answers)| Repair::Flow { port: *port, answers: *answers })),
    );
}

fn full(look: &Look<'_>, found: &mut Findings) {
    let flows = &look.snapshot.flows;
    if flows.limit == 0 || flows.count.saturating_mul(100) < flows.limit.saturating_mul(NEARLY_FULL)
    {
        return;
    }
    found.push(
        Finding::new(
            "flows-full",
            Severity::Error,
            format!("the kernel tracks {} of at most {} flows", flows.count, flows.limit),
            "when the table is full, new connections are dropped",
            "sysctl -w net.netfilter.nf_conntrack_max=NUMBER, and look who opens so many",
        )
        .seen([Evidence::new(
            "setting",
            "net.netfilter.nf_conntrack_max",
            flows.limit.to_string(),
        )]),
    );
}
