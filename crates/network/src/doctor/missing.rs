//! Rules that live pods should have and have not: somebody emptied the tables.

use std::{collections::HashSet, net::IpAddr};

use crilet_cni::netfilter::{masquerade_chain, masquerade_mark};
use ipnet::IpNet;

use super::{Evidence, Finding, Findings, Look, Repair, called, count};
use crate::{
    config::Severity,
    join::{List, field, is_true, text},
    ports::Port,
    ruleset::{Action, Field, Table, Tool, Value},
    snapshot::{Attachment, Mapping},
};

const DISPATCH: &str = "CNI-HOSTPORT-DNAT";
const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
const WHY: &str = "somebody emptied or reloaded the packet filter, as `firewall-cmd --reload`, \
                   `nft flush ruleset` and `iptables -F` do, and no plugin makes its rules twice";
const FIX: &str = "crilet net doctor --fix makes them again from what the runtime remembers";

/// What is looked for.
pub(super) const IDS: [&str; 5] =
    ["ports-missing", "masquerade-missing", "forward-missing", "ports-ignored", "shared-missing"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    let mut gaps = Gaps::default();
    let known = Known::of(look);
    for (attachment, list) in look.attachments() {
        let Some(list) = list else { continue };
        ports(look, attachment, list, &mut gaps);
        masquerade(&known, attachment, list, &mut gaps);
        firewall(&known, attachment, list, &mut gaps);
    }
    gaps.tell(found);
    shared(look, found);
}

/// What is missing, by kind, with whose it is.
#[derive(Default)]
struct Gaps<'a> {
    ports: Vec<(&'a Attachment, Vec<String>)>,
    ignored: Vec<(&'a Attachment, Vec<String>)>,
    masquerades: Vec<(&'a Attachment, Vec<String>)>,
    forwards: Vec<(&'a Attachment, Vec<String>)>,
}

impl Gaps<'_> {
    fn tell(self, found: &mut Findings) {
        let all = [
            ("ports-missing", Severity::Error, self.ports, "published ports of", "have no rules"),
            (
                "masquerade-missing",
                Severity::Error,
                self.masquerades,
                "addresses of",
                "are not masqueraded although their network says so",
            ),
            (
                "forward-missing",
                Severity::Warning,
                self.forwards,
                "addresses of",
                "are missing from the firewall plugin's chain",
            ),
        ];
        for (id, severity, gaps, what, how) in all {
            if gaps.is_empty() {
                continue;
            }
            let what = format!("{what} {} {how}", count(gaps.len(), "pod", "pods"));
            let finding = Finding::new(id, severity, what, WHY, FIX);
            let repairs = gaps.iter().map(|(one, _)| again(one));
            found.push(finding.seen(gaps.iter().map(evidence)).mended_by(repairs));
        }
        if !self.ignored.is_empty() {
            let what = format!(
                "published ports of {} were ignored",
                count(self.ignored.len(), "pod", "pods")
            );
            found.push(
                Finding::new(
                    "ports-ignored",
                    Severity::Error,
                    what,
                    "the network has no portmap with the capability portMappings, so nobody was told \
                     of the ports",
                    "add {\"type\": \"portmap\", \"capabilities\": {\"portMappings\": true}} to the \
                     network's plugins and make the pods anew",
                )
                .seen(self.ignored.iter().map(evidence)),
            );
        }
    }
}

fn evidence((attachment, lacks): &(&Attachment, Vec<String>)) -> Evidence {
    let says = format!("{} of {}", lacks.join(", "), called(attachment));
    Evidence::new("file", attachment.file.display(), says)
}

/// Makes an attachment's rules again.
pub(super) fn again(attachment: &Attachment) -> Repair {
    Repair::Attach {
        network: attachment.network.clone(),
        container: attachment.container.clone(),
        link: attachment.link.clone(),
    }
}

/// The first address of each family, which portmap leads ports to.
fn first_addresses(attachment: &Attachment) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in attachment.addresses.iter().map(IpNet::addr) {
        if !found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            found.push(address);
        }
    }
    found
}

fn ports<'a>(look: &Look<'_>, attachment: &'a Attachment, list: &List, gaps: &mut Gaps<'a>) {
    let mut lacks = Vec::new();
    for mapping in &attachment.ports {
        for address in first_addresses(attachment) {
            let is_for = mapping.host_ip.is_none_or(|host| host.is_ipv4() == address.is_ipv4());
            let own = look.ports_of(mapping.host_port);
            if is_for && !own.iter().any(|port| is_one(port, mapping, address)) {
                let to = std::net::SocketAddr::new(address, mapping.container_port);
                lacks.push(format!("{}/{} to {to}", mapping.host_port, mapping.protocol));
            }
        }
    }
    if lacks.is_empty() {
        return;
    }
    let portmap = list.plugin("portmap");
    let capabilities = portmap.and_then(|plugin| field(plugin, "capabilities"));
    if capabilities.is_some_and(|all| is_true(all, "portMappings")) {
        gaps.ports.push((attachment, lacks));
    } else if !look.snapshot.runtime.as_deref().unwrap_or_default().contains("cri-o") {
        // CRI-O publishes ports by itself.
        gaps.ignored.push((attachment, lacks));
    }
}

fn is_one(port: &Port, mapping: &Mapping, address: IpAddr) -> bool {
    port.protocol == mapping.protocol
        && port.host_port == mapping.host_port
        && port.target == std::net::SocketAddr::new(address, mapping.container_port)
}

