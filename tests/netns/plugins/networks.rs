//! One pod in two networks: host ports of each are its own, whoever made them and in either backend.

use serde_json::{Value, json};

use super::bed::{Answer, Bed, Call, Maker, ports};

/// A network of the pod `one`: name, link, and the pod's address there.
type Network = (&'static str, &'static str, &'static str);

const FIRST: Network = ("net", "eth0", "10.88.0.2");
const SECOND: Network = ("other", "eth1", "10.89.0.2");

fn config((name, link, address): Network, backend: &str) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": name, "type": "portmap",
        "runtimeConfig": ports(&[(8080, 80, "tcp"), (5353, 53, "udp")]),
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": link, "sandbox": "/run/netns/one"}],
            "ips": [{"address": format!("{address}/16"), "interface": 0}],
        },
    });
    if !backend.is_empty() {
        config["backend"] = backend.into();
    }
    config
}

fn call(bed: &Bed, maker: Maker, command: &str, network: Network, config: Value) -> Answer {
    bed.call(&Call {
        maker,
        plugin: "portmap",
        command,
        container: "one",
        namespace: "one",
        link: network.1,
        args: "",
        config,
    })
}

/// Rules that lead to an address, and how many.
fn leading_to(bed: &Bed, address: &str) -> String {
    bed.sh(&format!("nft -s list ruleset | grep -F -e ' {address} ' -e ' {address}:' || true"))
}

#[test]
fn rules_of_one_network_stay_when_the_pod_leaves_another() {
    let both = [Maker::Ours; 2];
    let cases = [
        ("nftables", both),
        ("iptables", both),
        ("", [Maker::Reference, Maker::Ours]),
        ("", [Maker::Ours, Maker::Reference]),
    ];
    for (backend, [one, two]) in cases {
        for (first, second) in [(FIRST, SECOND), (SECOND, FIRST)] {
            let bed = Bed::start();
            bed.pod("one");
            let case = format!("{backend} {one:?} {two:?} {first:?}");
            let (of_first, of_second) = (config(first, backend), config(second, backend));
            call(&bed, one, "ADD", first, of_first.clone()).ok();
            call(&bed, two, "ADD", second, of_second.clone()).ok();
            // What is published belongs to one network.
            let published = json!({"version": 1, "network": second.0, "sandbox": "one",
                "addresses": [], "ports": []});
            bed.host.write("/run/crilet/published/one.json", published.to_string()).unwrap();
            let rules = [first, second].map(|network| leading_to(&bed, network.2));
            assert!(rules.iter().all(|rules| rules.lines().count() >= 2), "{case}: {rules:?}");
            // Again, which replaces its own.
            call(&bed, Maker::Ours, "ADD", first, of_first.clone()).ok();
            assert_eq!(leading_to(&bed, first.2).lines().count(), rules[0].lines().count());
            assert_eq!(leading_to(&bed, second.2), rules[1], "{case}");
            call(&bed, Maker::Ours, "CHECK", first, of_first.clone()).ok();

            call(&bed, one, "DEL", first, of_first.clone()).ok();
            assert_eq!(leading_to(&bed, first.2), "", "{case}");
            assert_eq!(leading_to(&bed, second.2), rules[1], "{case}");
            call(&bed, Maker::Ours, "CHECK", second, of_second.clone()).ok();
            let (_, words) = call(&bed, Maker::Ours, "CHECK", first, of_first.clone()).error();
            assert!(words.contains("of the pod has no rule"), "{words}");

            // The first network has no pods any more; that is nothing to the other.
            let mut collect = of_first.clone();
            collect["cniVersion"] = "1.1.0".into();
            collect["cni.dev/valid-attachments"] = json!([]);
            call(&bed, Maker::Ours, "GC", first, collect).ok();
            assert_eq!(leading_to(&bed, second.2), rules[1], "{case}");
            bed.sh("test -e /run/crilet/published/one.json");

            call(&bed, Maker::Ours, "DEL", second, of_second).ok();
            assert_eq!(leading_to(&bed, second.2), "", "{case}");
            bed.sh("test ! -e /run/crilet/published/one.json");
            assert_eq!(bed.sh("ls /run/crilet/hostports 2>/dev/null || true"), "", "{case}");
        }
    }
}

/// Rules of the nft backend name no network; who else made them is told by what the runtime keeps.
#[test]
fn rules_that_another_maker_made_for_another_network_stay() {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh("nft -f - <<'END'
table ip cni_hostport {
    chain hostports { tcp dport 9090 dnat to 10.89.0.2:90 comment \"one\"; };
    chain hostip_hostports { };
    chain masquerading {
        type nat hook postrouting priority 100;
        ip saddr 10.89.0.2 ip daddr 10.89.0.2 masquerade comment \"one\";
        ip saddr 127.0.0.1 ip daddr 10.89.0.2 masquerade comment \"one\";
    };
}
END");
    let result = json!({
        "cniVersion": "1.0.0", "interfaces": [{"name": "eth1", "sandbox": "/run/netns/one"}],
        "ips": [{"address": "10.89.0.2/16", "interface": 0}],
    });
    let cached = json!({"kind": "cniCacheV1", "containerId": "one", "ifName": "eth1",
        "networkName": "other", "result": result});
    let path = "/var/lib/cni/results/other-one-eth1";
    bed.host.write(path, cached.to_string()).unwrap();
    let theirs = leading_to(&bed, "10.89.0.2");
    assert_eq!(theirs.lines().count(), 3, "{theirs}");
    let own = config(FIRST, "nftables");
    // No note of one's own: what a plugin of another maker made, too, goes and comes.
    call(&bed, Maker::Ours, "DEL", FIRST, own.clone()).ok();
    assert_eq!(leading_to(&bed, "10.89.0.2"), theirs);
    call(&bed, Maker::Ours, "ADD", FIRST, own.clone()).ok();
    call(&bed, Maker::Ours, "DEL", FIRST, own.clone()).ok();
    assert_eq!(leading_to(&bed, "10.89.0.2"), theirs);
    assert_eq!(leading_to(&bed, "10.88.0.2"), "");
    bed.sh(&format!("rm {path}"));
    call(&bed, Maker::Ours, "DEL", SECOND, config(SECOND, "")).ok();
    assert_eq!(leading_to(&bed, "10.89.0.2"), "");
}
