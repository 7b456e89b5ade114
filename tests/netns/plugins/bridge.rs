use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, with_previous};

fn config(changes: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "cni0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]]},
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn mistakes_name_their_key_and_change_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    let cases = [
        (
            json!({"bridge": "much-too-long-name"}),
            "`bridge` is \"much-too-long-name\", but must not be longer than 15 bytes",
        ),
        (json!({"bridge": "a/b"}), "`bridge` is \"a/b\", but must not contain"),
        (json!({"mtu": 12}), "`mtu` is 12, but must be between 68 and 65535 bytes"),
        (json!({"mtu": -1}), "`mtu`: invalid value: integer `-1`, expected u32"),
        (
            json!({"hairpinMode": true, "promiscMode": true}),
            "`promiscMode` cannot set hairpin mode and promiscuous mode",
        ),
        (json!({"vlan": 5000}), "`vlan` is 5000, but a VLAN is between 1 and 4094"),
        (json!({"vlanTrunk": [{"minID": 5}]}), "`vlanTrunk[0].maxID` is missing"),
        (
            json!({"vlanTrunk": [{"id": 5}, {"minID": 9, "maxID": 8}]}),
            "`vlanTrunk[1].minID` is 9, but must not be above maxID, 8",
        ),
        (json!({"vlanTrunk": [{}]}), "`vlanTrunk[0]` needs `id`, or `minID` and `maxID`"),
        (json!({"ipMasqBackend": "pf"}), "`ipMasqBackend`: unknown variant `pf`"),
        (
            json!({"mac": "01:00:5e:00:00:01"}),
            "`mac` is \"01:00:5e:00:00:01\", but must be the address of one link",
        ),
        (
            json!({"runtimeConfig": {"mac": "nonsense"}}),
            "`runtimeConfig.mac` is \"nonsense\", but must be a hardware address",
        ),
        (
            json!({"disableContainerInterface": true}),
            "`disableContainerInterface` leaves the pod's link down",
        ),
        (
            json!({"ipam": {"type": "../sh"}}),
            "`ipam.type` is \"../sh\", but must be the name of a program",
        ),
        (
            json!({"isGateway": "yes"}),
            "`isGateway`: invalid type: string \"yes\", expected a boolean",
        ),
    ];
    for (changes, words) in cases {
        let (code, said) = bed.run(Maker::Ours, "ADD", "one", &config(changes)).error();
        assert!(code == 7 && said.contains(words), "{code} {said}");
    }
    let (_, said) =
        bed.run(Maker::Ours, "ADD", "one", &config(json!({"ipam": {"type": "nobody"}}))).error();
    assert!(said.contains("find plugin \"nobody\" in path [/opt/crilet/cni]"), "{said}");
    assert!(!bed.sh("ip -o link").contains("cni0"));
    assert!(!bed.in_pod("one", "ip -o link").contains("eth0"));
    assert_eq!(bed.sh("ls /var/lib/cni").trim(), "");
}

#[test]
fn what_is_on_the_host_already_is_told_from_what_is_wanted() {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh("ip link add cni0 type veth peer name other");
    let (code, said) = bed.run(Maker::Ours, "ADD", "one", &config(json!({}))).error();
    assert!(
        code == 7
            && said
                .contains("`bridge` is \"cni0\": a link of that name exists but is not a bridge"),
        "{said}"
    );
    bed.sh("ip link del cni0 && ip link add cni0 type bridge && ip addr add 10.9.0.1/16 dev cni0");
    let gateway = config(json!({"isGateway": true}));
    let (_, said) = bed.run(Maker::Ours, "ADD", "one", &gateway).error();
    for words in [
        "\"cni0\" already has an IP address different from 10.88.0.1/16",
        "it has 10.9.0.1/16",
        "`forceAddress`",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(bed.sh("ip -o link").contains("cni0"), "a bridge of somebody else stays");
    assert!(!bed.sh("ls /var/lib/cni/networks/net").contains("10.88"), "the lease went back");
    bed.run(Maker::Ours, "ADD", "one", &config(json!({"isGateway": true, "forceAddress": true})))
        .ok();
    let addresses = bed.sh("ip -o -4 addr show cni0");
    assert!(addresses.contains("10.88.0.1/16") && !addresses.contains("10.9.0.1"), "{addresses}");
    let (_, said) = bed.run(Maker::Ours, "ADD", "one", &gateway).error();
    assert!(said.contains("container veth name (\"eth0\") already exists"), "{said}");
    assert!(bed.in_pod("one", "ip -o link").contains("eth0"), "the first attachment stays");
    assert!(bed.sh("ls /var/lib/cni/networks/net").contains("10.88.0.3"), "its lease, too");
}

#[test]
fn a_small_mtu_is_too_small_for_ipv6() {
    let bed = Bed::start();
    bed.pod("one");
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "fd00:88::/64"}]]});
    let (code, said) =
        bed.run(Maker::Ours, "ADD", "one", &config(json!({"mtu": 1000, "ipam": ipam}))).error();
    assert!(
        code == 7 && said.contains("`mtu` is 1000, but IPv6 needs at least 1280 bytes"),
        "{said}"
    );
    assert!(!bed.sh("ip -o link").contains("veth"));
    assert_eq!(bed.sh("ls /var/lib/cni/networks/net | grep -c fd00 || true").trim(), "0");
}

