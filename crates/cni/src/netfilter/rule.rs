//! Rules, read as far as plugins need to understand them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    tables::{Table, TableFamily},
    wire::{attributes, find, number, text},
};

const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// Of `match` and `target`, which carry what iptables' modules hold.
const MODULE_NAME: u16 = 1;
const MODULE_REVISION: u16 = 2;
const MODULE_INFO: u16 = 3;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const IMMEDIATE_REGISTER: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const NAT_KIND: u16 = 1;
const NAT_ADDRESS_REGISTER: u16 = 3;
/// The kind of `nat` that rewrites destinations.
const NAT_DESTINATION: u32 = 1;
const META_INPUT: u32 = 6;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `struct xt_multiport_v1`: kind, count, ports in the machine's order.
const MULTIPORT_PORTS: usize = 2;
/// `struct nf_nat_range` and its successor: flags, least address of 16 bytes, and more; before
/// that, for IPv4, `struct nf_nat_ipv4_multi_range_compat`: count, flags, least address, and more.
const RANGE_ADDRESS: usize = 4;
const OLD_RANGE_ADDRESS: usize = 8;

/// A rule of nf_tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) table: Table,
    pub(crate) chain: String,
    /// Its number in the table.
    pub(crate) handle: u64,
    /// The chain that it leads to.
    pub(crate) target: Option<String>,
    /// Its comment, of iptables or of nft.
    pub(crate) comment: Option<String>,
    /// Transport protocol, as IP numbers it.
    pub(crate) protocol: Option<u8>,
    /// Destination ports that it matches; none when it matches all.
    pub(crate) ports: Vec<u16>,
    /// Source address that it matches, when that is a single one.
    pub(crate) source: Option<IpAddr>,
    /// Destination address that it matches, when that is a single one.
    pub(crate) destination: Option<IpAddr>,
    /// Address that it gives packets for their destination.
    pub(crate) new_destination: Option<IpAddr>,
    /// Link that packets come in over, when it names one.
    pub(crate) input: Option<String>,
    /// In the words of `iptables-save`, when it is of the legacy tables.
    pub(crate) line: Option<String>,
}

/// What the last expression left in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Protocol,
    Source,
    Destination,
    /// One after the other, as nft loads what stands so in the packet.
    Addresses,
    Port,
    Input,
    Other,
}

/// What the expressions before left in registers.
#[derive(Debug)]
struct Registers {
    loaded: Loaded,
    addresses: Vec<(u32, IpAddr)>,
}

/// Reads a rule from a message of the kernel.
pub(super) fn read_rule(table: Table, body: &[u8]) -> Rule {
    let handle = find(body, RULE_HANDLE).and_then(|bytes| bytes.try_into().ok());
    let mut rule = Rule {
        table,
        chain: find(body, RULE_CHAIN).map(text).unwrap_or_default(),
        handle: handle.map_or(0, u64::from_be_bytes),
        target: None,
        comment: find(body, RULE_USERDATA).and_then(comment_of_nft),
        protocol: None,
        ports: Vec::new(),
        source: None,
        destination: None,
        new_destination: None,
        input: None,
        line: None,
    };
    let mut registers = Registers { loaded: Loaded::Other, addresses: Vec::new() };
    for (_, expression) in attributes(find(body, RULE_EXPRESSIONS).unwrap_or_default()) {
        let name = find(expression, EXPRESSION_NAME).map(text).unwrap_or_default();
        let data = find(expression, EXPRESSION_DATA).unwrap_or_default();
        rule.take(&name, data, &mut registers);
    }
    rule
}

impl Rule {
    /// The pod that packets are led to: by their new destination or, where that was given before,
    /// by the one that they have.
    pub(crate) fn leads_to(&self) -> Option<IpAddr> {
        self.new_destination.or_else(|| self.destination.filter(|_| self.ports.is_empty()))
    }

    fn take(&mut self, name: &str, data: &[u8], registers: &mut Registers) {
        match name {
            "match" | "target" => self.take_module(data),
            "immediate" => {
                let value = find(data, IMMEDIATE_DATA).unwrap_or_default();
                let chain =
                    find(value, DATA_VERDICT).and_then(|verdict| find(verdict, VERDICT_CHAIN));
                self.target = chain.map(text).or_else(|| self.target.take());
                let register = find(data, IMMEDIATE_REGISTER).and_then(number);
                let address = find(value, DATA_VALUE).and_then(address);
                registers.addresses.extend(register.zip(address));
            }
            "nat" if find(data, NAT_KIND).and_then(number) == Some(NAT_DESTINATION) => {
                let register = find(data, NAT_ADDRESS_REGISTER).and_then(number);
                let mut latest = registers.addresses.iter().rev();
                let found = latest.find(|(number, _)| Some(*number) == register);
                self.new_destination = found.map(|(_, address)| *address);
            }
            "meta" => {
                registers.loaded = match find(data, 2).and_then(number) {
                    Some(META_L4PROTO) => Loaded::Protocol,
                    Some(META_INPUT) => Loaded::Input,
                    _ => Loaded::Other,
                };
            }
            "payload" => registers.loaded = self.load(data),
            "bitwise" => registers.loaded = Loaded::Other,
            "cmp" => self.compare(registers.loaded, data),
            _ => {}
        }
    }

