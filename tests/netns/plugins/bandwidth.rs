//! Limits of what pods receive and send.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

/// A host with pods, each with a veth to the host.
fn start(pods: &[&str]) -> Bed {
    let bed = Bed::start();
    for pod in pods {
        bed.pod(pod);
        bed.sh(&format!(
            "ip link add veth-{pod} type veth peer name eth0 netns {pod}
             ip link set veth-{pod} mtu 1400 up; ip -n {pod} link set eth0 mtu 1400 up"
        ));
    }
    bed
}

fn previous(pod: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cni0"}, {"name": format!("veth-{pod}")},
            {"name": "eth0", "sandbox": format!("/run/netns/{pod}")},
        ],
        "ips": [{"interface": 2, "address": "10.1.0.5/24"}],
    })
}

fn config(pod: &str, more: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "bandwidth"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    with_previous(config, &previous(pod))
}

/// Disciplines and filters of the host, and its ifb links, without what differs each time.
fn state(bed: &Bed) -> String {
    bed.sh("tc -d qdisc show | grep -v noqueue || true
            for link in $(ls /sys/class/net); do
                tc -d filter show dev $link ingress 2>/dev/null | sed 's/index [0-9]*/index N/'
            done
            ip -o link show type ifb | sed -e 's/^[0-9]*: //' -e 's/link.ether [^ ]*/link MAC/' \
                -e 's/.    alias.*//'")
}

fn masked(mut result: Value) -> Value {
    let last = result["interfaces"].as_array_mut().unwrap().last_mut().unwrap();
    if last["name"].as_str().unwrap().starts_with("bwp") {
        assert_eq!(last["mac"].as_str().unwrap().len(), 17);
        last["mac"] = "masked".into();
    }
    comparable(result)
}

#[test]
fn both_makers_shape_alike_and_serve_each_others_pods() {
    let both = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
                      "egressRate": 16_000_000, "egressBurst": 1_600_000});
    for ask in [
        both.clone(),
        json!({"ingressRate": 123_457, "ingressBurst": 77_777}),
        json!({"egressRate": 40_000_000_000_u64, "egressBurst": 8_000_000_000_u64}),
        json!({"runtimeConfig": {"bandwidth": {"IngressRate": 9_000_000, "IngressBurst": 1_000_000,
                                             "EgressRate": 0, "EgressBurst": 0}}}),
        // The network's own keys win, even when they limit nothing.
        json!({"ingressRate": 0, "runtimeConfig": {"bandwidth": both}}),
        json!({}),
    ] {
        let config = config("one", &ask);
        let made = Maker::BOTH.map(|maker| {
            let bed = start(&["one"]);
            let before = state(&bed);
            let result = bed.run(maker, "ADD", "one", &config).ok();
            let during = state(&bed);
            let whole = with_previous(config.clone(), &result);
            for checker in Maker::BOTH {
                // The reference's dies on a pod that is not limited.
                if checker == Maker::Reference && ask == json!({}) {
                    continue;
                }
                bed.run(checker, "CHECK", "one", &whole).ok();
            }
            bed.run(maker.other(), "DEL", "one", &whole).ok();
            assert_eq!(bed.sh("ip -o link show type ifb"), "");
            bed.run(maker, "DEL", "one", &whole).ok();
            bed.sh("ip link del veth-one");
            assert_eq!(state(&bed), before);
            (masked(result), during)
        });
        assert_eq!(made[0], made[1], "{ask}");
    }
}

#[test]
fn a_burst_that_nobody_chose_lets_the_limit_bite() {
    for (burst, limit) in [(4_294_967_295_u64, "burst 125000b"), (34_359_738_359, "burst 125000b")]
    {
        let ask = json!({"runtimeConfig": {"bandwidth": {
            "EgressRate": 10_000_000, "EgressBurst": burst,
            "IngressRate": 1_000_000, "IngressBurst": burst}}});
        let config = config("one", &ask);
        let bed = start(&["one"]);
        bed.run(Maker::Ours, "ADD", "one", &config).ok();
        bed.run(Maker::Ours, "CHECK", "one", &config).ok();
        let state = state(&bed);
        assert!(state.contains("rate 10Mbit") && state.contains(limit), "{state}");
        assert!(state.contains("rate 1Mbit burst 64Kb"), "{state}");
    }
    // What the reference made of it is right as well.
    let ask = json!({"runtimeConfig": {"bandwidth": {
        "EgressRate": 100_000_000, "EgressBurst": 4_294_967_295_u64}}});
    let config = config("one", &ask);
    let bed = start(&["one"]);
    bed.run(Maker::Reference, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
}

#[test]
fn an_add_after_one_that_nobody_took_away_succeeds() {
    let ask = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
                     "egressRate": 16_000_000, "egressBurst": 1_600_000});
    let bed = start(&["one"]);
    let config = config("one", &ask);
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let made = state(&bed);
    // The pod came up anew under its id, or the same call is made again.
    for script in [
        "ip link del veth-one; ip link add veth-one type veth peer name eth0 netns one
         ip link set veth-one mtu 1400 up; ip -n one link set eth0 mtu 1400 up",
        "true",
        "ip link del $(ip -o link show type ifb | cut -d' ' -f2 | tr -d :)",
    ] {
        bed.sh(script);
        bed.run(Maker::Ours, "ADD", "one", &config).ok();
        assert_eq!(state(&bed), made, "{script}");
    }
    let (_, words) = bed.run(Maker::Reference, "ADD", "one", &config).error();
    assert!(words.contains("file exists"), "{words}");
}

