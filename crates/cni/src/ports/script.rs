//! Rules in the tools' words, letter for letter those of the reference plugin.

use std::net::IpAddr;

use ipnet::IpNet;

use super::mapping::{PortMapping, Protocol};
use crate::netfilter::{
    iptables::quoted,
    names::{dnat_chain, dnat_comment},
};

/// Chains that all pods share.
pub(crate) const DISPATCH: &str = "CNI-HOSTPORT-DNAT";
pub(crate) const MARK: &str = "CNI-HOSTPORT-SETMARK";
pub(crate) const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
/// Ports that one rule can list.
const MULTIPORT: usize = 15;

/// How ports are mapped, beside which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Packets of the pod itself and of the host's 127.0.0.1 are masqueraded.
    pub(crate) snat: bool,
    /// All packets are.
    pub(crate) masquerades_all: bool,
    /// The bit by which packets to masquerade are marked.
    pub(crate) mark_bit: u32,
    /// A chain of somebody else that marks them instead.
    pub(crate) mark_chain: Option<String>,
    /// What the rule that leads to the pod's rules must match besides, by family.
    pub(crate) conditions_v4: Vec<String>,
    pub(crate) conditions_v6: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            snat: true,
            masquerades_all: false,
            mark_bit: 13,
            mark_chain: None,
            conditions_v4: Vec::new(),
            conditions_v6: Vec::new(),
        }
    }
}

impl Options {
    fn conditions(&self, is_v4: bool) -> &[String] {
        if is_v4 { &self.conditions_v4 } else { &self.conditions_v6 }
    }

    fn mark(&self) -> String {
        format!("{0:#x}/{0:#x}", 1u64 << self.mark_bit)
    }
}

/// What of the shared chains is missing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) mark_chain: bool,
    pub(crate) mark_rule: bool,
    pub(crate) masquerade_chain: bool,
    pub(crate) masquerade_rule: bool,
    pub(crate) masquerade_entry: bool,
    pub(crate) dispatch_chain: bool,
    /// Of PREROUTING and OUTPUT.
    pub(crate) dispatch_entries: [bool; 2],
}

/// Lines that make what is missing of the shared chains. `-N` fails where another plugin was
/// faster; declaring a chain would empty it.
pub(crate) fn shared(missing: &Missing, options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    let mut push = |wanted: bool, line: String| {
        if wanted {
            lines.push(line);
        }
    };
    if options.snat && options.mark_chain.is_none() {
        let mark = options.mark();
        push(missing.mark_chain, format!("-N {MARK}"));
        push(
            missing.mark_rule,
            format!(
                "-A {MARK} -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark {mark}"
            ),
        );
        push(missing.masquerade_chain, format!("-N {MASQUERADE}"));
        push(
            missing.masquerade_rule,
            format!("-A {MASQUERADE} -m mark --mark {mark} -j MASQUERADE"),
        );
        push(
            missing.masquerade_entry,
            format!(
                "-I POSTROUTING 1 -m comment --comment \"CNI portfwd requiring masquerade\" -j {MASQUERADE}"
            ),
        );
    }
    push(missing.dispatch_chain, format!("-N {DISPATCH}"));
    for (chain, is_missing) in ["PREROUTING", "OUTPUT"].into_iter().zip(missing.dispatch_entries) {
        push(is_missing, format!("-A {chain} -m addrtype --dst-type LOCAL -j {DISPATCH}"));
    }
    lines
}

