//! Choosing of routes, as rules and tables say.

use std::net::IpAddr;

use crate::snapshot::{Namespace, Route, Rule};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) to: IpAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) input: Option<&'a str>,
    pub(super) mark: u32,
}

/// What is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Route(&'a Route),
    /// There is none, or one that says so.
    None,
    /// A rule has conditions that are not known.
    Unknown(u32),
}

/// Whether an address is the namespace's own.
pub(super) fn is_local(at: &Namespace, address: IpAddr) -> bool {
    at.routes.iter().any(|route| route.kind == "local" && route.destination.contains(&address))
}

pub(super) fn find<'a>(at: &'a Namespace, question: Question<'_>) -> Found<'a> {
    let mut rules: Vec<&Rule> =
        at.rules.iter().filter(|rule| rule.v4 == question.to.is_ipv4()).collect();
    rules.sort_by_key(|rule| rule.priority);
    for rule in rules {
        match is_for(rule, question) {
            Some(false) => continue,
            None => return Found::Unknown(rule.priority),
            Some(true) => {}
        }
        match rule.action.as_str() {
            "lookup" => {}
            "nop" => continue,
            "goto" | "other" => return Found::Unknown(rule.priority),
            _ => return Found::None,
        }
        let Some(route) = look_up(at, rule, question.to) else { continue };
        match route.kind.as_str() {
            "throw" => {}
            "blackhole" | "unreachable" | "prohibit" => return Found::None,
            _ => return Found::Route(route),
        }
    }
    Found::None
}

fn is_for(rule: &Rule, question: Question<'_>) -> Option<bool> {
    let from = rule.from.is_none_or(|net| question.from.is_some_and(|from| net.contains(&from)));
    let to = rule.to.is_none_or(|net| net.contains(&question.to));
    let input = rule.input.as_deref().is_none_or(|name| question.input == Some(name));
    let mark = rule.mark.is_none_or(|(mark, mask)| question.mark & mask == mark & mask);
    let output = rule.output.is_none();
    let known = from && to && input && mark && output;
    match (known, rule.more) {
        (false, _) => Some(rule.inverted),
        (true, true) => None,
        (true, false) => Some(!rule.inverted),
    }
}

/// The longest prefix, then the lowest metric.
fn look_up<'a>(at: &'a Namespace, rule: &Rule, to: IpAddr) -> Option<&'a Route> {
    let own = at.routes.iter().filter(|route| {
        route.table == rule.table && !route.dead && route.destination.contains(&to)
    });
    let own = own.filter(|route| {
        rule.suppress.is_none_or(|length| u32::from(route.destination.prefix_len()) > length)
    });
    let best = own.min_by_key(|route| (u8::MAX - route.destination.prefix_len(), route.metric));
    best.filter(|route| route.kind != "multicast")
}
