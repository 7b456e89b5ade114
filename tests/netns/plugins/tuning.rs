//! Settings and links that `tuning` changes, and that DEL of either maker puts back.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

const BACKUP: &str = "/run/cni/tuning/one_eth0.json";

fn config(more: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "tuning"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    with_previous(
        config,
        &json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "veth1", "mac": "02:00:00:00:00:02"},
                {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/one"},
            ],
            "ips": [{"interface": 1, "address": "10.1.0.5/24"}],
        }),
    )
}

/// A host with a pod whose link is there.
fn start() -> Bed {
    let bed = Bed::start();
    bed.pod("one");
    bed.in_pod("one", "ip link add eth0 address 02:00:00:00:00:03 type veth peer name peer0");
    bed
}

/// What the plugin can change.
fn state(bed: &Bed) -> Value {
    let link: Value = serde_json::from_str(&bed.in_pod("one", "ip -j link show eth0")).unwrap();
    let link = &link[0];
    let flag = |name: &str| link["flags"].as_array().unwrap().contains(&name.into());
    let sysctl = bed.in_pod(
        "one",
        "cat /proc/sys/net/ipv4/conf/eth0/arp_notify /proc/sys/net/core/somaxconn \
             /proc/sys/net/ipv4/ip_local_port_range",
    );
    json!({
        "mtu": link["mtu"], "mac": link["address"], "queue": link["txqlen"],
        "promisc": flag("PROMISC"), "allmulti": flag("ALLMULTI"), "sysctl": sysctl,
    })
}

/// All keys that Debian's plugin has.
fn everything() -> Value {
    json!({
        "sysctl": {
            "net.ipv4.conf.eth0.arp_notify": "1",
            "net/core/somaxconn": "500",
        },
        "mac": "02:00:00:00:00:99", "promisc": true, "mtu": 1400, "allmulti": true,
    })
}

#[test]
fn both_makers_change_the_same_and_put_back_each_others() {
    for (ask, more) in [
        (everything(), json!({})),
        (json!({"SysCtl": {"net.core.somaxconn": "300"}, "MTU": 1300}), json!({})),
        (
            json!({"mac": "02:00:00:00:00:aa", "sysctl": {"net.core.somaxconn": "300"}}),
            json!({"runtimeConfig": {"mac": "02:00:00:00:00:bb"}, "args": {"cni": {
                "mtu": 1200, "promisc": true, "sysctl": {"net.core.somaxconn": "400"}}}}),
        ),
    ] {
        let mut ask = ask;
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = config(&ask);
        let made = Maker::BOTH.map(|maker| {
            let bed = start();
            let before = state(&bed);
            let result = comparable(bed.run(maker, "ADD", "one", &config).ok());
            let during = state(&bed);
            assert_ne!(before, during);
            let mut backup: Value = serde_json::from_str(&bed.host.read(BACKUP).unwrap()).unwrap();
            backup.as_object_mut().unwrap().remove("crilet");
            let whole = with_previous(config.clone(), &result);
            bed.run(maker, "CHECK", "one", &whole).ok();
            bed.run(maker.other(), "CHECK", "one", &whole).ok();
            bed.run(maker.other(), "DEL", "one", &whole).ok();
            let mut after = state(&bed);
            assert_eq!(after["sysctl"], during["sysctl"], "settings go with the namespace");
            after["sysctl"] = before["sysctl"].clone();
            assert_eq!(after, before);
            assert_eq!(bed.sh("ls -A /run/cni/tuning"), "");
            bed.run(maker, "DEL", "one", &whole).ok();
            (result, during, backup)
        });
        assert_eq!(made[0], made[1], "{ask}");
        assert!(made[0].0["interfaces"][1]["mac"] != made[0].0["interfaces"][0]["mac"]);
    }
}

#[test]
fn wishes_of_the_caller_win_in_the_references_order() {
    let bed = start();
    let call = |config: &Value| {
        let call = Call {
            maker: Maker::Ours,
            plugin: "tuning",
            command: "ADD",
            container: "one",
            namespace: "one",
            link: "eth0",
            args: "IgnoreUnknown=1;MAC=02:00:00:00:00:22;K8S_POD_NAME=x",
            config: config.clone(),
        };
        bed.call(&call).ok()["interfaces"][1]["mac"].clone()
    };
    let mut ask = json!({"mac": "02:00:00:00:00:11"});
    assert_eq!(call(&config(&ask)), "02:00:00:00:00:22");
    ask["runtimeConfig"] = json!({"Mac": "02:00:00:00:00:33"});
    assert_eq!(call(&config(&ask)), "02:00:00:00:00:33");
    ask["args"] = json!({"cni": {"mac": "02:00:00:00:00:44", "promisc": false}});
    ask["promisc"] = true.into();
    assert_eq!(call(&config(&ask)), "02:00:00:00:00:44");
    assert_eq!(state(&bed)["mac"], "02:00:00:00:00:44");
    assert_eq!(state(&bed)["promisc"], false);
}

#[test]
fn the_length_of_the_queue_is_set_and_put_back() {
    let bed = start();
    let before = state(&bed);
    let config = config(&json!({
        "txQLen": 77, "allmulti": false, "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"},
    }));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(state(&bed)["queue"], 77);
    assert!(state(&bed)["sysctl"].as_str().unwrap().starts_with("1\n"));
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    bed.in_pod("one", "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify");
    assert_eq!(state(&bed), before);
}

