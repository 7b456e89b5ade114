//! What pods leave that nobody took down, and that nothing else is touched when it is taken away.

use serde_json::{Value, json};

use super::{Node, evidence, plain, port};
use crate::{
    network::bed::{list, net},
    plugins::bed::Maker,
};

/// Rules of others, some of which look much like those of plugins.
const FOREIGN: &str = r#"
iptables-restore --noflush <<'END'
*nat
:CNI-0123456789abcdef01234567 - [0:0]
:DOCKER - [0:0]
:mine - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2:80
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.88.0.77/32 -m comment --comment "name: \"net\" id: \"lost\"" -j mine
-A mine -j RETURN
COMMIT
*filter
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A INPUT -s 10.88.0.3/32 -p tcp -m tcp --dport 22 -j DROP
COMMIT
END
ip6tables -t filter -A INPUT -p tcp --dport 23 -j DROP
nft -f - <<'END'
table inet mine {
  chain input {
    type filter hook input priority 5;
    ip saddr 10.88.0.3 counter
  }
}
table netdev guard {
  chain in {
  }
}
END
"#;

/// Ids that must be found, and what is there after it was mended is what was there before.
fn lost_pods_are_taken_away(backend: &str, maker: Maker) {
    let node = Node::start(backend);
    node.bed.sh(FOREIGN);
    node.guard();
    node.pod(maker, "stays", &port(8080));
    node.is_well();
    let before = node.bed.rules();
    node.pod(maker, "lost", &port(8081));
    node.pod(maker, "late", &port(8082));
    node.lose("lost");
    // A pod that goes the moment before has a lease that may be of one that is being made.
    node.end("late");
    let wanted = ["lease-leaked", "masquerade-orphaned", "ports-orphaned"];
    let found = node.has_all(&wanted);
    let all = found.to_string();
    assert!(all.contains("/var/lib/cni/networks/net/10.88.0.3"), "{found:#}");
    assert!(!all.contains("/var/lib/cni/networks/net/10.88.0.4"), "{found:#}");
    let with_faults = node.bed.rules();
    let dry = net(&node.bed.host, "doctor --fix --dry-run");
    assert_eq!(dry.status, 1, "{dry}");
    assert!(dry.stdout.contains("\nwould\n") && dry.stdout.contains("remove /var/lib"), "{dry}");
    let unasked = net(&node.bed.host, "doctor --fix");
    assert_eq!(unasked.status, 64, "{unasked}");
    assert!(unasked.stderr.contains("no terminal to ask at"), "{unasked}");
    assert_eq!(node.bed.rules(), with_faults);
    node.mend();
    assert_eq!(node.bed.rules(), before);
    let leases = node.bed.sh("cd /var/lib/cni/networks/net && grep -l . 10.* fd*");
    assert_eq!(leases, "10.88.0.2\n10.88.0.4\nfd00:88::2\nfd00:88::4\n");
}

#[test]
fn what_the_reference_leaves_in_iptables_is_taken_away_and_nothing_else() {
    lost_pods_are_taken_away("iptables", Maker::Reference);
}

#[test]
fn what_is_left_in_nft_is_taken_away_and_nothing_else() {
    lost_pods_are_taken_away("nftables", Maker::Ours);
}

#[test]
fn what_is_left_in_the_legacy_tables_is_taken_away_and_nothing_else() {
    let node = Node::start("iptables");
    let tools = ["iptables", "ip6tables"].map(|base| {
        ["", "-restore", "-save"]
            .map(|end| (format!("{base}{end}"), format!("/usr/sbin/{base}-legacy{end}")))
    });
    let tools: Vec<_> = tools.iter().flatten().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    node.bed.shadow(&tools);
    node.pod(Maker::Ours, "stays", &port(8080));
    node.is_well();
    let before = node.bed.rules();
    node.pod(Maker::Reference, "lost", &port(8081));
    node.lose("lost");
    node.has_all(&["lease-leaked", "masquerade-orphaned", "ports-orphaned"]);
    node.mend();
    assert_eq!(node.bed.rules(), before);
}

