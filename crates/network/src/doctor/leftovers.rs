//! Rules of pods that are gone: masquerading, host ports, the firewall plugin's, `macspoofchk`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use crilet_cni::{
    mend::StaleRules,
    netfilter::{dnat_chain, masquerade_chain, masquerade_mark},
};

use super::{Evidence, Finding, Findings, Look, count};
use crate::{
    config::Severity,
    join::Life,
    ruleset::{Action, Chain, Field, Rule, Table, Tool, Value},
    trace::RuleAt,
};

/// Longest comment of nft in bytes: one that is as long may have been cut.
const NFT_COMMENT: usize = 128;
const SPOOF: &str = "cni-br-iface-";
const SHARED: [&str; 6] = [
    "CNI-HOSTPORT-DNAT",
    "CNI-HOSTPORT-SNAT",
    "CNI-HOSTPORT-SETMARK",
    "CNI-HOSTPORT-MASQ",
    "CNI-FORWARD",
    "CNI-ADMIN",
];

/// Evidence and what to remove, for each kind of rules.
#[derive(Default)]
struct Left {
    evidence: Vec<Evidence>,
    stale: Vec<StaleRules>,
    /// Containers, or addresses, that they are of.
    owners: HashSet<String>,
}

impl Left {
    fn add(&mut self, owner: impl ToString, evidence: Vec<Evidence>, stale: Option<StaleRules>) {
        self.owners.insert(owner.to_string());
        self.evidence.extend(evidence);
        if let Some(stale) = stale.filter(|stale| !self.stale.contains(stale)) {
            self.stale.push(stale);
        }
    }
}

/// What is looked for.
pub(super) const IDS: [&str; 4] =
    ["masquerade-orphaned", "ports-orphaned", "forward-orphaned", "spoof-orphaned"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    let (mut masquerades, mut ports) = (Left::default(), Left::default());
    let (mut forwards, mut spoofs) = (Left::default(), Left::default());
    for table in &look.node.host.tables {
        match (table.tool, table.family.as_str(), table.name.as_str()) {
            (Tool::Iptables | Tool::Legacy, _, "nat") => {
                pods_chains(look, table, &mut masquerades, &mut ports);
            }
            (Tool::Iptables | Tool::Legacy, _, "filter") => forward(look, table, &mut forwards),
            (Tool::Nft, "ip" | "ip6", "cni_hostport") => nft_ports(look, table, &mut ports),
            (Tool::Nft, "inet", "cni_plugins_masquerade") => {
                nft_masquerades(look, table, &mut masquerades);
            }
            (_, "bridge", "nat") => spoof(look, table, &mut spoofs),
            _ => {}
        }
    }
    let told = [
        (
            "masquerade-orphaned",
            masquerades,
            "masquerading of containers that are gone is left",
            "every packet that leaves passes these rules, and a pod that gets the address later is \
             treated by them",
        ),
        (
            "ports-orphaned",
            ports,
            "ports of containers that are gone still lead to where they were",
            "they come before what a new pod publishes, so that its port answers from nowhere",
        ),
        (
            "forward-orphaned",
            forwards,
            "the firewall plugin still lets addresses through that nobody has",
            "whoever gets such an address is let through, whatever its own network says",
        ),
        (
            "spoof-orphaned",
            spoofs,
            "macspoofchk still guards links that are gone",
            "bridges look at these rules for every packet",
        ),
    ];
    for (id, left, what, why) in told {
        found.extend(finding(id, left, what, why));
    }
}

fn finding(id: &'static str, left: Left, what: &str, why: &str) -> Option<Finding> {
    if left.owners.is_empty() {
        return None;
    }
    let fix = if left.stale.is_empty() {
        "their names do not prove whose they are: remove them with the tool that lists them"
    } else {
        "crilet net doctor --fix removes them in one transaction"
    };
    let of = count(left.owners.len(), "owner", "owners");
    let finding = Finding::new(id, Severity::Warning, format!("{what} ({of})"), why, fix);
    let repairs = left.stale.into_iter().map(super::Repair::Rules);
    Some(finding.seen(left.evidence).mended_by(repairs))
}

