//! The packet, and whether it is what a rule is for.

use std::net::IpAddr;

use crate::{
    ruleset::{Condition, Field, Value},
    snapshot::{Namespace, Protocol},
};

/// A packet on its way.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) protocol: Protocol,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Known only of answers.
    pub(super) source_port: Option<u16>,
    /// Known of what begins a connection.
    pub(super) port: Option<u16>,
    pub(super) mark: u32,
    /// The hardware address of who sent it over the last link, where it is known.
    pub(super) mac: Option<String>,
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    /// Whether it belongs to a connection that is known.
    pub(super) established: bool,
    /// Whether destination and source of the connection are rewritten.
    pub(super) rewritten: (bool, bool),
}

impl Packet {
    pub(super) fn is_v4(&self) -> bool {
        self.destination.is_ipv4()
    }

    /// Whether it meets a condition; `None` when that is not known.
    pub(super) fn meets(&self, condition: &Condition, at: &Namespace) -> Option<bool> {
        let mut is_unknown = false;
        for values in condition.values.iter() {
            match self.is_one(&condition.fields, values, at) {
                Some(true) => return Some(!condition.negated),
                Some(false) => {}
                None => is_unknown = true,
            }
        }
        let is_unknown =
            is_unknown || condition.fields.iter().any(|one| matches!(one, Field::Unknown(_)));
        (!is_unknown).then_some(condition.negated)
    }

    /// Whether all fields have these values.
    pub(super) fn is_one(
        &self,
        fields: &[Field],
        values: &[Value],
        at: &Namespace,
    ) -> Option<bool> {
        let mut is_unknown = false;
        for (field, value) in fields.iter().zip(values) {
            match self.has(field, value, at) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => is_unknown = true,
            }
        }
        (!is_unknown).then_some(true)
    }

    fn has(&self, field: &Field, value: &Value, at: &Namespace) -> Option<bool> {
        match field {
            Field::Family => number(if self.is_v4() { 2 } else { 10 }, value),
            Field::EtherSource => Some(word(value)?.eq_ignore_ascii_case(self.mac.as_deref()?)),
            Field::Protocol => number(self.protocol.number().into(), value),
            Field::Source => address(self.source, value),
            Field::Destination => address(self.destination, value),
            Field::SourcePort => port(self.source_port, value),
            Field::DestinationPort => port(self.port, value),
            Field::Input => link(self.input.as_deref(), value),
            Field::Output => link(self.output.as_deref(), value),
            Field::State => self.state(value),
            Field::Status => self.status(value),
            Field::Mark => number(self.mark.into(), value),
            Field::SourceType => kind(self.source, value, at),
            Field::DestinationType => kind(self.destination, value, at),
            Field::Unknown(_) => None,
        }
    }

    fn state(&self, value: &Value) -> Option<bool> {
        let Value::Word(word) = value else { return None };
        match word.as_str() {
            "new" => Some(!self.established),
            "established" => Some(self.established),
            "related" | "invalid" | "untracked" => Some(false),
            "dnat" => Some(self.rewritten.0),
            "snat" => Some(self.rewritten.1),
            _ => None,
        }
    }

    fn status(&self, value: &Value) -> Option<bool> {
        let Value::Word(word) = value else { return None };
        match word.as_str() {
            "dnat" => Some(self.rewritten.0),
            "snat" => Some(self.rewritten.1),
            _ => None,
        }
    }
}

fn word(value: &Value) -> Option<&str> {
    if let Value::Word(word) = value { Some(word) } else { None }
}

fn number(own: u64, value: &Value) -> Option<bool> {
    match value {
        Value::Range(from, to) => Some((*from..=*to).contains(&own)),
        Value::Bits(bits, mask) => Some(own & mask == *bits),
        _ => None,
    }
}

fn address(own: IpAddr, value: &Value) -> Option<bool> {
    match value {
        Value::Net(net) => Some(net.contains(&own)),
        Value::Between(from, to) => {
            Some(from.is_ipv4() == own.is_ipv4() && (*from..=*to).contains(&own))
        }
        _ => None,
    }
}

/// A port that is not known is one that the kernel chooses: none of the first 1024.
fn port(own: Option<u16>, value: &Value) -> Option<bool> {
    match (own, value) {
        (Some(own), value) => number(own.into(), value),
        (None, Value::Range(_, to)) if *to < 1024 => Some(false),
        (None, Value::Range(from, to)) if *from <= 1024 && *to == 65535 => Some(true),
        _ => None,
    }
}

fn link(own: Option<&str>, value: &Value) -> Option<bool> {
    let Value::Word(word) = value else { return None };
    let own = own.unwrap_or_default();
    Some(word.strip_suffix('*').map_or(own == word, |start| own.starts_with(start)))
}

fn kind(own: IpAddr, value: &Value, at: &Namespace) -> Option<bool> {
    let Value::Word(word) = value else { return None };
    let is_multicast = own.is_multicast();
    let is_local = super::routes::is_local(at, own);
    let is_broadcast =
        at.routes.iter().any(|route| route.kind == "broadcast" && route.destination.addr() == own);
    match word.as_str() {
        "local" => Some(is_local),
        "multicast" => Some(is_multicast),
        "broadcast" => Some(is_broadcast),
        "unicast" => Some(!is_local && !is_multicast && !is_broadcast),
        _ => None,
    }
}
