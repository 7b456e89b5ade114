//! What is told of a packet's way is what a real connection does: the whole matrix.

use std::time::Duration;

use crilet_testkit::wait_until;
use serde_json::{Value, json};

use super::bed::{add, json_of, list, net, serve};
use crate::plugins::bed::{Bed, Maker};

/// Connects as `[namespace]`, and says what happened in the verdict's words: several at a time.
const CONNECT: &str = "
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))
    print('delivered', *s.makefile().read().split())
except ConnectionRefusedError: print('refused')
except TimeoutError: print('silent')
except OSError as e: print('silent' if e.errno == 22 else 'unreachable')
";

/// Who connects: nobody is the node, else the name of a namespace.
type Case = (&'static str, &'static str, u16);

fn told(bed: &Bed, (from, to, port): Case) -> (String, Value) {
    let target = if to.contains(':') { format!("[{to}]:{port}") } else { format!("{to}:{port}") };
    let arguments = match from {
        "" => target,
        "outside" if to.contains(':') => format!("2001:db8::2 {target}"),
        "outside" => format!("192.0.2.2 {target}"),
        pod => format!("--from-pod {pod} {target}"),
    };
    let told = json_of(&bed.host, &format!("trace --from /run/told.json {arguments}"));
    let words = match told["verdict"].as_str().unwrap() {
        "delivered" => {
            let word = |key: &str| told[key].as_str().unwrap().to_owned();
            format!("delivered {} {}", word("to"), word("sees"))
        }
        "hangs" | "dropped" => "silent".to_owned(),
        other => other.to_owned(),
    };
    (words, told)
}

/// One snapshot serves all questions.
#[track_caller]
fn take(bed: &Bed) {
    let output = net(&bed.host, "snapshot /run/told.json");
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{output}");
}

/// Every case is told and tried; the words of servers but for the address are left out.
#[track_caller]
fn compare(bed: &Bed, what: &str, cases: &[Case]) -> Vec<String> {
    take(bed);
    let all_told: Vec<_> = cases.iter().map(|case| told(bed, *case)).collect();
    // Real connections wait side by side. What should come through is given all the time that a busy
    // machine, or the search for a neighbour, may take.
    let connections =
        cases.iter().zip(&all_told).enumerate().map(|(at, ((from, to, port), (words, _)))| {
            let inside =
                if from.is_empty() { String::new() } else { format!("ip netns exec {from} ") };
            let patience = if words == "silent" { "1.5" } else { "20" };
            format!("{inside}python3 /run/connect {to} {port} {patience} >/run/seen-{at} 2>&1 &\n")
        });
    let script: String = connections.collect();
    bed.host.write("/run/connect", CONNECT).unwrap();
    bed.sh(&format!("{script}wait"));
    let mut all = Vec::new();
    for (at, (case, (words, told))) in cases.iter().zip(&all_told).enumerate() {
        let seen = bed.host.read(format!("/run/seen-{at}")).unwrap();
        let seen = seen.trim();
        assert_eq!(words, seen, "{what}: {case:?}: {told:#}");
        all.push(format!("{case:?} {seen}"));
    }
    all
}

