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
const MODULE_INFO: u16 = 3;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const META_INPUT: u32 = 6;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `struct xt_multiport_v1`: kind, count, ports in the machine's order.
const MULTIPORT_PORTS: usize = 2;

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
    Port,
    Input,
    Other,
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
        input: None,
        line: None,
    };
    let mut loaded = Loaded::Other;
    for (_, expression) in attributes(find(body, RULE_EXPRESSIONS).unwrap_or_default()) {
        let name = find(expression, EXPRESSION_NAME).map(text).unwrap_or_default();
        let data = find(expression, EXPRESSION_DATA).unwrap_or_default();
        rule.take(&name, data, &mut loaded);
    }
    rule
}

impl Rule {
    fn take(&mut self, name: &str, data: &[u8], loaded: &mut Loaded) {
        match name {
            "match" | "target" => self.take_module(data),
            "immediate" => {
                let verdict = find(data, 2).and_then(|data| find(data, DATA_VERDICT));
                let chain = verdict.and_then(|verdict| find(verdict, VERDICT_CHAIN));
                self.target = chain.map(text).or_else(|| self.target.take());
            }
            "meta" => {
                *loaded = match find(data, 2).and_then(number) {
                    Some(META_L4PROTO) => Loaded::Protocol,
                    Some(META_INPUT) => Loaded::Input,
                    _ => Loaded::Other,
                };
            }
            "payload" => *loaded = self.load(data),
            "bitwise" => *loaded = Loaded::Other,
            "cmp" => self.compare(*loaded, data),
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
            Loaded::Input => self.input = Some(text(value)),
            Loaded::Other => {}
        }
    }
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
    fn what_is_negated_or_a_network_is_no_single_address() {
        let rule = parse_rule(NAT, "-A A ! -d 224.0.0.0/4 -s 10.0.0.1/32 -j B").unwrap();
        assert_eq!((rule.source, rule.destination), ("10.0.0.1".parse().ok(), None));
        let rule = parse_rule(NAT, "-A A ! -d 10.0.0.1/32 -s 10.0.0.0/8 -j B").unwrap();
        assert_eq!((rule.source, rule.destination), (None, None));
        assert!(parse_rule(NAT, ":CNI - [0:0]").is_none());
    }
}