#[test]
fn links_are_made_as_they_are_asked_for() {
    let bed = Bed::start();
    bed.pod("one");
    let asked = config(json!({
        "mtu": 1400, "hairpinMode": true, "portIsolation": true, "isDefaultGateway": true,
        "args": {"cni": {"mac": "02:00:00:00:00:99"}}, "dns": {"nameservers": ["192.0.2.53"]},
    }));
    let result = bed.run(Maker::Ours, "ADD", "one", &asked).ok();
    assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:99");
    assert_eq!(result["dns"]["nameservers"][0], "192.0.2.53");
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.88.0.1"}]));
    let pod = bed
        .in_pod("one", "ip -d link show eth0; ip route; cat /sys/class/net/eth0/addr_assign_type");
    for words in ["mtu 1400", "02:00:00:00:00:99", "default via 10.88.0.1"] {
        assert!(pod.contains(words), "{words}: {pod}");
    }
    assert_eq!(pod.lines().last(), Some("3"), "udev leaves an address alone that was set: {pod}");
    let host = bed.sh("ip -d link show type veth");
    assert!(host.contains("hairpin on") && host.contains("isolated on"), "{host}");
    bed.run(Maker::Ours, "CHECK", "one", &with_previous(asked.clone(), &result)).ok();
    let promiscuous = config(json!({"promiscMode": true}));
    bed.pod("two");
    bed.run(Maker::Ours, "ADD", "two", &promiscuous).ok();
    assert!(
        bed.sh("ip -d link show cni0").contains("promiscuity 1")
            || bed.sh("ip link show cni0").contains("PROMISC")
    );
}

#[test]
fn a_network_without_addresses_is_a_link() {
    let bed = Bed::start();
    bed.pod("one");
    let mut plain = config(json!({}));
    plain["ipam"] = json!({});
    let result = bed.run(Maker::Ours, "ADD", "one", &plain).ok();
    assert_eq!(result.get("ips"), None);
    assert!(bed.in_pod("one", "ip link show eth0").contains("state UP"));
    bed.run(Maker::Ours, "CHECK", "one", &with_previous(plain.clone(), &result)).ok();
    bed.run(Maker::Ours, "DEL", "one", &plain).ok();
    assert!(!bed.in_pod("one", "ip -o link").contains("eth0"));
    bed.run(Maker::Ours, "DEL", "one", &plain).ok();
}

