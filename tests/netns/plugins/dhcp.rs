//! Addresses by DHCP: crilet's plugin and daemon and the reference's, in all pairs, with Debian's
//! dnsmasq as the server.

use std::time::Duration;

use crilet_testkit::wait_until;
use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, with_previous};

const SOCKET: &str = "/run/cni/dhcp.sock";
const LEASES: &str = "/run/dnsmasq.leases";

/// Waits until something is so.
#[track_caller]
fn until(bed: &Bed, what: &str, is_so: impl Fn() -> bool) {
    let seen = || {
        let log = bed.host.shell("tail -n 20 /run/daemon.log /run/dnsmasq.log 2>&1").output();
        log.unwrap().stdout
    };
    let attempt = || if is_so() { Ok(()) } else { Err(seen()) };
    wait_until(what, Duration::from_secs(150), attempt).unwrap();
}

fn is_listening(bed: &Bed) -> bool {
    let test = format!("test -S {SOCKET} && test -s /run/dhcp.pid");
    bed.host.shell(&test).output().unwrap().status == 0
}

/// A network with room for a server; `lan` of the host is on it.
fn lan(bed: &Bed) {
    bed.pod("server");
    bed.sh("ip link add lan type veth peer name srv netns server; ip link set lan up");
    bed.in_pod("server", "ip link set lo up; ip addr add 10.9.0.1/24 dev srv; ip link set srv up");
}

/// A network with a server. Leases are for two minutes, the least that the server gives; it can be
/// told to have them prolonged sooner.
fn serve(bed: &Bed, more: &str) {
    lan(bed);
    dnsmasq(bed, "dnsmasq", more);
}

/// Starts a server with a log, a file of leases and one of its process number of that name.
fn dnsmasq(bed: &Bed, name: &str, more: &str) {
    let leases = format!("/run/{name}.leases");
    bed.in_pod(
        "server",
        &format!(
            ": >{leases}
            dnsmasq --conf-file=/dev/null --port=0 --interface=srv --bind-interfaces \
                --dhcp-range=10.9.0.50,10.9.0.60,255.255.255.0,2m --dhcp-authoritative \
                --dhcp-leasefile={leases} --pid-file=/run/{name}.pid --no-ping \
                --log-dhcp --log-facility=/run/{name}.log --user=root {more}"
        ),
    );
}

/// Starts a daemon and waits until it listens.
fn daemon(bed: &Bed, maker: Maker) {
    daemon_with(bed, maker, "-timeout 3s");
}

fn daemon_with(bed: &Bed, maker: Maker, flags: &str) {
    let program = format!("{}/dhcp", maker.directory());
    bed.sh(&format!(
        "{program} daemon {flags} -pidfile /run/dhcp.pid >/run/daemon.log 2>&1 </dev/null &"
    ));
    until(bed, "the daemon listens", || is_listening(bed));
}

/// Ends the daemon. Debian's leaves its files.
fn stop(bed: &Bed) {
    let process = bed.sh("cat /run/dhcp.pid").trim().to_owned();
    bed.sh(&format!("kill {process}"));
    until(bed, "the daemon ends", || {
        // A dead process that nobody has waited for yet has no command line any more.
        bed.sh(&format!("cat /proc/{process}/cmdline 2>/dev/null || true")).is_empty()
    });
    bed.sh(&format!("rm -f {SOCKET} /run/dhcp.pid"));
}

fn macvlan() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "macvlan", "master": "lan",
        "ipam": {"type": "dhcp", "request": [{"option": "121"}],
                 "provide": [{"option": "host-name", "fromArg": "K8S_POD_NAME"}]},
    })
}

fn call<'a>(maker: Maker, command: &'a str, config: &Value) -> Call<'a> {
    Call {
        maker,
        plugin: "macvlan",
        command,
        container: "one",
        namespace: "one",
        link: "eth0",
        args: "IgnoreUnknown=1;K8S_POD_NAME=web",
        config: config.clone(),
    }
}

fn known(bed: &Bed) -> String {
    bed.sh(&format!("cut -d' ' -f3,4 {LEASES}"))
}

