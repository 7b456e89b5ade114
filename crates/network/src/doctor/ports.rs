//! Published ports that two want, that nobody answers, or that cannot be reached as was meant.

use std::collections::{BTreeMap, HashMap, HashSet};

use crilet_cni::netfilter::dnat_chain;

use super::{Evidence, Finding, Findings, Look, called, missing::again};
use crate::{config::Severity, join::Life, ports::Port, snapshot::Attachment};

impl Look<'_> {
    /// Published ports that include a port; they are sorted by their first one.
    pub(super) fn ports_of(&self, port: u16) -> &[Port] {
        let from = self.ports.partition_point(|one| one.host_port < port);
        let to = self.ports.partition_point(|one| one.host_port <= port);
        self.ports.get(from..to).unwrap_or_default()
    }
}

/// What is looked for.
pub(super) const IDS: [&str; 4] = ["port-twice", "port-shadowed", "port-nowhere", "host-ip-family"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    twice(look, found);
    shadowed(look, found);
    nowhere(look, found);
    family(look, found);
}

fn host(port: &Port) -> String {
    let address = port.host_ip.map_or_else(String::new, |address| format!(" of {address}"));
    format!("{}/{}{address}", port.host_port, port.protocol)
}

fn meets(one: &Port, other: &Port) -> bool {
    let same_address = match (one.host_ip, other.host_ip) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    one.v4 == other.v4
        && one.protocol == other.protocol
        && one.host_port == other.host_port
        && same_address
        && one.target != other.target
}

/// Of two live pods the one whose rule comes first has the port, told once for both families.
fn twice(look: &Look<'_>, found: &mut Findings) {
    let live = look.ports.iter().filter(|port| port.owner.is_some());
    let mut first: Option<&Port> = None;
    let mut meetings: BTreeMap<_, Vec<[&Port; 2]>> = BTreeMap::new();
    for port in live {
        match first {
            Some(winner) if meets(winner, port) => {
                let key = (port.host_port, port.protocol, &winner.owner, &port.owner);
                meetings.entry(key).or_default().push([winner, port]);
            }
            _ => first = Some(port),
        }
    }
    for ((_, _, winner, loser), rules) in meetings {
        let names = [winner, loser].map(|name| name.clone().unwrap_or_default());
        let port = rules.first().map(|[port, _]| host(port)).unwrap_or_default();
        found.push(
            Finding::new(
                "port-twice",
                Severity::Error,
                format!("{} and {} both have port {port}", names[0], names[1]),
                format!("the rule of {} comes first, so all traffic goes there", names[0]),
                "give one of them another host port, or another address of the host",
            )
            .seen(rules.iter().flatten().map(|port| Evidence::rule(&port.rule))),
        );
    }
}

/// A process of the host that listens on a published port hears nothing.
fn shadowed(look: &Look<'_>, found: &mut Findings) {
    let mut told = HashSet::new();
    for port in look.ports.iter().filter(|port| port.owner.is_some()) {
        let shadowed = look.snapshot.host.listeners.iter().find(|one| {
            let of_family = one.address.is_ipv4() == port.v4 || (port.v4 && one.takes_v4);
            let same =
                port.host_ip.is_none_or(|own| own == one.address || one.address.is_unspecified());
            one.protocol == port.protocol
                && (port.host_port..=port.last_port).contains(&one.port)
                && of_family
                && same
        });
        let Some(listener) = shadowed else { continue };
        if !told.insert((listener.port, listener.protocol)) {
            continue;
        }
        let at = std::net::SocketAddr::new(listener.address, listener.port);
        found.push(
            Finding::new(
                "port-shadowed",
                Severity::Warning,
                format!("a process of the host listens on {at}/{} in vain", listener.protocol),
                "a rule sends everything for the port to a pod before the process could hear it",
                "stop the process, or give the pod another host port",
            )
            .seen([
                Evidence::new("address", at, format!("socket {}", listener.inode)),
                Evidence::rule(&port.rule),
            ]),
        );
    }
}

/// Rules of live pods, or of other programs, that lead to an address that nobody has.
fn nowhere(look: &Look<'_>, found: &mut Findings) {
    let owners: HashMap<String, &Attachment> = look
        .attachments()
        .map(|(one, _)| (dnat_chain(&one.network, &one.container), one))
        .collect();
    let mut seen = HashSet::new();
    for port in look.ports.iter().filter(|port| port.owner.is_none() && port.by != "kube-proxy") {
        let address = port.target.ip();
        let pod = owners.get(&port.rule.chain);
        // What portmap made for pods that are gone is told as that.
        let is_told = port.by == "portmap" && pod.is_none();
        let is_local = look.snapshot.host.addresses().any(|(_, net)| net.addr() == address);
        let network = pod.map(|one| one.network.as_str());
        let is_gone = look.pods.life(network, "", &[address]) == Life::Gone;
        let is_new = !is_told && !is_local && is_gone;
        if !is_new || !seen.insert((port.host_port, port.protocol, port.target)) {
            continue;
        }
        let fix = match pod {
            Some(_) => "crilet net doctor --fix makes the pod's rules anew".to_owned(),
            None => format!("start what had the address, or remove the rule with {}", port.by),
        };
        found.push(
            Finding::new(
                "port-nowhere",
                Severity::Warning,
                format!("port {} leads to {}, which nobody has", host(port), port.target),
                format!("the rule was made by {}; who connects waits until it gives up", port.by),
                fix,
            )
            .seen([Evidence::rule(&port.rule)])
            .mended_by(pod.map(|one| again(one))),
        );
    }
}

/// A host address of a family that the pod has not got.
fn family(look: &Look<'_>, found: &mut Findings) {
    for (attachment, _) in look.attachments() {
        for mapping in &attachment.ports {
            let Some(host) = mapping.host_ip else { continue };
            let has = |net: &ipnet::IpNet| net.addr().is_ipv4() == host.is_ipv4();
            if attachment.addresses.is_empty() || attachment.addresses.iter().any(has) {
                continue;
            }
            let family = if host.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!(
                "{} publishes port {} on {host}, but has no {family} address",
                called(attachment),
                mapping.host_port
            );
            found.push(
                Finding::new(
                    "host-ip-family",
                    Severity::Warning,
                    what,
                    "portmap passes over such a port without a word",
                    format!("give the network a subnet of {family}, or the port another address"),
                )
                .seen([Evidence::new(
                    "file",
                    attachment.file.display(),
                    host.to_string(),
                )]),
            );
        }
    }
}
