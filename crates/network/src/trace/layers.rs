//! The packet filters below IP: of links (netdev, and inet at the hooks of links), bridges and ARP.

use super::{
    Verdict,
    chains::{Place, enter, table_name},
    walk::Walk,
};
use crate::{
    ruleset::{Action, Base, Chain, Table},
    snapshot::Link,
};

impl Walk<'_> {
    /// What filters the packets of a link, as they come in (`ingress`) or go out (`egress`).
    pub(super) fn at_link(
        &mut self,
        place: Place<'_>,
        hook: &str,
        link: &Link,
    ) -> Result<(), Verdict> {
        let ends = if hook == "ingress" { (Some(link), None) } else { (None, Some(link)) };
        for found in place.rules.hook_of(&["netdev", "inet"], hook) {
            let devices = found.2.devices.as_ref();
            if devices.is_some_and(|devices| !devices.contains(&link.name)) {
                continue;
            }
            let result = self.between(place, found, ends);
            if devices.is_none() {
                result.map_err(|verdict| of_some_link(found, verdict))?;
            } else {
                result?;
            }
        }
        Ok(())
    }

    /// What filters the packets of the host's bridges, from one port to another.
    pub(super) fn at_bridge(
        &mut self,
        hook: &str,
        from: Option<&Link>,
        to: Option<&Link>,
    ) -> Result<(), Verdict> {
        let host = self.host();
        for found in host.rules.hook_of(&["bridge"], hook) {
            self.between(host, found, (from, to))?;
        }
        Ok(())
    }

    /// A port of a bridge is not known: the rules of bridges must not say anything.
    pub(super) fn at_unknown_port(&self, bridge: &Link, hooks: &[&str]) -> Result<(), Verdict> {
        let rules = self.host().rules;
        let mut chains = hooks.iter().flat_map(|hook| rules.hook_of(&["bridge"], hook));
        match chains.find(says_something) {
            None => Ok(()),
            Some((table, chain, _)) => Err(Verdict::Unknown {
                why: format!(
                    "{} {}, because it is not known by which port of {} it comes or goes",
                    table_name(table),
                    chain.name,
                    bridge.name
                ),
            }),
        }
    }

    /// Who cannot ask for a neighbour cannot send to it.
    pub(super) fn asks_neighbours(&self, place: Place<'_>) -> Result<(), Verdict> {
        if !self.packet.is_v4() {
            return Ok(());
        }
        let mut chains =
            ["input", "output"].into_iter().flat_map(|hook| place.rules.hook_of(&["arp"], hook));
        match chains.find(says_something) {
            None => Ok(()),
            Some((table, chain, _)) => Err(Verdict::Unknown {
                why: format!(
                    "{} {} of {}, by which neighbours may not be found",
                    table_name(table),
                    chain.name,
                    place.name
                ),
            }),
        }
    }

    /// The chain sees the links of its own layer.
    fn between(
        &mut self,
        place: Place<'_>,
        found: (&Table, &Chain, &Base),
        (from, to): (Option<&Link>, Option<&Link>),
    ) -> Result<(), Verdict> {
        let name = |link: Option<&Link>| link.map(|link| link.name.clone());
        let input = std::mem::replace(&mut self.packet.input, name(from));
        let output = std::mem::replace(&mut self.packet.output, name(to));
        let result = enter(place, found, &mut self.packet, &mut self.hops);
        (self.packet.input, self.packet.output) = (input, output);
        result
    }
}

/// Whether a packet may end in a chain.
fn says_something((_, chain, base): &(&Table, &Chain, &Base)) -> bool {
    let ends = |action: &Action| !matches!(action, Action::Nothing | Action::Accept);
    base.drops || chain.rules.iter().any(|rule| ends(&rule.action))
}

/// nft did not tell whose chain it is.
fn of_some_link((table, chain, _): (&Table, &Chain, &Base), verdict: Verdict) -> Verdict {
    let how = match verdict {
        Verdict::Dropped { rule } => format!("drops it in rule {}: {}", rule.line, rule.text),
        other => other.to_string(),
    };
    Verdict::Unknown {
        why: format!(
            "{} {}, which {how}, if it is of this link: nft does not tell",
            table_name(table),
            chain.name
        ),
    }
}
