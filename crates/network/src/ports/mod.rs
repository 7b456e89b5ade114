//! Ports of the host that lead to pods, whoever published them.
//!
//! They are found where packets find them: from the chains of nat's PREROUTING on, along all rules that
//! lead on, in the order in which the kernel looks at them. So it shows, too, which of two is never
//! reached.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use crate::{
    ruleset::{Action, Chain, Condition, Field, Rule, Table, Value},
    snapshot::{Listener, Protocol},
    trace::{Node, RuleAt},
};

/// Deeper than any tool lets chains lead to each other.
const DEEPEST: usize = 64;
/// Most rules that are looked at, each as often as others lead to it: chains that each lead twice to the
/// next one have more ways than can be walked. Nodes of Kubernetes have some hundred thousand.
const MOST: usize = 1_000_000;

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its protocol.
    pub protocol: Protocol,
    /// Whether it is one of IPv4.
    pub v4: bool,
    /// The address of the host that it is for; absent for all of them.
    pub host_ip: Option<IpAddr>,
    /// The first port of the host.
    pub host_port: u16,
    /// The last one, the same unless a range is mapped.
    pub last_port: u16,
    /// Where it leads.
    pub target: SocketAddr,
    /// Who published it, as far as its rule tells.
    pub by: &'static str,
    /// The pod, or the namespace, that has the target's address.
    pub owner: Option<String>,
    /// Whether something listens there; absent where nobody has the address or that is not known.
    pub listening: Option<bool>,
    /// The rule.
    pub rule: RuleAt,
    /// Packets that it rewrote, one for each connection.
    pub packets: Option<u64>,
    /// What gets in its way, or in whose way it is.
    pub conflicts: Vec<String>,
    /// Whether only some packets come to the rule, by chance or by what is not known.
    #[serde(skip)]
    pub(crate) is_partial: bool,
}

/// Tables and chains by which programs are known, by their beginning.
const PROGRAMS: [(&str, &str); 9] = [
    ("CNI-", "portmap"),
    ("cni_hostport", "portmap"),
    ("KUBE-HP-", "cri-o"),
    ("KUBE-HOSTPORTS", "cri-o"),
    ("crio-hostports", "cri-o"),
    ("NETAVARK", "podman"),
    ("netavark", "podman"),
    ("DOCKER", "docker"),
    ("KUBE-", "kube-proxy"),
];

/// All published ports of a node, by port; of one port the one that is reached first.
#[must_use]
pub fn published(node: &Node<'_>) -> Vec<Port> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        let mut search = Search { node, v4, found: Vec::new(), known: HashMap::new(), looked: 0 };
        for (table, chain, base) in node.host.hook("prerouting", v4) {
            if base.kind == "nat" {
                search.chain(table, chain, &mut Vec::new());
            }
        }
        found.append(&mut search.found);
    }
    let mut earlier = Earlier::default();
    for place in 0..found.len() {
        let (before, rest) = found.split_at_mut(place);
        let Some(port) = rest.first_mut() else { break };
        let numbers = (port.host_port, port.last_port);
        for other in earlier.meeting(numbers) {
            if let Some(other) = before.get_mut(other) {
                compare(other, port);
            }
        }
        shadows(node, port);
        earlier.add(place, numbers);
    }
    // Stable: of one port the order of the rules stays.
    found.sort_by_key(|port| (port.host_port, port.protocol, !port.v4));
    found
}

struct Search<'a> {
    node: &'a Node<'a>,
    v4: bool,
    found: Vec<Port>,
    /// Places of those that were found, by what tells most of them apart.
    known: HashMap<(u16, Protocol, SocketAddr), Vec<usize>>,
    /// Rules that were looked at.
    looked: usize,
}

/// Ports that come first, by number: a node has thousands, of which few meet.
#[derive(Default)]
struct Earlier {
    single: BTreeMap<u16, Vec<usize>>,
    ranges: Vec<usize>,
}

impl Earlier {
    fn add(&mut self, place: usize, (first, last): (u16, u16)) {
        if first == last {
            self.single.entry(first).or_default().push(place);
        } else {
            self.ranges.push(place);
        }
    }

    /// Places, in their order, of all single ones of the same numbers, and of all ranges.
    fn meeting(&self, (first, last): (u16, u16)) -> Vec<usize> {
        // A rule may have a range whose end comes before its beginning.
        let single = self.single.range(first..=last.max(first)).flat_map(|(_, places)| places);
        let mut places: Vec<usize> = single.chain(&self.ranges).copied().collect();
        places.sort_unstable();
        places
    }
}

impl<'a> Search<'a> {
    fn chain(&mut self, table: &'a Table, chain: &'a Chain, path: &mut Vec<&'a Rule>) {
        if path.len() > DEEPEST {
            return;
        }
        for rule in &chain.rules {
            self.looked += 1;
            if self.looked > MOST {
                return;
            }
            // A chain that leads to itself ends nowhere.
            if path.iter().any(|before| std::ptr::eq(*before, rule)) {
                continue;
            }
            path.push(rule);
            self.action(table, chain, &rule.action, path);
            path.pop();
        }
    }

