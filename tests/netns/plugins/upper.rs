//! Links that stand on others: macvlan, and ipvlan and vlan as far as this kernel goes.

use serde_json::{Value, json};

use super::bed::{Answer, Bed, Call, Maker, comparable, with_previous};

fn config(kind: &str, more: &Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": kind, "master": "uplink",
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn leases(bed: &Bed) -> String {
    bed.sh("ls /var/lib/cni/networks/net 2>/dev/null | grep '^10' || true")
}

/// The pod's link as the kernel tells of it, without what is random. Plugins before 1.2 made links
/// without a queue by mistake.
fn kernel(bed: &Bed) -> String {
    bed.in_pod(
        "one",
        "ip -o -d link show eth0 | sed -e 's/^[0-9]*: //' -e 's/@if[0-9]*//' -e 's/ether [^ ]*//' -e 's/link-net[^ ]* [^ ]*//' -e 's/qlen 1000//'
        ip -o -4 addr show eth0 | cut -d' ' -f2-; ip route; ip -o -6 addr show dev eth0 scope global
        cat /proc/sys/net/ipv4/conf/eth0/arp_notify",
    )
}

fn masked(result: Value, is_random: bool) -> Value {
    let mut result = comparable(result);
    if is_random {
        result["interfaces"][0]["mac"] = "".into();
    }
    result
}

#[test]
fn both_makers_make_the_same_macvlan_and_serve_each_others_pods() {
    let variants = [
        json!({}),
        json!({"mode": "private", "mac": "02:00:00:00:00:77", "mtu": 1300, "dns": {"domain": "d"}}),
        json!({"mode": "vepa", "master": "", "runtimeConfig": {"mac": "02:00:00:00:00:78"}}),
        json!({"mode": "passthru", "ipam": {}}),
    ];
    for more in variants {
        let config = config("macvlan", &more);
        let made = Maker::BOTH.map(|maker| {
            let bed = Bed::start();
            bed.pod("one");
            let result = bed.run(maker, "ADD", "one", &config).ok();
            let state = kernel(&bed);
            let whole = with_previous(config.clone(), &result);
            for checker in Maker::BOTH {
                bed.run(checker, "CHECK", "one", &whole).ok();
            }
            bed.run(maker.other(), "DEL", "one", &whole).ok();
            assert_eq!(bed.in_pod("one", "ip -o link show type macvlan"), "");
            assert_eq!(leases(&bed), "");
            bed.run(maker, "DEL", "one", &whole).ok();
            (masked(result, !config.to_string().contains("02:00:")), state)
        });
        assert_eq!(made[0], made[1], "{more}");
    }
}

#[test]
fn check_compares_mode_and_mtu() {
    let bed = Bed::start();
    bed.pod("one");
    let mut config = config("macvlan", &json!({"mtu": 1400}));
    let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
    config = with_previous(config, &result);
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    config["mode"] = "vepa".into();
    let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
    assert!(words.contains("does not match expected value: vepa"), "{words}");
    config["mode"] = "bridge".into();
    bed.in_pod("one", "ip link set eth0 mtu 1300");
    let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
    assert!(words.contains("mtu of link `eth0` is 1300, but `mtu` is 1400"), "{words}");
}

#[test]
fn a_link_of_the_pod_may_be_the_lower_one() {
    let bed = Bed::start();
    bed.pod("one");
    bed.in_pod("one", "ip link add below type veth peer name x; ip link set below up");
    let config = config("macvlan", &json!({"linkInContainer": true, "master": "below"}));
    let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert!(bed.in_pod("one", "ip -o link show eth0").contains("eth0@below"));
    bed.run(Maker::Ours, "CHECK", "one", &with_previous(config.clone(), &result)).ok();
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert_eq!(bed.in_pod("one", "ip -o link show type macvlan"), "");
}

#[test]
fn leases_go_with_a_namespace_that_is_gone_and_with_gc() {
    let bed = Bed::start();
    for pod in ["one", "two"] {
        bed.pod(pod);
        bed.run(Maker::Ours, "ADD", pod, &config("macvlan", &json!({}))).ok();
    }
    bed.sh("ip netns del one");
    let call = Call {
        maker: Maker::Ours,
        plugin: "macvlan",
        command: "DEL",
        container: "one",
        namespace: "",
        link: "eth0",
        args: "",
        config: config("macvlan", &json!({})),
    };
    bed.call(&call).ok();
    assert_eq!(leases(&bed), "10.1.0.3\n");
    let mut collect = config("macvlan", &json!({"cniVersion": "1.1.0"}));
    assert_eq!(bed.run(Maker::Ours, "GC", "two", &collect).error().0, 7);
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "two", &collect).ok();
    assert_eq!(leases(&bed), "");
    bed.run(Maker::Ours, "STATUS", "two", &collect).ok();
    collect["master"] = "eth9".into();
    let (code, words) = bed.run(Maker::Ours, "STATUS", "two", &collect).error();
    assert_eq!((code, words.contains("`master` is \"eth9\"")), (50, true), "{words}");
}