fn matrix(backend: &str) {
    let bed = Bed::start();
    bed.sh(
        "for name in all default uplink; do echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter; done",
    );
    let all = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"},
        {"hostPort": 8082, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
        {"hostPort": 8083, "containerPort": 81, "protocol": "tcp"},
    ]);
    add(&bed, backend, "one", true, all);
    add(
        &bed,
        backend,
        "two",
        false,
        json!([{"hostPort": 9090, "containerPort": 80, "protocol": "tcp"}]),
    );
    let _servers = [
        serve(&bed, "one", 80, "one"),
        serve(&bed, "two", 80, "two"),
        serve(&bed, "", 7777, "host"),
    ];
    let everywhere: Vec<Case> = vec![
        ("outside", "192.0.2.1", 8080),
        ("outside", "2001:db8::1", 8080),
        ("outside", "192.0.2.1", 8082),
        ("outside", "192.0.2.1", 8083),
        ("outside", "192.0.2.1", 7777),
        ("outside", "192.0.2.1", 4444),
        ("", "127.0.0.1", 8080),
        ("", "127.0.0.1", 8081),
        ("", "127.0.0.1", 8082),
        ("", "192.0.2.1", 8080),
        ("", "192.0.2.1", 8081),
        ("", "::1", 8080),
        ("", "2001:db8::1", 8080),
        ("", "127.0.0.1", 7777),
        ("", "127.0.0.1", 4444),
        ("", "10.88.0.2", 80),
        ("one", "192.0.2.1", 8080),
        ("one", "10.88.0.1", 8080),
        ("one", "192.0.2.1", 9090),
        ("one", "10.88.0.3", 80),
        ("one", "127.0.0.1", 80),
        ("two", "192.0.2.1", 8080),
        ("two", "192.0.2.1", 9090),
        ("two", "10.88.0.1", 7777),
        ("two", "192.0.2.1", 4444),
    ];
    let seen = compare(&bed, "as it is made", &everywhere);
    assert!(
        seen.iter().any(|line| line.contains("delivered"))
            && seen.iter().any(|line| line.ends_with("silent")),
        "{seen:#?}"
    );
    let ways: Vec<Case> = vec![
        ("outside", "192.0.2.1", 8080),
        ("", "127.0.0.1", 8080),
        ("", "192.0.2.1", 8080),
        ("one", "192.0.2.1", 8080),
        ("two", "192.0.2.1", 8080),
        ("two", "10.88.0.2", 80),
    ];
    let changes = [
        (
            "ip_forward 0",
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
        ),
        ("FORWARD DROP", "iptables -P FORWARD DROP", "iptables -P FORWARD ACCEPT"),
        (
            "route_localnet 0",
            "echo 0 >/proc/sys/net/ipv4/conf/cni0/route_localnet",
            "echo 1 >/proc/sys/net/ipv4/conf/cni0/route_localnet",
        ),
        (
            "rp_filter 1",
            "for name in all uplink cni0; do echo 1 >/proc/sys/net/ipv4/conf/$name/rp_filter; done",
            "for name in all uplink cni0; do echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter; done",
        ),
        (
            "no rules for bridges",
            "echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables",
            "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
        ),
        (
            "reject",
            "nft 'table inet foreign { chain f { type filter hook forward priority 10; tcp dport 80 ip daddr 10.88.0.2 reject with tcp reset; }; }'",
            "nft delete table inet foreign",
        ),
        (
            "a bridge that drops what it forwards",
            "nft 'table bridge foreign { chain f { type filter hook forward priority 0; meta protocol ip tcp dport 80 drop; }; }'",
            "nft delete table bridge foreign",
        ),
        (
            "a bridge that drops what comes up",
            "nft 'table bridge foreign { chain f { type filter hook input priority 0; ip protocol tcp drop; }; }'",
            "nft delete table bridge foreign",
        ),
        (
            "a bridge that drops what the host sends to a port",
            "nft 'table bridge foreign { chain f { type filter hook output priority 0; tcp dport 80 drop; arp operation request accept; }; }'",
            "nft delete table bridge foreign",
        ),
        (
            "a hardware address that is not let in",
            "nft \"table bridge foreign { chain f { type filter hook prerouting priority -300; \
             ether saddr $(ip netns exec one cat /sys/class/net/eth0/address) ether type ip drop; }; }\"",
            "nft delete table bridge foreign",
        ),
    ];
    for (what, change, undo) in changes {
        bed.sh(change);
        // A refusal between two ports of a bridge is not always heard.
        let ways = if what == "reject" { &ways[..3] } else { &ways[..] };
        compare(&bed, what, ways);
        bed.sh(undo);
    }
    layers_below(&bed);
    // A process of the host that listens on a mapped port hears nothing.
    let _shadowed = serve(&bed, "", 8080, "host");
    compare(&bed, "a listener on the host", &ways);
    // What the model does not know is not guessed.
    bed.sh("iptables -I FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT");
    take(&bed);
    let (words, told) = told(&bed, ("outside", "192.0.2.1", 8080));
    assert_eq!(words, "unknown", "{told:#}");
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("FORWARD rule 1"), "{told:#}");
    assert!(why.contains("`-m statistic --mode random --probability 0.5"), "{told:#}");
    let text = net(&bed.host, "trace 192.0.2.1:8080 --live");
    assert_eq!(text.status, 0, "{text}");
    assert!(text.stderr.contains("a real connection agrees: it was accepted"), "{text}");
    // portmap's rules in nft do not count.
    let counters = if backend == "iptables" { "agree: " } else { ": no rule on its way counts" };
    assert!(text.stderr.contains(counters), "{text}");
    assert!(text.stdout.contains("destination becomes 10.88.0.2:80"), "{text}");
}