    fn action(
        &mut self,
        table: &'a Table,
        chain: &'a Chain,
        action: &'a Action,
        path: &mut Vec<&'a Rule>,
    ) {
        match action {
            Action::Jump(name) | Action::Goto(name) => {
                if let Some(next) = table.chain(name) {
                    self.chain(table, next, path);
                }
            }
            Action::Choose(_, elements) => {
                for (_, action) in elements.iter() {
                    self.action(table, chain, action, path);
                }
            }
            Action::Destination(Some(address), port) => {
                self.rule(table, chain, (*address, *port), path)
            }
            Action::DestinationOf(fields, elements) => {
                for (values, address, port) in elements.iter() {
                    let of_element = Condition {
                        negated: false,
                        fields: fields.clone(),
                        values: vec![values.clone()].into(),
                    };
                    self.one(table, chain, (*address, *port), path, Some(&of_element));
                }
            }
            _ => {}
        }
    }

    fn rule(&mut self, table: &Table, chain: &Chain, to: (IpAddr, Option<u16>), path: &[&Rule]) {
        self.one(table, chain, to, path, None);
    }

    /// What a rule is for is said by the last condition on the way to it that says so.
    fn one(
        &mut self,
        table: &Table,
        chain: &Chain,
        to: (IpAddr, Option<u16>),
        path: &[&Rule],
        more: Option<&Condition>,
    ) {
        let Some(rule) = path.last() else { return };
        let on_way = path.iter().rev().flat_map(|rule| rule.conditions.iter());
        let conditions: Vec<&Condition> =
            more.into_iter().chain(on_way).filter(|condition| !condition.negated).collect();
        let is_unknown = |field: &Field| matches!(field, Field::Unknown(_));
        let is_partial = path.iter().any(|rule| {
            rule.conditions.iter().any(|condition| condition.fields.iter().any(is_unknown))
        });
        let protocols = numbers(&conditions, &Field::Protocol);
        let ports = numbers(&conditions, &Field::DestinationPort);
        let host_ip = conditions.iter().find_map(|condition| single(condition));
        let is_foreign = host_ip.is_some_and(|address| !is_own(self.node, address));
        if to.0.is_ipv4() != self.v4 || is_foreign {
            return;
        }
        for (from, last) in ports {
            if !allow(&conditions, &Field::DestinationPort, (from, last)) {
                continue;
            }
            let protocol = protocols.first().and_then(|(number, _)| u8::try_from(*number).ok());
            let Some(protocol) = protocol.and_then(Protocol::from_number) else { continue };
            let number = u64::from(protocol.number());
            if !allow(&conditions, &Field::Protocol, (number, number)) {
                continue;
            }
            let (Ok(host_port), Ok(last_port)) = (u16::try_from(from), u16::try_from(last)) else {
                continue;
            };
            let target = SocketAddr::new(to.0, to.1.unwrap_or(host_port));
            let place = self.node.namespace_with(to.0);
            let namespace = place.and_then(|place| self.node.snapshot.namespaces.get(place));
            let listening = namespace.filter(|_| protocol != Protocol::Sctp).map(|namespace| {
                let takes = |one: &Listener| one.takes(protocol, target.ip(), target.port());
                namespace.listeners.iter().any(takes)
            });
            let mut port = Port {
                protocol,
                v4: self.v4,
                host_ip,
                host_port,
                last_port,
                target,
                by: program(table, chain, path),
                owner: place.map(|place| self.node.name_of(place).to_owned()),
                listening,
                rule: RuleAt::of(table, chain, rule),
                packets: rule.packets,
                conflicts: Vec::new(),
                is_partial,
            };
            if port.owner.is_none() {
                port.conflicts.push(format!("nobody on this node has the address {}", to.0));
            }
            // One rule may be led to by several.
            let same = self.known.entry((host_port, protocol, target)).or_default();
            let is_same =
                |place: &usize| self.found.get(*place).is_some_and(|other| other.rule == port.rule);
            if !same.iter().any(is_same) {
                same.push(self.found.len());
                self.found.push(port);
            }
        }
    }
}

fn is_own(node: &Node<'_>, address: IpAddr) -> bool {
    let routes = &node.snapshot.host.routes;
    routes.iter().any(|route| route.kind == "local" && route.destination.contains(&address))
}

/// Ranges of the first condition that says something of a field.
fn numbers(conditions: &[&Condition], field: &Field) -> Vec<(u64, u64)> {
    for condition in conditions {
        let Some(at) = condition.fields.iter().position(|one| one == field) else { continue };
        let values = condition.values.iter().filter_map(|values| match values.get(at) {
            Some(Value::Range(from, to)) => Some((*from, *to)),
            _ => None,
        });
        return values.collect();
    }
    Vec::new()
}