#[test]
fn what_is_wrong_is_said_and_leaves_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh("ip route del default 2>/dev/null || true; ip -6 route del default 2>/dev/null || true");
    let before = bed.in_pod("one", "ip -o link");
    let fails = |kind: &str, more: Value, code: u64, expected: &str| {
        let answer: Answer = bed.run(Maker::Ours, "ADD", "one", &config(kind, &more));
        let (given, words) = answer.error();
        assert_eq!((given, words.contains(expected)), (code, true), "{expected}: {given} {words}");
        assert_eq!(bed.in_pod("one", "ip -o link"), before);
        assert_eq!(leases(&bed), "", "{expected}");
    };
    for kind in ["macvlan", "ipvlan", "vlan"] {
        fails(
            kind,
            json!({"master": "eth9"}),
            7,
            "`master` is \"eth9\", but there is no such link on",
        );
        fails(
            kind,
            json!({"mtu": 9000}),
            7,
            "`mtu` is 9000, but must not be above 1500 of `uplink`",
        );
        fails(kind, json!({"mtu": 9}), 7, "`mtu` is 9, but must be between 68");
        fails(kind, json!({"mtu": "big"}), 7, "`mtu`: invalid type: string \"big\"");
    }
    fails(
        "macvlan",
        json!({"master": ""}),
        7,
        "`master` is missing, and there is no default route",
    );
    fails("macvlan", json!({"mode": "x"}), 7, "`mode` is \"x\", but must be \"bridge\"");
    fails("macvlan", json!({"mac": "ff:00:00:00:00:00"}), 7, "`mac` is \"ff:00:00:00:00:00\"");
    fails("ipvlan", json!({"mode": "l9"}), 7, "`mode` is \"l9\", but must be \"l2\"");
    fails("ipvlan", json!({"ipam": {}}), 7, "`ipam` is missing, and no plugin before gives");
    fails("vlan", json!({"vlanId": 4095}), 7, "`vlanId` is 4095, but must be between 0 and 4094");
    fails("vlan", json!({"master": ""}), 7, "`master` is missing: name the link");
    fails("vlan", json!({"ipam": {}}), 7, "`ipam` is missing");
    let wrong = json!({"ipam": {"type": "host-local", "subnet": "10.1.0.0/24",
                                "routes": [{"dst": "10.8.0.0/16", "gw": "10.7.0.1"}]}});
    fails("macvlan", wrong, 999, "failed to add route 10.8.0.0/16 via 10.7.0.1");
    bed.in_pod("one", "ip link add eth0 type bridge");
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config("macvlan", &json!({}))).error();
    assert!(words.contains("(\"eth0\") already exists"), "{words}");
}

/// Where the kernel has such links, they must come up; where not, it must be said what is missing.
#[test]
fn what_the_kernel_has_not_is_named() {
    let bed = Bed::start();
    bed.pod("one");
    let before = bed.in_pod("one", "ip -o link");
    for (kind, module, more) in
        [("ipvlan", "ipvlan", json!({"mode": "l3"})), ("vlan", "8021q", json!({"vlanId": 5}))]
    {
        let config = config(kind, &more);
        let has_kind = bed.host.shell(&format!(
            "ip link add probe link uplink type {kind} {}",
            if kind == "vlan" { "id 9" } else { "" }
        ));
        if has_kind.output().unwrap().status == 0 {
            bed.sh("ip link del probe");
            let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
            let whole = with_previous(config, &result);
            for maker in Maker::BOTH {
                bed.run(maker, "CHECK", "one", &whole).ok();
            }
            bed.run(Maker::Reference, "DEL", "one", &whole).ok();
        } else {
            let (code, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
            let expected =
                format!("the kernel has no links of kind {kind}: load its module `{module}`");
            assert_eq!((code, words.contains(&expected)), (999, true), "{words}");
        }
        assert_eq!(bed.in_pod("one", "ip -o link"), before);
        assert_eq!(leases(&bed), "");
    }
    let chained = json!({"type": "ipvlan", "name": "net", "cniVersion": "1.0.0", "prevResult": {
        "cniVersion": "1.0.0", "interfaces": [{"name": "nolink"}],
        "ips": [{"interface": 0, "address": "10.1.0.5/24"}]}});
    let (code, words) = bed.run(Maker::Ours, "ADD", "one", &chained).error();
    assert_eq!((code, words.contains("`master` is \"nolink\"")), (7, true), "{words}");
}