/// Lines that lead the mappings' ports to the pod's chain, and fill it.
pub(crate) fn pod(
    network: &str,
    container: &str,
    address: IpNet,
    mappings: &[PortMapping],
    options: &Options,
) -> Vec<String> {
    let chain = dnat_chain(network, container);
    let comment = quoted(&dnat_comment(network, container));
    let is_v4 = address.addr().is_ipv4();
    let conditions: String =
        options.conditions(is_v4).iter().map(|word| format!(" {}", quoted(word))).collect();
    let mut lines = Vec::new();
    for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
        let of_protocol = mappings.iter().filter(|mapping| mapping.protocol == protocol);
        let ports: Vec<String> = of_protocol.map(|mapping| mapping.host_port.to_string()).collect();
        for ports in ports.chunks(MULTIPORT) {
            lines.push(format!(
                "-A {DISPATCH} -p {} -m comment --comment {comment} -m multiport --dports {}{conditions} -j {chain}",
                protocol.as_str(),
                ports.join(",")
            ));
        }
    }
    let mark_chain = options.mark_chain.as_deref().unwrap_or(MARK);
    for mapping in mappings.iter().filter(|mapping| mapping.is_for(is_v4)) {
        let destination =
            mapping.destination().map_or_else(String::new, |address| format!(" -d {address}"));
        let base = format!(
            "-A {chain}{destination} -p {} --dport {}",
            mapping.protocol.as_str(),
            mapping.host_port
        );
        if options.snat {
            let source = match (options.masquerades_all, is_v4) {
                (true, true) => "0.0.0.0/0".to_owned(),
                (true, false) => "::/0".to_owned(),
                (false, _) => address.trunc().to_string(),
            };
            lines.push(format!("{base} -s {source} -j {mark_chain}"));
            if is_v4 && !options.masquerades_all {
                lines.push(format!("{base} -s 127.0.0.1 -j {mark_chain}"));
            }
        }
        let target = socket(address.addr(), mapping.container_port);
        lines.push(format!("{base} -j DNAT --to-destination {target}"));
    }
    lines
}

/// One transaction of `nft` that makes the shared chains and a pod's rules, in the layout of the
/// reference plugin's versions since 1.9.
pub(crate) fn nft(
    container: &str,
    address: IpNet,
    mappings: &[PortMapping],
    options: &Options,
) -> String {
    let is_v4 = address.addr().is_ipv4();
    let ip = if is_v4 { "ip" } else { "ip6" };
    let table = format!("{ip} cni_hostport");
    let conditions: String =
        options.conditions(is_v4).iter().map(|word| format!("{word} ")).collect();
    let mut lines = vec![
        format!("add table {table} {{ comment \"CNI portmap plugin\" ; }}"),
        format!("add chain {table} hostports"),
        format!("add chain {table} hostip_hostports"),
        format!("add chain {table} hostports_all"),
        format!("flush chain {table} hostports_all"),
        format!("add rule {table} hostports_all jump hostip_hostports"),
        format!("add rule {table} hostports_all jump hostports"),
    ];
    for hook in ["prerouting", "output"] {
        lines.push(format!("add chain {table} {hook} {{ type nat hook {hook} priority -100 ; }}"));
        lines.push(format!("flush chain {table} {hook}"));
        lines.push(format!(
            "add rule {table} {hook} {conditions}fib daddr type local jump hostports_all"
        ));
    }
    if options.snat {
        lines.push(format!(
            "add chain {table} masquerading {{ type nat hook postrouting priority 100 ; }}"
        ));
    }
    for mapping in mappings.iter().filter(|mapping| mapping.is_for(is_v4)) {
        let destination = mapping
            .destination()
            .map_or_else(String::new, |address| format!("{ip} daddr {address} "));
        lines.push(format!(
            "add rule {table} hostports {destination}{} dport {} dnat to {} comment \"{container}\"",
            mapping.protocol.as_str(),
            mapping.host_port,
            socket(address.addr(), mapping.container_port)
        ));
    }
    if options.snat {
        let pod = address.addr();
        let mut sources = vec![pod.to_string()];
        if is_v4 {
            sources.push("127.0.0.1".to_owned());
        }
        if options.masquerades_all {
            sources = vec![if is_v4 { "0.0.0.0/0" } else { "::/0" }.to_owned()];
        }
        lines.extend(sources.into_iter().map(|source| {
            format!(
                "add rule {table} masquerading {ip} saddr {source} {ip} daddr {pod} masquerade comment \"{container}\""
            )
        }));
    }
    lines.join("\n") + "\n"
}

/// `10.0.0.2:80`, `[fd00::2]:80`.
fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
