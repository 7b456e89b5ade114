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

/// A network with a server, and `uplink` of the host on it. Leases are for two minutes, the least
/// that the server gives.
fn serve(bed: &Bed, more: &str) {
    bed.pod("server");
    bed.sh("ip link add lan type veth peer name srv netns server; ip link set lan up");
    bed.in_pod(
        "server",
        &format!(
            "ip link set lo up; ip addr add 10.9.0.1/24 dev srv; ip link set srv up
            : >{LEASES}
            dnsmasq --conf-file=/dev/null --port=0 --interface=srv --bind-interfaces \
                --dhcp-range=10.9.0.50,10.9.0.60,255.255.255.0,2m --dhcp-authoritative \
                --dhcp-leasefile={LEASES} --pid-file=/run/dnsmasq.pid --no-ping \
                --log-dhcp --log-facility=/run/dnsmasq.log --user=root {more}"
        ),
    );
}

/// Starts a daemon and waits until it listens.
fn daemon(bed: &Bed, maker: Maker) {
    let program = format!("{}/dhcp", maker.directory());
    bed.sh(&format!(
        "{program} daemon -timeout 3s -pidfile /run/dhcp.pid >/run/daemon.log 2>&1 </dev/null &"
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
        "--dhcp-option=option:router,10.9.0.1 \
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
    bed.sh(&format!(
        "{}/dhcp daemon -timeout 200ms -resendmax 10ms -pidfile /run/dhcp.pid >/run/daemon.log 2>&1 </dev/null &",
        Maker::Ours.directory()
    ));
    until(&bed, "the daemon listens", || is_listening(&bed));
    let again = bed.host.command(format!("{}/dhcp", Maker::Ours.directory())).arg("daemon");
    let said = again.output().unwrap();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("another daemon listens there"), "{said}");
    let (_, words) = bed.call(&call(Maker::Ours, "ADD", &config)).error();
    assert!(words.contains("no DHCP server answered within 0.2 s"), "{words}");
    assert_eq!(bed.in_pod("one", "ip -o link show type macvlan"), "");
    stop(&bed);
}
