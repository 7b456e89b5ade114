//! Rules of the filter table, as `iptables-save` spells them, and what is to be done about them.

use std::net::IpAddr;

const FORWARD: &str = "FORWARD";
const PRIVATE: &str = "CNI-FORWARD";
const STAGE_1: &str = "CNI-ISOLATION-STAGE-1";
const STAGE_2: &str = "CNI-ISOLATION-STAGE-2";

const MAIN_COMMENT: &str = "CNI firewall plugin rules";
const ADMIN_COMMENT: &str = "CNI firewall plugin admin overrides";
/// What is for both policies. Plugins before 1.2 knew only the first, and said so in the comment.
const BOTH_POLICIES: &str = "same-bridge|isolated";
const ONE_POLICY: &str = "same-bridge";

/// A bridge that others must not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Isolation {
    pub(super) bridge: String,
    /// Its own pods must not reach each other either.
    pub(super) is_complete: bool,
}

/// Where a rule stands in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Last,
}

/// A rule that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    place: Place,
    chain: &'static str,
    /// As `iptables-save` has it after `-A CHAIN `.
    matches: String,
}

impl Rule {
    fn new(place: Place, chain: &'static str, matches: impl Into<String>) -> Self {
        Self { place, chain, matches: matches.into() }
    }

    fn line(&self) -> String {
        format!("-A {} {}", self.chain, self.matches)
    }

    fn command(&self) -> String {
        match self.place {
            Place::First => format!("-I {} 1 {}", self.chain, self.matches),
            Place::Last => self.line(),
        }
    }
}

/// Rules of a pod's address.
fn of_address(address: IpAddr) -> [Rule; 2] {
    let length = if address.is_ipv4() { 32 } else { 128 };
    let related = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    [
        Rule::new(Place::Last, PRIVATE, format!("-d {address}/{length} {related}")),
        Rule::new(Place::Last, PRIVATE, format!("-s {address}/{length} -j ACCEPT")),
    ]
}

/// Chains and rules that pods share.
fn shared(admin: &str) -> (Vec<String>, Vec<Rule>) {
    let jump =
        |comment: &str, chain: &str| format!("-m comment --comment \"{comment}\" -j {chain}");
    let rules = vec![
        Rule::new(Place::First, FORWARD, jump(MAIN_COMMENT, PRIVATE)),
        Rule::new(Place::First, PRIVATE, jump(ADMIN_COMMENT, admin)),
    ];
    (vec![PRIVATE.to_owned(), admin.to_owned()], rules)
}

/// Chains and rules that keep a bridge apart.
fn isolating(isolation: &Isolation) -> (Vec<String>, Vec<Rule>) {
    let bridge = &isolation.bridge;
    let policy = if isolation.is_complete { "isolated" } else { "same-bridge" };
    let told = |policy: &str, target: &str| {
        format!("-m comment --comment \"{MAIN_COMMENT} (ingressPolicy: {policy})\" -j {target}")
    };
    let from =
        |out: &str, target: &str| format!("-i {bridge} {out}-o {bridge} {}", told(policy, target));
    let mut rules = vec![
        Rule::new(Place::First, FORWARD, told(BOTH_POLICIES, STAGE_1)),
        Rule::new(Place::First, STAGE_1, from("! ", STAGE_2)),
    ];
    if isolation.is_complete {
        rules.push(Rule::new(Place::First, STAGE_1, from("", "DROP")));
    }
    let drop = format!("-o {bridge} {}", told(BOTH_POLICIES, "DROP"));
    rules.extend([
        Rule::new(Place::Last, STAGE_1, told(BOTH_POLICIES, "RETURN")),
        Rule::new(Place::First, STAGE_2, drop),
        Rule::new(Place::Last, STAGE_2, told(BOTH_POLICIES, "RETURN")),
    ]);
    (vec![STAGE_1.to_owned(), STAGE_2.to_owned()], rules)
}

/// What must be there for pods with these addresses of one family; without a chain for the
/// administrator no rules of addresses.
fn wanted(
    admin: Option<&str>,
    addresses: &[IpAddr],
    isolation: Option<&Isolation>,
) -> (Vec<String>, Vec<Rule>) {
    let (mut chains, mut rules) = (Vec::new(), Vec::new());
    if let Some(admin) = admin.filter(|_| !addresses.is_empty()) {
        (chains, rules) = shared(admin);
        rules.extend(addresses.iter().flat_map(|address| of_address(*address)));
    }
    if let Some(isolation) = isolation {
        let (more_chains, more_rules) = isolating(isolation);
        chains.extend(more_chains);
        rules.extend(more_rules);
    }
    (chains, rules)
}

