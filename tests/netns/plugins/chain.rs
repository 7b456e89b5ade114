//! bridge, host-local and portmap as a list, by either maker and mixed.

use serde_json::{Value, json};

use super::bed::{Bed, Maker, comparable, plugins, ports, with_previous};

/// The network that crilet ships, with a pod's ports.
pub(super) fn list(name: &str, is_dual: bool, mappings: &[(u16, u16, &str)]) -> Value {
    let mut ranges = vec![json!([{"subnet": "10.88.0.0/16"}])];
    let mut routes = vec![json!({"dst": "0.0.0.0/0"})];
    if is_dual {
        ranges.push(json!([{"subnet": "fd00:88::/64"}]));
        routes.push(json!({"dst": "::/0"}));
    }
    json!({
        "cniVersion": "1.0.0", "name": name,
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
             "ipam": {"type": "host-local", "ranges": ranges, "routes": routes}},
            {"type": "portmap", "snat": true, "capabilities": {"portMappings": true},
             "runtimeConfig": ports(mappings)},
        ],
    })
}

const PORTS: [(u16, u16, &str); 4] =
    [(8080, 80, "tcp"), (8443, 443, "tcp"), (5353, 53, "udp"), (8081, 81, "tcp")];

/// A result without what is random.
fn stable(result: &Value) -> Value {
    let mut result = comparable(result.clone());
    for interface in result["interfaces"].as_array_mut().unwrap() {
        interface["mac"] = "".into();
        if interface["name"].as_str().unwrap().starts_with("veth") {
            interface["name"] = "veth".into();
        }
    }
    result
}

