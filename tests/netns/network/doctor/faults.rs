//! Faults that only a person can mend: each is made, seen, undone, and then seen no more.

use crilet_cri::fake::Fake;
use serde_json::{Value, json};

use super::{Node, evidence, plain, port};
use crate::{
    network::bed::{list, net, serve},
    plugins::bed::Maker,
};

/// portmap's table as its versions 1.6.1 to 1.8.0 make it.
const OLD_TABLE: &str = "table ip cni_hostport {
  chain hostports { tcp dport 9100 dnat to 10.88.0.2:80 comment \"one\"; }
  chain prerouting { type nat hook prerouting priority -100; jump hostports; }
}";

#[test]
fn what_is_dropped_on_its_way_is_found() {
    let node = Node::start("iptables");
    node.pod(Maker::Ours, "one", &port(8080));
    node.pod(Maker::Ours, "two", &json!([]));
    let _server = serve(&node.bed, "one", 80, "one");
    node.is_well();
    node.bed.sh("iptables -P FORWARD DROP; iptables -N DOCKER-USER");
    let finding = node.has("forward-drop");
    assert_eq!(evidence(&finding)[0], "rule ip filter FORWARD policy: drop");
    assert!(finding["fix"].as_str().unwrap().contains("DOCKER-USER"), "{finding:#}");
    node.bed.sh("iptables -P FORWARD ACCEPT; iptables -X DOCKER-USER");
    node.bed.sh("nft 'table inet hard { chain f { type filter hook forward priority 10; oifname \"cni0\" drop; }; }'");
    let finding = node.has("forward-drop");
    assert!(evidence(&finding)[0].contains("inet hard f rule 1"), "{finding:#}");
    node.bed.sh("nft delete table inet hard");
    node.bed.sh("sysctl -qw net.ipv4.ip_forward=0");
    node.has("forwarding-off");
    node.bed.sh("sysctl -qw net.ipv4.ip_forward=1");
    node.is_well();
}

#[test]
fn two_packet_filters_and_a_held_lock_are_found() {
    let node = Node::start("iptables");
    node.pod(Maker::Ours, "one", &port(8080));
    node.bed.sh("iptables-legacy -A INPUT -p tcp --dport 24 -j DROP");
    let finding = node.has("two-backends");
    assert!(
        evidence(&finding).contains(&"rule ip filter (legacy tables): 1 rule".to_owned()),
        "{finding:#}"
    );
    node.bed.sh("iptables-legacy -F");
    node.is_well();
    let holder =
        node.bed.host.command("flock").args(["/run/xtables.lock", "sleep", "600"]).spawn().unwrap();
    node.bed.sh("until ! flock -n /run/xtables.lock true; do sleep 0.1; done");
    node.bed.sh("true");
    let output = net(&node.bed.host, "snapshot /run/locked.json");
    assert_eq!(output.status, 0, "{output}");
    let mut snapshot: Value =
        serde_json::from_str(&node.bed.host.read("/run/locked.json").unwrap()).unwrap();
    assert_eq!(snapshot["xtables_lock"]["program"], "flock", "{:#}", snapshot["xtables_lock"]);
    drop(holder);
    // A lock that is held for a moment is none to tell of.
    assert_eq!(node.findings_of("doctor --from /run/locked.json").0, Vec::<String>::new());
    snapshot["xtables_lock"]["seconds"] = 60.into();
    snapshot["flows"]["count"] = 95.into();
    snapshot["flows"]["limit"] = 100.into();
    node.bed.host.write("/run/locked.json", snapshot.to_string()).unwrap();
    let (mut ids, _) = node.findings_of("doctor --from /run/locked.json");
    ids.sort();
    assert_eq!(ids, ["flows-full", "xtables-lock"]);
}

#[test]
fn an_open_door_to_the_hosts_localhost_is_found_and_closed() {
    for backend in ["iptables", "nftables"] {
        let maker = if backend == "iptables" { Maker::Reference } else { Maker::Ours };
        let node = Node::start(backend);
        node.pod(maker, "one", &port(8080));
        node.bed.sh("nft delete table ip crilet_localnet 2>/dev/null || true");
        let before = node.bed.rules();
        let finding = node.has("localnet-open");
        assert_eq!(evidence(&finding), ["setting net.ipv4.conf.cni0.route_localnet: 1"]);
        node.mend();
        let after = node.bed.rules();
        assert!(before.lines().all(|line| after.lines().any(|other| other == line)), "{after}");
        // So do others' guards: that of Kubernetes.
        node.bed.sh("nft delete table ip crilet_localnet 2>/dev/null || iptables -t raw -F
            iptables -N KUBE-FIREWALL
            iptables -A INPUT -j KUBE-FIREWALL
            iptables -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP");
        node.is_well();
    }
}

#[test]
fn ports_that_meet_are_found() {
    let node = Node::start("iptables");
    node.pod(Maker::Reference, "old", &port(8080));
    node.pod(Maker::Reference, "young", &port(8080));
    node.guard();
    let finding = node.has("port-twice");
    assert_eq!(finding["what"], "pod default/old and pod default/young both have port 8080/tcp");
    node.bed.sh("iptables -t nat -D CNI-HOSTPORT-DNAT 2; ip6tables -t nat -D CNI-HOSTPORT-DNAT 2
        rm /var/lib/cni/results/net-young-eth0");
    let server = serve(&node.bed, "", 8080, "host");
    let finding = node.has("port-shadowed");
    assert!(evidence(&finding)[0].starts_with("address [::]:8080"), "{finding:#}");
    drop(server);
    node.bed.sh("iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -j DOCKER
        iptables -t nat -A DOCKER -p tcp -m tcp --dport 9200 -j DNAT --to-destination 10.88.0.99:80");
    let finding = node.has("port-nowhere");
    assert_eq!(finding["repairs"], json!([]), "docker's rules are docker's");
    node.bed.sh("iptables -t nat -F DOCKER");
    node.bed.sh("iptables -N ufw-user-input");
    let finding = node.has("ports-open");
    assert_eq!(finding["severity"], "note");
    node.bed.sh("iptables -X ufw-user-input");
    node.is_well();
}

#[test]
fn ports_that_nobody_maps_are_found() {
    let mut list = plain(list("iptables", true, &json!([])));
    list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.0.0/16"}]]);
    let node = Node::with(list);
    node.bed.pod("six");
    node.attach(
        Maker::Reference,
        "six",
        &json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "2001:db8::1"}]}),
    );
    node.guard();
    node.has("host-ip-family");
    let mut list = node.list.clone();
    list["plugins"][1]["capabilities"] = json!({});
    let node = Node::with(list);
    node.guard();
    node.pod(Maker::Reference, "one", &port(8080));
    node.has_all(&["missing-port-mappings", "ports-ignored"]);
}