/// What the packet filter has, for looking up.
struct Known {
    chains: HashSet<String>,
    marks: HashSet<String>,
    forwards: HashSet<IpAddr>,
}

impl Known {
    fn of(look: &Look<'_>) -> Self {
        let mut known =
            Self { chains: HashSet::new(), marks: HashSet::new(), forwards: HashSet::new() };
        for table in &look.node.host.tables {
            match (table.tool, table.name.as_str()) {
                (Tool::Nft, "cni_plugins_masquerade") => known.marks(table),
                (Tool::Iptables | Tool::Legacy, "nat") => known.masquerades(table),
                (Tool::Iptables | Tool::Legacy, "filter") => known.forwards(table),
                _ => {}
            }
        }
        known
    }

    fn marks(&mut self, table: &Table) {
        let rules = table.chain("masq_checks").into_iter().flat_map(|chain| &chain.rules);
        let comments = rules.filter_map(|rule| rule.comment.as_deref());
        let marks = comments.filter_map(|comment| comment.split(',').next());
        self.marks.extend(marks.map(str::to_owned));
    }

    fn masquerades(&mut self, table: &Table) {
        let rules = table.chain("POSTROUTING").into_iter().flat_map(|chain| &chain.rules);
        let targets = rules.filter_map(|rule| match &rule.action {
            Action::Jump(name) => Some(format!("{} {name}", table.family)),
            _ => None,
        });
        self.chains.extend(targets);
    }

    fn forwards(&mut self, table: &Table) {
        let rules = table.chain("CNI-FORWARD").into_iter().flat_map(|chain| &chain.rules);
        let sources = rules.filter(|rule| rule.action == Action::Accept).filter_map(|rule| {
            let own = rule.conditions.iter().find(|one| one.fields == [Field::Source])?;
            match own.values.first()?.first()? {
                Value::Net(net) => Some(net.addr()),
                _ => None,
            }
        });
        self.forwards.extend(sources);
    }
}

fn masquerade<'a>(known: &Known, attachment: &'a Attachment, list: &List, gaps: &mut Gaps<'a>) {
    let makers = ["bridge", "ptp"].into_iter().filter_map(|kind| list.plugin(kind));
    if !makers.into_iter().any(|plugin| is_true(plugin, "ipMasq")) {
        return;
    }
    let chain = masquerade_chain(&attachment.network, &attachment.container);
    let mark = masquerade_mark(&attachment.network, &attachment.container, &attachment.link);
    if known.marks.contains(&mark) {
        return;
    }
    let lacks = |address: &IpAddr| {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        !known.chains.contains(&format!("{family} {chain}"))
    };
    let lacking: Vec<String> = first_addresses(attachment)
        .into_iter()
        .filter(lacks)
        .map(|address| address.to_string())
        .collect();
    if !lacking.is_empty() {
        gaps.masquerades.push((attachment, lacking));
    }
}

fn firewall<'a>(known: &Known, attachment: &'a Attachment, list: &List, gaps: &mut Gaps<'a>) {
    let Some(plugin) = list.plugin("firewall") else { return };
    // firewalld keeps its own.
    if text(plugin, "backend").is_some_and(|backend| backend == "firewalld") {
        return;
    }
    let own = attachment.addresses.iter().map(IpNet::addr);
    let lacking: Vec<String> = own
        .filter(|address| !known.forwards.contains(address))
        .map(|address| address.to_string())
        .collect();
    if !lacking.is_empty() {
        gaps.forwards.push((attachment, lacking));
    }
}

/// The rules that lead to all pods: without that of OUTPUT the host does not reach its own ports, and
/// without masquerading no answer comes back to 127.0.0.1.
fn shared(look: &Look<'_>, found: &mut Findings) {
    for table in &look.node.host.tables {
        let is_nat = table.tool != Tool::Nft && table.name == "nat";
        if !is_nat || table.chain(DISPATCH).is_none_or(|chain| chain.rules.is_empty()) {
            continue;
        }
        let leads = |from: &str, to: &str| {
            let rules = table.chain(from).into_iter().flat_map(|chain| &chain.rules);
            rules.into_iter().any(|rule| rule.action == Action::Jump(to.to_owned()))
        };
        let marks = table.chain("CNI-HOSTPORT-SETMARK").is_some();
        let wanted = [
            ("PREROUTING", DISPATCH, true),
            ("OUTPUT", DISPATCH, true),
            ("POSTROUTING", MASQUERADE, marks),
        ];
        let lacks: Vec<_> = wanted
            .into_iter()
            .filter(|(from, to, is_wanted)| *is_wanted && !leads(from, to))
            .map(|(from, to, _)| {
                Evidence::new(
                    "rule",
                    format!("{} nat {from}", table.family),
                    format!("nothing leads to {to}"),
                )
            })
            .collect();
        if lacks.is_empty() {
            continue;
        }
        let v4 = table.family == "ip";
        let what = format!(
            "rules that lead to all published ports of IPv{} are missing",
            if v4 { 4 } else { 6 }
        );
        let repair = (table.tool == Tool::Iptables).then_some(Repair::Share { v4 });
        found.push(
            Finding::new("shared-missing", Severity::Error, what, WHY, FIX)
                .seen(lacks)
                .mended_by(repair),
        );
    }
}