/// Network and container that a comment of iptables names.
pub(super) fn named(comment: &str) -> Option<(&str, &str)> {
    let rest = comment.strip_prefix("dnat ").unwrap_or(comment).strip_prefix("name: \"")?;
    let (network, rest) = rest.split_once("\" id: \"")?;
    Some((network, rest.strip_suffix('"')?))
}

/// Single addresses of a rule: who it is from or for.
fn addresses(rule: &Rule) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for condition in rule.conditions.iter().filter(|condition| !condition.negated) {
        let is_address = |field: &Field| matches!(field, Field::Source | Field::Destination);
        for values in condition.values.iter() {
            for (_, value) in condition.fields.iter().zip(values).filter(|(f, _)| is_address(f)) {
                match value {
                    Value::Net(net) if net.prefix_len() == net.max_prefix_len() => {
                        found.push(net.addr());
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

/// Where a rule that rewrites leads.
fn target(rule: &Rule) -> Option<IpAddr> {
    match &rule.action {
        Action::Destination(address, _) => *address,
        _ => None,
    }
}

fn seen(table: &Table, chain: &Chain, rule: &Rule) -> Evidence {
    Evidence::rule(&RuleAt::of(table, chain, rule))
}

/// Rules by the chain that they lead to.
fn leading(table: &Table) -> HashMap<&str, Vec<(&Chain, &Rule)>> {
    let mut all: HashMap<&str, Vec<_>> = HashMap::new();
    for chain in &table.chains {
        for rule in &chain.rules {
            if let Action::Jump(name) | Action::Goto(name) = &rule.action {
                all.entry(name.as_str()).or_default().push((chain, rule));
            }
        }
    }
    all
}

fn pods_chains(look: &Look<'_>, table: &Table, masquerades: &mut Left, ports: &mut Left) {
    let leading = leading(table);
    for chain in &table.chains {
        let is_pods = chain.name.starts_with("CNI-") && !SHARED.contains(&chain.name.as_str());
        if !is_pods {
            continue;
        }
        let entries = leading.get(chain.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let comments = entries.iter().map(|(_, rule)| *rule).chain(&chain.rules);
        let named = comments.filter_map(|rule| rule.comment.as_deref()).find_map(named);
        let is_masquerade =
            !chain.name.starts_with("CNI-DN-") && !chain.name.starts_with("CNI-SN-");
        let own: Vec<IpAddr> = if is_masquerade {
            entries.iter().flat_map(|(_, rule)| addresses(rule)).collect()
        } else {
            chain.rules.iter().filter_map(target).collect()
        };
        let Some((network, container)) = named else { continue };
        if look.pods.life(Some(network), container, &own) != Life::Gone {
            continue;
        }
        let mut evidence: Vec<_> =
            entries.iter().map(|(from, rule)| seen(table, from, rule)).collect();
        if evidence.is_empty() {
            let at = format!("{} {} chain {}", table.family, table.name, chain.name);
            evidence.push(Evidence::new("rule", at, "nothing leads to it"));
        }
        let stale = proven(table, chain, network, container);
        let left = if is_masquerade { &mut *masquerades } else { &mut *ports };
        left.add(container, evidence, stale);
    }
}

/// The chain's name is made of network and container: only such a chain is CNI's for certain.
fn proven(table: &Table, chain: &Chain, network: &str, container: &str) -> Option<StaleRules> {
    let ports = dnat_chain(network, container);
    let old = ports.replacen("CNI-DN-", "CNI-SN-", 1);
    let from = match chain.name.as_str() {
        name if name == masquerade_chain(network, container) => "POSTROUTING",
        name if name == ports => "CNI-HOSTPORT-DNAT",
        name if name == old => "CNI-HOSTPORT-SNAT",
        _ => return None,
    };
    Some(StaleRules::Chain {
        v4: table.family == "ip",
        from: from.to_owned(),
        chain: chain.name.clone(),
    })
}

fn nft_ports(look: &Look<'_>, table: &Table, left: &mut Left) {
    let mut of: BTreeMap<&str, (Vec<IpAddr>, Vec<Evidence>)> = BTreeMap::new();
    let own = ["hostports", "hostip_hostports", "masquerading"];
    for chain in table.chains.iter().filter(|chain| own.contains(&chain.name.as_str())) {
        for rule in &chain.rules {
            let Some(container) = rule.comment.as_deref() else { continue };
            let (addresses, evidence) = of.entry(container).or_default();
            addresses.extend(target(rule));
            evidence.push(seen(table, chain, rule));
        }
    }
    for (container, (addresses, evidence)) in of {
        // Rules of nft do not name the network.
        if look.pods.life(look.network_of(container), container, &addresses) == Life::Gone {
            let stale = StaleRules::NftPorts { container: container.to_owned() };
            left.add(container, evidence, Some(stale));
        }
    }
}

fn nft_masquerades(look: &Look<'_>, table: &Table, left: &mut Left) {
    let marks: HashSet<String> = look
        .snapshot
        .attachments
        .iter()
        .filter(|one| look.pods.is_known(&one.container))
        .map(|one| masquerade_mark(&one.network, &one.container, &one.link))
        .collect();
    let Some(chain) = table.chain("masq_checks") else { return };
    for rule in &chain.rules {
        let Some(comment) = rule.comment.as_deref() else { continue };
        let Some((mark, named)) = comment.split_once(", net: ") else { continue };
        let Some((network, rest)) = named.split_once(", if: ") else { continue };
        let container = rest.split_once(", id: ").map_or("", |(_, container)| container);
        let is_whole = comment.len() < NFT_COMMENT && !container.is_empty();
        let known = if is_whole { container } else { mark };
        let is_gone = look.pods.life(Some(network), known, &addresses(rule)) == Life::Gone;
        if !marks.contains(mark) && is_gone {
            let stale = StaleRules::NftMasquerade { comment: comment.to_owned() };
            left.add(known, vec![seen(table, chain, rule)], Some(stale));
        }
    }
}

/// The firewall plugin's rules name an address and nobody else.
fn forward(look: &Look<'_>, table: &Table, left: &mut Left) {
    let Some(chain) = table.chain("CNI-FORWARD") else { return };
    for rule in chain.rules.iter().filter(|rule| rule.action == Action::Accept) {
        let [address] = addresses(rule)[..] else { continue };
        let leased = look.snapshot.stores.iter().flat_map(|store| &store.leases);
        let mut owners = leased.filter(|lease| lease.address == address);
        let is_kept = owners.any(|lease| look.pods.is_known(&lease.container));
        if !is_kept
            && look.pods.life(None, "", &[address]) == Life::Gone
            && look.pods.holder(address).is_none()
        {
            let stale = StaleRules::Forward { address };
            left.add(address, vec![seen(table, chain, rule)], Some(stale));
        }
    }
}

fn spoof(look: &Look<'_>, table: &Table, left: &mut Left) {
    let bases = table.chains.iter().filter(|chain| chain.base.is_some());
    for (chain, rule) in bases.flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule))) {
        let Action::Jump(name) = &rule.action else { continue };
        let link = rule.conditions.iter().find(|one| one.fields == [Field::Input]);
        let link = link.and_then(|one| match one.values.first()?.first()? {
            Value::Word(name) => Some(name),
            _ => None,
        });
        let Some(link) = link else { continue };
        if name.starts_with(SPOOF) && look.snapshot.host.link_named(link).is_none() {
            let stale = StaleRules::Spoof { chain: name.clone() };
            left.add(link, vec![seen(table, chain, rule)], Some(stale));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn comments_name_network_and_container() {
        assert_eq!(named(r#"dnat name: "net" id: "c""#), Some(("net", "c")));
        assert_eq!(named(r#"name: "net" id: "c""#), Some(("net", "c")));
        assert_eq!(named(r#"name: "net" id: "cut..."#), None);
    }
}
