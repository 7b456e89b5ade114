//! Pods on pairs of links without a bridge.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

fn config(more: &Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipMasq": true, "mtu": 1400,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.1"}],
        },
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Addresses, routes and settings of both sides, without what is random.
fn kernel(bed: &Bed) -> String {
    let look = "ip -o addr show | cut -d' ' -f2- | sed -e 's/@if[0-9]*//' | grep -v fe80 || true
        ip route; ip -6 route | grep -v fe80 || true; ip -o link | grep -o 'mtu [0-9]*'";
    let pod = bed.in_pod("one", look);
    let host = bed.sh(&format!(
        "{look}
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
        cat /proc/sys/net/ipv6/conf/veth*/accept_ra"
    ));
    let text = format!("{pod}\n{host}");
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        if word.starts_with("veth") { word.replace(word.trim(), "veth") } else { word.to_owned() }
    });
    words.collect()
}

fn masked(result: Value) -> Value {
    let mut result = comparable(result);
    for interface in result["interfaces"].as_array_mut().unwrap() {
        interface["mac"] = "".into();
        if interface["name"].as_str().unwrap().starts_with("veth") {
            interface["name"] = "veth".into();
        }
    }
    result
}

#[test]
fn both_makers_attach_alike_and_serve_each_others_pods() {
    for more in [
        json!({}),
        json!({"ipMasq": false, "ipam": {"type": "host-local", "subnet": "10.2.0.0/16"},
               "dns": {"nameservers": ["10.2.0.1"], "search": ["a.b"]}}),
    ] {
        let config = config(&more);
        let made = Maker::BOTH.map(|maker| {
            let bed = Bed::start();
            bed.pod("one");
            let result = bed.run(maker, "ADD", "one", &config).ok();
            let state = (kernel(&bed), bed.saved("nat"));
            let gateway = if more == json!({}) { "10.1.0.1" } else { "10.2.0.1" };
            bed.in_pod("one", &format!("busybox ping -c 1 -W 2 {gateway}"));
            let whole = with_previous(config.clone(), &result);
            for checker in Maker::BOTH {
                bed.run(checker, "CHECK", "one", &whole).ok();
            }
            bed.run(maker.other(), "DEL", "one", &whole).ok();
            assert_eq!(bed.saved("nat").matches("-A ").count(), 0, "{}", bed.saved("nat"));
            assert_eq!(bed.sh("ip -o link show type veth | grep -v uplink || true; ls /var/lib/cni/networks/net | grep '\\.0\\.' | grep -v last || true"), "");
            bed.run(maker, "DEL", "one", &whole).ok();
            (masked(result), state)
        });
        assert_eq!(made[0], made[1], "{more}");
    }
}

#[test]
fn masquerading_goes_with_a_namespace_that_is_gone() {
    let bed = Bed::start();
    for (maker, pod) in [(Maker::Ours, "one"), (Maker::Reference, "two"), (Maker::Ours, "three")] {
        bed.pod(pod);
        bed.run(maker, "ADD", pod, &config(&json!({}))).ok();
    }
    let del = |container: &str| {
        let call = Call {
            maker: Maker::Ours,
            plugin: "ptp",
            command: "DEL",
            container,
            namespace: "",
            link: "eth0",
            args: "",
            config: config(&json!({})),
        };
        bed.call(&call).ok();
    };
    for pod in ["one", "two"] {
        bed.sh(&format!("ip netns del {pod}"));
        del(pod);
        del(pod);
        assert!(!bed.saved("nat").contains(&format!("id: \\\"{pod}\\\"")), "{}", bed.saved("nat"));
    }
    assert_eq!(bed.saved("nat").matches("-A ").count(), 6, "{}", bed.saved("nat"));
    let mut collect = config(&json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}));
    collect["name"] = "other".into();
    bed.run(Maker::Ours, "GC", "three", &collect).ok();
    assert_eq!(bed.saved("nat").matches("-A ").count(), 6);
    collect["name"] = "net".into();
    bed.run(Maker::Ours, "GC", "three", &collect).ok();
    assert_eq!(bed.saved("nat").matches("-A ").count(), 0);
    assert_eq!(bed.sh("ls /var/lib/cni/networks/net | grep -c '^10\\.' || true"), "0\n");
    bed.run(Maker::Ours, "STATUS", "three", &collect).ok();
}

#[test]
fn an_add_that_fails_leaves_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    let nothing = |expected: &str, code: u64, config: &Value| {
        let (given, words) = bed.run(Maker::Ours, "ADD", "one", config).error();
        assert_eq!((given, words.contains(expected)), (code, true), "{expected}: {given} {words}");
        assert_eq!(bed.sh("ip -o link show type veth | grep -v uplink || true"), "");
        let leases = "ls /var/lib/cni/networks/net 2>/dev/null | grep -v -e last -e lock -e index";
        assert_eq!(bed.sh(&format!("{leases} || true")), "", "{expected}");
    };
    nothing("`mtu` is 20, but must be between 68 and 65535", 7, &config(&json!({"mtu": 20})));
    nothing("`mtu` is 1000, but IPv6 needs at least 1280", 7, &config(&json!({"mtu": 1000})));
    nothing("`ipam` is missing", 7, &config(&json!({"ipam": null})));
    nothing("`ipMasqBackend`: unknown variant `pf`", 7, &config(&json!({"ipMasqBackend": "pf"})));
    let lonely = json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}]}});
    nothing("`ipam` gives 10.1.0.5/24 without a gateway", 7, &config(&lonely));
    // The last step fails.
    bed.sh("ip link add br0 type bridge; ip addr add 10.1.0.1/32 dev lo; ip route add 10.1.0.2/32 dev lo");
    let wrong = json!({"ipam": {"type": "static", "routes": [{"dst": "10.8.0.0/16", "gw": "10.7.0.1"}],
        "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]}});
    nothing("failed to add route 10.8.0.0/16 via 10.7.0.1", 999, &config(&wrong));
    bed.in_pod("one", "ip link add eth0 type bridge");
    nothing("(\"eth0\") already exists", 999, &config(&json!({})));
}

#[test]
fn check_looks_at_both_ends() {
    let bed = Bed::start();
    bed.pod("one");
    let config = config(&json!({}));
    let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let mut whole = with_previous(config, &result);
    let fails = |whole: &Value, expected: &str| {
        let (_, words) = bed.run(Maker::Ours, "CHECK", "one", whole).error();
        assert!(words.contains(expected), "{expected}: {words}");
    };
    whole["prevResult"]["interfaces"][0]["name"] = "other".into();
    fails(&whole, "no link of the host in prevResult is the other end");
    whole["prevResult"] = result;
    bed.in_pod("one", "ip route del 10.9.0.0/16");
    fails(&whole, "expected Route 10.9.0.0/16 not found");
    bed.in_pod("one", "ip route add 10.9.0.0/16 via 10.1.0.1");
    bed.run(Maker::Ours, "CHECK", "one", &whole).ok();
    bed.sh("iptables -t nat -F POSTROUTING");
    fails(&whole, "masquerading of 10.1.0.2/24 is missing");
}
