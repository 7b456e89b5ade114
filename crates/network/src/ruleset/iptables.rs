//! `iptables-save` and its like.

use std::sync::Arc;

use crilet_cni::netfilter::split_words;

use super::{Action, Base, Chain, Chains, Condition, Field, Rule, Table, Tool, Value};

/// Reads what `iptables-save`, with or without `-c`, lists. Lines that are none of its are passed
/// over.
#[must_use]
pub fn parse(text: &str, legacy: bool, v4: bool) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            let tool = if legacy { Tool::Legacy } else { Tool::Iptables };
            let family = if v4 { "ip" } else { "ip6" }.to_owned();
            let name = name.trim().to_owned();
            tables.push(Table { tool, family, name, chains: Chains::default() });
            continue;
        }
        let Some(table) = tables.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split(' ');
            let (name, policy) = (words.next().unwrap_or_default(), words.next());
            let base = policy.and_then(|policy| base(&table.name, name, policy));
            table.chains.push(Chain { name: name.to_owned(), base, rules: Vec::new() });
        } else if let Some((chain, rule)) = rule(line, v4) {
            let Some(chain) = table.chains.named_mut(chain) else { continue };
            let line = chain.rules.len() + 1;
            chain.rules.push(Rule { line, ..rule });
        }
    }
    tables
}

/// Where the kernel calls the chains that iptables knows by name.
fn base(table: &str, chain: &str, policy: &str) -> Option<Base> {
    if policy == "-" {
        return None;
    }
    let hook = chain.to_ascii_lowercase();
    let (kind, priority) = match (table, hook.as_str()) {
        ("raw", _) => ("filter", -300),
        ("mangle", "output") => ("route", -150),
        ("mangle", _) => ("filter", -150),
        ("nat", "prerouting" | "output") => ("nat", -100),
        ("nat", _) => ("nat", 100),
        ("security", _) => ("filter", 50),
        _ => ("filter", 0),
    };
    Some(Base { kind: kind.to_owned(), hook, priority, drops: policy == "DROP", devices: None })
}

fn rule(line: &str, v4: bool) -> Option<(&str, Rule)> {
    let (counters, rest) = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?,
        None => ("", line),
    };
    let rest = rest.strip_prefix("-A ")?;
    let (chain, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut rule = Rule {
        line: 0,
        handle: None,
        text: text.to_owned(),
        comment: None,
        packets: counters.split(':').next().and_then(|packets| packets.parse().ok()),
        conditions: Vec::new(),
        action: Action::Nothing,
    };
    let all = split_words(text);
    let at = all.iter().position(|word| word == "-j" || word == "-g").unwrap_or(all.len());
    let (matches, target) = all.split_at(at);
    conditions(matches, &mut rule, v4);
    rule.action = action(target, v4);
    Some((chain, rule))
}

/// Modules whose options are all understood.
const MODULES: [&str; 13] = [
    "comment",
    "multiport",
    "tcp",
    "udp",
    "sctp",
    "addrtype",
    "mark",
    "conntrack",
    "state",
    "iprange",
    "dccp",
    "icmp",
    "icmp6",
];

/// What is not understood of a rule, in the tool's words.
#[derive(Default)]
struct Strange<'a> {
    words: Vec<&'a str>,
    /// The module whose options are being read.
    module: Option<&'a str>,
    /// Whether the words have its name.
    is_named: bool,
}

impl<'a> Strange<'a> {
    /// A module begins, or the options that are of none.
    fn enter(&mut self, module: Option<&'a str>) {
        (self.module, self.is_named) = (module, false);
        if self.is_inside() {
            self.name();
        }
    }

    /// Whether what comes is of a module that is not known: its options may be called as another's are,
    /// as the `--mark` of connmark is.
    fn is_inside(&self) -> bool {
        self.module.is_some_and(|module| !MODULES.contains(&module))
    }

    fn name(&mut self) {
        if let (Some(module), false) = (self.module, self.is_named) {
            self.words.extend(["-m", module]);
            self.is_named = true;
        }
    }

    fn push(&mut self, is_negated: bool, word: &'a str, value: Option<&'a str>) {
        self.name();
        self.words.extend(is_negated.then_some("!"));
        self.words.push(word);
        self.words.extend(value);
    }
}

fn conditions(words: &[String], rule: &mut Rule, v4: bool) {
    let mut words = words.iter().map(String::as_str);
    let mut is_negated = false;
    let mut strange = Strange::default();
    while let Some(word) = words.next() {
        match word {
            "!" => {
                is_negated = true;
                continue;
            }
            "-m" => strange.enter(words.next()),
            "--comment" => rule.comment = words.next().map(str::to_owned),
            _ => {
                if word.starts_with('-') && !word.starts_with("--") {
                    strange.enter(None);
                }
                let mut value = None;
                let mut next = || {
                    value = words.next();
                    value.unwrap_or_default()
                };
                let known = (!strange.is_inside()).then(|| test(word, &mut next, v4)).flatten();
                match known {
                    Some((field, values)) => rule.conditions.push(Condition {
                        negated: is_negated,
                        fields: vec![field],
                        values: Arc::new(values.into_iter().map(|value| vec![value]).collect()),
                    }),
                    None => strange.push(is_negated, word, value),
                }
            }
        }
        is_negated = false;
    }
    if !strange.words.is_empty() {
        rule.conditions.push(Condition {
            negated: false,
            fields: vec![Field::Unknown(strange.words.join(" "))],
            values: Arc::default(),
        });
    }
}

