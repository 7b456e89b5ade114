//! The hooks of packet filters.

use super::{Hop, RuleAt, Verdict, packet::Packet};
use crate::{
    ruleset::{Action, Base, Chain, Field, Rule, Ruleset, Table, Tool},
    snapshot::Namespace,
};

/// Deeper than any tool lets chains lead to each other.
const DEEPEST: usize = 64;

/// Where the packet is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a Namespace,
    pub(super) rules: &'a Ruleset,
}

/// What a chain says.
#[derive(Debug)]
enum Said {
    /// Nothing: the rule that called goes on.
    Nothing,
    /// It was left for the rule that called it.
    Left,
    /// The whole base chain is done with.
    Done,
    End(Verdict),
}

struct Run<'a, 'b> {
    place: Place<'a>,
    table: &'a Table,
    stage: String,
    packet: &'b mut Packet,
    hops: &'b mut Vec<Hop>,
    nat: bool,
}

/// Passes a packet through all chains of a hook, but for those of nat when it belongs to a known
/// connection.
///
/// # Errors
/// The verdict that ends its way.
pub(super) fn pass(
    place: Place<'_>,
    hook: &str,
    packet: &mut Packet,
    hops: &mut Vec<Hop>,
) -> Result<(), Verdict> {
    let before = (packet.source, packet.destination, packet.port);
    for (table, chain, base) in place.rules.hook(hook, packet.is_v4()) {
        let is_nat = base.kind == "nat";
        // Of one connection each end is rewritten once.
        let is_bound = match hook {
            "prerouting" | "output" => before.1 != packet.destination || before.2 != packet.port,
            _ => before.0 != packet.source,
        };
        if is_nat && (packet.established || is_bound) {
            continue;
        }
        enter(place, (table, chain, base), packet, hops)?;
    }
    Ok(())
}

/// Passes a packet through one base chain.
///
/// # Errors
/// The verdict that ends its way.
pub(super) fn enter(
    place: Place<'_>,
    (table, chain, base): (&Table, &Chain, &Base),
    packet: &mut Packet,
    hops: &mut Vec<Hop>,
) -> Result<(), Verdict> {
    let stage = format!("{} {}", table.name, base.hook);
    let mut run = Run { place, table, stage, packet, hops, nat: base.kind == "nat" };
    match run.chain(chain, 0) {
        Said::End(verdict) => Err(verdict),
        Said::Done => Ok(()),
        Said::Nothing | Said::Left => policy(place, table, chain, base),
    }
}

pub(super) fn table_name(table: &Table) -> String {
    let legacy = if table.tool == Tool::Legacy { " (legacy)" } else { "" };
    format!("{} {}{legacy}", table.family, table.name)
}

fn policy(place: Place<'_>, table: &Table, chain: &Chain, base: &Base) -> Result<(), Verdict> {
    if !base.drops {
        return Ok(());
    }
    let table = table_of(table, place.name);
    let rule = RuleAt { table, chain: chain.name.clone(), line: 0, text: "drop".to_owned() };
    Err(Verdict::Dropped { rule })
}

/// What a table is called in the words of a trace, in the namespace of this name.
pub(super) fn table_of(table: &Table, place: &str) -> String {
    let of = if place == "host" { String::new() } else { format!(" of {place}") };
    format!("{}{of}", table_name(table))
}