/// The table's present content, as `iptables-save` lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing<'a>(pub(super) &'a [String]);

impl Listing<'_> {
    fn has_chain(self, chain: &str) -> bool {
        self.0.iter().any(|line| {
            line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) == Some(chain)
        })
    }

    fn count(self, rule: &Rule) -> usize {
        let wanted = rule.line();
        let older = wanted.replace(BOTH_POLICIES, ONE_POLICY);
        self.0.iter().filter(|line| **line == wanted || **line == older).count()
    }

    /// A transaction that adds what is missing; `None` when nothing is.
    pub(super) fn adding(
        self,
        admin: Option<&str>,
        addresses: &[IpAddr],
        isolation: Option<&Isolation>,
    ) -> Option<String> {
        let (chains, rules) = wanted(admin, addresses, isolation);
        let chains = chains.into_iter().filter(|chain| !self.has_chain(chain));
        let rules = rules.into_iter().filter(|rule| self.count(rule) == 0);
        transaction(
            chains.map(|chain| format!("-N {chain}")).chain(rules.map(|rule| rule.command())),
        )
    }

    /// A transaction that takes away the rules of addresses; `None` when there are none.
    pub(super) fn removing(self, addresses: &[IpAddr]) -> Option<String> {
        let rules = addresses.iter().flat_map(|address| of_address(*address));
        transaction(rules.flat_map(|rule| {
            let command = format!("-D {} {}", rule.chain, rule.matches);
            std::iter::repeat_n(command, self.count(&rule))
        }))
    }

    /// The first thing that is not there, as `iptables-save` would list it.
    pub(super) fn missing(
        self,
        admin: Option<&str>,
        addresses: &[IpAddr],
        isolation: Option<&Isolation>,
    ) -> Option<String> {
        let (_, rules) = wanted(admin, addresses, isolation);
        rules.into_iter().find(|rule| self.count(rule) == 0).map(|rule| rule.line())
    }
}

fn transaction(commands: impl Iterator<Item = String>) -> Option<String> {
    let commands: Vec<_> = commands.collect();
    if commands.is_empty() {
        return None;
    }
    Some(format!("*filter\n{}\nCOMMIT\n", commands.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const POD: &str = "10.1.0.5";

    #[test]
    fn what_is_there_is_not_added_again() {
        let pod: IpAddr = POD.parse().unwrap();
        let script = Listing(&[]).adding(Some("CNI-ADMIN"), &[pod], None).unwrap();
        assert_eq!(
            script,
            "*filter\n-N CNI-FORWARD\n-N CNI-ADMIN\n\
             -I FORWARD 1 -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD\n\
             -I CNI-FORWARD 1 -m comment --comment \"CNI firewall plugin admin overrides\" -j CNI-ADMIN\n\
             -A CNI-FORWARD -d 10.1.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A CNI-FORWARD -s 10.1.0.5/32 -j ACCEPT\nCOMMIT\n"
        );
        let saved = lines(
            ":CNI-ADMIN - [0:0]\n:CNI-FORWARD - [0:0]\n\
             -A FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD\n\
             -A CNI-FORWARD -m comment --comment \"CNI firewall plugin admin overrides\" -j CNI-ADMIN\n\
             -A CNI-FORWARD -s 10.1.0.5/32 -j ACCEPT",
        );
        let script = Listing(&saved).adding(Some("CNI-ADMIN"), &[pod], None).unwrap();
        let only =
            "-A CNI-FORWARD -d 10.1.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
        assert_eq!(script, format!("*filter\n{only}\nCOMMIT\n"));
        assert_eq!(Listing(&saved).missing(Some("CNI-ADMIN"), &[pod], None).as_deref(), Some(only));
        assert_eq!(Listing(&saved).missing(Some("X"), &[], None), None);
    }

    #[test]
    fn rules_go_as_often_as_they_are_there_and_no_others() {
        let pod: IpAddr = POD.parse().unwrap();
        let rule = "-A CNI-FORWARD -s 10.1.0.5/32 -j ACCEPT";
        let saved = lines(&format!("{rule}\n-A CNI-FORWARD -s 10.1.0.50/32 -j ACCEPT\n{rule}"));
        let script = Listing(&saved).removing(&[pod]).unwrap();
        assert_eq!(script.matches("-D CNI-FORWARD -s 10.1.0.5/32 -j ACCEPT\n").count(), 2);
        assert_eq!(script.lines().count(), 4);
        assert_eq!(Listing(&[]).removing(&[pod]), None);
    }
}
