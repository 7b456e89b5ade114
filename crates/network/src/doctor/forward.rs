//! Packets that the host drops on their way to pods and from them, found by following one of each.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Evidence, Finding, Findings, Look, called};
use crate::{
    config::Severity,
    join::uplink_address,
    snapshot::{Attachment, Protocol},
    trace::{Request, Sender, Verdict, trace},
};

/// Somebody far away, and a port that everybody is asked for.
const FAR: ([u8; 4], u16) = ([203, 0, 113, 1], 443);

/// What is looked for.
pub(super) const IDS: [&str; 2] = ["forwarding-off", "forward-drop"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    let mut drops = Drops::default();
    for (network, attachments) in look.networks() {
        if !forwards(look, network, &attachments[..], found) {
            continue;
        }
        let pods: Vec<&Attachment> = attachments.iter().map(|(one, _)| *one).collect();
        from_pod(look, &pods, &mut drops);
        to_pod(look, &pods, &mut drops);
        between(look, &pods, &mut drops);
    }
    drops.tell(found);
}

type Attached<'a> = (&'a Attachment, Option<&'a crate::join::List>);

/// Whether the host forwards at all.
fn forwards(look: &Look<'_>, network: &str, pods: &[Attached<'_>], found: &mut Findings) -> bool {
    let host = &look.snapshot.host;
    let has = |v4: bool| {
        pods.iter().any(|(one, _)| one.addresses.iter().any(|net| net.addr().is_ipv4() == v4))
    };
    let settings = [
        (true, "ipv4/ip_forward", "net.ipv4.ip_forward"),
        (false, "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ];
    let mut forwards = true;
    for (v4, key, name) in settings {
        if !has(v4) || host.sysctl(key) != 0 {
            continue;
        }
        forwards = false;
        let family = if v4 { "IPv4" } else { "IPv6" };
        found.push(
            Finding::new(
                "forwarding-off",
                Severity::Error,
                format!("the host does not forward {family}, which pods of `{network}` need"),
                "nobody but the host reaches the pods, and they reach nobody but the host; the bridge \
                 plugin switches it on once, and whoever loads settings later switches it off",
                format!("sysctl -w {name}=1, and keep it in /etc/sysctl.d"),
            )
            .seen([Evidence::new("setting", name, "0")]),
        );
    }
    forwards
}

/// Which packets are dropped, each rule once.
#[derive(Default)]
struct Drops {
    told: BTreeSet<String>,
    findings: Findings,
}

impl Drops {
    fn look(&mut self, look: &Look<'_>, request: &Request, who: &str) {
        let traced = trace(&look.node, request);
        let Verdict::Dropped { rule } = traced.verdict else { return };
        // A refusal of its own namespace is the pod's affair.
        if rule.table.contains(" of ") || !self.told.insert(rule.to_string()) {
            return;
        }
        let by = if rule.line == 0 {
            format!("by the policy of {} {}", rule.table, rule.chain)
        } else {
            format!("by rule {} of {} {}", rule.line, rule.table, rule.chain)
        };
        let docker = look.node.host.tables.iter().any(|table| table.chain("DOCKER-USER").is_some());
        let fix = if docker {
            "iptables -I DOCKER-USER -i BRIDGE -j ACCEPT, and the same with -o, for the pods' bridge"
        } else {
            "accept -i BRIDGE and -o BRIDGE before it, for the pods' bridge; every table and both \
             backends have their say"
        };
        self.findings.push(
            Finding::new(
                "forward-drop",
                Severity::Error,
                format!("{who} is dropped {by}"),
                "docker and hardened hosts drop what is forwarded unless a rule lets it through; the \
                 firewall plugin's rules let answers through and nothing new",
                fix,
            )
            .seen([Evidence::rule(&rule), Evidence::new("flow", traced.request, "")]),
        );
    }

    fn tell(self, found: &mut Findings) {
        found.extend(self.findings);
    }
}

fn from_pod(look: &Look<'_>, pods: &[&Attachment], drops: &mut Drops) {
    let Some(pod) = pods.iter().find(|one| one.addresses.iter().any(|net| net.addr().is_ipv4()))
    else {
        return;
    };
    let Some(place) = look.pods.place(pod) else { return };
    let request = Request {
        from: Sender::Namespace(place),
        to: IpAddr::from(FAR.0),
        port: FAR.1,
        protocol: Protocol::Tcp,
    };
    drops.look(look, &request, &format!("what {} sends to the world", called(pod)));
}

fn to_pod(look: &Look<'_>, pods: &[&Attachment], drops: &mut Drops) {
    for v4 in [true, false] {
        let published = look.ports.iter().find(|port| {
            let is_pods =
                |one: &&&Attachment| one.addresses.iter().any(|net| net.addr() == port.target.ip());
            port.v4 == v4
                && pods.iter().any(|one| is_pods(&one))
                && port.host_ip.is_none_or(|address| !address.is_loopback())
        });
        let Some(port) = published else { continue };
        let Some(to) = port.host_ip.or_else(|| uplink_address(&look.snapshot.host, v4)) else {
            continue;
        };
        let request =
            Request { from: Sender::Outside, to, port: port.host_port, protocol: port.protocol };
        let who = format!("what comes from outside to port {}", port.host_port);
        drops.look(look, &request, &who);
    }
}

/// Two pods of one network, where bridges pass packets through the packet filter of IP.
fn between(look: &Look<'_>, pods: &[&Attachment], drops: &mut Drops) {
    let listens = |one: &&&Attachment| {
        let place = look.pods.place(one);
        let namespace = place.and_then(|place| look.snapshot.namespaces.get(place));
        namespace.and_then(|one| {
            one.listeners
                .iter()
                .find(|it| it.protocol == Protocol::Tcp && !it.address.is_loopback())
        })
    };
    let Some((server, port)) = pods.iter().find_map(|one| Some((one, listens(&one)?.port))) else {
        return;
    };
    let client = pods.iter().find(|one| one.container != server.container);
    let Some(place) = client.and_then(|one| look.pods.place(one)) else { return };
    let Some(to) = server.addresses.iter().map(ipnet::IpNet::addr).find(IpAddr::is_ipv4) else {
        return;
    };
    // What a network's own policy forbids is no mistake.
    let isolated = look.node.host.tables.iter().any(|table| {
        table.chain("CNI-ISOLATION-STAGE-1").is_some_and(|chain| !chain.rules.is_empty())
    });
    if !isolated {
        let request = Request { from: Sender::Namespace(place), to, port, protocol: Protocol::Tcp };
        let who = client.map(|one| called(one)).unwrap_or_default();
        drops.look(look, &request, &format!("what {who} sends to {}", called(server)));
    }
}
