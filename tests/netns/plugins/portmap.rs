use serde_json::{Value, json};

use super::{
    bed::{Bed, Maker, plugins, ports, with_previous},
    chain::{assert_clean, list},
};

fn config(runtime: Value) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "portmap", "runtimeConfig": runtime,
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "sandbox": "/run/netns/one"}],
            "ips": [{"address": "10.88.0.2/16", "interface": 0}],
        },
    })
}

fn mapped(port: u16, host_ip: &str) -> Value {
    json!({"portMappings": [
        {"hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": host_ip},
    ]})
}

/// Serves one word on a port of a pod, or of the host with an empty name.
fn serve(bed: &Bed, pod: &str, port: u16, word: &str) -> crilet_testkit::Service {
    let script = format!(
        "import socket
s = socket.create_server(('', {port}))
while True:
    c, peer = s.accept()
    c.sendall(('{word} ' + peer[0]).encode())
    c.close()"
    );
    let command = match pod {
        "" => bed.host.command("python3"),
        pod => bed.host.command("ip").args(["netns", "exec", pod, "python3"]),
    };
    let service = command.args(["-c", &script]).spawn().unwrap();
    let look = match pod {
        "" => String::new(),
        pod => format!("ip netns exec {pod} "),
    };
    crilet_testkit::wait_until("the server", std::time::Duration::from_secs(100), || {
        let listening = bed.sh(&format!("{look}ss -Hltn sport = {port}"));
        if listening.is_empty() { Err("not listening".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    service
}

const ASK: &str = "python3 -c 'import socket,sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
print(s.makefile().read())' ";

#[test]
fn packets_arrive_from_everywhere_they_should_and_from_nowhere_else() {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    let list = list("net", false, &[(8080, 80, "tcp")]);
    bed.pod("one");
    bed.sh("ip -n one link set lo up");
    bed.add(&[Maker::Ours], "one", &list);
    bed.pod("two");
    bed.add(&[Maker::Ours], "two", &self::list("net", false, &[]));
    let _server = serve(&bed, "one", 80, "pod");
    let outside = bed.sh(&format!("ip netns exec outside {ASK} 192.0.2.1 8080"));
    assert_eq!(outside.trim(), "pod 192.0.2.2", "the client's address stays");
    assert_eq!(bed.sh(&format!("{ASK} 127.0.0.1 8080")).trim(), "pod 10.88.0.1");
    assert_eq!(bed.sh(&format!("{ASK} 192.0.2.1 8080")).trim(), "pod 192.0.2.1");
    // The pod itself and its neighbour, through the host.
    assert_eq!(bed.in_pod("one", &format!("{ASK} 192.0.2.1 8080")).trim(), "pod 10.88.0.1");
    assert_eq!(bed.in_pod("two", &format!("{ASK} 10.88.0.1 8080")).trim(), "pod 10.88.0.1");

    // What the host serves on 127.0.0.1 alone is out of a pod's reach, although the bridge may
    // route such packets.
    let _secret = serve(&bed, "", 9999, "host");
    assert_eq!(bed.sh("cat /proc/sys/net/ipv4/conf/cni0/route_localnet").trim(), "1");
    bed.sh("ip -n two route add 127.0.0.1/32 via 10.88.0.1 dev eth0 table 7
        ip -n two rule add pref 0 to 127.0.0.1 lookup 7
        ip netns exec two sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet'
        ip -n two addr del 127.0.0.1/8 dev lo || true");
    let reach = format!("ip netns exec two {ASK} 127.0.0.1 9999 2>&1 || true");
    let blocked = bed.sh(&reach);
    assert!(blocked.contains("timed out"), "{blocked}");
    bed.sh("iptables -t raw -F CRILET-LOCALNET");
    let open = bed.sh(&reach);
    assert!(open.contains("host 10.88.0.3"), "the guard alone blocks it: {open}");
}

#[test]
fn a_port_that_somebody_has_is_refused_with_the_owner() {
    let bed = Bed::start();
    bed.pod("one");
    let cases = [
        (
            "CNI, iptables",
            "iptables-restore --noflush",
            r#"*nat
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-aaaaaaaaaaaaaaaaaaaaa - [0:0]
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"other\" id: \"abc\"" -m multiport --dports 79,8080 -j CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-A CNI-DN-aaaaaaaaaaaaaaaaaaaaa -d 192.0.2.1 -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
COMMIT
"#,
            "pod default/web (id abc) of network `other` has it",
            true,
        ),
        (
            "CNI, nft",
            "nft -f -",
            "table ip cni_hostport { chain hostports { ip daddr 192.0.2.1 tcp dport 8080 dnat to 10.1.0.2:80 comment \"abc\"; }; }",
            "pod default/web (id abc) has it",
            true,
        ),
        (
            "CRI-O, nft",
            "nft -f -",
            "table ip crio-hostports { map hostipports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; elements = { 192.0.2.1 . tcp . 8080 : 10.1.0.2 . 80 }; }; }",
            "a pod of CRI-O has it",
            true,
        ),
        (
            "CRI-O, iptables",
            "iptables-restore --noflush",
            "*nat\n:KUBE-HOSTPORTS - [0:0]\n:KUBE-HP-X - [0:0]\n-A KUBE-HOSTPORTS -p tcp -m comment --comment \"web_default_0_ hostport 8080\" -m tcp --dport 8080 -j KUBE-HP-X\nCOMMIT\n",
            "CRI-O leads it elsewhere by chain KUBE-HOSTPORTS (web_default_0_ hostport 8080)",
            false,
        ),
        (
            "podman, nft",
            "nft -f -",
            "table inet netavark { chain NETAVARK-HOSTPORT-DNAT { ip daddr 192.0.2.1 tcp dport 8080 counter; }; }",
            "podman leads it elsewhere",
            true,
        ),
        (
            "podman, iptables",
            "iptables-restore --noflush",
            "*nat\n:NETAVARK-HOSTPORT-DNAT - [0:0]\n:NETAVARK-DN-X - [0:0]\n-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -m comment --comment \"dnat name: podman id: 12\" -j NETAVARK-DN-X\nCOMMIT\n",
            "podman leads it elsewhere by chain NETAVARK-HOSTPORT-DNAT (dnat name: podman id: 12)",
            false,
        ),
        (
            "docker",
            "iptables-restore --noflush",
            "*nat\n:DOCKER - [0:0]\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n",
            "docker leads it elsewhere by chain DOCKER",
            false,
        ),
    ];
    bed.host.write("/var/lib/cni/results/other-abc-eth0", json!({"kind": "cniCacheV1", "containerId": "abc", "cniArgs": [["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]]}).to_string()).unwrap();
    for (owner, program, rules, words, is_of_address) in cases {
        bed.host.write("/run/rules", rules).unwrap();
        bed.sh(&format!("{program} </run/rules"));
        let before = bed.rules();
        for host_ip in ["", "192.0.2.1"] {
            let (code, said) =
                bed.run(Maker::Ours, "ADD", "one", &config(mapped(8080, host_ip))).error();
            assert!(
                code == 999
                    && said.contains("host port 8080/tcp is taken: ")
                    && said.contains(words),
                "{owner}: {said}"
            );
            // What was read is kept; the second answer is the same.
            let (_, again) =
                bed.run(Maker::Ours, "ADD", "one", &config(mapped(8080, host_ip))).error();
            assert_eq!(said, again, "{owner}");
        }
        assert_eq!(bed.rules(), before, "{owner}: a refusal changes nothing");
        let others = [(8081, ""), (8080, if is_of_address { "192.0.2.77" } else { "" })];
        for (port, host_ip) in others.into_iter().take(if is_of_address { 2 } else { 1 }) {
            bed.run(Maker::Ours, "ADD", "one", &config(mapped(port, host_ip))).ok();
            bed.run(Maker::Ours, "DEL", "one", &config(json!({}))).ok();
        }
        let mut udp = mapped(8080, "");
        udp["portMappings"][0]["protocol"] = "udp".into();
        bed.run(Maker::Ours, "ADD", "one", &config(udp)).ok();
        bed.run(Maker::Ours, "DEL", "one", &config(json!({}))).ok();
        bed.sh("nft flush ruleset");
    }
}

/// Others' rules that came since the last look are not listed all again, but none may be missed.
#[test]
fn a_port_that_another_maker_has_mapped_since_is_refused() {
    let bed = Bed::start();
    for is_dual in [false, true] {
        let list = |port: u16| list("net", is_dual, &[(port, 80, "tcp")]);
        for pod in ["one", "two", "three"] {
            bed.pod(pod);
        }
        let of_one = bed.add(&[Maker::Ours], "one", &list(8080));
        let of_two = bed.add(&[Maker::Reference], "two", &list(8081));
        let before = bed.rules();
        let bridge = plugins(&list(8081)).remove(0);
        let result = bed.run(Maker::Ours, "ADD", "three", &bridge).ok();
        let portmap =
            |port: u16, result: &Value| with_previous(plugins(&list(port)).remove(1), result);
        for _ in 0..2 {
            let (_, said) = bed.run(Maker::Ours, "ADD", "three", &portmap(8081, &result)).error();
            assert!(said.contains("pod (id two) of network `net` has it"), "{said}");
        }
        bed.run(Maker::Ours, "DEL", "three", &bridge).ok();
        assert_eq!(bed.rules(), before, "a refusal changes nothing");

        // Another port is free, and so is this one when its owner is gone; then it is taken by ours.
        let result = bed.run(Maker::Ours, "ADD", "three", &bridge).ok();
        bed.run(Maker::Ours, "ADD", "three", &portmap(8082, &result)).ok();
        bed.run(Maker::Ours, "DEL", "three", &portmap(8082, &result)).ok();
        bed.del(Maker::Reference, "two", &list(8081), &of_two);
        bed.run(Maker::Ours, "ADD", "three", &portmap(8081, &result)).ok();
        let of_two = bed.run(Maker::Reference, "ADD", "two", &bridge).ok();
        let (_, said) = bed.run(Maker::Ours, "ADD", "two", &portmap(8081, &of_two)).error();
        assert!(said.contains("pod (id three) of network `net` has it"), "{said}");
        bed.del(Maker::Ours, "one", &list(8080), &of_one);
        bed.del(Maker::Ours, "two", &list(8081), &of_two);
        bed.del(Maker::Reference, "three", &list(8081), &result);
        assert_clean(&bed);
        for pod in ["one", "two", "three"] {
            bed.sh(&format!("ip netns del {pod}"));
        }
    }
}

#[test]
fn a_port_that_a_process_listens_on_is_refused_with_its_name() {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    bed.pod("one");
    let _server = serve(&bed, "", 8080, "host");
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config(mapped(8080, ""))).error();
    assert!(
        words.contains("host port 8080/tcp is taken: process ")
            && words.contains("(python3) listens on"),
        "{words}"
    );
    bed.run(Maker::Ours, "ADD", "one", &config(mapped(8081, ""))).ok();
}

#[test]
fn flows_of_udp_end_with_add_and_del() {
    for (maker, ends) in [(Maker::Ours, true), (Maker::Reference, false)] {
        let bed = Bed::start();
        let list = list("net", false, &[(5353, 53, "udp"), (5354, 54, "udp")]);
        bed.pod("one");
        let result = bed.add(&[maker], "one", &list);
        let flow = |port: u16| {
            bed.sh(&format!(
                "ip netns exec outside python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"\", 4000)); s.sendto(b\"x\", (\"192.0.2.1\", {port}))'"
            ));
        };
        let flows = || bed.sh("conntrack -L -p udp --orig-port-src 4000 2>/dev/null || true");
        for port in [5353, 5354, 5355] {
            flow(port);
        }
        assert!(flows().contains("dport=5353") && flows().contains("src=10.88.0.2"), "{}", flows());
        bed.del(maker, "one", &list, &result);
        let left = flows();
        assert_eq!(!left.contains("dport=5353") && !left.contains("dport=5354"), ends, "{left}");
        assert!(left.contains("dport=5355"), "a flow to another port stays: {left}");
        // A flow from before the pod was there is ended, too.
        flow(5353);
        bed.sh("ip netns add two");
        let again = self::list("net", false, &[(5353, 53, "udp")]);
        bed.add(&[Maker::Ours], "two", &again);
        assert!(!flows().contains("dport=5353"), "{}", flows());
    }
}

#[test]
fn rules_of_nftables_are_in_the_layout_of_the_reference() {
    let bed = Bed::start();
    bed.pod("one");
    let mut network = list("net", true, &[]);
    network["plugins"][0]["ipMasqBackend"] = "nftables".into();
    network["plugins"][1]["backend"] = "nftables".into();
    network["plugins"][1]["conditionsV4"] = json!(["ip", "saddr", "!=", "203.0.113.0/24"]);
    network["plugins"][1]["runtimeConfig"] = json!({"portMappings": [
        {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
        {"HostPort": 53, "ContainerPort": 53, "Protocol": "udp", "HostIP": "192.0.2.1"},
    ]});
    let result = bed.add(&[Maker::Ours], "one", &network);
    let rules = bed.sh("nft -s list table ip cni_hostport");
    let wanted = r#"table ip cni_hostport {
	comment "CNI portmap plugin"
	chain hostports {
		tcp dport 8080 dnat to 10.88.0.2:80 comment "one"
		ip daddr 192.0.2.1 udp dport 53 dnat to 10.88.0.2:53 comment "one"
	}

	chain hostip_hostports {
	}

	chain hostports_all {
		jump hostip_hostports
		jump hostports
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip saddr != 203.0.113.0/24 fib daddr type local jump hostports_all
	}

	chain output {
		type nat hook output priority -100; policy accept;
		ip saddr != 203.0.113.0/24 fib daddr type local jump hostports_all
	}

	chain masquerading {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.88.0.2 ip daddr 10.88.0.2 masquerade comment "one"
		ip saddr 127.0.0.1 ip daddr 10.88.0.2 masquerade comment "one"
	}
}
"#;
    assert_eq!(rules, wanted);
    let masquerade = bed.sh("nft -s list table inet cni_plugins_masquerade");
    assert!(
        masquerade.contains("ip saddr 10.88.0.2 ip daddr != 10.88.0.0/16 masquerade comment \""),
        "{masquerade}"
    );
    assert!(masquerade.contains(", net: net, if: eth0, id: one\""), "{masquerade}");
    bed.check(Maker::Ours, "one", &network, &result);
    assert_eq!(bed.sh("iptables-save | grep -c CNI || true").trim(), "0", "no rule of iptables");
    // Again, then without the backend's name: all goes.
    let mut portmap = with_previous(plugins(&network).remove(1), &result);
    bed.run(Maker::Ours, "ADD", "one", &portmap).ok();
    assert_eq!(bed.sh("nft -s list table ip cni_hostport"), wanted);
    portmap["cniVersion"] = "1.1.0".into();
    portmap["cni.dev/valid-attachments"] = json!([]);
    let mut other = portmap.clone();
    other["name"] = "other".into();
    bed.run(Maker::Ours, "GC", "", &other).ok();
    assert_eq!(bed.sh("nft -s list table ip cni_hostport"), wanted, "another network's GC");
    bed.run(Maker::Ours, "GC", "", &portmap).ok();
    assert!(!bed.sh("nft list table ip cni_hostport").contains("comment \"one\""));
    bed.run(Maker::Ours, "ADD", "one", &with_previous(plugins(&network).remove(1), &result)).ok();
    network["plugins"][0].as_object_mut().unwrap().remove("ipMasqBackend");
    network["plugins"][1].as_object_mut().unwrap().remove("backend");
    network["plugins"][1].as_object_mut().unwrap().remove("conditionsV4");
    bed.del(Maker::Ours, "one", &network, &result);
    assert_clean(&bed);
}

#[test]
fn legacy_tables_serve_both_makers() {
    for maker in Maker::BOTH {
        let bed = Bed::start();
        let legacy = |name: &str| format!("/usr/sbin/{}", name.replace("tables", "tables-legacy"));
        let names = [
            "iptables",
            "iptables-save",
            "iptables-restore",
            "ip6tables",
            "ip6tables-save",
            "ip6tables-restore",
        ];
        let paths = names.map(legacy);
        let tools: Vec<(&str, &str)> =
            names.iter().copied().zip(paths.iter().map(String::as_str)).collect();
        bed.shadow(&tools);
        let list = list("net", false, &[(8080, 80, "tcp"), (53, 53, "udp")]);
        bed.pod("one");
        let result = bed.add(&[maker], "one", &list);
        let saved = bed.sh("iptables-legacy-save -t nat");
        assert!(saved.contains("-A CNI-HOSTPORT-DNAT -p tcp"), "{saved}");
        assert_eq!(bed.sh("nft list ruleset | grep -c CNI || true").trim(), "0");
        bed.check(Maker::Ours, "one", &list, &result);
        bed.pod("two");
        let portmap = with_previous(plugins(&list).remove(1), &result);
        let (_, words) = bed.run(Maker::Ours, "ADD", "two", &portmap).error();
        assert!(words.contains("pod (id one) of network `net` has it"), "{words}");
        bed.del(maker.other(), "one", &list, &result);
        assert_clean(&bed);
    }
}

#[test]
fn pods_without_ports_pass_and_deleting_needs_none() {
    let bed = Bed::start();
    bed.pod("one");
    let before = bed.rules();
    let quirks = json!({
        "portMappings": null, "io.kubernetes.cri.pod-annotations": null,
        "dns": {"Servers": null, "Searches": null, "Options": null},
    });
    let result = bed.run(Maker::Ours, "ADD", "one", &config(quirks)).ok();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/16");
    assert_eq!(bed.rules(), before);
    // More ports than one rule lists, and DEL that knows nothing.
    let many: Vec<(u16, u16, &str)> = (0..20).map(|n| (7000 + n, 80, "tcp")).collect();
    bed.run(Maker::Ours, "ADD", "one", &config(ports(&many))).ok();
    let rules = bed.rules();
    assert_eq!(rules.lines().filter(|line| line.contains("-A CNI-HOSTPORT-DNAT")).count(), 2);
    let bare = json!({"cniVersion": "1.0.0", "name": "net", "type": "portmap"});
    bed.run(Maker::Ours, "DEL", "one", &bare).ok();
    assert!(!bed.rules().contains("CNI-DN"), "{}", bed.rules());
    bed.run(Maker::Ours, "DEL", "one", &bare).ok();
}

#[test]
fn an_add_after_another_replaces_its_rules() {
    let bed = Bed::start();
    bed.pod("one");
    bed.run(Maker::Ours, "ADD", "one", &config(ports(&[(8080, 80, "tcp")]))).ok();
    let mut moved = config(ports(&[(8080, 81, "tcp")]));
    moved["prevResult"]["ips"][0]["address"] = "10.88.0.9/16".into();
    bed.run(Maker::Ours, "ADD", "one", &moved).ok();
    let rules = bed.rules();
    assert!(rules.contains("10.88.0.9:81") && !rules.contains("10.88.0.2:80"), "{rules}");
    assert_eq!(rules.lines().filter(|line| line.contains("-A CNI-HOSTPORT-DNAT")).count(), 1);
}

#[test]
fn mistakes_name_their_key_and_change_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    let before = bed.rules();
    let mapping = |key: &str, value: Value| {
        let mut mapping = json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"});
        mapping[key] = value;
        config(json!({"portMappings": [mapping]}))
    };
    let with = |key: &str, value: Value| {
        let mut config = config(mapped(8080, ""));
        config[key] = value;
        config
    };
    let cases = [
        (
            mapping("hostPort", json!(0)),
            "`runtimeConfig.portMappings[0].hostPort` is 0, but must be between 1 and 65535",
        ),
        (
            mapping("containerPort", json!(65536)),
            "`runtimeConfig.portMappings[0].containerPort` is 65536",
        ),
        (
            mapping("hostPort", json!("80")),
            "`runtimeConfig.portMappings[0].hostPort`: invalid type: string \"80\"",
        ),
        (mapping("protocol", json!("icmp")), "protocol` is \"icmp\", but must be tcp, udp or sctp"),
        (mapping("hostIP", json!("public")), "hostIP` is \"public\", but must be an IP address"),
        (
            mapping("hostIP", json!("2001:db8::1")),
            "hostIP` is 2001:db8::1, but the pod has no IPv6 address",
        ),
        (
            config(
                json!({"portMappings": [{"hostPort": 1, "containerPort": 2, "protocol": "tcp"}, {"hostPort": 1, "containerPort": 3, "protocol": "tcp"}]}),
            ),
            "portMappings[1].hostPort` is that of portMappings[0]",
        ),
        (
            with("backend", json!("pf")),
            "`backend`: unknown variant `pf`, expected `iptables` or `nftables`",
        ),
        (
            with("conditionsV4", json!(["ip", "saddr", "10.0.0.1"])),
            "`conditionsV4` is in the words of nftables, but the backend is iptables",
        ),
        (with("markMasqBit", json!(32)), "`markMasqBit` is 32"),
        (with("prevResult", json!(null)), "`prevResult` is missing"),
        (
            with("prevResult", json!({"cniVersion": "1.0.0", "ips": [{"address": "nowhere"}]})),
            "`prevResult.ips[0].address`",
        ),
    ];
    for (config, words) in cases {
        let (code, said) = bed.run(Maker::Ours, "ADD", "one", &config).error();
        assert!(code == 7 && said.contains(words), "{code} {said}");
    }
    assert_eq!(bed.rules(), before);
}