#[test]
fn a_second_attachment_does_not_take_the_first_ones_limit() {
    let ask = json!({"egressRate": 16_000_000, "egressBurst": 1_600_000});
    let bed = start(&["one"]);
    bed.run(Maker::Ours, "ADD", "one", &config("one", &ask)).ok();
    bed.sh("ip link add veth-two type veth peer name eth1 netns one; ip link set veth-two up");
    let made = state(&bed);
    let mut config = config("two", &ask);
    config["prevResult"]["interfaces"][2] = json!({"name": "eth1", "sandbox": "/run/netns/one"});
    let call = Call {
        maker: Maker::Ours,
        plugin: "bandwidth",
        command: "ADD",
        container: "one",
        namespace: "one",
        link: "eth1",
        args: "",
        config,
    };
    let (_, words) = bed.call(&call).error();
    assert!(words.contains("limits what comes from link `veth-one`"), "{words}");
    assert_eq!(state(&bed), made);
}

#[test]
fn an_add_that_fails_half_way_leaves_nothing() {
    let ask = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
                     "egressRate": 16_000_000, "egressBurst": 1_600_000});
    let bed = start(&["one"]);
    bed.sh("tc qdisc add dev veth-one ingress
            tc filter add dev veth-one parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress mirror dev lo");
    let before = state(&bed);
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config("one", &ask)).error();
    assert!(words.contains("failed to take what link `veth-one` receives: File exists"), "{words}");
    assert_eq!(state(&bed), before);
    bed.sh("tc qdisc del dev veth-one ingress; tc qdisc add dev veth-one root handle 1: pfifo");
    let before = state(&bed);
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config("one", &ask)).error();
    assert!(words.contains("failed to limit the rate of link `veth-one`: File exists"), "{words}");
    assert_eq!(state(&bed), before);
}

#[test]
fn links_go_without_namespace_and_with_gc() {
    let ask = json!({"egressRate": 16_000_000, "egressBurst": 1_600_000});
    let pods = ["one", "two", "three", "other"];
    let bed = start(&pods);
    for pod in pods {
        let mut config = config(pod, &ask);
        config["cniVersion"] = "1.1.0".into();
        config["name"] = if pod == "other" { "other" } else { "net" }.into();
        bed.run(Maker::Ours, "ADD", pod, &config).ok();
    }
    bed.sh("ip link add bwpsomebody type ifb");
    let links = |count: usize| {
        let links = bed.sh("ip -o link show type ifb");
        assert_eq!(links.lines().count(), count, "{links}");
    };
    links(5);
    let bare = json!({"cniVersion": "1.1.0", "name": "net", "type": "bandwidth"});
    bed.sh("ip netns del one");
    let call = Call {
        maker: Maker::Ours,
        plugin: "bandwidth",
        command: "DEL",
        container: "one",
        namespace: "",
        link: "eth0",
        args: "",
        config: bare.clone(),
    };
    bed.call(&call).ok();
    links(4);
    bed.call(&call).ok();
    let mut collect = bare;
    assert_eq!(bed.run(Maker::Ours, "GC", "two", &collect).error().0, 7);
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "three", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "two", &collect).ok();
    links(3);
    let notes = bed.sh("ip link show type ifb");
    assert!(notes.contains("net/three/eth0") && notes.contains("other/other/eth0"), "{notes}");
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "two", &collect).ok();
    links(2);
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let bed = start(&["one"]);
    let before = state(&bed);
    let runtime = |bandwidth: Value| json!({"runtimeConfig": {"bandwidth": bandwidth}});
    let cases = [
        (json!({"ingressRate": 800}), "`ingressRate` is set, so `ingressBurst` must also be set"),
        (json!({"egressBurst": 800}), "`egressBurst` is set, so `egressRate` must also be set"),
        (
            runtime(json!({"EgressRate": 800})),
            "`runtimeConfig.bandwidth.egressRate` is set, so `runtimeConfig.bandwidth.egressBurst`",
        ),
        (
            json!({"ingressRate": 7, "ingressBurst": 800}),
            "`ingressRate` is 7, but must be at least",
        ),
        (json!({"ingressRate": 800, "ingressBurst": 7}), "`ingressBurst` is 7, but must be from 8"),
        (
            json!({"egressRate": 800, "egressBurst": 34_359_738_360_u64}),
            "`egressBurst` is 34359738360, but must be from 8 to 34359738359 bits",
        ),
        (json!({"egressRate": -1}), "`egressRate`: invalid value: integer `-1`"),
        (json!({"egressRate": "1M"}), "`egressRate`: invalid type: string \"1M\""),
    ];
    for (ask, expected) in cases {
        for command in ["ADD", "CHECK"] {
            let (code, words) = bed.run(Maker::Ours, command, "one", &config("one", &ask)).error();
            assert_eq!((code, words.contains(expected)), (7, true), "{expected}: {words}");
        }
    }
    let ask = json!({"egressRate": 16_000_000, "egressBurst": 1_600_000});
    let mut config = config("one", &ask);
    config["prevResult"]["interfaces"].as_array_mut().unwrap().remove(1);
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("`prevResult.interfaces` has no `veth-one`"), "{words}");
    bed.sh("ip link del veth-one; ip -n one link add eth0 type bridge");
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("it is of kind `bridge`; chain the plugin after one"), "{words}");
    bed.sh("ip -n one link del eth0");
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("it is not there"), "{words}");
    assert_eq!(bed.sh("ip -o link show type ifb"), "");
    assert!(before.is_empty(), "{before}");
}
