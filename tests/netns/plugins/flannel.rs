//! flannel's plugin, over crilet's bridge and over Debian's.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, with_previous};

const KEPT: &str = "/var/lib/cni/flannel/one";

fn config(more: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "flannel"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn start() -> Bed {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh("mkdir -p /run/flannel");
    let leased = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\n\
                  FLANNEL_IPMASQ=false\n";
    bed.host.write("/run/flannel/subnet.env", leased).unwrap();
    bed
}

fn left(bed: &Bed) -> String {
    bed.sh("ip -o link show type veth | grep -v uplink || true
            ls /var/lib/cni/networks/net | grep '^10' || true
            ls /var/lib/cni/flannel 2>/dev/null || true")
        + &bed.saved("nat")
}

#[test]
fn the_plugin_that_is_called_gets_what_the_daemon_leased() {
    let bed = start();
    let config = config(&json!({
        "delegate": {"hairpinMode": true},
        "ipam": {"routes": [{"dst": "0.0.0.0/0"}]},
        "runtimeConfig": {"mac": "02:00:00:00:00:42"},
    }));
    let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(result["ips"][0]["address"], "10.244.3.2/24");
    assert_eq!(result["ips"][0]["gateway"], "10.244.3.1");
    assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:42");
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "10.244.0.0/16"}]));
    assert!(bed.in_pod("one", "ip -o link show eth0").contains("mtu 1450"));
    assert!(bed.saved("nat").contains("id: \\\"one\\\""), "{}", bed.saved("nat"));
    let kept: Value = serde_json::from_str(&bed.host.read(KEPT).unwrap()).unwrap();
    let expected = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipMasq": true, "mtu": 1450,
        "isGateway": true, "hairpinMode": true, "runtimeConfig": {"mac": "02:00:00:00:00:42"},
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.3.0/24"}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.244.0.0/16"}]},
    });
    assert_eq!(kept, expected);
    assert_eq!(bed.sh(&format!("stat -c %a {KEPT}")), "600\n");
    let whole = with_previous(config, &result);
    bed.run(Maker::Ours, "CHECK", "one", &whole).ok();
    // Debian's bridge finds itself in what is kept.
    bed.run(Maker::Reference, "DEL", "one", &with_previous(kept, &result)).ok();
    assert_eq!(left(&bed), "one\n");
    bed.run(Maker::Ours, "DEL", "one", &whole).ok();
    assert_eq!(left(&bed), "");
    bed.run(Maker::Ours, "DEL", "one", &whole).ok();
}

#[test]
fn a_pod_goes_without_namespace_and_without_its_file() {
    let bed = start();
    let config = config(&json!({}));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.sh(&format!("ip netns del one; rm {KEPT}"));
    let call = Call {
        maker: Maker::Ours,
        plugin: "flannel",
        command: "DEL",
        container: "one",
        namespace: "",
        link: "eth0",
        args: "",
        config: config.clone(),
    };
    bed.call(&call).ok();
    assert_eq!(left(&bed), "");
    bed.sh("rm /run/flannel/subnet.env");
    bed.call(&call).ok();
}

#[test]
fn a_plugin_of_another_maker_is_called_as_a_program() {
    let bed = start();
    bed.sh("cp /usr/lib/cni/vrf /opt/crilet/cni/foreign; printf '#!/bin/sh\\nexec env CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge\\n' > /opt/crilet/cni/foreign")
        ;
    let config = config(&json!({"delegate": {"type": "foreign", "isGateway": true}}));
    let result = bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(result["ips"][0]["address"], "10.244.3.2/24");
    bed.run(Maker::Ours, "DEL", "one", &with_previous(config, &result)).ok();
    assert_eq!(left(&bed), "");
}

#[test]
fn gc_collects_files_leases_and_rules_of_its_network() {
    let bed = start();
    let config = config(&json!({"cniVersion": "1.1.0"}));
    for pod in ["two", "other"] {
        bed.pod(pod);
    }
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "ADD", "two", &config).ok();
    let mut other = config.clone();
    other["name"] = "other".into();
    other["delegate"] = json!({"bridge": "cni9", "forceAddress": true});
    bed.run(Maker::Ours, "ADD", "other", &other).ok();
    let mut collect = config;
    assert_eq!(bed.run(Maker::Ours, "GC", "one", &collect).error().0, 7);
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "two", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    assert_eq!(bed.sh("ls /var/lib/cni/flannel"), "other\ntwo\n");
    let rules = bed.saved("nat");
    assert!(!rules.contains("id: \\\"one\\\"") && rules.contains("id: \\\"other\\\""), "{rules}");
    assert_eq!(bed.sh("ls /var/lib/cni/networks/net | grep '^10'"), "10.244.3.3\n");
    bed.run(Maker::Ours, "STATUS", "one", &collect).ok();
}

#[test]
fn what_is_wrong_is_said_and_leaves_nothing() {
    let bed = start();
    let fails = |more: Value, code: u64, expected: &str| {
        let (given, words) = bed.run(Maker::Ours, "ADD", "one", &config(&more)).error();
        assert_eq!((given, words.contains(expected)), (code, true), "{expected}: {given} {words}");
        assert_eq!(bed.sh("ls /var/lib/cni/flannel 2>/dev/null || true"), "", "{expected}");
        assert_eq!(bed.sh("ip -o link show type bridge"), "", "{expected}");
    };
    fails(json!({"delegate": {"name": "x"}}), 7, "`delegate.name` must not be set");
    fails(json!({"delegate": {"ipam": {}}}), 7, "`delegate.ipam` must not be set");
    fails(json!({"delegate": 5}), 7, "`delegate` must be an object");
    fails(
        json!({"delegate": {"type": 5}}),
        7,
        "`delegate.type` is \"\", but must be another plugin",
    );
    fails(json!({"delegate": {"type": "flannel"}}), 7, "`delegate.type` is \"flannel\"");
    fails(json!({"delegate": {"type": "nobody"}}), 999, "failed to find plugin \"nobody\"");
    fails(json!({"delegate": {"mtu": 5}}), 7, "`mtu` is 5, but must be between");
    fails(json!({"subnetFile": "/none"}), 5, "failed to read `/none`: No such file");
    bed.host.write("/run/flannel/subnet.env", "FLANNEL_MTU=big\n").unwrap();
    fails(json!({}), 7, "`/run/flannel/subnet.env` line 1: FLANNEL_MTU is \"big\"");
    bed.host.write("/run/flannel/subnet.env", "FLANNEL_MTU=5\n").unwrap();
    fails(json!({}), 7, "`/run/flannel/subnet.env` is missing FLANNEL_NETWORK");
    bed.sh("rm /run/flannel/subnet.env");
    let status = config(&json!({"cniVersion": "1.1.0"}));
    let (code, words) = bed.run(Maker::Ours, "STATUS", "one", &status).error();
    assert_eq!((code, words.contains("flannel's daemon writes it")), (50, true), "{words}");
}