    fn take_module(&mut self, data: &[u8]) {
        let name = find(data, MODULE_NAME).map(text).unwrap_or_default();
        let info = find(data, MODULE_INFO).unwrap_or_default();
        match name.as_str() {
            "comment" => self.comment = Some(text(info)),
            "multiport" => {
                let count = info.get(1).copied().unwrap_or_default();
                let ports = info.get(MULTIPORT_PORTS..).unwrap_or_default().chunks_exact(2);
                let ports = ports.take(count.into()).filter_map(|pair| pair.try_into().ok());
                self.ports.extend(ports.map(u16::from_ne_bytes));
            }
            "tcp" | "udp" | "sctp" => {
                self.ports.extend(module_ports(&name, info).into_iter().flatten());
            }
            "DNAT" => {
                let revision = find(data, MODULE_REVISION).and_then(number).unwrap_or_default();
                let at = if revision == 0 { OLD_RANGE_ADDRESS } else { RANGE_ADDRESS };
                let length = if self.table.family == TableFamily::Ip6 { 16 } else { 4 };
                self.new_destination = info.get(at..at + length).and_then(address);
            }
            _ => {}
        }
    }

    fn load(&self, data: &[u8]) -> Loaded {
        let part = |attribute| find(data, attribute).and_then(number);
        let (base, offset, length) = (part(2), part(3), part(4));
        let (source, destination, size) = match self.table.family {
            TableFamily::Ip6 => (8, 24, 16),
            _ => (12, 16, 4),
        };
        match (base, offset, length) {
            (Some(TRANSPORT_HEADER), Some(2), Some(2)) => Loaded::Port,
            (Some(NETWORK_HEADER), Some(9), Some(1)) => Loaded::Protocol,
            (Some(NETWORK_HEADER), at, long) if long == Some(size) && at == Some(source) => {
                Loaded::Source
            }
            (Some(NETWORK_HEADER), at, long) if long == Some(2 * size) && at == Some(source) => {
                Loaded::Addresses
            }
            (Some(NETWORK_HEADER), at, long) if long == Some(size) && at == Some(destination) => {
                Loaded::Destination
            }
            _ => Loaded::Other,
        }
    }

    fn compare(&mut self, loaded: Loaded, data: &[u8]) {
        let is_equal = find(data, 2).and_then(number) == Some(0);
        let value = find(data, 3).and_then(|data| find(data, DATA_VALUE)).unwrap_or_default();
        if !is_equal {
            return;
        }
        match loaded {
            Loaded::Protocol => self.protocol = value.first().copied(),
            Loaded::Port => {
                self.ports.extend(value.try_into().map(u16::from_be_bytes).ok());
            }
            Loaded::Source => self.source = address(value),
            Loaded::Destination => self.destination = address(value),
            Loaded::Addresses => {
                let (source, destination) = value.split_at(value.len() / 2);
                (self.source, self.destination) = (address(source), address(destination));
            }
            Loaded::Input => self.input = Some(text(value)),
            Loaded::Other => {}
        }
    }
}

/// Destination ports of `struct xt_tcp`, `xt_udp` or `xt_sctp_info`, where iptables has no expressions
/// for them; `None` when they are all, or others than these.
fn module_ports(name: &str, info: &[u8]) -> Option<std::ops::RangeInclusive<u16>> {
    /// The bit of the destination's ports in what is inverted.
    const DESTINATION: u8 = 2;
    let (at, inverted) = match name {
        "tcp" => (4, 11),
        "udp" => (4, 8),
        // Of a number of 32 bits in the machine's order, whose other bits are not asked for.
        _ if cfg!(target_endian = "little") => (0, 288),
        _ => (0, 291),
    };
    let port = |at: usize| Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?));
    let (from, to) = (port(at)?, port(at + 2)?);
    let is_inverted = info.get(inverted)? & DESTINATION != 0;
    let is_all = (from, to) == (0, u16::MAX) || (name == "sctp" && (from, to) == (0, 0));
    (!is_inverted && !is_all).then_some(from..=to)
}

/// Reads a rule in the words of `iptables-save`; `None` for what is no rule.
pub(crate) fn parse_rule(table: Table, line: &str) -> Option<Rule> {
    let words = split_words(line);
    let mut words = words.iter().map(String::as_str);
    if words.next() != Some("-A") {
        return None;
    }
    let mut rule = Rule {
        table,
        chain: words.next()?.to_owned(),
        handle: 0,
        target: None,
        comment: None,
        protocol: None,
        ports: Vec::new(),
        source: None,
        destination: None,
        new_destination: None,
        input: None,
        line: Some(line.to_owned()),
    };
    let mut negated = false;
    while let Some(word) = words.next() {
        let is_negated = std::mem::replace(&mut negated, word == "!");
        if is_negated {
            words.next();
            continue;
        }
        match word {
            "-j" | "-g" => rule.target = words.next().map(str::to_owned),
            "--comment" => rule.comment = words.next().map(str::to_owned),
            "-p" => rule.protocol = words.next().and_then(protocol_number),
            "--dports" | "--dport" => {
                let ports = words.next().unwrap_or_default().split(',');
                rule.ports.extend(ports.flat_map(ports_of));
            }
            "-i" => rule.input = words.next().map(str::to_owned),
            "-s" => rule.source = words.next().and_then(single_address),
            "-d" => rule.destination = words.next().and_then(single_address),
            "--to-destination" => rule.new_destination = words.next().and_then(address_of_socket),
            _ => {}
        }
    }
    Some(rule)
}

