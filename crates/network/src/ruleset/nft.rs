//! `nft -j list table`.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde_json::Value as Json;

use super::{Action, Base, Chain, Chains, Condition, Field, Rule, Table, Tool, Value};

/// Elements of sets and maps, by name; a map's elements have data.
type Sets<'a> = BTreeMap<&'a str, Vec<&'a Json>>;

/// Reads tables with their chains, sets and rules.
///
/// # Errors
/// When it is no JSON.
pub fn parse(text: &str) -> Result<Vec<Table>, serde_json::Error> {
    let json: Json = serde_json::from_str(text)?;
    let items: Vec<&Json> =
        json.get("nftables").and_then(Json::as_array).into_iter().flatten().collect();
    let mut tables: Vec<Table> = Vec::new();
    for item in &items {
        if let Some(table) = item.get("table") {
            tables.push(Table {
                tool: Tool::Nft,
                family: word(table, "family").to_owned(),
                name: word(table, "name").to_owned(),
                chains: Chains::default(),
            });
        }
    }
    let mut sets = Sets::new();
    for set in items.iter().filter_map(|item| item.get("set").or_else(|| item.get("map"))) {
        let elements = set.get("elem").and_then(Json::as_array).into_iter().flatten();
        sets.insert(word(set, "name"), elements.collect());
    }
    for chain in items.iter().filter_map(|item| item.get("chain")) {
        let Some(table) = owner(&mut tables, chain) else { continue };
        table.chains.push(Chain {
            name: word(chain, "name").to_owned(),
            base: base(chain),
            rules: Vec::new(),
        });
    }
    for rule in items.iter().filter_map(|item| item.get("rule")) {
        let Some(table) = owner(&mut tables, rule) else { continue };
        let name = word(rule, "chain");
        let Some(chain) = table.chains.named_mut(name) else { continue };
        let line = chain.rules.len() + 1;
        chain.rules.push(read_rule(rule, line, &sets));
    }
    Ok(tables)
}

fn owner<'a>(tables: &'a mut [Table], item: &Json) -> Option<&'a mut Table> {
    let (family, name) = (word(item, "family"), word(item, "table"));
    tables.iter_mut().find(|table| table.family == family && table.name == name)
}

fn word<'a>(item: &'a Json, key: &str) -> &'a str {
    item.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn base(chain: &Json) -> Option<Base> {
    Some(Base {
        kind: chain.get("type")?.as_str()?.to_owned(),
        hook: chain.get("hook")?.as_str()?.to_owned(),
        priority: chain.get("prio").and_then(Json::as_i64).unwrap_or_default(),
        drops: word(chain, "policy") == "drop",
        devices: match chain.get("dev") {
            Some(Json::String(one)) => Some(vec![one.clone()]),
            Some(Json::Array(all)) => {
                Some(all.iter().filter_map(Json::as_str).map(str::to_owned).collect())
            }
            _ => None,
        },
    })
}

fn read_rule(json: &Json, line: usize, sets: &Sets<'_>) -> Rule {
    let mut rule = Rule {
        line,
        handle: json.get("handle").and_then(Json::as_u64),
        text: String::new(),
        comment: json.get("comment").and_then(Json::as_str).map(str::to_owned),
        packets: None,
        conditions: Vec::new(),
        action: Action::Nothing,
    };
    let mut words = Vec::new();
    for statement in json.get("expr").and_then(Json::as_array).into_iter().flatten() {
        words.push(told(statement));
        let Some((name, body)) = statement.as_object().and_then(|object| object.iter().next())
        else {
            rule.action = Action::Unknown(statement.to_string());
            continue;
        };
        match name.as_str() {
            "match" => {
                let left = body.get("left").unwrap_or(&Json::Null);
                implied(left, &mut rule.conditions);
                rule.conditions.push(condition(body, sets));
            }
            "counter" => rule.packets = body.get("packets").and_then(Json::as_u64),
            "log" | "notrack" if name == "log" => {}
            "limit" | "ct count" | "quota" | "meter" => {
                rule.conditions.push(unknown(statement.to_string()));
            }
            _ => {
                let action = action(name, body, sets);
                // A rule may mark and then decide; only one of both can be told.
                rule.action = match (&rule.action, action) {
                    (Action::Nothing, action) => action,
                    (earlier, Action::Nothing) => earlier.clone(),
                    _ => Action::Unknown(words.join(" ")),
                };
            }
        }
    }
    rule.text = words.join(" ");
    rule
}