#[test]
fn any_plugin_speaks_to_any_daemon() {
    let bed = Bed::start();
    serve(&bed, "--dhcp-option=option:router,10.9.0.1");
    bed.pod("one");
    let mut results = Vec::new();
    for (plugin, owner) in [
        (Maker::Ours, Maker::Ours),
        (Maker::Ours, Maker::Reference),
        (Maker::Reference, Maker::Ours),
        (Maker::Reference, Maker::Reference),
    ] {
        daemon(&bed, owner);
        let config = macvlan();
        let mut result = bed.call(&call(plugin, "ADD", &config)).ok();
        let pair = format!("{plugin:?} and {owner:?}");
        assert!(known(&bed).contains(" web\n"), "{pair}: {}", known(&bed));
        let whole = with_previous(config, &result);
        bed.call(&call(plugin.other(), "CHECK", &whole)).ok();
        assert!(bed.in_pod("one", "ip route").contains("default via 10.9.0.1"), "{pair}");
        bed.call(&call(plugin, "DEL", &whole)).ok();
        until(&bed, "the server has the lease back", || known(&bed).is_empty());
        bed.call(&call(plugin, "DEL", &whole)).ok();
        stop(&bed);
        result["interfaces"] = Value::Null;
        // The server chooses by the hardware address, which is random.
        result["ips"][0]["address"] = Value::Null;
        results.push((pair, super::bed::comparable(result)));
    }
    let (_, reference) = results.pop().unwrap();
    for (pair, result) in results {
        assert_eq!(result, reference, "{pair}");
    }
}

#[test]
fn a_lease_on_a_bridge_has_routes_is_prolonged_and_collected() {
    let bed = Bed::start();
    serve(
        &bed,
        "--dhcp-option=option:router,10.9.0.1 --dhcp-option=option:T1,3 \
         --dhcp-option=121,192.168.7.0/24,10.9.0.3,0.0.0.0/0,10.9.0.4",
    );
    bed.sh("ip link add br9 type bridge; ip link set br9 up; ip link set lan master br9");
    daemon(&bed, Maker::Ours);
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br9",
        "ipam": {"type": "dhcp", "request": [{"option": "121"}]},
    });
    for pod in ["one", "two"] {
        bed.pod(pod);
        bed.run(Maker::Ours, "ADD", pod, &config).ok();
    }
    let routes = bed.in_pod("one", "ip route");
    assert!(routes.contains("192.168.7.0/24 via 10.9.0.3"), "{routes}");
    assert!(routes.contains("default via 10.9.0.4"), "{routes}");
    until(&bed, "leases are prolonged", || {
        bed.sh("grep -c DHCPACK /run/dnsmasq.log || true").trim().parse::<u32>().unwrap() >= 4
    });
    let asked = bed.sh("grep -c DHCPDISCOVER /run/dnsmasq.log").trim().to_owned();
    assert_eq!(asked, "2", "a lease was not prolonged, but asked for anew");
    config["cni.dev/valid-attachments"] = json!([{"containerID": "two", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "one", &config).ok();
    until(&bed, "one lease is left", || known(&bed).lines().count() == 1);
    bed.run(Maker::Ours, "DEL", "two", &config).ok();
    until(&bed, "no lease is left", || known(&bed).is_empty());
    bed.run(Maker::Ours, "STATUS", "one", &config).ok();
    bed.sh("kill $(cat /run/dhcp.pid)");
    until(&bed, "the daemon's files are gone", || {
        let test = format!("test ! -e {SOCKET} && test ! -e /run/dhcp.pid");
        bed.host.shell(&test).output().unwrap().status == 0
    });
}

#[test]
fn what_is_missing_is_said_and_leaves_nothing() {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh("ip link add lan type veth peer name srv; ip link set lan up; ip link set srv up");
    let config = macvlan();
    let (code, words) = bed.call(&call(Maker::Ours, "ADD", &config)).error();
    assert!(words.contains("error dialing DHCP daemon"), "{words}");
    assert!(words.contains("start one by `crilet-cni dhcp daemon`"), "{words}");
    assert_eq!((code, bed.in_pod("one", "ip -o link show type macvlan")), (999, String::new()));
    let mut status = macvlan();
    status["cniVersion"] = "1.1.0".into();
    assert_eq!(bed.call(&call(Maker::Ours, "STATUS", &status)).error().0, 50);
    daemon_with(&bed, Maker::Ours, "-timeout 200ms -resendmax 10ms");
    let again = bed.host.command(format!("{}/dhcp", Maker::Ours.directory())).arg("daemon");
    let said = again.output().unwrap();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("another daemon listens there"), "{said}");
    let (_, words) = bed.call(&call(Maker::Ours, "ADD", &config)).error();
    assert!(words.contains("no DHCP server answered within 0.2 s"), "{words}");
    assert_eq!(bed.in_pod("one", "ip -o link show type macvlan"), "");
    stop(&bed);
}

