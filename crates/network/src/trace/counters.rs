//! What the rules on a packet's way counted of a real one.

use super::{Node, RuleAt, Trace, Verdict, answer::ANSWER, chains};
use crate::ruleset::{Rule, Ruleset};

/// Rules that a trace says a packet was met by, by what their counters say of one that was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rules that counted something meanwhile: this packet, or another one.
    pub counted: Vec<RuleAt>,
    /// Rules that counted nothing, so the packet never met them.
    pub silent: Vec<RuleAt>,
}

impl Counted {
    /// Whether the way was the one that was told; `None` when no rule on it counts.
    #[must_use]
    pub fn agrees(&self) -> Option<bool> {
        match (self.counted.is_empty(), self.silent.is_empty()) {
            (true, true) => None,
            (_, all) => Some(all),
        }
    }
}

impl Trace {
    /// Compares the counters of the rules on the way `before` a packet was sent with those `after` it.
    ///
    /// iptables counts at every rule, nft at those with `counter`. Policies are left out, and so is a rule
    /// that is not the same one any more. Rules on the answer's way are looked at if one was `answered`.
    #[must_use]
    pub fn counted(&self, before: &Node<'_>, after: &Node<'_>, answered: bool) -> Counted {
        let mut found = Counted::default();
        let last = match &self.verdict {
            Verdict::Dropped { rule } => Some(rule),
            _ => None,
        };
        let there = self.hops.iter().take_while(|hop| answered || hop.stage != ANSWER);
        for rule in there.filter_map(|hop| hop.rule.as_ref()).chain(last) {
            let (Some(old), Some(new)) = (find(before, rule), find(after, rule)) else { continue };
            let (Some(earlier), Some(later)) = (old.packets, new.packets) else { continue };
            let is_same =
                old.handle == new.handle && (old.handle.is_some() || old.text == new.text);
            let list = if later == earlier { &mut found.silent } else { &mut found.counted };
            if is_same && !list.contains(rule) {
                list.push(rule.clone());
            }
        }
        found
    }
}

/// The rule that stands there now.
fn find<'a>(node: &'a Node<'_>, at: &RuleAt) -> Option<&'a Rule> {
    let in_rules = |name: &str, rules: &'a Ruleset| {
        let own = rules.tables.iter().find(|table| chains::table_of(table, name) == at.table);
        own?.chain(&at.chain)?.rules.get(at.line.checked_sub(1)?)
    };
    let mut others = node.others.iter().enumerate();
    in_rules("host", &node.host)
        .or_else(|| others.find_map(|(place, rules)| in_rules(node.name_of(place), rules)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::{Saved, Snapshot},
        trace::Hop,
    };

    fn snapshot(jump: u64, dnat: u64, target: &str) -> Snapshot {
        let text = format!(
            "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI-DN - [0:0]\n[{jump}:0] -A PREROUTING -p tcp -j CNI-DN\n\
             [{dnat}:0] -A CNI-DN -p tcp --dport 80 -j DNAT --to-destination {target}\nCOMMIT\n"
        );
        let mut snapshot = Snapshot::default();
        snapshot.host.firewall.iptables.push(Saved { legacy: false, v4: true, text });
        snapshot
    }

    fn traced(node: &Node<'_>) -> Trace {
        let rules = node.host.tables.iter().flat_map(|table| {
            let of_chain = |chain| RuleAt::of(table, chain, chain.rules.first().unwrap());
            table.chains.iter().map(of_chain)
        });
        let hop = |rule| Hop {
            at: "host".to_owned(),
            stage: String::new(),
            what: String::new(),
            rule: Some(rule),
        };
        let hops = rules.map(hop).collect();
        Trace { request: String::new(), hops, verdict: Verdict::Hangs { why: String::new() } }
    }

    #[test]
    fn a_rule_that_counted_nothing_was_not_met() {
        let before = snapshot(7, 3, "10.1.0.2:80");
        let before = Node::new(&before);
        let counts = |after: &Snapshot| {
            let counted = traced(&before).counted(&before, &Node::new(after), true);
            (counted.counted.len(), counted.silent.len(), counted.agrees())
        };
        assert_eq!(counts(&snapshot(8, 4, "10.1.0.2:80")), (2, 0, Some(true)));
        assert_eq!(counts(&snapshot(9, 3, "10.1.0.2:80")), (1, 1, Some(false)));
        assert_eq!(counts(&snapshot(9, 4, "10.1.0.3:80")), (1, 0, Some(true)), "another rule");
        assert_eq!(counts(&Snapshot::default()), (0, 0, None));
    }
}