impl<'a> Run<'a, '_> {
    fn chain(&mut self, chain: &'a Chain, depth: usize) -> Said {
        if depth > DEEPEST {
            return Said::End(Verdict::Unknown {
                why: format!("chain {}, which leads to itself", chain.name),
            });
        }
        for rule in &chain.rules {
            let mut is_unknown = false;
            let mut is_met = true;
            for condition in &rule.conditions {
                match self.packet.meets(condition, self.place.namespace) {
                    Some(true) => {}
                    Some(false) => is_met = false,
                    None => is_unknown = true,
                }
            }
            if !is_met || (rule.action == Action::Nothing) {
                continue;
            }
            if is_unknown {
                return Said::End(self.unknown(chain, rule));
            }
            match self.act(chain, rule, &rule.action, depth) {
                Some(Said::Nothing) | None => {}
                Some(Said::Left) => return Said::Nothing,
                Some(said) => return said,
            }
        }
        Said::Nothing
    }

    fn at(&self, chain: &Chain, rule: &Rule) -> RuleAt {
        RuleAt {
            table: table_of(self.table, self.place.name),
            chain: chain.name.clone(),
            line: rule.line,
            text: rule.text.clone(),
        }
    }

    fn unknown(&self, chain: &Chain, rule: &Rule) -> Verdict {
        let fields = rule.conditions.iter().flat_map(|condition| &condition.fields);
        let words: Vec<&str> = fields
            .filter_map(
                |field| if let Field::Unknown(words) = field { Some(words.as_str()) } else { None },
            )
            .collect();
        let what =
            if words.is_empty() { "meaning".to_owned() } else { format!("`{}`", words.join(" ")) };
        Verdict::Unknown { why: format!("{}, whose {what} is not known", self.at(chain, rule)) }
    }

    fn note(&mut self, chain: &Chain, rule: &Rule, what: String) {
        let hop = Hop {
            at: self.place.name.to_owned(),
            stage: self.stage.clone(),
            what,
            rule: Some(self.at(chain, rule)),
        };
        self.hops.push(hop);
    }

    /// `None` when the next rule is to be looked at.
    fn act(
        &mut self,
        chain: &'a Chain,
        rule: &'a Rule,
        action: &Action,
        depth: usize,
    ) -> Option<Said> {
        match action {
            Action::Nothing => None,
            Action::Return => Some(Said::Left),
            Action::Accept => {
                self.note(chain, rule, "accepted".to_owned());
                Some(Said::Done)
            }
            Action::Drop => Some(Said::End(Verdict::Dropped { rule: self.at(chain, rule) })),
            // The refusal is routed, and on the way back over the bridge it may get lost.
            Action::Reject(_)
                if self.packet.output.is_some() && self.packet.input == self.packet.output =>
            {
                let why =
                    format!("{}, whose refusal may get lost on the bridge", self.at(chain, rule));
                Some(Said::End(Verdict::Unknown { why }))
            }
            Action::Reject(with) => {
                let why = format!("{} ({with})", self.at(chain, rule));
                let refuses = with == "tcp-reset" || with.ends_with("port-unreachable");
                Some(Said::End(if refuses {
                    Verdict::Refused { why }
                } else {
                    Verdict::Unreachable { why }
                }))
            }
            Action::Jump(name) | Action::Goto(name) => {
                let Some(next) = self.table.chain(name) else {
                    return Some(Said::End(self.unknown(chain, rule)));
                };
                self.note(chain, rule, format!("goes to {name}"));
                match (self.chain(next, depth + 1), action) {
                    // What goes to a chain does not come back.
                    (Said::Nothing, Action::Goto(_)) => Some(Said::Left),
                    (said, _) => Some(said),
                }
            }
            Action::Mark(value, mask) => {
                self.packet.mark = (self.packet.mark & !mask) ^ value;
                self.note(chain, rule, format!("marked {:#x}", self.packet.mark));
                None
            }
            Action::Choose(fields, elements) => self.choose(chain, rule, fields, elements, depth),
            Action::Unknown(_) => Some(Said::End(self.unknown(chain, rule))),
            rewriting => {
                if !self.nat {
                    return Some(Said::End(self.unknown(chain, rule)));
                }
                self.rewrite(chain, rule, rewriting)
            }
        }
    }

    fn choose(
        &mut self,
        chain: &'a Chain,
        rule: &'a Rule,
        fields: &[Field],
        elements: &[(Vec<crate::ruleset::Value>, Action)],
        depth: usize,
    ) -> Option<Said> {
        for (values, action) in elements {
            match self.packet.is_one(fields, values, self.place.namespace) {
                Some(true) => return self.act(chain, rule, action, depth),
                Some(false) => {}
                None => return Some(Said::End(self.unknown(chain, rule))),
            }
        }
        None
    }

    fn rewrite(&mut self, chain: &'a Chain, rule: &'a Rule, action: &Action) -> Option<Said> {
        match action {
            Action::Destination(address, port) => {
                self.destination(chain, rule, address.unwrap_or(self.packet.destination), *port);
            }
            Action::DestinationOf(fields, elements) => {
                let place = self.place.namespace;
                let found = elements.iter().find_map(|(values, address, port)| {
                    match self.packet.is_one(fields, values, place) {
                        Some(false) => None,
                        known => Some((known, *address, *port)),
                    }
                });
                match found {
                    Some((Some(true), address, port)) => {
                        self.destination(chain, rule, address, port)
                    }
                    Some(_) => return Some(Said::End(self.unknown(chain, rule))),
                    None => return None,
                }
            }
            Action::Redirect(port) => {
                let address = match (self.packet.input.as_deref(), self.packet.is_v4()) {
                    (None, true) => std::net::Ipv4Addr::LOCALHOST.into(),
                    (None, false) => std::net::Ipv6Addr::LOCALHOST.into(),
                    (Some(link), v4) => match first_address(self.place.namespace, link, v4) {
                        Some(address) => address,
                        None => return Some(Said::End(self.unknown(chain, rule))),
                    },
                };
                self.destination(chain, rule, address, *port);
            }
            Action::Source(Some(address)) => {
                self.packet.source = *address;
                self.packet.rewritten.1 = true;
                self.note(chain, rule, format!("source becomes {address}"));
            }
            Action::Masquerade => {
                let link = self.packet.output.clone().unwrap_or_default();
                let v4 = self.packet.is_v4();
                match first_address(self.place.namespace, &link, v4) {
                    Some(address) => {
                        self.packet.source = address;
                        self.packet.rewritten.1 = true;
                        self.note(chain, rule, format!("source becomes {address}, of {link}"));
                    }
                    None => {
                        return Some(Said::End(Verdict::Hangs {
                            why: format!("{} finds no address on {link}", self.at(chain, rule)),
                        }));
                    }
                }
            }
            _ => return Some(Said::End(self.unknown(chain, rule))),
        }
        Some(Said::Done)
    }

    fn destination(
        &mut self,
        chain: &Chain,
        rule: &Rule,
        address: std::net::IpAddr,
        port: Option<u16>,
    ) {
        self.packet.destination = address;
        self.packet.port = port.or(self.packet.port);
        self.packet.rewritten.0 = true;
        let to = std::net::SocketAddr::new(address, self.packet.port.unwrap_or_default());
        self.note(chain, rule, format!("destination becomes {to}"));
    }
}

/// The address that the kernel sends from by a link.
pub(super) fn first_address(at: &Namespace, link: &str, v4: bool) -> Option<std::net::IpAddr> {
    let link = at.link_named(link)?;
    let own = link.addresses.iter().map(ipnet::IpNet::addr).filter(|one| one.is_ipv4() == v4);
    let usable = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V4(_) => true,
        std::net::IpAddr::V6(six) => !six.is_unicast_link_local(),
    };
    own.clone().find(usable).or_else(|| own.clone().next())
}