#[test]
fn a_person_is_asked() {
    let node = Node::start("iptables");
    node.pod(Maker::Reference, "lost", &port(8081));
    node.lose("lost");
    let ask = |answer: &str, status: i32| {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_crilet"));
        let command = node.bed.host.command(program).args(["net", "doctor", "--fix"]);
        let mut terminal = command.on_terminal(40, 120).unwrap();
        terminal.expect("Type yes:").unwrap();
        terminal.press(answer).unwrap();
        assert_eq!(terminal.end().unwrap(), status);
    };
    let before = node.bed.rules();
    ask("y\n", 1);
    assert_eq!(node.bed.rules(), before);
    ask("yes\n", 0);
    node.is_well();
}

/// The address of the pod that is gone is another pod's by now, and so is its port.
#[test]
fn an_address_that_another_pod_has_by_now_tells_nothing_of_the_one_before() {
    let node = Node::start("iptables");
    node.guard();
    node.pod(Maker::Reference, "lost", &port(8080));
    node.lose("lost");
    node.bed.sh("rm /var/lib/cni/networks/net/*");
    node.pod(Maker::Reference, "new", &port(8080));
    node.has_all(&["masquerade-orphaned", "ports-orphaned"]);
    node.mend();
    let rules = node.bed.saved("nat");
    assert!(rules.contains(r#"id: \"new\""#) && !rules.contains(r#"id: \"lost\""#), "{rules}");
}

#[test]
fn stores_are_looked_through() {
    let mut list = plain(list("iptables", true, &json!([])));
    list["plugins"][0]["ipam"]["ranges"] =
        json!([[{"subnet": "10.88.0.0/16", "rangeStart": "10.88.0.10", "rangeEnd": "10.88.0.11"}]]);
    let node = Node::with(list);
    node.pod(Maker::Reference, "one", &json!([]));
    let store = "/var/lib/cni/networks/net";
    node.bed.sh(&format!(
        "touch -d '1 hour ago' {store}/10.88.0.11 {store}/10.88.0.12; touch {store}/what"
    ));
    let found = node.has_all(&["lease-empty", "lease-strange", "pool-full"]);
    let full = found.as_array().unwrap().iter().find(|one| one["id"] == "pool-full").unwrap();
    assert_eq!(full["what"], "10.88.0.0/16 of network `net` has no address left: 2 of 2 are taken");
    node.bed.sh(&format!("rm {store}/what"));
    node.mend();
    assert_eq!(node.bed.sh(&format!("ls {store}")), "10.88.0.10\nlast_reserved_ip.0\nlock\n");
}

/// bandwidth, firewall and macspoofchk.
#[test]
fn what_other_plugins_leave_is_taken_away() {
    let mut list = plain(list("iptables", true, &json!([])));
    list["plugins"][0]["macspoofchk"] = true.into();
    let plugins = list["plugins"].as_array_mut().unwrap();
    plugins.push(json!({"type": "firewall", "backend": "iptables"}));
    plugins.push(json!({"type": "bandwidth", "capabilities": {"bandwidth": true}}));
    let node = Node::with(list);
    let add = |pod: &str, burst: u64| {
        node.bed.pod(pod);
        let limits = json!({"ingressRate": 800_000, "ingressBurst": burst,
            "egressRate": 800_000, "egressBurst": burst});
        node.attach(Maker::Ours, pod, &json!({"portMappings": [], "bandwidth": limits}));
    };
    add("stays", 800_000);
    node.is_well();
    let before = (node.bed.rules(), node.bed.sh("ip -o link show type ifb | wc -l"));
    add("lost", 800_000);
    node.lose("lost");
    let found = node.has_all(&[
        "lease-leaked",
        "masquerade-orphaned",
        "forward-orphaned",
        "spoof-orphaned",
        "limit-leftover",
    ]);
    let seen: Vec<String> = found.as_array().unwrap().iter().flat_map(evidence).collect();
    assert!(seen.iter().any(|line| line.contains("CNI-FORWARD")), "{seen:#?}");
    node.mend();
    assert_eq!((node.bed.rules(), node.bed.sh("ip -o link show type ifb | wc -l")), before);
    add("fast", u64::from(u32::MAX));
    let note = node.has("bandwidth-burst");
    assert_eq!(note["severity"], Value::from("note"));
}