#[test]
fn tables_of_old_plugins_and_very_many_rules_are_found() {
    let node = Node::start("nftables");
    node.pod(Maker::Ours, "one", &json!([]));
    node.bed.host.command("nft").args(["-f", "-"]).input(OLD_TABLE).success().unwrap();
    node.has("hostport-hijack");
    node.bed.sh("nft delete table ip cni_hostport");
    let chains: String = (0..500).map(|number| format!(":CNI-DN-{number:021} - [0:0]\n")).collect();
    let script = format!("*nat\n{chains}COMMIT\n");
    node.bed.host.command("iptables-restore").arg("--noflush").input(script).success().unwrap();
    node.has("rules-many");
}

#[test]
fn bridges_and_links_that_were_changed_are_found() {
    let mut wanted = plain(list("iptables", false, &json!([])));
    wanted["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.0.0/16"}]]);
    let node = Node::with(wanted);
    node.pod(Maker::Ours, "one", &port(8080));
    let finding = node.has("no-hairpin");
    assert_eq!(finding["severity"], "note");
    node.bed.sh("bridge link set dev $(ls /sys/class/net/cni0/brif) hairpin on");
    node.is_well();
    let mac = node.bed.in_pod("one", "cat /sys/class/net/eth0/address");
    node.bed.in_pod("one", "ip link set eth0 address 02:00:00:00:00:77");
    let finding = node.has("mac-changed");
    assert!(evidence(&finding)[0].contains("is 02:00:00:00:00:77, was"), "{finding:#}");
    node.bed.in_pod("one", &format!("ip link set eth0 address {mac}"));
    let other = node.list.to_string().replace("10.88.", "10.89.");
    node.bed.host.write("/etc/cni/net.d/10-net.conflist", &other).unwrap();
    let found = node.has_all(&["bridge-address", "config-edited"]);
    assert!(found[0]["fix"].as_str().unwrap().contains("has 1 port"), "{found:#}");
    node.bed
        .host
        .write(
            "/etc/cni/net.d/10-net.conflist",
            other.replace("\"net\"", "\"other\"").replace("10.89.", "10.88."),
        )
        .unwrap();
    node.has("config-gone");
}

#[test]
fn uplinks_that_lose_packets_are_found() {
    let node = Node::start("iptables");
    node.pod(Maker::Ours, "one", &port(8080));
    node.is_well();
    node.bed.sh("ip -6 route show default | grep -q . && ip -6 route delete default || true
        echo 1 >/proc/sys/net/ipv6/conf/uplink/accept_ra");
    node.has("v6-router");
    node.bed.sh("echo 2 >/proc/sys/net/ipv6/conf/uplink/accept_ra");
    node.bed.sh("ip link add second type veth peer name beyond; ip link set beyond up; ip link set second up; ip address add 198.51.100.1/24 dev second
        ip route add default via 198.51.100.2 metric 500
        echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter");
    node.has("rp-filter");
    node.bed.sh(
        "for name in all second uplink; do echo 2 >/proc/sys/net/ipv4/conf/$name/rp_filter; done",
    );
    node.is_well();
}

/// A runtime that answers and has no network, and one whose network is broken.
#[test]
fn configurations_that_no_runtime_can_use_are_found() {
    let node = Node::start("iptables");
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("cri.sock");
    let _fake = Fake::builder().start(&socket).unwrap();
    let doctor = |more: &str| {
        let endpoint = format!("--runtime-endpoint unix://{}", socket.display());
        node.findings_of(&format!("doctor {endpoint} {more}"))
    };
    assert_eq!(doctor("").0, Vec::<String>::new());
    node.bed.host.write("/etc/cni/net.d/05-broken.conflist", "{\"name\": ").unwrap();
    let (mut ids, _) = doctor("");
    ids.sort();
    assert_eq!(ids, ["no-network", "syntax"]);
    let (ids, found) = doctor("--conf-dir /etc/cni/nowhere");
    assert_eq!(ids, ["no-network"], "{found:#}");
    drop(_fake);
    let output =
        net(&node.bed.host, &format!("doctor --runtime-endpoint unix://{}", socket.display()));
    assert_eq!(output.status, 2, "{output}");
}