/// Whether all conditions that say something of a field leave some of a range: a chain may be led to
/// for one port and rewrite others, too, as podman's do.
fn allow(conditions: &[&Condition], field: &Field, (from, last): (u64, u64)) -> bool {
    conditions.iter().all(|condition| {
        let Some(at) = condition.fields.iter().position(|one| one == field) else { return true };
        condition.values.iter().any(|values| match values.get(at) {
            Some(Value::Range(first, end)) => *first <= last && from <= *end,
            _ => true,
        })
    })
}

/// The single destination address of a condition.
fn single(condition: &Condition) -> Option<IpAddr> {
    let at = condition.fields.iter().position(|one| *one == Field::Destination)?;
    match (condition.values.as_slice().first()?.get(at)?, condition.values.len()) {
        (Value::Net(net), 1) if net.prefix_len() == net.max_prefix_len() => Some(net.addr()),
        _ => None,
    }
}

fn program(table: &Table, chain: &Chain, path: &[&Rule]) -> &'static str {
    let led = path.iter().filter_map(|rule| match &rule.action {
        Action::Jump(name) | Action::Goto(name) => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> =
        [table.name.as_str(), chain.name.as_str()].into_iter().chain(led).collect();
    let known = PROGRAMS.iter().find(|(start, _)| names.iter().any(|name| name.starts_with(start)));
    known.map_or("somebody else", |(_, program)| program)
}

/// Compares a port with one that is reached before it.
fn compare(earlier: &mut Port, port: &mut Port) {
    let same = earlier.v4 == port.v4
        && earlier.protocol == port.protocol
        && earlier.host_port <= port.last_port
        && port.host_port <= earlier.last_port;
    let addresses = match (earlier.host_ip, port.host_ip) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    // What chance has left over comes to the later one.
    if same && addresses && !earlier.is_partial && earlier.target != port.target {
        port.conflicts.push(format!("{} comes first and has it", told(earlier)));
        earlier.conflicts.push(format!("{} wants it, too, and gets nothing", told(port)));
    }
}

/// Compares a port with sockets of the host.
fn shadows(node: &Node<'_>, port: &mut Port) {
    let shadowed = node.snapshot.host.listeners.iter().find(|one| {
        let is_port = (port.host_port..=port.last_port).contains(&one.port);
        let of_family = one.address.is_ipv4() == port.v4 || (port.v4 && one.takes_v4);
        let meets =
            port.host_ip.is_none_or(|own| own == one.address || one.address.is_unspecified());
        one.protocol == port.protocol && is_port && of_family && meets
    });
    if let Some(listener) = shadowed {
        let at = SocketAddr::new(listener.address, listener.port);
        port.conflicts.push(format!("a process of the host listens on {at} and hears nothing"));
    }
}

fn told(port: &Port) -> String {
    let owner = port.owner.clone().unwrap_or_else(|| "nobody".to_owned());
    format!("{owner} ({})", port.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Firewall, Saved, Snapshot};

    fn targets(text: &str) -> Vec<String> {
        let saved = Saved { legacy: false, v4: true, text: text.to_owned() };
        let mut snapshot = Snapshot::default();
        snapshot.host.firewall = Firewall { iptables: vec![saved], ..Firewall::default() };
        let ports = published(&Node::new(&snapshot));
        ports.iter().map(|port| format!("{} {}", port.host_port, port.target)).collect()
    }

    /// Two ways at each of sixty steps were all walked.
    #[test]
    fn chains_with_more_ways_than_can_be_walked_end() {
        let to = |port: u16| {
            format!("-p tcp -m tcp --dport {port} -j DNAT --to-destination 10.0.0.2:80\n")
        };
        let own = |chain: &str, port| format!("-A {chain} {}", to(port));
        let head = "*nat\n:PREROUTING ACCEPT [0:0]\n";
        let own_tail = format!(":A - [0:0]\n-A PREROUTING -j A\n{}", own("A", 80));
        let looped = format!("{head}{own_tail}-A A -j A\n-A A -j A\n-A A -j PREROUTING\n");
        assert_eq!(targets(&looped), ["80 10.0.0.2:80"]);
        let names: String = (0..60).map(|number| format!(":C{number} - [0:0]\n")).collect();
        let twice = |number: u16| format!("-A C{number} -j C{}\n", number + 1).repeat(2);
        let ways: String = (0..59).map(twice).collect();
        let wide = format!("{head}{names}-A PREROUTING -j C0\n{}{ways}", own("C0", 81));
        assert_eq!(targets(&wide), ["81 10.0.0.2:80"]);
    }

    proptest::proptest! {
        #[test]
        fn all_that_share_a_number_meet(all in proptest::collection::vec((0u16..20, 0u16..20), 0..40)) {
            let mut earlier = Earlier::default();
            for (place, port) in all.iter().enumerate() {
                let meeting = earlier.meeting(*port);
                for (other, (first, last)) in all.iter().enumerate().take(place) {
                    if *first <= port.1 && port.0 <= *last {
                        proptest::prop_assert!(meeting.contains(&other), "{other} of {meeting:?}");
                    }
                }
                proptest::prop_assert!(meeting.is_sorted(), "{meeting:?}");
                earlier.add(place, *port);
            }
        }
    }
}