/// The numbers of the transport protocols that ports can be mapped of.
pub(crate) fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        _ => None,
    }
}

/// `80`, or `80:90`.
fn ports_of(text: &str) -> std::ops::RangeInclusive<u16> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) => from..=to,
        // An empty range.
        _ => std::ops::RangeInclusive::new(1, 0),
    }
}

fn single_address(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let is_single = match length {
        "" => true,
        length => length == if address.is_ipv4() { "32" } else { "128" },
    };
    Some(address).filter(|_| is_single)
}

/// The address of `10.0.0.2:80`, `[fd00::2]:80`, or of either without a port.
fn address_of_socket(text: &str) -> Option<IpAddr> {
    let socket = text.parse::<std::net::SocketAddr>().map(|socket| socket.ip());
    socket.or_else(|_| text.parse()).ok()
}

/// Words as `iptables-save` writes them: quoted when they hold blanks, quotes escaped inside.
pub fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut letters) = (false, line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(letters.next()),
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let six = || <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    four.or_else(|_| six()).ok()
}

/// nft keeps the comment in a list of kind, length and text; kind 0 is the comment.
fn comment_of_nft(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    while let [kind, length, after @ ..] = rest {
        let value = after.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(text(value));
        }
        rest = after.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAT: Table = Table::new(TableFamily::Ip, "nat");

    #[test]
    fn a_line_is_read_as_its_rule() {
        let line = r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"n\" id: \"c\"" -m multiport --dports 80,443:445 -j CNI-DN-x"#;
        let rule = parse_rule(NAT, line).unwrap();
        assert_eq!(rule.chain, "CNI-HOSTPORT-DNAT");
        assert_eq!(rule.target.as_deref(), Some("CNI-DN-x"));
        assert_eq!(rule.comment.as_deref(), Some(r#"dnat name: "n" id: "c""#));
        assert_eq!((rule.protocol, rule.ports), (Some(6), vec![80, 443, 444, 445]));
    }

    #[test]
    fn ports_of_modules_are_read() {
        let ports = |from: u16, to: u16| [from.to_ne_bytes(), to.to_ne_bytes()].concat();
        let all = ports(0, u16::MAX);
        let of_tcp = |inverted: u8| [all.clone(), ports(80, 82), vec![0, 0, 0, inverted]].concat();
        assert_eq!(module_ports("tcp", &of_tcp(0)), Some(80..=82));
        assert_eq!(module_ports("tcp", &of_tcp(1)), Some(80..=82));
        assert_eq!(module_ports("tcp", &of_tcp(2)), None);
        let of_udp = [ports(53, 53), all.clone(), vec![0, 0]].concat();
        assert_eq!(module_ports("udp", &of_udp), None);
        let mut of_sctp = ports(9, 9);
        of_sctp.resize(296, 0);
        assert_eq!(module_ports("sctp", &of_sctp), Some(9..=9));
        assert_eq!(module_ports("sctp", &[0; 296]), None);
        assert_eq!(module_ports("tcp", &[0; 5]), None);
    }

    #[test]
    fn where_packets_are_led_to_is_read() {
        let led = |line: &str| parse_rule(NAT, line).unwrap().leads_to();
        let four = "10.0.0.2".parse().ok();
        assert_eq!(
            led("-A A -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.2:5353"),
            four
        );
        assert_eq!(
            led("-A A -d 192.0.2.1/32 -p udp --dport 53 -j DNAT --to-destination 10.0.0.2"),
            four
        );
        assert_eq!(led("-A A -j DNAT --to-destination [fd00::2]:53"), "fd00::2".parse().ok());
        assert_eq!(led("-A A -s 10.0.0.2/32 -d 10.0.0.2/32 -j MASQUERADE"), four);
        assert_eq!(led("-A A -d 192.0.2.1/32 -p udp --dport 53 -j MARK"), None);
    }

    #[test]
    fn what_is_negated_or_a_network_is_no_single_address() {
        let rule = parse_rule(NAT, "-A A ! -d 224.0.0.0/4 -s 10.0.0.1/32 -j B").unwrap();
        assert_eq!((rule.source, rule.destination), ("10.0.0.1".parse().ok(), None));
        let rule = parse_rule(NAT, "-A A ! -d 10.0.0.1/32 -s 10.0.0.0/8 -j B").unwrap();
        assert_eq!((rule.source, rule.destination), (None, None));
        assert!(parse_rule(NAT, ":CNI - [0:0]").is_none());
    }
}
