//! The words of `iptables-restore` that plugins use for a pod.
//!
//! Only what is understood to the last word is taken: a script with one other word is none.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    Family,
    netfilter::rule::{protocol_number, split_words},
};

/// Longest name of a chain, in bytes.
const CHAIN: usize = 28;
/// Longest comment, in bytes.
const COMMENT: usize = 255;
/// Ports that one rule can list.
const MULTIPORT: usize = 15;

/// A transaction in the table `nat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) family: Family,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Makes a chain, or empties it.
    Declare(String),
    /// Adds a rule at the end of a chain.
    Append { chain: String, rule: Rule },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) protocol: Option<u8>,
    pub(super) source: Option<Net>,
    pub(super) destination: Option<Net>,
    /// In the order in which they are named.
    pub(super) matches: Vec<Match>,
    pub(super) target: Target,
}

/// Addresses that are matched, or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) is_negated: bool,
    pub(super) net: IpNet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    Comment(String),
    /// One destination port, of the rule's protocol.
    Port(u16),
    /// Several destination ports.
    Ports(Vec<u16>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Accept,
    Masquerade,
    Destination(SocketAddr),
    Jump(String),
}

impl Script {
    /// `None` for what is not understood.
    pub(super) fn parse(family: Family, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "*nat" {
            return None;
        }
        let lines: Vec<&str> = lines.collect();
        let (last, lines) = lines.split_last()?;
        if *last != "COMMIT" {
            return None;
        }
        let lines = lines.iter().map(|line| Line::parse(family, line)).collect::<Option<_>>()?;
        Some(Self { family, lines })
    }
}

impl Line {
    fn parse(family: Family, line: &str) -> Option<Self> {
        if let Some(declared) = line.strip_prefix(':') {
            return declared.strip_suffix(" - [0:0]").and_then(own_chain).map(Self::Declare);
        }
        let words = split_words(line);
        let mut words = words.iter().map(String::as_str);
        if words.next()? != "-A" {
            return None;
        }
        let chain = words.next().filter(|chain| is_name(chain))?.to_owned();
        let rule = Rule::parse(family, words)?;
        Some(Self::Append { chain, rule })
    }
}

impl Rule {
    fn parse<'a>(family: Family, mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut protocol, mut source, mut destination) = (None, None, None);
        let mut matches = Vec::new();
        let mut target = None;
        while let Some(word) = words.next() {
            let is_negated = word == "!";
            let word = if is_negated { words.next()? } else { word };
            let net = |text: &str| Some(Net { is_negated, net: net(family, text)? });
            match (word, is_negated) {
                ("-s", _) => once(&mut source, net(words.next()?)?)?,
                ("-d", _) => once(&mut destination, net(words.next()?)?)?,
                ("-p", false) => once(&mut protocol, protocol_of(words.next()?)?)?,
                ("-m", false) => matches.push(module(words.next()?, &mut words)?),
                ("--dport", false) => matches.push(Match::Port(port(words.next()?)?)),
                ("-j", false) => once(&mut target, jump(family, words.next()?, &mut words)?)?,
                _ => return None,
            }
        }
        let rule = Self { protocol, source, destination, matches, target: target? };
        rule.is_sound().then_some(rule)
    }

    /// Ports are those of a protocol, and nothing is matched twice.
    fn is_sound(&self) -> bool {
        let ports = self.matches.iter().filter(|one| !matches!(one, Match::Comment(_))).count();
        let comments = self.matches.len() - ports;
        let needs_protocol = ports > 0 || matches!(self.target, Target::Destination(_));
        ports <= 1 && comments <= 1 && (self.protocol.is_some() || !needs_protocol)
    }
}

/// Ports of SCTP are seldom, and matched by a module that not every kernel has.
fn protocol_of(name: &str) -> Option<u8> {
    protocol_number(name).filter(|_| name != "sctp")
}

/// `None` when there is one already.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value);
    Some(())
}

/// `-m comment --comment TEXT`, `-m multiport --dports LIST`.
fn module<'a>(name: &str, words: &mut impl Iterator<Item = &'a str>) -> Option<Match> {
    match (name, words.next()?, words.next()?) {
        ("comment", "--comment", text) if (1..=COMMENT).contains(&text.len()) => {
            Some(Match::Comment(text.to_owned()))
        }
        ("multiport", "--dports", list) => {
            let ports: Vec<u16> = list.split(',').map(port).collect::<Option<_>>()?;
            (ports.len() <= MULTIPORT).then_some(Match::Ports(ports))
        }
        _ => None,
    }
}

fn jump<'a>(
    family: Family,
    name: &str,
    words: &mut impl Iterator<Item = &'a str>,
) -> Option<Target> {
    match name {
        "ACCEPT" => Some(Target::Accept),
        "MASQUERADE" => Some(Target::Masquerade),
        "DNAT" => {
            let socket = words.next().filter(|word| *word == "--to-destination");
            let socket: SocketAddr = socket.and_then(|_| words.next())?.parse().ok()?;
            let is_fit = socket.port() != 0 && is_of(family, socket.ip());
            is_fit.then_some(Target::Destination(socket))
        }
        chain => own_chain(chain).map(Target::Jump),
    }
}

/// A chain of somebody. No other target of iptables has a hyphen in its name.
fn own_chain(name: &str) -> Option<String> {
    (is_name(name) && name.contains('-')).then(|| name.to_owned())
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    begins && name.len() <= CHAIN && name.bytes().all(is_plain)
}

/// As people write it: without a sign, and without noughts that could mean another base.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port: &u16| *port != 0 && port.to_string() == text)
}

/// An address, or a network.
fn net(family: Family, text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let net = text.parse::<IpNet>().or_else(|_| address()).ok()?;
    is_of(family, net.addr()).then_some(net)
}

fn is_of(family: Family, address: IpAddr) -> bool {
    address.is_ipv4() == (family == Family::Ipv4)
}