fn test<'a>(
    word: &str,
    next: &mut impl FnMut() -> &'a str,
    v4: bool,
) -> Option<(Field, Vec<Value>)> {
    Some(match word {
        "-s" => (Field::Source, vec![net(next(), v4)?]),
        "-d" => (Field::Destination, vec![net(next(), v4)?]),
        "-i" => (Field::Input, vec![link(next())]),
        "-o" => (Field::Output, vec![link(next())]),
        "-p" => (Field::Protocol, vec![protocol(next())?]),
        "--sport" | "--sports" => (Field::SourcePort, ports(next())?),
        "--dport" | "--dports" => (Field::DestinationPort, ports(next())?),
        "--ctstate" | "--state" => {
            let states = next().split(',').map(str::to_ascii_lowercase);
            (Field::State, states.map(Value::Word).collect())
        }
        "--ctstatus" => {
            let states = next().split(',').map(str::to_ascii_lowercase);
            (Field::Status, states.map(Value::Word).collect())
        }
        "--mark" => (Field::Mark, vec![bits(next())?]),
        "--src-type" => (Field::SourceType, types(next())),
        "--dst-type" => (Field::DestinationType, types(next())),
        "--src-range" => (Field::Source, vec![between(next())?]),
        "--dst-range" => (Field::Destination, vec![between(next())?]),
        _ => return None,
    })
}

fn types(text: &str) -> Vec<Value> {
    text.split(',').map(|kind| Value::Word(kind.to_ascii_lowercase())).collect()
}

fn net(text: &str, v4: bool) -> Option<Value> {
    if text.contains('/') {
        return text.parse().ok().map(Value::Net);
    }
    let length = if v4 { 32 } else { 128 };
    Some(Value::Net(ipnet::IpNet::new(text.parse().ok()?, length).ok()?))
}

fn between(text: &str) -> Option<Value> {
    let (from, to) = text.split_once('-')?;
    Some(Value::Between(from.parse().ok()?, to.parse().ok()?))
}

/// `eth+` stands for all that begin so.
fn link(text: &str) -> Value {
    Value::Word(text.strip_suffix('+').map_or_else(|| text.to_owned(), |start| format!("{start}*")))
}

fn protocol(text: &str) -> Option<Value> {
    let number = match text {
        "all" => return Some(Value::Range(0, 255)),
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "ipv6-icmp" | "icmpv6" => 58,
        "sctp" => 132,
        other => other.parse().ok()?,
    };
    Some(Value::Range(number, number))
}

fn ports(text: &str) -> Option<Vec<Value>> {
    let one = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let from = if from.is_empty() { 0 } else { from.parse().ok()? };
        let to = if to.is_empty() { 65535 } else { to.parse().ok()? };
        Some(Value::Range(from, to))
    };
    text.split(',').map(one).collect()
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

fn bits(text: &str) -> Option<Value> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some(Value::Bits(number(value)?.into(), number(mask)?.into()))
}

fn action(words: &[String], v4: bool) -> Action {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [how, target, options @ ..] = words.as_slice() else { return Action::Nothing };
    let option = |name: &str| {
        let at = options.iter().position(|word| *word == name)?;
        options.get(at + 1).copied()
    };
    let unknown = || Action::Unknown(words.join(" "));
    match *target {
        "ACCEPT" => Action::Accept,
        "DROP" => Action::Drop,
        "RETURN" => Action::Return,
        "REJECT" => {
            Action::Reject(option("--reject-with").unwrap_or("icmp-port-unreachable").to_owned())
        }
        "LOG" | "NFLOG" | "ULOG" | "AUDIT" | "CHECKSUM" | "TCPMSS" | "CT" | "NOTRACK" | "TRACE"
        | "CONNMARK" | "SECMARK" | "CONNSECMARK" | "CLASSIFY" | "TTL" | "DSCP" | "SET" => {
            match *target {
                "NOTRACK" => unknown(),
                "CT" if options.contains(&"--notrack") => unknown(),
                "CONNMARK" if options.contains(&"--restore-mark") => unknown(),
                _ => Action::Nothing,
            }
        }
        "MASQUERADE" => Action::Masquerade,
        "REDIRECT" => Action::Redirect(option("--to-ports").and_then(|port| port.parse().ok())),
        "DNAT" => match option("--to-destination").and_then(|to| destination(to, v4)) {
            Some((address, port)) if options.len() == 2 => Action::Destination(address, port),
            _ => unknown(),
        },
        "SNAT" => match option("--to-source").and_then(|to| destination(to, v4)) {
            Some((address, _)) => Action::Source(address),
            None => unknown(),
        },
        "MARK" => mark(options).unwrap_or_else(unknown),
        chain if *how == "-g" => Action::Goto(chain.to_owned()),
        chain if options.is_empty() => Action::Jump(chain.to_owned()),
        _ => unknown(),
    }
}

fn mark(options: &[&str]) -> Option<Action> {
    let [option, text, ..] = options else { return None };
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (number(value)?, number(mask)?),
        None => (number(text)?, u32::MAX),
    };
    match *option {
        "--set-xmark" => Some(Action::Mark(value, mask)),
        "--set-mark" => Some(Action::Mark(value, mask | value)),
        "--or-mark" => Some(Action::Mark(value, value)),
        "--and-mark" => Some(Action::Mark(0, !value)),
        _ => None,
    }
}

/// `10.1.0.2:80`, `10.1.0.2`, `:80`, `[fd00::2]:80`. Ranges are not understood.
pub(super) fn destination(text: &str, v4: bool) -> Option<(Option<std::net::IpAddr>, Option<u16>)> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (address, rest.strip_prefix(':'))
        }
        None if v4 => match text.split_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (text, None),
        },
        None => (text, None),
    };
    let address = if address.is_empty() { None } else { Some(address.parse().ok()?) };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    Some((address, port))
}
