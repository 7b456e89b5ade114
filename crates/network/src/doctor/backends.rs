//! Two packet filters at once, rules that a bug has made, and rules that have become many.

use super::{Evidence, Finding, Findings, Look, count};
use crate::{
    config::Severity,
    ruleset::{Action, Chain, Field, Table, Tool},
    trace::RuleAt,
};

/// Pods with ports in iptables from which on every start of a pod takes noticeably longer.
const MANY: usize = 500;
/// Seconds for which a program may hold the lock of iptables.
const PATIENCE: u64 = 10;

/// What is looked for.
pub(super) const IDS: [&str; 4] = ["two-backends", "hostport-hijack", "rules-many", "xtables-lock"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    two(look, found);
    hijack(look, found);
    many(look, found);
    lock(look, found);
}

fn says_something(table: &&Table) -> bool {
    let drops = |chain: &Chain| chain.base.as_ref().is_some_and(|base| base.drops);
    table.chains.iter().any(|chain| !chain.rules.is_empty() || drops(chain))
}

fn two(look: &Look<'_>, found: &mut Findings) {
    let of = |legacy: bool| -> Vec<&Table> {
        let tables = look.node.host.tables.iter().filter(says_something);
        tables.filter(|table| (table.tool == Tool::Legacy) == legacy).collect()
    };
    let (old, new) = (of(true), of(false));
    if old.is_empty() || new.is_empty() {
        return;
    }
    let tell = |table: &&Table| {
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        let tool = if table.tool == Tool::Legacy { "legacy tables" } else { "nf_tables" };
        let at = format!("{} {} ({tool})", table.family, table.name);
        Evidence::new("rule", at, count(rules, "rule", "rules"))
    };
    found.push(
        Finding::new(
            "two-backends",
            Severity::Warning,
            "rules are in the legacy tables and in nf_tables at once",
            "packets pass both, either may drop them, and each tool shows half",
            "use one: update-alternatives --config iptables, then start anew what made the rules of \
             the other",
        )
        .seen(old.iter().chain(&new).map(tell)),
    );
}

/// portmap by nft from 1.6.1 to 1.8.0 looks at packets that are only passing. (What 1.6.0 made, in a
/// hook where kernels refuse it, never comes to be.)
fn hijack(look: &Look<'_>, found: &mut Findings) {
    let own = |table: &&Table| table.tool == Tool::Nft && table.name == "cni_hostport";
    for table in look.node.host.tables.iter().filter(own) {
        let entries = table
            .chains
            .iter()
            .filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == "prerouting"));
        for (chain, rule) in
            entries.flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)))
        {
            let leads = matches!(&rule.action, Action::Jump(name) | Action::Goto(name)
                if name.starts_with("host"));
            let is_local =
                rule.conditions.iter().any(|one| one.fields.contains(&Field::DestinationType));
            if !leads || is_local {
                continue;
            }
            found.push(
                Finding::new(
                    "hostport-hijack",
                    Severity::Error,
                    "published ports take packets that are for other machines",
                    "the rules are those of a portmap between 1.6.1 and 1.8.0, which has this \
                     mistake (GHSA-jv3w-x3r3-g6rm)",
                    "install network plugins from 1.9.0 on, or crilet's, and start one pod with a \
                     published port: it makes the rules anew for all",
                )
                .seen([Evidence::rule(&RuleAt::of(table, chain, rule))]),
            );
        }
    }
}

fn many(look: &Look<'_>, found: &mut Findings) {
    for table in look.node.host.tables.iter().filter(|one| one.tool != Tool::Nft) {
        let chains = table.chains.iter().filter(|chain| chain.name.starts_with("CNI-DN-")).count();
        if chains < MANY {
            continue;
        }
        found.push(
            Finding::new(
                "rules-many",
                Severity::Note,
                format!(
                    "{} {} leads to {chains} pods one after the other",
                    table.family, table.name
                ),
                "the reference portmap reads all of it several times for each pod, and each new \
                 connection passes all",
                "set \"backend\": \"nftables\" for portmap, or use crilet's plugins",
            )
            .seen([Evidence::new(
                "rule",
                format!("{} {} CNI-HOSTPORT-DNAT", table.family, table.name),
                count(chains, "chain", "chains"),
            )]),
        );
    }
}

/// `iptables --wait` waits for ever: who keeps the lock keeps pods from starting.
fn lock(look: &Look<'_>, found: &mut Findings) {
    let Some(holder) = &look.snapshot.xtables_lock else { return };
    if holder.seconds < PATIENCE {
        return;
    }
    found.push(
        Finding::new(
            "xtables-lock",
            Severity::Error,
            format!(
                "{} (process {}) has held the lock of iptables for the whole snapshot",
                holder.program, holder.pid
            ),
            format!(
                "the process is {} s old; plugins wait for the lock without end, and so no pod starts",
                holder.seconds
            ),
            format!("look what process {} does, and end it if it hangs", holder.pid),
        )
        .seen([Evidence::new("file", "/run/xtables.lock", format!("process {}", holder.pid))]),
    );
}