#[test]
fn check_finds_what_is_not_as_it_was() {
    let bed = Bed::start();
    bed.pod("one");
    let asked = config(json!({"isDefaultGateway": true, "ipMasq": true}));
    let result = bed.run(Maker::Ours, "ADD", "one", &asked).ok();
    let asked = with_previous(asked, &result);
    let check = || bed.run(Maker::Ours, "CHECK", "one", &asked);
    check().ok();
    let (undo, redo, words) = (0, 1, 2);
    let cases = [
        [
            "ip -n one addr del 10.88.0.2/16 dev eth0",
            "ip -n one addr add 10.88.0.2/16 dev eth0 && ip -n one route add default via 10.88.0.1",
            "address 10.88.0.2/16 is missing",
        ],
        [
            "ip -n one route del default",
            "ip -n one route add default via 10.88.0.1",
            "expected Route 0.0.0.0/0 not found",
        ],
        [
            "ip link set $(ls /sys/class/net/cni0/brif) nomaster",
            "ip link set $(ip -o link | grep -o 'veth[0-9a-f]*') master cni0",
            "is no port of bridge `cni0`",
        ],
        [
            "iptables-save -t nat >/run/saved && iptables -t nat -F POSTROUTING",
            "iptables-restore </run/saved",
            "masquerading of 10.88.0.2/16 is missing",
        ],
        [
            "ip -n one link set eth0 address 02:00:00:00:00:01",
            "true",
            "doesn't match container Mac: 02:00:00:00:00:01",
        ],
    ];
    for case in cases {
        bed.sh(case[undo]);
        let (_, said) = check().error();
        assert!(said.contains(case[words]), "{said}");
        bed.sh(case[redo]);
    }
}

#[test]
fn packets_with_a_false_address_are_dropped_where_that_is_asked_for() {
    let bed = Bed::start();
    bed.pod("one");
    let asked = config(json!({"macspoofchk": true, "isGateway": true}));
    let result = bed.run(Maker::Ours, "ADD", "one", &asked).ok();
    let rules = bed.sh("nft list table bridge nat");
    let mac = result["interfaces"][2]["mac"].as_str().unwrap();
    for words in [
        "chain cni-br-iface-one-eth0-mac",
        &format!("ether saddr {mac} return comment \"macspoofchk-one-eth0\""),
    ] {
        assert!(rules.contains(words), "{words}: {rules}");
    }
    bed.in_pod("one", "busybox ping -c1 -W2 10.88.0.1");
    bed.in_pod(
        "one",
        "ip link set eth0 address 02:00:00:00:00:66; ! busybox ping -c1 -W1 10.88.0.1",
    );
    bed.run(Maker::Ours, "DEL", "one", &asked).ok();
    assert!(!bed.sh("nft list table bridge nat").contains("one-eth0"));
}

#[test]
fn gc_takes_the_guard_of_links_that_are_gone_and_no_other() {
    let bed = Bed::start();
    let asked = config(json!({"macspoofchk": true, "cniVersion": "1.1.0"}));
    let mut other = asked.clone();
    other["name"] = json!("other");
    other["bridge"] = json!("cni1");
    other["ipam"]["ranges"] = json!([[{"subnet": "10.89.0.0/16"}]]);
    for (pod, config) in [("kept", &asked), ("gone", &asked), ("late", &asked), ("else", &other)] {
        bed.pod(pod);
        bed.run(Maker::Ours, "ADD", pod, config).ok();
    }
    bed.sh("nft add chain bridge nat mine
        nft add rule bridge nat PREROUTING iifname nobody jump mine");
    // The links go with their namespaces, without a DEL: of one that counts and one that does not.
    let links = || bed.sh("ip -o link | grep -c 'master cni'").trim().to_owned();
    for pod in ["gone", "kept"] {
        bed.sh(&format!("ip netns del {pod}"));
    }
    bed.sh("for i in $(seq 100); do [ $(ip -o link | grep -c 'master cni') = 2 ] && exit; \
        sleep 0.1; done");
    assert_eq!(links(), "2");
    let mut collect = asked.clone();
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "kept", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "", &collect).ok();
    let rules = bed.sh("nft list table bridge nat");
    assert!(!rules.contains("gone-eth0"), "{rules}");
    // Valid; still linked, though not valid; of another network; of somebody else.
    for name in ["kept-eth0", "late-eth0", "else-eth0"] {
        for words in [
            format!("jump cni-br-iface-{name} comment"),
            format!("chain cni-br-iface-{name} {{"),
            format!("chain cni-br-iface-{name}-mac {{"),
        ] {
            assert!(rules.contains(&words), "{words}: {rules}");
        }
    }
    assert!(rules.contains("jump mine"), "{rules}");
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "", &collect).ok();
    assert!(!bed.sh("nft list table bridge nat").contains("kept-eth0"));
    bed.run(Maker::Ours, "GC", "", &collect).ok();
}