/// The pod's address, without the prefix's length.
fn address(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_lease_whose_server_has_moved_is_prolonged_by_any() {
    let bed = Bed::start();
    serve(&bed, "--dhcp-option=option:T1,3 --dhcp-option=option:T2,6");
    daemon_with(&bed, Maker::Ours, "-timeout 1s");
    bed.pod("one");
    let config = macvlan();
    let result = bed.call(&call(Maker::Ours, "ADD", &config)).ok();
    let pod = address(&result);
    // Another server, at another address, that knows of no lease.
    bed.sh("kill $(cat /run/dnsmasq.pid)");
    bed.in_pod("server", "ip addr del 10.9.0.1/24 dev srv; ip addr add 10.9.0.2/24 dev srv");
    dnsmasq(&bed, "second", "--dhcp-option=option:T1,3 --dhcp-option=option:T2,6");
    let said = |words: &str| {
        let words = words.to_owned();
        bed.sh(&format!("grep -c '{words}' /run/second.log || true")).trim().parse::<u32>().unwrap()
    };
    let acknowledged = format!("DHCPACK(srv) {pod} ");
    until(&bed, "the lease is prolonged", || said(&acknowledged) >= 1);
    assert_eq!(said("DHCPDISCOVER"), 0, "a lease was not prolonged, but asked for anew");
    // From now on straight to the new server, and given back to it.
    until(&bed, "the lease is prolonged again", || said(&acknowledged) >= 2);
    let whole = with_previous(config, &result);
    bed.call(&call(Maker::Ours, "CHECK", &whole)).ok();
    bed.call(&call(Maker::Ours, "DEL", &whole)).ok();
    until(&bed, "the second server has it back", || said(&format!("DHCPRELEASE(srv) {pod}")) == 1);
    stop(&bed);
}

/// A server whose leases last ten seconds, which dnsmasq does not give.
const SHORT: &str = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'srv')
s.bind(('', 67))
while True:
    q = s.recv(1500)
    kind = q[q.index(bytes([53, 1]), 240) + 2]
    if kind in (1, 3):
        head = bytes([2]) + q[1:16] + bytes([10, 9, 0, 77]) + bytes(8) + q[28:44] + bytes(192)
        options = bytes([53, 1, 2 if kind == 1 else 5, 54, 4, 10, 9, 0, 1, 51, 4, 0, 0, 0, 10,
            58, 4, 0, 0, 0, 3, 59, 4, 0, 0, 0, 6, 1, 4, 255, 255, 255, 0, 255])
        s.sendto(head + q[236:240] + options, ('255.255.255.255', 68))";

#[test]
fn a_link_whose_lease_has_ended_is_switched_off_and_check_says_so() {
    let bed = Bed::start();
    lan(&bed);
    let short = bed.host.command("ip").args(["netns", "exec", "server", "python3", "-c", SHORT]);
    let server = short.spawn().unwrap();
    until(&bed, "the server listens", || {
        bed.in_pod("server", "ss -Hlun sport = 67").contains(":67")
    });
    daemon_with(&bed, Maker::Ours, "-timeout 2s -resendmax 100ms");
    bed.pod("one");
    let config = macvlan();
    let result = bed.call(&call(Maker::Ours, "ADD", &config)).ok();
    assert_eq!(address(&result), "10.9.0.77");
    let whole = with_previous(config, &result);
    let is_up = || bed.in_pod("one", "ip -o link show eth0").contains(",UP");
    until(&bed, "the lease is prolonged", || {
        bed.sh("grep -c 'is leased for 10 s' /run/daemon.log || true").trim() >= "2"
    });
    assert!(is_up());
    bed.call(&call(Maker::Ours, "CHECK", &whole)).ok();
    drop(server);
    until(&bed, "the link is off", || !is_up());
    let log = bed.sh("cat /run/daemon.log");
    assert!(log.contains("one/net/eth0: the lease has ended; switching the link off"), "{log}");
    let (_, words) = bed.call(&call(Maker::Ours, "CHECK", &whole)).error();
    assert!(words.contains("no DHCP server answered within 2 s"), "{words}");
    bed.call(&call(Maker::Ours, "DEL", &whole)).ok();
    assert_eq!(bed.in_pod("one", "ip -o link show type macvlan"), "");
    stop(&bed);
}
