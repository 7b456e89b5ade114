//! Rules as iptables 1.8 writes them into nf_tables.
//!
//! Where nf_tables has an expression for something, it is that: protocols, addresses, ports of TCP
//! and UDP, what becomes of a packet. All else is an expression `match` or `target` with the memory
//! of a module of iptables in it, in the machine's order, filled up to eight bytes. Numbers are those of
//! linux/netfilter/nf_tables.h, nf_tables_compat.h and of the modules' headers.

use std::net::{IpAddr, SocketAddr};

use super::script::{Line, Match, Net, Rule, Script, Target};
use crate::{
    Family,
    netfilter::{
        tables::TableFamily,
        wire::{Kind, Message, push, push_nested},
    },
};

pub(super) const SUBSYSTEM: u16 = 10;
pub(super) const BATCH_BEGIN: u16 = 0x10;
pub(super) const BATCH_END: u16 = 0x11;
const NEWCHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEWRULE: u16 = SUBSYSTEM << 8 | 6;
const DELRULE: u16 = SUBSYSTEM << 8 | 8;

const TABLE: &str = "nat";
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_COMPAT: u16 = 5;
const ELEMENT: u16 = 1;

/// The only register that iptables uses.
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const ACCEPT: u32 = 1;
/// -3, as numbers of verdicts are.
const JUMP: u32 = u32::MAX - 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const DESTINATION_PORT: u32 = 2;

/// Messages of all lines, in their order.
pub(super) fn messages(script: &Script) -> Vec<Message> {
    script.lines.iter().flat_map(|line| of_line(script.family, line)).collect()
}

fn of_line(family: Family, line: &Line) -> Vec<Message> {
    let number = match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    } as u8;
    match line {
        Line::Declare(chain) => {
            let made = Message::new(NEWCHAIN, Kind::Addition, number, 0);
            let emptied = Message::new(DELRULE, Kind::Part { acknowledged: false }, number, 0);
            vec![
                made.text(CHAIN_TABLE, TABLE).text(CHAIN_NAME, chain),
                emptied.text(RULE_TABLE, TABLE).text(RULE_CHAIN, chain),
            ]
        }
        Line::Append { chain, rule } => {
            let added = Message::new(NEWRULE, Kind::Addition, number, 0);
            let added = added.text(RULE_TABLE, TABLE).text(RULE_CHAIN, chain);
            let added = added.nested(RULE_EXPRESSIONS, &expressions(family, rule));
            vec![added.nested(RULE_COMPAT, &compat(rule))]
        }
    }
}

/// Tells modules of iptables what protocol a rule is for.
fn compat(rule: &Rule) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, 1, &u32::from(rule.protocol.unwrap_or(0)).to_be_bytes());
    push(&mut bytes, 2, &0u32.to_be_bytes());
    bytes
}

fn expressions(family: Family, rule: &Rule) -> Vec<u8> {
    let mut list = List(Vec::new());
    if let Some(protocol) = rule.protocol {
        list.add("meta", &numbers(&[(1, REGISTER), (2, META_L4PROTO)]));
        list.compare(EQUAL, &[protocol]);
    }
    let nets = [(rule.source, false), (rule.destination, true)];
    for (net, is_destination) in nets.into_iter().filter_map(|(net, at)| Some((net?, at))) {
        list.address(net, is_destination);
    }
    for one in &rule.matches {
        list.take(one);
    }
    let mut counted = Vec::new();
    push(&mut counted, 1, &0u64.to_be_bytes());
    push(&mut counted, 2, &0u64.to_be_bytes());
    list.add("counter", &counted);
    list.end(family, &rule.target);
    list.0
}

/// Expressions of a rule.
struct List(Vec<u8>);

impl List {
    fn add(&mut self, name: &str, data: &[u8]) {
        let mut inside = Vec::new();
        push(&mut inside, 1, &terminated(name));
        push_nested(&mut inside, 2, data);
        push_nested(&mut self.0, ELEMENT, &inside);
    }

    fn compare(&mut self, operation: u32, value: &[u8]) {
        let mut data = numbers(&[(1, REGISTER), (2, operation)]);
        push_nested(&mut data, 3, &valued(value));
        self.add("cmp", &data);
    }

    fn load(&mut self, header: u32, offset: u32, length: u32) {
        let data = numbers(&[(1, REGISTER), (2, header), (3, offset), (4, length)]);
        self.add("payload", &data);
    }