/// `tcp dport` is of TCP only, and `ip saddr` of IPv4 only, also where nft does not say so.
fn implied(json: &Json, conditions: &mut Vec<Condition>) {
    if let Some(parts) = json.get("concat").or_else(|| json.get("&")).and_then(Json::as_array) {
        parts.iter().for_each(|part| implied(part, conditions));
        return;
    }
    let Some(payload) = json.get("payload") else { return };
    let (field, number) = match word(payload, "protocol") {
        "ip" => (Field::Family, 2),
        "ip6" => (Field::Family, 10),
        // Of what is neither; a tagged packet is its VLAN's.
        "arp" | "vlan" => (Field::Family, 0),
        "icmp" => (Field::Protocol, 1),
        "tcp" => (Field::Protocol, 6),
        "udp" => (Field::Protocol, 17),
        "icmpv6" => (Field::Protocol, 58),
        "sctp" => (Field::Protocol, 132),
        _ => return,
    };
    let values = Arc::new(vec![vec![Value::Range(number, number)]]);
    conditions.push(Condition { negated: false, fields: vec![field], values });
}

fn unknown(text: String) -> Condition {
    Condition { negated: false, fields: vec![Field::Unknown(text)], values: Arc::default() }
}

fn condition(body: &Json, sets: &Sets<'_>) -> Condition {
    let read = || {
        let op = word(body, "op");
        let (left, right) = (body.get("left")?, body.get("right")?);
        let (fields, mask) = fields(left)?;
        let mut values = values(right, fields.len(), mask, sets)?;
        if fields == [Field::Family] {
            values.iter_mut().flatten().for_each(of_ethernet);
        }
        let negated = match op {
            "==" | "in" => false,
            "!=" => true,
            _ => return None,
        };
        // A test for bits that are set: `mark & 1 != 0` and its like.
        if let (Some(_), true) = (mask, fields.iter().any(|field| *field != Field::Mark)) {
            return None;
        }
        Some(Condition { negated, fields, values: Arc::new(values) })
    };
    read().unwrap_or_else(|| unknown(told(body)))
}

/// Fields of an expression, and the mask where it is `field & mask`.
fn fields(json: &Json) -> Option<(Vec<Field>, Option<u64>)> {
    if let Some(parts) = json.get("concat").and_then(Json::as_array) {
        let parts = parts.iter().map(|part| fields(part).map(|(fields, _)| fields));
        return Some((parts.collect::<Option<Vec<_>>>()?.concat(), None));
    }
    if let Some(parts) = json.get("&").and_then(Json::as_array) {
        let [left, mask] = parts.as_slice() else { return None };
        return Some((fields(left)?.0, Some(mask.as_u64()?)));
    }
    Some((vec![field(json)?], None))
}

fn field(json: &Json) -> Option<Field> {
    if let Some(payload) = json.get("payload") {
        return Some(match (word(payload, "protocol"), word(payload, "field")) {
            ("ether", "saddr") => Field::EtherSource,
            ("ether", "type") => Field::Family,
            ("ip" | "ip6", "saddr") => Field::Source,
            ("ip" | "ip6", "daddr") => Field::Destination,
            ("ip", "protocol") | ("ip6", "nexthdr") => Field::Protocol,
            ("tcp" | "udp" | "sctp" | "th", "dport") => Field::DestinationPort,
            ("tcp" | "udp" | "sctp" | "th", "sport") => Field::SourcePort,
            _ => return None,
        });
    }
    if let Some(meta) = json.get("meta") {
        return Some(match word(meta, "key") {
            "l4proto" => Field::Protocol,
            "iifname" | "iif" => Field::Input,
            "oifname" | "oif" => Field::Output,
            "mark" => Field::Mark,
            "nfproto" | "protocol" => Field::Family,
            _ => return None,
        });
    }
    if let Some(ct) = json.get("ct") {
        return Some(match (word(ct, "key"), ct.get("dir")) {
            ("state", None) => Field::State,
            ("status", None) => Field::Status,
            _ => return None,
        });
    }
    let fib = json.get("fib")?;
    let flags = match fib.get("flags")? {
        Json::String(flag) => vec![flag.as_str()],
        Json::Array(flags) => flags.iter().filter_map(Json::as_str).collect(),
        _ => return None,
    };
    match (word(fib, "result"), flags.as_slice()) {
        ("type", ["daddr"]) => Some(Field::DestinationType),
        ("type", ["saddr"]) => Some(Field::SourceType),
        _ => None,
    }
}