/// Links, addresses, routes and settings of pod and host, without what is random.
fn kernel(bed: &Bed) -> String {
    let pod = bed.in_pod(
        "one",
        "ip -o addr | cut -d' ' -f2-; ip route; ip -6 route | grep -v fe80 || true
        cd /proc/sys/net && grep -H . ipv4/conf/eth0/arp_notify ipv6/conf/eth0/accept_dad",
    );
    let host = bed.sh("ip -o -d link show type bridge | grep -o 'cni0.*qlen [0-9]*'; ip -o addr show cni0 | cut -d' ' -f2-
        ip -o -d link show type veth | grep -o 'master cni0\\|hairpin [a-z]*\\|mtu [0-9]*'
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/cni0/route_localnet");
    // Link-local addresses follow random hardware addresses, and come and go by themselves; how long
    // an address of the bridge is looked for elsewhere is the kernel's affair.
    let text = format!("{pod}\n{host}");
    text.lines()
        .filter(|line| !line.contains("fe80:"))
        .map(|line| format!("{}\n", line.trim().replace(" tentative", "")))
        .collect()
}

/// Rules but for those of the guard, which the reference has not.
fn rules(bed: &Bed) -> String {
    let rules = bed.rules();
    let rules = rules.split("# iptables-save").nth(1).unwrap();
    let all = rules.split("table ip").next().unwrap();
    all.lines().filter(|line| line.contains("CNI-")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn results_links_and_rules_are_those_of_the_reference() {
    for is_dual in [false, true] {
        let seen = Maker::BOTH.map(|maker| {
            let bed = Bed::start();
            let list = list("net", is_dual, &PORTS);
            bed.pod("one");
            let result = bed.add(&[maker], "one", &list);
            bed.pod("two");
            bed.add(&[maker], "two", &self::list("net", is_dual, &[(9090, 90, "tcp")]));
            // The link first: the kernel takes a namespace apart in its own time.
            bed.sh("ip -n two link del eth0; ip netns del two");
            (stable(&result), kernel(&bed), rules(&bed))
        });
        assert_eq!(seen[0].0, seen[1].0);
        assert_eq!(seen[0].1, seen[1].1);
        assert_eq!(seen[0].2, seen[1].2);
        assert!(seen[0].2.contains("--dports 8080,8443,8081"), "{}", seen[0].2);
    }
}

#[test]
fn either_maker_checks_and_removes_what_the_other_made() {
    for maker in Maker::BOTH {
        let bed = Bed::start();
        let list = list("net", false, &PORTS);
        bed.pod("one");
        let result = bed.add(&[maker], "one", &list);
        // The reference's CHECK wants a pod's rules in both families, unless one has no tools.
        bed.shadow(&[("ip6tables", "/bin/false")]);
        bed.check(maker.other(), "one", &list, &result);
        bed.check(maker, "one", &list, &result);
        bed.del(maker.other(), "one", &list, &result);
        assert_clean(&bed);
        // Again, and with nothing known any more.
        bed.del(maker.other(), "one", &list, &result);
        bed.del(Maker::Ours, "one", &list, &Value::Null);
    }
}

#[test]
fn makers_may_be_mixed_within_a_list() {
    for makers in [[Maker::Ours, Maker::Reference], [Maker::Reference, Maker::Ours]] {
        let bed = Bed::start();
        let list = list("net", true, &PORTS);
        bed.pod("one");
        let result = bed.add(&makers, "one", &list);
        bed.check(Maker::Ours, "one", &list, &result);
        bed.del(Maker::Ours, "one", &list, &result);
        assert_clean(&bed);
    }
}

/// No rule, lease or link of a pod is left; the shared chains stay, as with the reference.
#[track_caller]
pub(super) fn assert_clean(bed: &Bed) {
    let rules = bed.rules();
    for needle in ["CNI-DN", "id: ", "masquerade comment", "dnat to"] {
        let left: Vec<_> = rules.lines().filter(|line| line.contains(needle)).collect();
        assert!(left.is_empty(), "{needle}: {left:#?}");
    }
    assert!(!bed.sh("ip -o link").contains("veth"), "a link stayed");
    let leases = bed.sh("ls /var/lib/cni/networks/net | grep '^[0-9a-f]*[.:][0-9a-f.:]*$' || true");
    assert_eq!(leases, "", "a lease stayed");
}

#[test]
fn rules_and_lease_go_with_a_namespace_that_is_gone() {
    let bed = Bed::start();
    let list = list("net", true, &PORTS);
    for knows_result in [true, false] {
        bed.pod("one");
        let result = bed.add(&[Maker::Ours], "one", &list);
        bed.sh("ip netns del one");
        let result = if knows_result { result } else { Value::Null };
        for plugin in plugins(&list).into_iter().rev() {
            let mut config = with_previous(plugin, &result);
            // Runtimes may have lost the ports, too.
            config["runtimeConfig"] = json!({});
            let call = super::bed::Call {
                maker: Maker::Ours,
                plugin: config["type"].as_str().unwrap(),
                command: "DEL",
                container: "one",
                namespace: "",
                link: "eth0",
                args: "",
                config: config.clone(),
            };
            bed.call(&call).ok();
        }
        assert_clean(&bed);
    }
}

#[test]
fn gc_takes_what_belongs_to_no_valid_attachment_of_this_network() {
    let bed = Bed::start();
    let mut lists = ["net", "other"].map(|name| list(name, true, &[]));
    lists[1]["plugins"][0]["bridge"] = "cni1".into();
    lists[1]["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.89.0.0/16"}]]);
    lists[1]["plugins"][0]["ipam"]["routes"] = json!([]);
    for (number, (pod, list)) in [("one", 0), ("two", 0), ("three", 1)].into_iter().enumerate() {
        bed.pod(pod);
        let mut list = lists[list].clone();
        let port = 8000 + u16::try_from(number).unwrap();
        list["plugins"][1]["runtimeConfig"] = ports(&[(port, 80, "udp")]);
        bed.add(&[Maker::Ours], pod, &list);
    }
    let gc = |list: &Value, valid: Value| {
        for mut plugin in plugins(list) {
            plugin["cniVersion"] = "1.1.0".into();
            plugin["cni.dev/valid-attachments"] = valid.clone();
            bed.run(Maker::Ours, "GC", "", &plugin).ok();
        }
    };
    gc(&lists[0], json!([{"containerID": "two", "ifname": "eth0"}]));
    let rules = bed.rules();
    let has = |id: &str| rules.contains(&format!("id: \\\"{id}\\\""));
    assert_eq!((has("one"), has("two"), has("three")), (false, true, true), "{rules}");
    gc(&lists[0], json!([]));
    let rules = bed.rules();
    let has = |id: &str| rules.contains(&format!("id: \\\"{id}\\\""));
    assert_eq!((has("two"), has("three")), (false, true), "{rules}");
    let leases = bed.sh("ls /var/lib/cni/networks/net /var/lib/cni/networks/other");
    assert!(!leases.contains("10.88.") && leases.contains("10.89.0.2"), "{leases}");
}