    /// A network of whole bytes is compared by these; for another one all bytes are masked.
    fn address(&mut self, Net { is_negated, net }: Net, is_destination: bool) {
        let length = net.prefix_len();
        if length == 0 && !is_negated {
            return;
        }
        let (address, mask) = (octets(net.network()), octets(net.netmask()));
        let (size, whole) = (address.len(), usize::from(length / 8));
        let loaded = if length % 8 == 0 && length > 0 { whole } else { size };
        let first = if net.addr().is_ipv4() { 12 } else { 8 };
        let offset = if is_destination { first + wide(size) } else { first };
        self.load(NETWORK_HEADER, offset, wide(loaded));
        if loaded == size && whole != size {
            let mut data = numbers(&[(1, REGISTER), (2, REGISTER), (3, wide(size))]);
            push_nested(&mut data, 4, &valued(&mask));
            push_nested(&mut data, 5, &valued(&vec![0; size]));
            self.add("bitwise", &data);
        }
        let operation = if is_negated { NOT_EQUAL } else { EQUAL };
        self.compare(operation, address.get(..loaded).unwrap_or_default());
    }

    fn take(&mut self, one: &Match) {
        match one {
            Match::Comment(text) => {
                let mut info = text.as_bytes().to_vec();
                info.resize(256, 0);
                self.module("match", "comment", 0, info);
            }
            Match::Port(port) => {
                self.load(TRANSPORT_HEADER, DESTINATION_PORT, 2);
                self.compare(EQUAL, &port.to_be_bytes());
            }
            Match::Ports(ports) => self.module("match", "multiport", 1, multiport(ports)),
        }
    }

    fn end(&mut self, family: Family, target: &Target) {
        match target {
            Target::Accept => self.verdict(&numbers(&[(1, ACCEPT)])),
            Target::Jump(chain) => {
                let mut verdict = numbers(&[(1, JUMP)]);
                push(&mut verdict, 2, &terminated(chain));
                self.verdict(&verdict);
            }
            Target::Masquerade => self.module("target", "MASQUERADE", 0, masquerade(family)),
            Target::Destination(socket) => self.module("target", "DNAT", 2, destination(*socket)),
        }
    }

    fn verdict(&mut self, verdict: &[u8]) {
        let mut value = Vec::new();
        push_nested(&mut value, 2, verdict);
        let mut data = numbers(&[(1, VERDICT_REGISTER)]);
        push_nested(&mut data, 2, &value);
        self.add("immediate", &data);
    }

    fn module(&mut self, kind: &str, name: &str, revision: u32, mut info: Vec<u8>) {
        info.resize(info.len().next_multiple_of(8), 0);
        let mut data = Vec::new();
        push(&mut data, 1, &terminated(name));
        push(&mut data, 2, &revision.to_be_bytes());
        push(&mut data, 3, &info);
        self.add(kind, &data);
    }
}

/// `struct xt_multiport_v1`: that it is for the destination, count, 15 ports, 15 marks of ranges,
/// not inverted.
fn multiport(ports: &[u16]) -> Vec<u8> {
    let mut info = vec![1, u8::try_from(ports.len()).unwrap_or(u8::MAX)];
    info.extend(ports.iter().flat_map(|port| port.to_ne_bytes()));
    info.resize(2 + 30 + 15 + 1, 0);
    info
}

/// `struct nf_nat_ipv4_multi_range_compat` with one range, or `struct nf_nat_range`: of which
/// addresses and ports is left open.
fn masquerade(family: Family) -> Vec<u8> {
    match family {
        Family::Ipv4 => [&1u32.to_ne_bytes()[..], &[0; 20]].concat(),
        Family::Ipv6 => vec![0; 40],
    }
}

/// `struct nf_nat_range2`: that addresses and ports are mapped, least and greatest address of 16
/// bytes, least and greatest port in network order, base of ports.
fn destination(socket: SocketAddr) -> Vec<u8> {
    let mut address = octets(socket.ip());
    address.resize(16, 0);
    let port = socket.port().to_be_bytes();
    let flags = 3u32.to_ne_bytes();
    [&flags[..], &address, &address, &port, &port, &[0, 0]].concat()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn wide(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn numbers(list: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    list.iter().for_each(|(number, value)| push(&mut bytes, *number, &value.to_be_bytes()));
    bytes
}

fn valued(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, 1, value);
    bytes
}