/// nft 1.0.6 does not tell the links of a chain in its JSON, and what ARP does depends on what is known
/// of neighbours already.
fn layers_below(bed: &Bed) {
    let told_with = |table: &str, case: Case| {
        bed.sh(&format!("nft '{table}'"));
        take(bed);
        let (words, told) = told(bed, case);
        let words_of = table.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        bed.sh(&format!("nft delete {words_of}"));
        (words, told["why"].as_str().unwrap_or_default().to_owned())
    };
    let outside = ("outside", "192.0.2.1", 8080);
    let ingress = |rule: &str| {
        let chain = "type filter hook ingress device uplink priority 0;";
        told_with(&format!("table netdev foreign {{ chain f {{ {chain} {rule}; }}; }}"), outside)
    };
    let (words, why) = ingress("tcp dport 8080 drop");
    assert!(matches!(words.as_str(), "silent" | "unknown"), "{words}: {why}");
    assert!(
        words == "silent" || why.contains("netdev foreign f, which drops it in rule 1"),
        "{why}"
    );
    assert_eq!(ingress("tcp dport 22 drop").0, "delivered one 192.0.2.2");
    assert_eq!(ingress("ether type arp drop").0, "delivered one 192.0.2.2");
    let arp = |rule: &str| {
        let table = format!(
            "table arp foreign {{ chain f {{ type filter hook input priority 0; {rule}; }}; }}"
        );
        told_with(&table, outside)
    };
    let (words, why) = arp("arp operation request drop");
    assert_eq!(words, "unknown", "{why}");
    assert!(why.contains("arp foreign f of host, by which neighbours may not be found"), "{why}");
    assert_eq!(arp("arp operation request accept").0, "delivered one 192.0.2.2");
}

