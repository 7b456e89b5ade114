//! Bridges and the links at them: addresses, hairpin, hardware addresses, what bridges pass on.

use std::collections::BTreeMap;

use super::{Evidence, Finding, Findings, Look, called, count};
use crate::{
    config::Severity,
    join::{host_end, text},
    snapshot::{Attachment, Link},
};

/// What is looked for.
pub(super) const IDS: [&str; 4] = ["bridge-address", "mac-changed", "no-hairpin", "bridge-nf-off"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    addresses(look, found);
    changed(look, found);
    hairpin(look, found);
    bridged(look, found);
}

/// An address of an earlier subnet keeps the bridge plugin from adding pods.
fn addresses(look: &Look<'_>, found: &mut Findings) {
    let host = &look.snapshot.host;
    for file in look.files.iter().filter(|file| file.active) {
        for plugin in &file.plugins {
            let named = plugin.bridge.as_deref().and_then(|name| host.link_named(name));
            let Some(bridge) = named.filter(|_| !plugin.subnets.is_empty()) else { continue };
            let strange: Vec<_> = bridge
                .addresses
                .iter()
                .filter(|net| net.addr().is_ipv4())
                .filter(|net| !plugin.subnets.iter().any(|subnet| subnet.contains(&net.addr())))
                .collect();
            if strange.is_empty() {
                continue;
            }
            let ports = host.links.iter().filter(|link| link.master == Some(bridge.index)).count();
            let name = &bridge.name;
            let fix = if ports == 0 {
                format!("ip link delete {name}: it has no ports, and the next pod makes it anew")
            } else {
                format!(
                    "{name} has {}: give the network another bridge, or set \"forceAddress\": true",
                    count(ports, "port", "ports")
                )
            };
            let network = file.name.as_deref().unwrap_or_default();
            found.push(
                Finding::new(
                    "bridge-address",
                    Severity::Error,
                    format!("bridge {name} has an address that network `{network}` does not give it"),
                    "the subnet was changed, or somebody else has a bridge of that name; the bridge \
                     plugin then refuses every new pod",
                    fix,
                )
                .seen(strange.iter().map(|net| Evidence::new("address", net, name.clone())))
                .seen([Evidence::new("file", file.file.display(), "")]),
            );
        }
    }
}

/// udev and NetworkManager give links other hardware addresses after plugins have told theirs.
fn changed(look: &Look<'_>, found: &mut Findings) {
    let mut evidence = Vec::new();
    for (attachment, _) in look.attachments() {
        let namespace =
            look.pods.place(attachment).and_then(|place| look.snapshot.namespaces.get(place));
        let link = namespace.and_then(|namespace| namespace.link_named(&attachment.link));
        let (Some(link), Some(told)) = (link, &attachment.mac) else { continue };
        if link.mac.as_deref().is_some_and(|now| !now.eq_ignore_ascii_case(told)) {
            let now = link.mac.clone().unwrap_or_default();
            let at = format!("{} of {}", attachment.link, called(attachment));
            evidence.push(Evidence::new("link", at, format!("is {now}, was {told}")));
        }
    }
    if evidence.is_empty() {
        return;
    }
    let what = format!(
        "hardware addresses of {} changed since they were added",
        count(evidence.len(), "pod", "pods")
    );
    found.push(
        Finding::new(
            "mac-changed",
            Severity::Warning,
            what,
            "neighbours keep the old address for a while, and CHECK of the plugins fails",
            "a file /etc/systemd/network/98-cni.link with [Match] OriginalName=veth* cni* and [Link] \
             MACAddressPolicy=none keeps udev away; then make the pods anew",
        )
        .seen(evidence),
    );
}

fn hairpin(look: &Look<'_>, found: &mut Findings) {
    let mut without: BTreeMap<&str, Vec<(&Attachment, &Link)>> = BTreeMap::new();
    for (attachment, _) in look.attachments().filter(|(one, _)| !one.ports.is_empty()) {
        let namespace =
            look.pods.place(attachment).and_then(|place| look.snapshot.namespaces.get(place));
        let link = namespace.and_then(|namespace| namespace.link_named(&attachment.link));
        let Some(port) = link.and_then(|link| host_end(&look.snapshot.host, link)) else {
            continue;
        };
        let Some(bridge) = port.master.and_then(|master| look.snapshot.host.link(master)) else {
            continue;
        };
        let flags = port.port.as_ref();
        if flags.is_some_and(|flags| !flags.hairpin) && !bridge.promiscuous {
            without.entry(&bridge.name).or_default().push((attachment, port));
        }
    }
    for (bridge, pods) in without {
        let what = format!(
            "{} at {bridge} cannot reach {} by the ports that they publish",
            count(pods.len(), "pod", "pods"),
            if pods.len() == 1 { "itself" } else { "themselves" }
        );
        found.push(
            Finding::new(
                "no-hairpin",
                Severity::Note,
                what,
                "a bridge does not send a packet back by the port that it came from unless hairpin \
                 mode is on",
                "set \"hairpinMode\": true for the bridge plugin; for pods that run, \
                 bridge link set dev LINK hairpin on",
            )
            .seen(pods.iter().map(|(one, port)| {
                Evidence::new("link", &port.name, format!("hairpin off, {}", called(one)))
            })),
        );
    }
}

/// Without bridge-nf-call-iptables, rules of IP never see what pods of one bridge send each other.
fn bridged(look: &Look<'_>, found: &mut Findings) {
    let host = &look.snapshot.host;
    if host.sysctl("bridge/bridge-nf-call-iptables") != 0 {
        return;
    }
    for (network, pods) in look.networks() {
        let isolated = pods.iter().filter_map(|(_, list)| list.as_ref()).any(|list| {
            let firewall = list.plugin("firewall");
            firewall.and_then(|plugin| text(plugin, "ingressPolicy")) == Some("isolated")
        });
        if !isolated {
            continue;
        }
        found.push(
            Finding::new(
                "bridge-nf-off",
                Severity::Error,
                format!("pods of `{network}` are not isolated from each other"),
                "ingressPolicy isolated is made of rules that packets within a bridge do not pass while \
                 bridge-nf-call-iptables is off",
                "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1, or set \
                 \"portIsolation\": true for the bridge plugin",
            )
            .seen([Evidence::new("setting", "net.bridge.bridge-nf-call-iptables", "0")])
            .seen(pods.iter().take(1).map(|(one, _)| {
                Evidence::new("file", one.file.display(), "ingressPolicy isolated")
            })),
        );
    }
}