#[test]
fn check_names_what_differs() {
    let bed = start();
    let mut ask = everything();
    ask["sysctl"]["net.ipv4.ip_local_port_range"] = "20000 30000".into();
    let config = config(&ask);
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    let spoil = [
        (
            "ip link set eth0 mtu 1401; ip link set eth0 mtu 1399",
            "mtu of `eth0` is 1400, current value is 1399",
        ),
        ("ip link set eth0 mtu 1400 promisc off", "promisc of `eth0` is 1, current value is 0"),
        ("ip link set eth0 promisc on allmulticast off", "allmulti of `eth0` is 1"),
        (
            "ip link set eth0 allmulticast on address 02:00:00:00:00:98",
            "is 02:00:00:00:00:99, current value is 02:00:00:00:00:98",
        ),
        (
            "ip link set eth0 address 02:00:00:00:00:99
             echo 2000 3000 > /proc/sys/net/ipv4/ip_local_port_range",
            "ip_local_port_range` is 20000 30000, current value is 2000\t3000",
        ),
    ];
    for (script, expected) in spoil {
        bed.in_pod("one", script);
        let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
        assert!(words.contains(expected), "{words}");
    }
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let bed = start();
    let before = state(&bed);
    let good = |more: Value| {
        let mut ask = everything();
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config(&ask)
    };
    let cases = [
        (
            good(json!({"sysctl": {"kernel.hostname": "x"}})),
            "`sysctl.kernel.hostname` is no setting of",
        ),
        (
            good(json!({"sysctl": {"net.ipv4.no_such": "1"}})),
            "`sysctl.net.ipv4.no_such` is not there",
        ),
        (
            good(
                json!({"sysctl": {"net.core.somaxconn": "70", "net.ipv4.conf.IFNAME.arp_notify": "x"}}),
            ),
            "arp_notify` is \"x\", which the kernel refuses",
        ),
        (
            good(json!({"sysctl": {"net.core.somaxconn": 5}})),
            "`sysctl.net.core.somaxconn`: invalid type",
        ),
        (good(json!({"mac": "1:2"})), "`mac` is \"1:2\", but must be a hardware"),
        (good(json!({"mac": "01:00:00:00:00:01"})), "must be the address of one link"),
        (good(json!({"runtimeConfig": {"mac": "zz"}})), "`runtimeConfig.mac` is \"zz\""),
        (good(json!({"mtu": 10})), "`mtu` is 10, but link `eth0` takes none so small"),
        (good(json!({"mtu": 1_000_000})), "`mtu` is 1000000, but link `eth0` takes none so small"),
        (good(json!({"mtu": -5})), "`mtu`: invalid value: integer `-5`"),
    ];
    for (config, expected) in cases {
        let (code, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
        assert_eq!((code, words.contains(expected)), (7, true), "{expected}: {words}");
        assert_eq!(state(&bed), before, "{expected}");
        assert_eq!(bed.sh("ls -A /run/cni/tuning 2>/dev/null || true"), "", "{expected}");
    }
    let mut first = good(json!({}));
    first.as_object_mut().unwrap().remove("prevResult");
    let (code, words) = bed.run(Maker::Ours, "ADD", "one", &first).error();
    assert_eq!((code, words.contains("`prevResult` is missing")), (7, true), "{words}");
    bed.in_pod("one", "ip link del eth0");
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &good(json!({}))).error();
    assert!(words.contains("link `eth0` is not in the pod's network namespace"), "{words}");
}

#[test]
fn only_allowed_settings_are_changed() {
    let bed = start();
    let config = config(&json!({"sysctl": {"net.core.somaxconn": "500"}}));
    bed.sh("mkdir -p /etc/cni/tuning");
    bed.host.write("/etc/cni/tuning/allowlist.conf", "\n^net\\.ipv4\\.\n^net.core.so\n").unwrap();
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.host.write("/etc/cni/tuning/allowlist.conf", "^net\\.ipv4\\.\n").unwrap();
    let (code, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert_eq!(code, 7);
    let expected =
        "`sysctl.net.core.somaxconn` matches no line of `/etc/cni/tuning/allowlist.conf`";
    assert!(words.contains(expected), "{words}");
    bed.host.write("/etc/cni/tuning/allowlist.conf", "^net\n(\n").unwrap();
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("`(` of /etc/cni/tuning/allowlist.conf:2"), "{words}");
}

#[test]
fn backups_go_with_pods_that_are_gone() {
    let bed = start();
    let mut config = config(&everything());
    config["cniVersion"] = "1.1.0".into();
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.sh("ip netns del one");
    for command in ["DEL", "DEL"] {
        let mut config = config.clone();
        config.as_object_mut().unwrap().remove("prevResult");
        let call = Call {
            maker: Maker::Ours,
            plugin: "tuning",
            command,
            container: "one",
            namespace: "",
            link: "eth0",
            args: "",
            config,
        };
        bed.call(&call).ok();
    }
    assert_eq!(bed.sh("ls -A /run/cni/tuning"), "");

    for (pod, network) in [("a_b", "net"), ("c", "net"), ("other", "other")] {
        bed.pod(pod);
        bed.in_pod(pod, "ip link add eth0 type veth peer name peer0");
        let mut config = config.clone();
        config["name"] = network.into();
        bed.run(Maker::Ours, "ADD", pod, &config).ok();
    }
    bed.sh("cp /run/cni/tuning/c_eth0.json /run/cni/tuning/d_eth0.json
            sed -i '/crilet/,$d; $ a }' /run/cni/tuning/d_eth0.json");
    config["cni.dev/valid-attachments"] = json!([{"containerID": "c", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "c", &config).ok();
    let left = bed.sh("ls -A /run/cni/tuning");
    assert_eq!(left, "c_eth0.json\nd_eth0.json\nother_eth0.json\n");
    bed.run(Maker::Ours, "STATUS", "c", &config).ok();
}
