//! What others reach that they should not: 127.0.0.1 over a bridge, ports past the host's firewall.

use std::net::{IpAddr, Ipv4Addr};

use super::{Evidence, Finding, Findings, Look, Repair, count};
use crate::{
    config::Severity,
    ruleset::{Action, Chain, Condition, Field, Rule, Table, Value},
    snapshot::Link,
};

/// As deep as chains are looked for a guard.
const DEEPEST: usize = 8;

/// What is looked for.
pub(super) const IDS: [&str; 2] = ["localnet-open", "ports-open"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    localnet(look, found);
    open(look, found);
}

/// `route_localnet` lets packets for 127.0.0.0/8 in over a link, CVE-2020-8558.
fn localnet(look: &Look<'_>, found: &mut Findings) {
    let host = &look.snapshot.host;
    let all = host.sysctl("ipv4/conf/all/route_localnet") != 0;
    let is_open = |link: &&Link| link.name != "lo" && (all || link.settings.route_localnet);
    let links: Vec<&Link> = host.links.iter().filter(is_open).collect();
    // A veth or a port of a bridge hands packets of IP to its bridge.
    let links: Vec<&Link> = links.into_iter().filter(|link| link.master.is_none()).collect();
    if links.is_empty() || is_guarded(look) {
        return;
    }
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    found.push(
        Finding::new(
            "localnet-open",
            Severity::Error,
            format!("who is on {} reaches what the host serves on 127.0.0.1 alone", names.join(", ")),
            "portmap sets route_localnet, so that the host reaches its published ports on 127.0.0.1, and \
             on a host without Kubernetes no rule keeps others out (CVE-2020-8558)",
            "crilet net doctor --fix makes a rule that drops what comes in for 127.0.0.0/8 by another \
             link than lo; published ports keep working on 127.0.0.1",
        )
        .seen(names.iter().map(|name| {
            Evidence::new("setting", format!("net.ipv4.conf.{name}.route_localnet"), "1")
        }))
        .mended_by([Repair::Guard]),
    );
}

/// Whether what comes in for 127.0.0.0/8 is dropped before it is rewritten or delivered.
fn is_guarded(look: &Look<'_>) -> bool {
    ["prerouting", "input"].into_iter().any(|hook| {
        let chains = look.node.host.hook(hook, true);
        chains
            .into_iter()
            .any(|(table, chain, base)| base.kind == "filter" && drops(table, chain, 0))
    })
}

fn drops(table: &Table, chain: &Chain, depth: usize) -> bool {
    depth < DEEPEST
        && chain.rules.iter().any(|rule| match &rule.action {
            Action::Drop | Action::Reject(_) => is_guard(rule),
            Action::Jump(name) | Action::Goto(name) => {
                let plain = rule.conditions.iter().all(is_other_link);
                plain && table.chain(name).is_some_and(|next| drops(table, next, depth + 1))
            }
            _ => false,
        })
}

/// For 127.0.0.0/8 whoever it is from, but for lo. Kubernetes' guard also lets through what is from
/// there, and what is known.
fn is_guard(rule: &Rule) -> bool {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let is_for = |condition: &Condition| {
        !condition.negated
            && condition.fields == [Field::Destination]
            && condition.values.iter().flatten().any(|value| {
                matches!(value, Value::Net(net) if net.contains(&localhost) && net.prefix_len() == 8)
            })
    };
    let passes = |condition: &Condition| {
        condition.negated || is_other_link(condition) || condition.fields == [Field::Family]
    };
    rule.conditions.iter().any(is_for)
        && rule.conditions.iter().all(|condition| is_for(condition) || passes(condition))
}

fn is_other_link(condition: &Condition) -> bool {
    condition.negated && condition.fields == [Field::Input]
}

/// The host's firewall never sees what is rewritten before it.
fn open(look: &Look<'_>, found: &mut Findings) {
    let firewall = look.node.host.tables.iter().find_map(|table| {
        let has = |start: &str| table.chains.iter().any(|chain| chain.name.starts_with(start));
        let name = if table.name == "firewalld" || has("IN_public") || has("FWDI_") {
            "firewalld"
        } else if has("ufw-user-input") || has("ufw-before-input") {
            "ufw"
        } else {
            return None;
        };
        Some((name, format!("{} {}", table.family, table.name)))
    });
    let Some((name, at)) = firewall else { return };
    let open = look
        .ports
        .iter()
        .filter(|port| port.host_ip.is_none() && port.owner.is_some() && port.by == "portmap");
    let open: Vec<_> = open.collect();
    if open.is_empty() {
        return;
    }
    let what =
        format!("{name} does not guard {}", count(open.len(), "published port", "published ports"));
    found.push(
        Finding::new(
            "ports-open",
            Severity::Note,
            what,
            "published ports are rewritten before the firewall's rules for the host look, so that \
             everybody reaches them whatever the firewall says",
            "publish on one address (host_ip), or give portmap conditionsV4 and conditionsV6",
        )
        .seen([Evidence::new("rule", at, name)])
        .seen(open.iter().map(|port| Evidence::rule(&port.rule))),
    );
}
