//! Routing by source within the pod.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

/// A pod with a link of two addresses of IPv4 and one of IPv6, and routes.
fn start() -> Bed {
    let bed = Bed::start();
    bed.pod("one");
    bed.in_pod(
        "one",
        "ip link add eth0 type veth peer name x; ip link set x addrgenmode none up; ip link set lo up
         echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
         ip link set eth0 addrgenmode none
         ip addr add 10.1.0.5/24 dev eth0; ip addr add 10.2.0.5/24 dev eth0
         ip addr add fd00::5/64 dev eth0 nodad; ip link set eth0 up
         ip route add default via 10.1.0.1; ip route add 10.9.0.0/16 via 10.2.0.1
         ip -6 route add default via fd00::1",
    );
    bed
}

fn config(more: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "sbr"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    with_previous(
        config,
        &json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "br0"},
                {"name": "eth0", "sandbox": "/run/netns/one"},
                {"name": "eth1", "sandbox": "/run/netns/one"},
            ],
            "ips": [
                {"interface": 1, "address": "10.1.0.5/24", "gateway": "10.1.0.1"},
                {"interface": 2, "address": "10.7.0.5/24", "gateway": "10.7.0.1"},
                {"interface": 1, "address": "10.2.0.5/24"},
                {"address": "fd00::5/64", "gateway": "fd00::1"},
            ],
        }),
    )
}

fn state(bed: &Bed) -> String {
    bed.in_pod("one", "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
}

#[test]
fn both_makers_route_alike_and_tidy_each_others_rules() {
    let config = config(&json!({}));
    let made = Maker::BOTH.map(|maker| {
        let bed = start();
        let result = bed.run(maker, "ADD", "one", &config).ok();
        let during = state(&bed);
        for checker in Maker::BOTH {
            bed.run(checker, "CHECK", "one", &config).ok();
        }
        bed.run(maker.other(), "DEL", "one", &config).ok();
        let after = state(&bed);
        assert!(!bed.in_pod("one", "ip rule; ip -6 rule").contains("lookup 10"), "{after}");
        bed.run(maker, "DEL", "one", &config).ok();
        assert_eq!(state(&bed), after);
        let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
        assert!(words.contains("no rule leads packets from 10.1.0.5"), "{words}");
        (comparable(result), during, after)
    });
    assert_eq!(made[0], made[1]);
}

/// Debian's plugin does not have the key yet.
#[test]
fn with_a_table_only_rules_are_made() {
    let bed = start();
    let before = state(&bed);
    let config = config(&json!({"table": 1000}));
    for _ in 0..2 {
        bed.run(Maker::Ours, "ADD", "one", &config).ok();
        bed.run(Maker::Ours, "CHECK", "one", &config).ok();
        let rules = bed.in_pod("one", "ip rule; ip -6 rule");
        assert_eq!(rules.matches("lookup 1000").count(), 3, "{rules}");
    }
    bed.in_pod("one", "ip rule add from 10.1.0.5 lookup 7");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert!(bed.in_pod("one", "ip rule").contains("from 10.1.0.5 lookup 7"));
    bed.in_pod("one", "ip rule del from 10.1.0.5 lookup 7");
    assert_eq!(state(&bed), before);
}

#[test]
fn gateways_and_hints_are_honoured() {
    let bed = start();
    let config = config(&json!({"gateways": ["fd00::9", "10.1.0.9"], "addSourceHints": true}));
    let mut config = config;
    config["prevResult"]["ips"].as_array_mut().unwrap().remove(2);
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let state = state(&bed);
    for expected in [
        "default via 10.1.0.9 dev eth0 table 100",
        "default via fd00::9 dev eth0 table 101",
        "10.1.0.0/24 dev eth0 scope link src 10.1.0.5",
        "from 10.1.0.5 lookup 100",
        "from fd00::5 lookup 101",
    ] {
        assert!(state.contains(expected), "{expected}: {state}");
    }
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    bed.in_pod("one", "ip route del default table 100");
    let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
    assert!(words.contains("table 100 has no default route via 10.1.0.9"), "{words}");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let bed = start();
    let before = state(&bed);
    let fails = |config: &Value, code: u64, expected: &str| {
        let (given, words) = bed.run(Maker::Ours, "ADD", "one", config).error();
        assert_eq!((given, words.contains(expected)), (code, true), "{expected}: {given} {words}");
        assert_eq!(state(&bed), before, "{expected}");
    };
    fails(
        &config(&json!({"table": 254})),
        7,
        "`table` is 254, but must be a table of the pod's own",
    );
    fails(&config(&json!({"table": -1})), 7, "`table`: invalid value: integer `-1`");
    fails(
        &config(&json!({"gateways": ["x"]})),
        7,
        "`gateways[0]` is \"x\", which is no IP address",
    );
    let two = json!({"gateways": ["10.1.0.1", "10.1.0.2"]});
    fails(&config(&two), 7, "`gateways[1]` is 10.1.0.2, the second one of its family");
    let mut first = config(&json!({}));
    first.as_object_mut().unwrap().remove("prevResult");
    fails(&first, 7, "`prevResult` is missing");
    let mut none = config(&json!({}));
    none["prevResult"]["ips"] = json!([{"interface": 2, "address": "10.7.0.5/24"}]);
    fails(&none, 7, "`prevResult.ips` has no address of link `eth0`");
    // The last of several steps fails: everything is as it was.
    let far = json!({"gateways": ["ff02::1"]});
    fails(&config(&far), 999, "failed to add route ::/0 via ff02::1");
}

#[test]
fn a_namespace_that_is_gone_is_no_failure_for_del() {
    let bed = start();
    let mut config = config(&json!({"cniVersion": "1.1.0"}));
    for namespace in ["", "gone"] {
        let call = Call {
            maker: Maker::Ours,
            plugin: "sbr",
            command: "DEL",
            container: "one",
            namespace,
            link: "eth0",
            args: "",
            config: config.clone(),
        };
        bed.call(&call).ok();
    }
    bed.run(Maker::Ours, "STATUS", "one", &config).ok();
    assert_eq!(bed.run(Maker::Ours, "GC", "one", &config).error().0, 7);
    config["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "one", &config).ok();
    // Rules go also when the link went before them.
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.in_pod("one", "ip link del eth0");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert!(!bed.in_pod("one", "ip rule; ip -6 rule").contains("lookup 10"));
}