/// Filters of `tc` come before and after all others. What they match is not known, so that only those are
/// passed that let everything through.
#[test]
fn what_filters_of_tc_may_do_is_not_guessed() {
    let bed = Bed::start();
    let port = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    add(&bed, "iptables", "one", true, port);
    let _server = serve(&bed, "one", 80, "one");
    let outer = bed.in_pod("one", "cat /sys/class/net/eth0/iflink");
    let outer = bed.sh(&format!("ip -o link | sed -n 's/^{}: \\([^@:]*\\).*/\\1/p'", outer.trim()));
    bed.sh("ip link add limit type ifb && ip link set limit up");
    bed.sh(
        "ip link add sink type veth peer name sunk && ip link set sink up && ip link set sunk up",
    );
    let filter = |link: &str, hook: &str, protocol: &str, does: &str| {
        bed.sh(&format!(
            "tc qdisc add dev {link} clsact && tc filter add dev {link} {hook} protocol {protocol} \
             u32 match u32 0 0 action mirred egress {does}"
        ));
    };
    let ways = [("outside", "192.0.2.1", 8080), ("", "127.0.0.1", 8080)];
    let outer = outer.trim();
    // A limit as the bandwidth plugins make it, a copy for somebody, and what is of another protocol.
    filter(outer, "ingress", "all", "redirect dev limit");
    filter("uplink", "ingress", "all", "mirror dev sink");
    let seen = compare(&bed, "a limit and a copy", &ways);
    assert!(seen.iter().all(|line| line.contains("delivered one")), "{seen:#?}");
    let text = net(&bed.host, "trace outside 192.0.2.1:8080").stdout;
    assert!(text.contains(&format!("limit limits what comes by {outer}")), "{text}");
    bed.sh("tc qdisc del dev uplink clsact");
    filter("uplink", "egress", "ipv6", "redirect dev sink");
    compare(&bed, "what is for IPv6 only", &ways);
    let sink = bed.sh("cat /sys/class/net/sink/ifindex");
    let goes = format!("which sends packets to link {}", sink.trim());
    for (hook, whose) in [("egress", "(on the answer's way)"), ("ingress", "")] {
        bed.sh("tc qdisc del dev uplink clsact");
        filter("uplink", hook, "ip", "redirect dev sink");
        take(&bed);
        let (words, told) = told(&bed, ways[0]);
        assert_eq!(words, "unknown", "{told:#}");
        let why = format!("the u32 filter of tc at {hook} of uplink of host, {goes} {whose}");
        assert_eq!(told["why"], why.trim(), "{told:#}");
    }
    // It is told of those only whom it is for, and who is outside hears nothing.
    compare(&bed, "a filter of the uplink", &ways[1..]);
    let seen = bed.sh("ip netns exec outside python3 /run/connect 192.0.2.1 8080 1.5");
    assert_eq!(seen.trim(), "silent");
}

#[test]
fn with_iptables_every_verdict_is_what_a_connection_does() {
    matrix("iptables");
}

#[test]
fn with_nft_every_verdict_is_what_a_connection_does() {
    matrix("nftables");
}

/// The reference's plugin takes a port twice without a word: the older pod gets all of it.
#[test]
fn of_two_pods_with_one_port_the_older_one_is_told_and_answers() {
    let bed = Bed::start();
    let port = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    for pod in ["old", "young"] {
        bed.pod(pod);
        bed.in_pod(pod, "ip link set lo up");
        bed.add(&[Maker::Reference], pod, &list("iptables", true, &port));
    }
    let _servers = [serve(&bed, "old", 80, "old"), serve(&bed, "young", 80, "young")];
    let ways =
        [("outside", "192.0.2.1", 8080), ("", "127.0.0.1", 8080), ("young", "192.0.2.1", 8080)];
    let seen = compare(&bed, "two pods", &ways);
    assert!(seen.iter().all(|line| line.contains("delivered old")), "{seen:#?}");
    bed.del(Maker::Reference, "old", &list("iptables", true, &port), &Value::Null);
    let seen = compare(&bed, "one pod", &ways);
    assert!(seen.iter().all(|line| line.contains("delivered young")), "{seen:#?}");
}

#[test]
fn a_snapshot_in_a_file_tells_the_same_and_taking_it_changes_nothing() {
    let bed = Bed::start();
    add(
        &bed,
        "iptables",
        "one",
        true,
        json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]),
    );
    let before = (bed.rules(), bed.sh("nft -s -a list ruleset; ip -o link | wc -l"));
    let output = net(&bed.host, "snapshot /run/snapshot.json");
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{output}");
    assert_eq!((bed.rules(), bed.sh("nft -s -a list ruleset; ip -o link | wc -l")), before);
    let live = net(&bed.host, "trace 192.0.2.1:8080");
    let kept = net(&bed.host, "trace 192.0.2.1:8080 --from /run/snapshot.json");
    assert_eq!(live, kept);
    assert!(live.stdout.ends_with("refused: nobody listens at 10.88.0.2:80 in one\n"), "{live}");
    bed.host.write("/run/broken.json", "{\"version\": 7}").unwrap();
    let broken = net(&bed.host, "trace 127.0.0.1:80 --from /run/broken.json");
    assert_eq!(broken.status, 2, "{broken}");
    assert!(broken.stderr.contains("a snapshot of version 7"), "{broken}");
}