fn values(
    json: &Json,
    width: usize,
    mask: Option<u64>,
    sets: &Sets<'_>,
) -> Option<Vec<Vec<Value>>> {
    if let Some(name) = json.as_str().and_then(|text| text.strip_prefix('@')) {
        return sets.get(name)?.iter().map(|element| key(element, width, mask)).collect();
    }
    match json {
        Json::Array(list) => list.iter().map(|one| key(one, width, mask)).collect(),
        Json::Object(object) if object.contains_key("set") => match object.get("set")? {
            Json::Array(list) => list.iter().map(|one| key(one, width, mask)).collect(),
            one => Some(vec![key(one, width, mask)?]),
        },
        one => Some(vec![key(one, width, mask)?]),
    }
}

fn key(json: &Json, width: usize, mask: Option<u64>) -> Option<Vec<Value>> {
    // An element with a comment or a timeout is an object around its value.
    if let Some(inside) = json.get("elem").and_then(|element| element.get("val")) {
        return key(inside, width, mask);
    }
    let found: Vec<Value> = match json.get("concat").and_then(Json::as_array) {
        Some(parts) => parts.iter().map(|part| value(part, None)).collect::<Option<_>>()?,
        None => vec![value(json, mask)?],
    };
    (found.len() == width).then_some(found)
}

fn value(json: &Json, mask: Option<u64>) -> Option<Value> {
    if let Some(number) = json.as_u64() {
        return Some(mask.map_or(Value::Range(number, number), |mask| Value::Bits(number, mask)));
    }
    if let Some(text) = json.as_str() {
        return Some(match text.parse::<IpAddr>() {
            Ok(address) => Value::Net(address.into()),
            Err(_) => text_value(text),
        });
    }
    if let Some(prefix) = json.get("prefix") {
        let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        let address = word(prefix, "addr").parse().ok()?;
        return Some(Value::Net(ipnet::IpNet::new(address, length).ok()?));
    }
    let [from, to] = json.get("range")?.as_array()?.as_slice() else { return None };
    if let (Some(from), Some(to)) = (from.as_u64(), to.as_u64()) {
        return Some(Value::Range(from, to));
    }
    Some(Value::Between(from.as_str()?.parse().ok()?, to.as_str()?.parse().ok()?))
}

/// What Ethernet calls its payload, as a family.
fn of_ethernet(value: &mut Value) {
    let family = match value {
        Value::Word(word) if word == "ip" => 2,
        Value::Word(word) if word == "ip6" => 10,
        Value::Word(_) => 0,
        _ => return,
    };
    *value = Value::Range(family, family);
}

/// Names that nft has for numbers become these numbers.
fn text_value(text: &str) -> Value {
    let number = match text {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "ipv6-icmp" | "icmpv6" => 58,
        "sctp" => 132,
        "ipv4" => 2,
        "ipv6" => 10,
        other => return Value::Word(other.to_owned()),
    };
    Value::Range(number, number)
}

fn action(name: &str, body: &Json, sets: &Sets<'_>) -> Action {
    let told = || Action::Unknown(told_of(name, body));
    match name {
        "accept" => Action::Accept,
        "drop" => Action::Drop,
        "return" => Action::Return,
        "continue" => Action::Nothing,
        "jump" => Action::Jump(word(body, "target").to_owned()),
        "goto" => Action::Goto(word(body, "target").to_owned()),
        "reject" => Action::Reject(match (word(body, "type"), word(body, "expr")) {
            ("tcp reset", _) => "tcp-reset".to_owned(),
            (_, "") => "port-unreachable".to_owned(),
            (_, expression) => expression.to_owned(),
        }),
        "masquerade" => Action::Masquerade,
        "redirect" => match body.get("port") {
            None => Action::Redirect(None),
            Some(port) => port
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .map_or_else(told, |port| Action::Redirect(Some(port))),
        },
        "dnat" => dnat(body, sets).unwrap_or_else(told),
        "snat" => {
            match body.get("addr").and_then(Json::as_str).and_then(|text| text.parse().ok()) {
                Some(address) => Action::Source(Some(address)),
                None => told(),
            }
        }
        "vmap" => choose(body, sets).unwrap_or_else(told),
        "mangle" => mangle(body).unwrap_or_else(told),
        _ => told(),
    }
}

fn dnat(body: &Json, sets: &Sets<'_>) -> Option<Action> {
    let port = match body.get("port") {
        Some(port) => Some(u16::try_from(port.as_u64()?).ok()?),
        None => None,
    };
    let address = body.get("addr")?;
    if let Some(text) = address.as_str() {
        return Some(Action::Destination(Some(text.parse().ok()?), port));
    }
    let map = address.get("map")?;
    let (fields, _) = fields(map.get("key")?)?;
    let mut found = Vec::new();
    for (key_of, data) in elements(map.get("data")?, sets)? {
        let (address, port) = match data.get("concat").and_then(Json::as_array).map(Vec::as_slice) {
            Some([address, port]) => (address.as_str()?, Some(u16::try_from(port.as_u64()?).ok()?)),
            _ => (data.as_str()?, port),
        };
        found.push((key(key_of, fields.len(), None)?, address.parse().ok()?, port));
    }
    Some(Action::DestinationOf(fields, Arc::new(found)))
}

