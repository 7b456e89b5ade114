//! The answer's way back.

use super::{
    Verdict,
    chains::{Place, pass},
    packet::Packet,
    routes::{Found, Question, find, is_local},
    walk::Walk,
};
use crate::snapshot::Link;

/// The stage at which the answer sets out; all that is told behind it is of its way.
pub(super) const ANSWER: &str = "answer";

/// Follows the answer of who took the packet, to whoever sent it.
///
/// # Errors
/// When it does not come there.
pub(super) fn back(
    walk: &mut Walk<'_>,
    place: Place<'_>,
    pod: Option<usize>,
) -> Result<(), Verdict> {
    let there = walk.packet.clone();
    walk.packet = Packet {
        source: there.destination,
        destination: there.source,
        source_port: there.port,
        port: None,
        mark: 0,
        mac: None,
        input: None,
        output: None,
        established: true,
        ..there.clone()
    };
    // Who talks to itself needs no way.
    let is_own = is_local(place.namespace, there.source);
    let result = if is_own { Ok(()) } else { go(walk, place, pod) };
    walk.packet = there;
    result.map_err(|verdict| match verdict {
        Verdict::Dropped { rule } => {
            Verdict::Hangs { why: format!("the answer is dropped by {rule}") }
        }
        Verdict::Refused { why } | Verdict::Unreachable { why } | Verdict::Hangs { why } => {
            Verdict::Hangs { why: format!("the answer gets lost: {why}") }
        }
        Verdict::Unknown { why } => {
            Verdict::Unknown { why: format!("{why} (on the answer's way)") }
        }
        other => other,
    })
}

fn lost(why: String) -> Result<(), Verdict> {
    Err(Verdict::Hangs { why })
}

fn go(walk: &mut Walk<'_>, place: Place<'_>, pod: Option<usize>) -> Result<(), Verdict> {
    let to = walk.packet.destination;
    let question = Question { to, from: Some(walk.packet.source), input: None, mark: 0 };
    let route = match find(place.namespace, question) {
        Found::Route(route) => route,
        Found::None => return lost(format!("{} has no route to {to}", place.name)),
        Found::Unknown(priority) => {
            return Err(Verdict::Unknown {
                why: format!("routing rule {priority} of {}", place.name),
            });
        }
    };
    let link = route.link.and_then(|index| place.namespace.link(index));
    walk.packet.output = link.map(|link| link.name.clone());
    walk.hop(
        place.name,
        ANSWER,
        format!("to {to} by {}", walk.packet.output.as_deref().unwrap_or("?")),
    );
    pass(place, "output", &mut walk.packet, &mut walk.hops)?;
    pass(place, "postrouting", &mut walk.packet, &mut walk.hops)?;
    let Some(link) = link.filter(|link| link.name != "lo") else { return Ok(()) };
    if pod.is_none() {
        return by_link(walk, link);
    }
    walk.leave_namespace(place, link)?;
    let Some(port) = walk.host_side(link) else { return Ok(()) };
    walk.at_link(walk.host(), "ingress", port)?;
    if port.master.is_some() {
        walk.at_bridge("prerouting", Some(port), None)?;
    }
    let host = walk.node.snapshot.host.link(port.master.unwrap_or(port.index)).unwrap_or(port);
    if !is_local(&walk.node.snapshot.host, to) && route.gateway.is_none() && port.master.is_some() {
        return straight(walk, port, &host.name);
    }
    walk.packet.input = Some(host.name.clone());
    walk.packet.output = None;
    pass(walk.host(), "prerouting", &mut walk.packet, &mut walk.hops)?;
    // Here the kernel puts the sender's own address back.
    walk.packet.destination = walk.sent.source;
    let sender = walk.sent.source;
    let is_straight = sender != to && walk.is_bridged_back(port, sender);
    if !is_straight && port.master.is_some() {
        walk.at_bridge("input", Some(port), None)?;
        walk.at_link(walk.host(), "ingress", host)?;
    }
    if is_local(&walk.node.snapshot.host, sender) {
        let localnet = host.settings.route_localnet
            || walk.node.snapshot.host.sysctl("ipv4/conf/all/route_localnet") != 0;
        if sender.is_ipv4() && sender.is_loopback() && !localnet {
            return lost(format!(
                "a packet to {sender} comes in by {}, whose route_localnet is 0",
                host.name
            ));
        }
        return pass(walk.host(), "input", &mut walk.packet, &mut walk.hops);
    }
    walk.check_forwarding(host)?;
    let back =
        Question { to: sender, from: Some(walk.packet.source), input: Some(&host.name), mark: 0 };
    let Found::Route(route) = find(&walk.node.snapshot.host, back) else {
        return lost(format!("the node has no route to {sender}"));
    };
    let out = route.link.and_then(|index| walk.node.snapshot.host.link(index));
    walk.packet.output = out.map(|link| link.name.clone());
    pass(walk.host(), "forward", &mut walk.packet, &mut walk.hops)?;
    pass(walk.host(), "postrouting", &mut walk.packet, &mut walk.hops)?;
    if is_straight {
        return by_port(walk, port);
    }
    out.map_or(Ok(()), |out| by_link(walk, out))
}

/// From one port of a bridge to that of who asked.
fn by_port(walk: &mut Walk<'_>, port: &Link) -> Result<(), Verdict> {
    let Some(asked) = walk.port.and_then(|index| walk.node.snapshot.host.link(index)) else {
        return Ok(());
    };
    walk.leave_by_port(Some(port), asked)?;
    to_sender(walk, asked)
}

/// The last part of the way: from the host by a link to who asked.
fn by_link(walk: &mut Walk<'_>, out: &Link) -> Result<(), Verdict> {
    walk.leave_namespace(walk.host(), out)?;
    let asked = walk.port.and_then(|index| walk.node.snapshot.host.link(index));
    match asked.filter(|port| port.master == Some(out.index)) {
        Some(port) => {
            walk.leave_by_port(None, port)?;
            to_sender(walk, port)
        }
        None if out.kind.as_deref() == Some("bridge") => {
            walk.at_unknown_port(out, &["output", "postrouting"])
        }
        None => to_sender(walk, out),
    }
}

/// Into the pod behind a link of the host, if there is one.
fn to_sender(walk: &mut Walk<'_>, link: &Link) -> Result<(), Verdict> {
    let Some((pod, inside, _)) = walk.node.behind(link) else { return Ok(()) };
    walk.at_link(walk.pod(pod)?, "ingress", inside)
}

/// The answer goes from pod to pod without the host's routing. If the destination was rewritten, the
/// client must see the address that it asked for, which only a bridge that passes packets through the
/// packet filter of IP does.
fn straight(walk: &mut Walk<'_>, port: &Link, bridge: &str) -> Result<(), Verdict> {
    by_port(walk, port)?;
    if walk.filters_bridged() {
        walk.packet.input = Some(bridge.to_owned());
        walk.packet.output = None;
        pass(walk.host(), "prerouting", &mut walk.packet, &mut walk.hops)?;
        walk.packet.output = Some(bridge.to_owned());
        pass(walk.host(), "forward", &mut walk.packet, &mut walk.hops)?;
        return pass(walk.host(), "postrouting", &mut walk.packet, &mut walk.hops);
    }
    if walk.packet.rewritten.0 {
        return lost(format!(
            "it goes straight over {bridge} to the client, which asked another address and does not know this one"
        ));
    }
    Ok(())
}
