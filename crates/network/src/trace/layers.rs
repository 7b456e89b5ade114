//! The packet filters below IP: of links (netdev, and inet at the hooks of links), bridges and ARP.

use super::{
    Verdict,
    chains::{Place, enter, table_name},
    walk::Walk,
};
use crate::{
    ruleset::{Action, Base, Chain, Table},
    snapshot::{Link, Namespace, TrafficAction, TrafficFilter},
};

impl Walk<'_> {
    /// What filters the packets of a link, as they come in (`ingress`) or go out (`egress`). Filters of
    /// `tc` are nearer to the link than all others.
    pub(super) fn at_link(
        &mut self,
        place: Place<'_>,
        hook: &str,
        link: &Link,
    ) -> Result<(), Verdict> {
        if hook == "ingress" {
            self.at_traffic(place, hook, link)?;
            return self.at_netdev(place, hook, link);
        }
        self.at_netdev(place, hook, link)?;
        self.at_traffic(place, hook, link)
    }

    fn at_traffic(&mut self, place: Place<'_>, hook: &str, link: &Link) -> Result<(), Verdict> {
        let own = place.namespace.traffic.iter().filter(|one| one.link == link.index);
        let v4 = self.packet.is_v4();
        for filter in own.filter(|one| one.hook == hook && one.is_for(v4)) {
            self.by_traffic(place, link, filter)?;
        }
        Ok(())
    }

    /// Which packets a filter of `tc` matches is not known: only one that lets all of them pass is passed.
    fn by_traffic(
        &mut self,
        place: Place<'_>,
        link: &Link,
        filter: &TrafficFilter,
    ) -> Result<(), Verdict> {
        let TrafficFilter { hook, kind, .. } = filter;
        for action in &filter.actions {
            let does = match action {
                TrafficAction::Pass | TrafficAction::Mirror(_) => continue,
                TrafficAction::Redirect(to) => match limit(place.namespace, *to) {
                    Some(limit) if hook == "ingress" => {
                        let what = format!("{} limits what comes by {}", limit.name, link.name);
                        self.hop(place.name, "tc ingress", what);
                        return Ok(());
                    }
                    _ => format!("sends packets to link {to}"),
                },
                TrafficAction::Drop => "drops packets".to_owned(),
                TrafficAction::Other(what) => format!("has `{what}`"),
            };
            let at =
                format!("the {kind} filter of tc at {hook} of {} of {}", link.name, place.name);
            return Err(Verdict::Unknown { why: format!("{at}, which {does}") });
        }
        Ok(())
    }

    /// What chains at a link's hooks do.
    fn at_netdev(&mut self, place: Place<'_>, hook: &str, link: &Link) -> Result<(), Verdict> {
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

/// A link of kind ifb that nothing filters: what is sent to it comes in again where it came from, in the
/// time that its queue gives it.
fn limit(namespace: &Namespace, index: u32) -> Option<&Link> {
    let is_filtered = namespace.traffic.iter().any(|one| one.link == index);
    let link = namespace.link(index).filter(|link| link.kind.as_deref() == Some("ifb") && link.up);
    link.filter(|_| !is_filtered)
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
