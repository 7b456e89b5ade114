//! Connections through the rules of nftables, and flows in a table that is full of others.

use std::time::Duration;

use crilet_testkit::{Service, wait_until};
use serde_json::{Value, json};

use super::{
    bed::{Bed, Maker, plugins, with_previous},
    chain::list,
};

/// How long a server may take to listen.
const BOUND: Duration = Duration::from_secs(100);
/// Flows of others that are there.
const CROWD: usize = 100_000;

/// Both families, TCP and UDP on one port: answers with a word and the address of who asked.
const SERVE: &str = "import socket, sys, threading
port, word = int(sys.argv[1]), sys.argv[2]
say = lambda peer: (word + ' ' + peer[0].replace('::ffff:', '')).encode()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
u.bind(('::', port))
def datagrams():
    while True:
        _, peer = u.recvfrom(99)
        u.sendto(say(peer), peer)
threading.Thread(target=datagrams, daemon=True).start()
s = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, peer = s.accept()
    c.sendall(say(peer))
    c.close()";

/// Asks by a protocol, at an address and port; what goes wrong is told as `no: ...`.
const ASK: &str = "import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == 'tcp' else socket.SOCK_DGRAM
family = socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET
s = socket.socket(family, kind)
s.settimeout(float(sys.argv[4]))
try:
    s.connect((sys.argv[2], int(sys.argv[3])))
    if kind == socket.SOCK_DGRAM: s.send(b'x')
    print(s.recv(99).decode())
except OSError as e:
    print('no:', e)";

