//! The filter table: rules of both makers are the same, go with their pod, and are nobody else's.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

pub(super) fn config(more: &Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "firewall", "backend": "iptables",
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// What `bridge` would have given a pod.
pub(super) fn previous(addresses: &[&str]) -> Value {
    let ips = addresses.iter().map(|address| json!({"interface": 2, "address": address}));
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "br0", "mac": "02:00:00:00:00:01"},
            {"name": "veth1", "mac": "02:00:00:00:00:02"},
            {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/one"},
        ],
        "ips": ips.collect::<Vec<_>>(),
    })
}

pub(super) fn rules_of_pods(bed: &Bed) -> String {
    bed.sh("iptables-save -t filter | grep -e '-A CNI-FORWARD -[ds]' || true
            ip6tables-save -t filter | grep -e '-A CNI-FORWARD -[ds]' || true")
}

/// Both filter tables; nft lists chains in the order of their making, which is nobody's concern.
fn filter(bed: &Bed) -> String {
    bed.sh("iptables-save -t filter | grep -e '^-A' -e '^:' | sed 's/ \\[.*//'
            ip6tables-save -t filter | grep -e '^-A' -e '^:' | sed 's/ \\[.*//'")
}

/// Rules with the comment that plugins before 1.2 have on what is for both policies.
fn older(rules: &str) -> String {
    rules.replace("same-bridge|isolated", "same-bridge")
}

#[test]
fn both_makers_make_the_same_rules_and_take_away_each_others() {
    let variants = [
        json!({}),
        json!({"iptablesAdminChainName": "MY-ADMIN"}),
        json!({"IngressPolicy": "same-bridge", "iptablesadminchainname": "ADMIN"}),
    ];
    for variant in variants {
        let made = Maker::BOTH.map(|maker| {
            let bed = Bed::start();
            bed.pod("one");
            let previous = previous(&["10.1.0.5/24", "fd00::5/64"]);
            let config = with_previous(config(&variant), &previous);
            let result = bed.run(maker, "ADD", "one", &config).ok();
            assert_eq!(comparable(result), previous);
            let rules = filter(&bed);
            bed.run(maker.other(), "CHECK", "one", &config).ok();
            bed.run(Maker::Ours, "ADD", "one", &config).ok();
            assert_eq!(filter(&bed), rules, "rules that are there are not added again");
            bed.run(maker.other(), "DEL", "one", &config).ok();
            assert_eq!(rules_of_pods(&bed), "");
            let left = filter(&bed);
            bed.run(Maker::Ours, "DEL", "one", &config).ok();
            assert_eq!(filter(&bed), left, "a second DEL changes nothing");
            let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
            assert!(words.contains("`-A CNI-FORWARD -d 10.1.0.5/32"), "{words}");
            [older(&rules), older(&left)]
        });
        assert_eq!(made[0], made[1], "{variant}");
    }
}

/// Debian's plugin does not know this policy yet.
#[test]
fn an_isolated_bridge_is_closed_to_itself() {
    let bed = Bed::start();
    bed.pod("one");
    let isolated = json!({"ingressPolicy": "isolated"});
    let config = with_previous(config(&isolated), &previous(&["10.1.0.5/24"]));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    let told = |policy: &str| {
        format!("-m comment --comment \"CNI firewall plugin rules (ingressPolicy: {policy})\" -j")
    };
    let (own, both) = (told("isolated"), told("same-bridge|isolated"));
    let expected = format!(
        "-A FORWARD {both} CNI-ISOLATION-STAGE-1\n\
         -A FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD\n\
         -A CNI-FORWARD -m comment --comment \"CNI firewall plugin admin overrides\" -j CNI-ADMIN\n\
         -A CNI-FORWARD -d 10.1.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A CNI-FORWARD -s 10.1.0.5/32 -j ACCEPT\n\
         -A CNI-ISOLATION-STAGE-1 -i br0 -o br0 {own} DROP\n\
         -A CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 {own} CNI-ISOLATION-STAGE-2\n\
         -A CNI-ISOLATION-STAGE-1 {both} RETURN\n\
         -A CNI-ISOLATION-STAGE-2 -o br0 {both} DROP\n\
         -A CNI-ISOLATION-STAGE-2 {both} RETURN\n"
    );
    assert_eq!(bed.sh("iptables-save -t filter | grep -e ^-A"), expected);
    bed.sh("iptables -F CNI-ISOLATION-STAGE-2");
    let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
    assert!(words.contains("expected rule `-A CNI-ISOLATION-STAGE-2 -o br0"), "{words}");
}

#[test]
fn rules_go_without_a_previous_result() {
    let bed = Bed::start();
    bed.pod("one");
    bed.pod("two");
    let config = config(&json!({}));
    let one = with_previous(config.clone(), &previous(&["10.1.0.5/24", "fd00::5/64"]));
    let two = with_previous(config.clone(), &previous(&["10.1.0.6/24"]));
    bed.run(Maker::Ours, "ADD", "one", &one).ok();
    bed.run(Maker::Ours, "ADD", "two", &two).ok();
    let del = |container: &str| {
        let call = Call {
            maker: Maker::Ours,
            plugin: "firewall",
            command: "DEL",
            container,
            namespace: "",
            link: "eth0",
            args: "",
            config: config.clone(),
        };
        bed.call(&call).ok();
    };
    del("one");
    let left = rules_of_pods(&bed);
    assert_eq!(left.lines().count(), 2, "{left}");
    assert!(left.contains("-s 10.1.0.6/32"), "{left}");
    // The reference's rules are found by its leases.
    bed.run(Maker::Reference, "ADD", "one", &one).ok();
    bed.sh("mkdir -p /var/lib/cni/networks/net
            printf 'one\\r\\neth0' > /var/lib/cni/networks/net/10.1.0.5
            printf 'one\\r\\neth0' > /var/lib/cni/networks/net/fd00::5");
    del("one");
    assert_eq!(rules_of_pods(&bed), left);
    del("two");
    assert_eq!(rules_of_pods(&bed), "");
    assert_eq!(bed.sh("ls /run/crilet/firewall"), "");
}

#[test]
fn a_late_del_leaves_the_pod_that_has_the_address_now() {
    let bed = Bed::start();
    bed.pod("one");
    bed.pod("two");
    let config = with_previous(config(&json!({})), &previous(&["10.1.0.5/24"]));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "ADD", "two", &config).ok();
    let rules = rules_of_pods(&bed);
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert_eq!(rules_of_pods(&bed), rules);
    bed.run(Maker::Ours, "DEL", "two", &config).ok();
    assert_eq!(rules_of_pods(&bed), "");
}

#[test]
fn gc_collects_what_is_of_no_valid_attachment_of_its_network() {
    let bed = Bed::start();
    let mut config = config(&json!({}));
    config["cniVersion"] = "1.1.0".into();
    for (number, pod) in ["one", "two"].into_iter().enumerate() {
        bed.pod(pod);
        let address = format!("10.1.0.{}/24", number + 5);
        bed.run(Maker::Ours, "ADD", pod, &with_previous(config.clone(), &previous(&[&address])))
            .ok();
    }
    bed.pod("other");
    let mut other = config.clone();
    other["name"] = "other".into();
    bed.run(Maker::Ours, "ADD", "other", &with_previous(other, &previous(&["10.2.0.5/24"]))).ok();
    bed.sh("iptables -A CNI-FORWARD -s 10.9.9.9/32 -j ACCEPT");
    let mut collect = config.clone();
    let (code, words) = bed.run(Maker::Ours, "GC", "one", &collect).error();
    assert_eq!(code, 7);
    assert!(words.contains("`cni.dev/valid-attachments` is missing"), "{words}");
    assert_eq!(rules_of_pods(&bed).lines().count(), 7);
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "two", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    let left = rules_of_pods(&bed);
    assert_eq!(left.lines().count(), 5, "{left}");
    assert!(!left.contains("10.1.0.5"), "{left}");
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    let left = rules_of_pods(&bed);
    assert_eq!(left.lines().count(), 3, "{left}");
    assert!(left.contains("10.2.0.5") && left.contains("10.9.9.9"), "{left}");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    let before = bed.rules();
    let result = previous(&["10.1.0.5/24", "fd00::5/64"]);
    let cases = [
        (json!({"backend": "pf"}), "`backend` is \"pf\", but must be \"iptables\" or"),
        (json!({"ingressPolicy": "shut"}), "`ingressPolicy` is \"shut\", but must be \"open\""),
        (json!({"iptablesAdminChainName": "a b"}), "`iptablesAdminChainName` is \"a b\""),
        (json!({"iptablesAdminChainName": "FORWARD"}), "must be a chain of its own"),
        (json!({"iptablesAdminChainName": "x".repeat(29)}), "at most 28 letters"),
        (json!({"backend": 5}), "`backend`: invalid type: integer `5`"),
    ];
    for (more, expected) in cases {
        let whole = with_previous(config(&more), &result);
        for command in ["ADD", "CHECK"] {
            let (code, words) = bed.run(Maker::Ours, command, "one", &whole).error();
            assert_eq!((code, words.contains(expected)), (7, true), "{command}: {words}");
        }
        bed.run(Maker::Ours, "DEL", "one", &whole).ok();
    }
    let lonely = config(&json!({}));
    let (code, words) = bed.run(Maker::Ours, "ADD", "one", &lonely).error();
    assert_eq!((code, words.contains("`prevResult` is missing")), (7, true), "{words}");
    let mut unbridged = result;
    unbridged["interfaces"] = json!([]);
    let isolated = with_previous(config(&json!({"ingressPolicy": "isolated"})), &unbridged);
    let (code, words) = bed.run(Maker::Ours, "ADD", "one", &isolated).error();
    assert_eq!((code, words.contains("needs a bridge as the first")), (7, true), "{words}");
    assert_eq!(bed.rules(), before);
}

#[test]
fn an_add_that_fails_half_way_leaves_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    // IPv6 cannot be served, after IPv4 was.
    bed.sh("iptables -N WARM; iptables -X WARM
            mkdir -p /tmp/bin
            printf '#!/bin/sh\\ncat > /dev/null; echo no such table >&2; exit 4\\n' > /tmp/bin/ip6tables-restore
            chmod +x /tmp/bin/ip6tables-restore");
    let config = with_previous(config(&json!({})), &previous(&["10.1.0.5/24", "fd00::5/64"]));
    let command = bed
        .host
        .shell("PATH=/tmp/bin:$PATH exec /opt/crilet/cni/firewall")
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "one")
        .env("CNI_NETNS", "/run/netns/one")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/opt/crilet/cni")
        .input(config.to_string());
    let output = command.output().unwrap();
    assert!(output.stdout.contains("no such table"), "{output}");
    assert_eq!(rules_of_pods(&bed), "");
    assert_eq!(bed.sh("ls /run/crilet/firewall"), "");
}

#[test]
fn versions_and_status() {
    let bed = Bed::start();
    let mut config = config(&json!({}));
    let versions = Maker::BOTH.map(|maker| {
        let supported = bed.run(maker, "VERSION", "one", &config).ok()["supportedVersions"].clone();
        let supported = supported.as_array().unwrap().clone();
        supported.into_iter().filter(|version| version != "1.1.0").collect::<Vec<_>>()
    });
    assert_eq!(versions[0], versions[1]);
    config["cniVersion"] = "1.1.0".into();
    bed.run(Maker::Ours, "STATUS", "one", &config).ok();
    config["backend"] = "x".into();
    assert_eq!(bed.run(Maker::Ours, "STATUS", "one", &config).error().0, 7);
}