/// A datagram that is refused is known to be, and one that is answered; silence says nothing.
#[test]
fn a_datagram_shows_what_can_be_known_of_udp() {
    let bed = Bed::start();
    let ports = json!([
        {"hostPort": 5300, "containerPort": 53, "protocol": "udp"},
        {"hostPort": 5400, "containerPort": 54, "protocol": "udp"},
        {"hostPort": 5500, "containerPort": 55, "protocol": "udp"},
    ]);
    add(&bed, "iptables", "one", true, ports);
    let script = "import socket
def bound(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', port))
    return s
quiet, s = bound(54), bound(53)
while True:
    s.sendto(b'heard', s.recvfrom(9)[1])";
    let server = bed.host.command("ip").args(["netns", "exec", "one", "python3", "-c", script]);
    let _server = server.spawn().unwrap();
    wait_until("the server", Duration::from_secs(100), || {
        let seen = bed.in_pod("one", "ss -Hlun sport = 53");
        if seen.is_empty() { Err("not there".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    let live = |arguments: &str| {
        let output = net(&bed.host, &format!("--timeout 2s trace {arguments} --live"));
        let (said, counters) = output.stderr.trim().split_once('\n').unwrap();
        assert!(counters.starts_with("counters agree: "), "{output}");
        (output.status, said.to_owned())
    };
    let answered = (0, "a real datagram agrees: it was answered".to_owned());
    assert_eq!(live("192.0.2.1:5300/udp"), answered);
    assert_eq!(live("--from-pod one 10.88.0.1:5300/udp"), answered);
    let quiet = "a real datagram: no answer came, and not everybody answers".to_owned();
    assert_eq!(live("192.0.2.1:5400/udp"), (0, quiet.clone()));
    let refused = "a real datagram agrees: it was refused".to_owned();
    assert_eq!(live("192.0.2.1:5500/udp"), (1, refused));
    bed.in_pod("one", "iptables -A INPUT -p udp -j DROP");
    assert_eq!(live("192.0.2.1:5300/udp"), (1, quiet));
    let other = net(&bed.host, "trace 192.0.2.1:5300/sctp --live");
    assert_eq!(other.status, 64, "{other}");
    assert!(other.stderr.contains("tcp or udp with --live"), "{other}");
    assert_eq!(other.stdout, "", "nothing is told before it is known that it can be tried");
}

/// Several threads read them: in the order of their names, each once, and settings where rules need them.
#[test]
fn namespaces_are_told_in_order_and_once() {
    let bed = Bed::start();
    let names: Vec<String> = (0..20).map(|number| format!("pod{number:02}")).collect();
    for name in &names {
        bed.pod(name);
    }
    bed.sh("touch /run/netns/same && mount --bind /run/netns/pod07 /run/netns/same");
    bed.sh("touch /run/netns/gone /run/netns/pod99");
    bed.in_pod("pod11", "iptables -t nat -A OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1");
    bed.in_pod("pod12", "iptables-legacy -A INPUT -p tcp -j DROP");
    let told = json_of(&bed.host, "snapshot");
    let all = told["namespaces"].as_array().unwrap();
    let path = |one: &Value| one["path"].as_str().unwrap().to_owned();
    let own: Vec<String> = all.iter().map(path).filter(|path| path.contains("/pod")).collect();
    let wanted: Vec<String> = names.iter().map(|name| format!("/run/netns/{name}")).collect();
    assert_eq!(own, wanted);
    assert_eq!(all.iter().filter(|one| one["inode"] == all[7]["inode"]).count(), 1);
    for one in all {
        let with_rules = ["/pod11", "/pod12"].iter().any(|name| path(one).ends_with(name));
        let rules = one["firewall"]["iptables"].as_array().unwrap();
        let settings = one["sysctls"].as_object().unwrap();
        assert_eq!((rules.is_empty(), settings.is_empty()), (!with_rules, !with_rules), "{one:#}");
        assert!(!with_rules || settings.contains_key("ipv4/conf/all/route_localnet"), "{one:#}");
    }
    assert_eq!(told["problems"], json!([]));
}