#[test]
fn vlans_work_or_the_kernel_is_quoted() {
    let bed = Bed::start();
    bed.pod("one");
    let asked = config(json!({"vlan": 100, "vlanTrunk": [{"minID": 200, "maxID": 202}]}));
    let answer = bed.run(Maker::Ours, "ADD", "one", &asked);
    if answer.output.status == 0 {
        let vlans = bed.sh("bridge vlan show");
        assert!(vlans.contains("100 PVID Egress Untagged") && vlans.contains("202"), "{vlans}");
    } else {
        // This kernel tells no VLANs apart.
        let (_, said) = answer.error();
        assert!(said.contains("VLAN") || said.contains("cni0"), "{said}");
        assert!(
            said.contains("Operation not supported") || said.contains("Not supported"),
            "{said}"
        );
        assert!(!bed.sh("ip -o link").contains("veth"), "nothing stays");
    }
}

#[test]
fn address_management_may_be_of_others() {
    let bed = Bed::start();
    bed.pod("one");
    // A plugin that crilet has not: it answers, and keeps what it was asked.
    bed.sh("cat >/opt/crilet/cni/theirs <<'E'
#!/bin/sh
cat >/run/asked-$CNI_COMMAND
echo \"$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME\" >>/run/asked
[ -e /run/refuse ] && [ $CNI_COMMAND = ADD ] && { echo '{\"code\": 11, \"msg\": \"come back later\", \"details\": \"full\"}'; exit 1; }
[ $CNI_COMMAND != ADD ] || echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.88.0.9/16\"}]}'
E
        chmod +x /opt/crilet/cni/theirs");
    let asked = config(json!({"ipam": {"type": "theirs", "key": 1}, "isGateway": true}));
    let call = |command| Call {
        maker: Maker::Ours,
        plugin: "bridge",
        command,
        container: "one",
        namespace: "one",
        link: "eth0",
        args: "A=1;IgnoreUnknown=1",
        config: asked.clone(),
    };
    let result = bed.call(&call("ADD")).ok();
    assert_eq!(
        result["ips"][0],
        json!({"address": "10.88.0.9/16", "gateway": "10.88.0.1", "interface": 2})
    );
    let given: Value = serde_json::from_str(&bed.sh("cat /run/asked-ADD")).unwrap();
    assert_eq!(given, asked, "it gets the whole configuration");
    bed.call(&call("DEL")).ok();
    assert_eq!(bed.sh("cat /run/asked"), "ADD one eth0\nDEL one eth0\n");
    bed.sh("touch /run/refuse");
    let (code, said) = bed.call(&call("ADD")).error();
    assert_eq!((code, said.as_str()), (11, "come back later; full"));
    assert!(!bed.sh("ip -o link").contains("veth"));
}

#[test]
fn a_second_add_is_refused_and_takes_nothing_from_the_first() {
    let bed = Bed::start();
    bed.pod("one");
    let config = config(json!({"isGateway": true, "ipMasq": true, "macspoofchk": true}));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let state =
        || (bed.rules(), bed.sh("ls /var/lib/cni/networks/net; ip -o link show type veth | wc -l"));
    let before = state();
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("already exists"), "{words}");
    assert_eq!(state(), before);
}

#[test]
fn a_lease_that_another_maker_has_given_meanwhile_is_found_and_stays() {
    let bed = Bed::start();
    for name in ["one", "two"] {
        bed.pod(name);
    }
    let config = config(json!({"isGateway": true, "ipMasq": true}));
    bed.run(Maker::Ours, "ADD", "two", &config).ok();
    let mut lease = config.clone();
    lease["type"] = "host-local".into();
    bed.run(Maker::Ours.other(), "ADD", "one", &lease).ok();
    let leases = || bed.sh("cd /var/lib/cni/networks/net && grep -a '' 10.*");
    let state = || (bed.rules(), leases(), bed.sh("ip -o link show type veth | wc -l"));
    let before = state();
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("10.88.0.3 has been allocated to one, duplicate allocation"), "{words}");
    assert_eq!(state(), before);
    assert!(!bed.in_pod("one", "ip -o link").contains("eth0"));
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    // What fails before all leases were looked at gives its own back.
    bed.run(Maker::Ours.other(), "ADD", "three", &lease).ok();
    bed.sh("ip addr flush dev cni0 && ip addr add 10.9.0.1/16 dev cni0");
    let before = state();
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("it has 10.9.0.1/16"), "{words}");
    assert_eq!(state(), before);
}