fn choose(body: &Json, sets: &Sets<'_>) -> Option<Action> {
    let (fields, _) = fields(body.get("key")?)?;
    let mut found = Vec::new();
    for (key_of, data) in elements(body.get("data")?, sets)? {
        let (name, body) = data.as_object()?.iter().next()?;
        found.push((key(key_of, fields.len(), None)?, action(name, body, sets)));
    }
    Some(Action::Choose(fields, Arc::new(found)))
}

/// Keys and data of a map that is named or written out.
fn elements<'a>(json: &'a Json, sets: &Sets<'a>) -> Option<Vec<(&'a Json, &'a Json)>> {
    let list: Vec<&Json> = match json.as_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => sets.get(name)?.clone(),
        None => json.get("set")?.as_array()?.iter().collect(),
    };
    let pair = |element: &&'a Json| {
        let [key, data] = element.as_array()?.as_slice() else { return None };
        Some((key, data))
    };
    list.iter().map(pair).collect()
}

/// `meta mark set`, with a number or with bits added.
fn mangle(body: &Json) -> Option<Action> {
    let key = body.get("key")?;
    if key.get("ct").is_some() {
        return Some(Action::Nothing);
    }
    if word(key.get("meta")?, "key") != "mark" {
        return Some(Action::Nothing);
    }
    let value = body.get("value")?;
    if let Some(number) = value.as_u64() {
        return Some(Action::Mark(u32::try_from(number).ok()?, u32::MAX));
    }
    let [_, bits] = value.get("|")?.as_array()?.as_slice() else { return None };
    let bits = u32::try_from(bits.as_u64()?).ok()?;
    Some(Action::Mark(bits, bits))
}

/// A statement in words that are near to nft's own.
fn told(statement: &Json) -> String {
    match statement.as_object().and_then(|object| object.iter().next()) {
        Some((name, body)) => told_of(name, body),
        None => statement.to_string(),
    }
}

fn told_of(name: &str, body: &Json) -> String {
    match (name, body) {
        ("match", _) => {
            let part = |key| body.get(key).map(expression).unwrap_or_default();
            let op = word(body, "op");
            let op = if op == "==" || op == "in" { String::new() } else { format!("{op} ") };
            format!("{} {op}{}", part("left"), part("right"))
        }
        ("jump" | "goto", _) => format!("{name} {}", word(body, "target")),
        ("counter", _) => "counter".to_owned(),
        ("dnat" | "snat", _) => {
            let port = body.get("port").map(|port| format!(":{}", expression(port)));
            let address = body.get("addr").map(expression).unwrap_or_default();
            format!("{name} to {address}{}", port.unwrap_or_default())
        }
        ("reject", Json::Object(_)) => {
            format!("reject with {} {}", word(body, "type"), word(body, "expr")).trim().to_owned()
        }
        (_, Json::Null) => name.to_owned(),
        _ => format!("{name} {}", expression(body)),
    }
}

fn expression(json: &Json) -> String {
    let list = |items: &[Json], between: &str| {
        items.iter().map(expression).collect::<Vec<_>>().join(between)
    };
    match json {
        Json::String(text) => text.clone(),
        Json::Array(items) => list(items, ", "),
        Json::Object(object) => match object.iter().next() {
            Some((name, body)) if name == "payload" => {
                format!("{} {}", word(body, "protocol"), word(body, "field"))
            }
            Some((name, body)) if name == "meta" || name == "ct" => {
                let key = word(body, "key");
                if key.ends_with("ifname") { key.to_owned() } else { format!("{name} {key}") }
            }
            Some((name, body)) if name == "fib" => {
                format!(
                    "fib {} {}",
                    body.get("flags").map(expression).unwrap_or_default(),
                    word(body, "result")
                )
            }
            Some((name, body)) if name == "prefix" => {
                format!(
                    "{}/{}",
                    word(body, "addr"),
                    body.get("len").map(Json::to_string).unwrap_or_default()
                )
            }
            Some((name, Json::Array(items))) if name == "concat" => list(items, " . "),
            Some((name, Json::Array(items))) if name == "range" => list(items, "-"),
            Some((name, Json::Array(items))) if name == "set" => {
                format!("{{ {} }}", list(items, ", "))
            }
            _ => json.to_string(),
        },
        other => other.to_string(),
    }
}