#[test]
fn an_add_that_fails_half_way_leaves_nothing() {
    let bed = Bed::start();
    let mut list = list("net", true, &PORTS);
    bed.pod("one");
    let before = bed.host.snapshot().unwrap();
    // The bridge plugin fails after links, lease and addresses are there: no tool makes its rules.
    list["plugins"][0]["ipMasqBackend"] = "nftables".into();
    bed.shadow(&[("nft", "/bin/false")]);
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &plugins(&list)[0]).error();
    assert!(words.contains("set up masquerading by nft"), "{words}");
    assert_clean(&bed);
    assert!(!bed.sh("ip -o link").contains("cni0"), "the bridge was made by this call");
    assert!(!bed.in_pod("one", "ip -o link").contains("eth0"));
    let after = bed.host.snapshot().unwrap();
    let left = before.difference(&after).to_string();
    // Directories for the next pod; that the host forwards IPv6 is never taken back.
    let kept = ["var/lib/cni/networks", "run/crilet", "network namespace one", "anycast"];
    let left: Vec<_> =
        left.lines().filter(|line| !kept.iter().any(|kept| line.contains(kept))).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn twenty_pods_of_both_makers_at_once() {
    let bed = Bed::start();
    bed.sh("for n in $(seq 20); do ip netns add p$n; done");
    let list = list("net", false, &[]);
    let [bridge, portmap] = plugins(&list).try_into().unwrap();
    bed.host.write("/run/chain-bridge.json", bridge.to_string()).unwrap();
    bed.host.write("/run/chain-portmap.json", portmap.to_string()).unwrap();
    let script = r#"
        work() { # command, number
            dir=/opt/crilet/cni; [ $(($2 % 4)) = 0 ] && dir=/usr/lib/cni
            export CNI_COMMAND=$1 CNI_CONTAINERID=p$2 CNI_NETNS=/run/netns/p$2 CNI_IFNAME=eth0 CNI_PATH=$dir
            ports="\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":$((7000 + $2)),\"containerPort\":80,\"protocol\":\"udp\"}]}"
            if [ "$1" = ADD ]; then
                result=$($dir/bridge </run/chain-bridge.json) || { echo "bridge $2: $result"; return; }
                sed -e "s|\"runtimeConfig\":{\"portMappings\":\[\]}|$ports|" -e "s|^{|{\"prevResult\":$(echo "$result" | tr -d '\n'),|" /run/chain-portmap.json >/run/chain-$2.json
                said=$($dir/portmap </run/chain-$2.json) || echo "portmap $2: $said"
            else
                said=$($dir/portmap </run/chain-$2.json) || echo "portmap $2: $said"
                said=$($dir/bridge </run/chain-bridge.json) || echo "bridge $2: $said"
            fi
        }
    "#;
    let both = |command: &str| {
        bed.sh(&format!("{script}\nfor n in $(seq 20); do work {command} $n & done; wait"))
    };
    assert_eq!(both("ADD"), "");
    let rules = bed.rules();
    let of = |needle: &str| rules.lines().filter(|line| line.contains(needle)).count();
    assert_eq!((of("-A CNI-HOSTPORT-DNAT"), of("-j DNAT")), (20, 20), "{rules}");
    assert_eq!(both("DEL"), "");
    assert_clean(&bed);
    bed.sh("rm -f /run/chain-*.json");
}