fn serve(bed: &Bed, place: &str, port: u16, word: &str) -> Service {
    let port = port.to_string();
    let command = bed.host.command("ip").args(["netns", "exec", place, "python3", "-c", SERVE]);
    let service = command.args([port.as_str(), word]).spawn().unwrap();
    wait_until("the server", BOUND, || {
        let listening = bed.sh(&format!("ip netns exec {place} ss -Hltn sport = {port}"));
        if listening.is_empty() { Err("not listening".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    service
}

/// What somebody is told who asks from a namespace, or from the host with an empty name.
fn ask(bed: &Bed, place: &str, protocol: &str, address: &str, port: u16) -> String {
    ask_for(bed, place, (protocol, address, port), "20")
}

/// The same, for so many seconds: what is to be refused is not waited for as long as what may have to
/// find a neighbour first.
fn ask_for(
    bed: &Bed,
    place: &str,
    (protocol, address, port): (&str, &str, u16),
    patience: &str,
) -> String {
    let port = port.to_string();
    let command = match place {
        "" => bed.host.command("python3"),
        place => bed.host.command("ip").args(["netns", "exec", place, "python3"]),
    };
    let said = command.args(["-c", ASK, protocol, address, &port, patience]).success().unwrap();
    said.trim().to_owned()
}

/// Both families, all rules by nft; one port is of one address of the host alone.
fn by_nftables() -> Value {
    let mut network = list("net", true, &[]);
    network["plugins"][0]["ipMasqBackend"] = "nftables".into();
    network["plugins"][1]["backend"] = "nftables".into();
    network["plugins"][1]["runtimeConfig"] = json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"},
        {"hostPort": 5353, "containerPort": 80, "protocol": "udp"},
    ]});
    network
}

#[test]
fn connections_go_by_the_rules_of_nftables() {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    let (network, mut plain) = (by_nftables(), by_nftables());
    plain["plugins"][1]["runtimeConfig"] = json!({"portMappings": []});
    bed.pod("one");
    bed.pod("two");
    bed.sh("ip -n one link set lo up");
    let result = bed.add(&[Maker::Ours], "one", &network);
    bed.add(&[Maker::Ours], "two", &plain);
    let _servers = [serve(&bed, "one", 80, "pod"), serve(&bed, "outside", 7000, "world")];
    let cases = [
        ("outside", "tcp", "192.0.2.1", 8080, "pod 192.0.2.2"),
        ("outside", "tcp", "2001:db8::1", 8080, "pod 2001:db8::2"),
        ("outside", "udp", "192.0.2.1", 5353, "pod 192.0.2.2"),
        ("", "tcp", "127.0.0.1", 8080, "pod 10.88.0.1"),
        ("", "tcp", "192.0.2.1", 8080, "pod 192.0.2.1"),
        // Its own port and its neighbour's, through the host.
        ("one", "tcp", "192.0.2.1", 8080, "pod 10.88.0.1"),
        ("two", "tcp", "192.0.2.1", 8080, "pod 10.88.0.3"),
        ("outside", "tcp", "192.0.2.1", 8081, "pod 192.0.2.2"),
        // Out into the world, as the host.
        ("one", "tcp", "192.0.2.2", 7000, "world 192.0.2.1"),
        ("one", "udp", "2001:db8::2", 7000, "world 2001:db8::1"),
    ];
    for (place, protocol, address, port, said) in cases {
        let case = format!("{place} to {address} {protocol} {port}");
        assert_eq!(ask(&bed, place, protocol, address, port), said, "{case}");
    }
    let elsewhere = ask_for(&bed, "", ("tcp", "10.88.0.1", 8081), "2");
    assert!(elsewhere.starts_with("no: "), "of another address of the host: {elsewhere}");

    // Another network's GC leaves it, its own takes it; ADD brings it back, DEL takes it.
    let open = || ask(&bed, "outside", "tcp", "192.0.2.1", 8080);
    let closed = || ask_for(&bed, "outside", ("tcp", "192.0.2.1", 8080), "2").starts_with("no: ");
    let portmap = with_previous(plugins(&network).remove(1), &result);
    let mut collect = portmap.clone();
    collect["cniVersion"] = "1.1.0".into();
    collect["cni.dev/valid-attachments"] = json!([]);
    let mut other = collect.clone();
    other["name"] = "other".into();
    bed.run(Maker::Ours, "GC", "", &other).ok();
    assert_eq!(open(), "pod 192.0.2.2");
    bed.run(Maker::Ours, "GC", "", &collect).ok();
    assert!(closed());
    bed.run(Maker::Ours, "ADD", "one", &portmap).ok();
    assert_eq!(open(), "pod 192.0.2.2");
    bed.del(Maker::Ours, "one", &network, &result);
    assert!(closed());
    let rules = bed.sh("nft list ruleset");
    assert!(!rules.contains("10.88.0.2") && !rules.contains("fd00:88::2"), "{rules}");
}

#[test]
fn flows_end_among_a_hundred_thousand_of_others() {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    let network = list("net", false, &[(5353, 53, "udp"), (5354, 54, "udp")]);
    bed.pod("one");
    let result = bed.add(&[Maker::Ours], "one", &network);
    // Flows have to last until they were counted, however slow the machine.
    bed.sh("echo 600 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout");
    bed.sh(&format!(
        "python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range({CROWD}):
    try: s.sendto(b\"x\", (f\"127.0.{{n // 50000}}.1\", 10000 + n % 50000))
    except ConnectionRefusedError: pass
for port in (5353, 5354, 5355):
    o = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    o.bind((\"192.0.2.1\", 4000 + port - 5353))
    o.sendto(b\"x\", (\"192.0.2.1\", port))'"
    ));
    let count = || -> usize { bed.sh("conntrack -C").trim().parse().unwrap() };
    let to = |port: u16| {
        bed.sh(&format!("conntrack -L -p udp --orig-port-dst {port} 2>/dev/null || true"))
    };
    assert!(count() >= CROWD, "{}", count());
    assert!(to(5353).contains("src=10.88.0.2") && to(5354).contains("src=10.88.0.2"));
    bed.del(Maker::Ours, "one", &network, &result);
    assert_eq!(to(5353) + &to(5354), "");
    assert!(to(5355).contains("dport=5355"), "a flow to another port stays");
    assert!(count() >= CROWD, "those of others stay: {}", count());
}

/// One datagram from a place and a port of its own, by which its flow is found.
fn send(bed: &Bed, place: &str, from: u16, to: &str, port: u16) {
    let script = "import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind(('', int(sys.argv[1])))
s.sendto(b'x', (sys.argv[2], int(sys.argv[3])))";
    let command = match place {
        "" => bed.host.command("python3"),
        place => bed.host.command("ip").args(["netns", "exec", place, "python3"]),
    };
    let (from, port) = (from.to_string(), port.to_string());
    command.args(["-c", script, &from, to, &port]).success().unwrap();
}

/// Which of the ports that flows are sent from have one.
fn flows(bed: &Bed, all: std::ops::Range<u16>) -> Vec<u16> {
    let listing = bed.sh("conntrack -f ipv4 -L -p udp 2>/dev/null || true
        conntrack -f ipv6 -L -p udp 2>/dev/null || true");
    // The first of a flow's two is the port that it began from.
    let began = |line: &str| line.split("sport=").nth(1)?.split(' ').next()?.parse::<u16>().ok();
    let began: Vec<u16> = listing.lines().filter_map(began).collect();
    all.filter(|port| began.contains(port)).collect()
}

/// Waits until these have flows and no others: a first packet may wait for a neighbour.
fn await_flows(bed: &Bed, wanted: &[u16]) {
    wait_until("flows", BOUND, || {
        let seen = flows(bed, 4000..4010);
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
    })
    .unwrap();
}

#[test]
fn flows_to_other_servers_of_names_survive() {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    let dns = |mappings: &[(u16, u16, &str)]| list("net", true, mappings);
    let plain = dns(&[]);
    for pod in ["one", "two", "three"] {
        bed.pod(pod);
    }
    bed.add(&[Maker::Ours], "two", &plain);
    bed.sh("echo 600 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout");
    // Before there is a pod that serves: to the host, and to servers elsewhere.
    send(&bed, "outside", 4000, "192.0.2.1", 53);
    send(&bed, "outside", 4001, "2001:db8::1", 53);
    send(&bed, "two", 4002, "192.0.2.2", 53);
    send(&bed, "two", 4003, "2001:db8::2", 53);
    send(&bed, "", 4004, "192.0.2.2", 53);
    await_flows(&bed, &[4000, 4001, 4002, 4003, 4004]);
    let one = dns(&[(53, 53, "udp")]);
    let result = bed.add(&[Maker::Ours], "one", &one);
    assert_eq!(flows(&bed, 4000..4010), [4002, 4003, 4004], "those to the host end with ADD");
    let pod: Vec<String> = result["ips"].as_array().unwrap().iter().map(address).collect();
    send(&bed, "outside", 4000, "192.0.2.1", 53);
    send(&bed, "outside", 4001, "2001:db8::1", 53);
    send(&bed, "", 4005, &pod[0], 53);
    send(&bed, "", 4006, &pod[1], 53);
    await_flows(&bed, &[4000, 4001, 4002, 4003, 4004, 4005, 4006]);
    bed.del(Maker::Ours, "one", &one, &result);
    let left = [4002, 4003, 4004, 4005, 4006];
    assert_eq!(flows(&bed, 4000..4010), left, "those that were led to the pod end with DEL");
}

fn address(ip: &Value) -> String {
    ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn flows_of_another_pod_and_address_survive_in_either_backend() {
    for backend in ["iptables", "nftables"] {
        let bed = Bed::start();
        bed.sh("ip link set lo up");
        let of = |host_ip: &str| {
            let mut network = list("net", false, &[(53, 53, "udp"), (54, 54, "udp")]);
            network["plugins"][1]["backend"] = backend.into();
            for index in 0..2 {
                network["plugins"][1]["runtimeConfig"]["portMappings"][index]["hostIP"] =
                    host_ip.into();
            }
            network
        };
        for pod in ["one", "two"] {
            bed.pod(pod);
        }
        let (one, two) = (of("192.0.2.1"), of("127.0.0.1"));
        bed.add(&[Maker::Ours], "two", &two);
        bed.sh("echo 600 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout");
        for (from, port) in [(4000, 53), (4001, 54)] {
            send(&bed, "", from, "127.0.0.1", port);
            send(&bed, "outside", from + 2, "192.0.2.1", port);
        }
        send(&bed, "outside", 4004, "192.0.2.1", 55);
        await_flows(&bed, &[4000, 4001, 4002, 4003, 4004]);
        let result = bed.add(&[Maker::Ours], "one", &one);
        assert_eq!(flows(&bed, 4000..4010), [4000, 4001, 4004], "{backend}: ADD");
        for (from, port) in [(4002, 53), (4003, 54)] {
            send(&bed, "outside", from, "192.0.2.1", port);
        }
        await_flows(&bed, &[4000, 4001, 4002, 4003, 4004]);
        bed.del(Maker::Ours, "one", &one, &result);
        assert_eq!(flows(&bed, 4000..4010), [4000, 4001, 4004], "{backend}: DEL");
    }
}
