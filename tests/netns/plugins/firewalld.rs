//! firewalld on a bus of its own: both makers' plugins ask it for the same, and it acts on it.

use std::time::Duration;

use crilet_testkit::{Service, wait_until};
use serde_json::{Value, json};

use super::{
    bed::{Bed, Call, Maker, comparable, with_previous},
    firewall::{config, previous, rules_of_pods},
};

const BUS: &str = "unix:path=/run/test-bus";
/// How long the bus, and firewalld, may take to be there.
const BOUND: Duration = Duration::from_secs(100);
/// A bus on which root may do everything, as distributions have it for firewalld.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/test-bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"#;

fn firewall_cmd(bed: &Bed, arguments: &str) -> String {
    let script = format!("DBUS_SYSTEM_BUS_ADDRESS={BUS} firewall-cmd {arguments} 2>&1 || true");
    bed.sh(&script).trim().to_owned()
}

fn start_firewalld(bed: &Bed) -> Service {
    let firewalld = bed.host.command("firewalld").args(["--nofork", "--nopid"]);
    let service = firewalld.env("DBUS_SYSTEM_BUS_ADDRESS", BUS).spawn().unwrap();
    wait_until("firewalld", BOUND, || {
        let state = firewall_cmd(bed, "--state");
        if state == "running" { Ok(()) } else { Err(state) }
    })
    .unwrap();
    service
}

/// A host with a bus, and firewalld on it.
fn start() -> (Bed, Service, Service) {
    let bed = Bed::start();
    bed.host.write("/run/bus.conf", BUS_CONFIG).unwrap();
    let bus = bed.host.command("dbus-daemon");
    let bus = bus.args(["--config-file=/run/bus.conf", "--nofork", "--nopidfile"]).spawn().unwrap();
    wait_until("the bus", BOUND, || {
        let there = bed.sh("test -S /run/test-bus && echo there || true");
        if there.is_empty() { Err("no socket".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    bed.set("DBUS_SYSTEM_BUS_ADDRESS", BUS);
    let firewalld = start_firewalld(&bed);
    (bed, bus, firewalld)
}

fn sources(bed: &Bed, zone: &str) -> Vec<String> {
    let said = firewall_cmd(bed, &format!("--zone={zone} --list-sources"));
    let mut sources: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    sources.sort();
    sources
}

fn by(backend: &str, more: &Value) -> Value {
    let mut config = config(more);
    config["backend"] = backend.into();
    config
}

const ADDRESSES: [&str; 2] = ["10.1.0.5/24", "fd00::5/64"];

#[test]
fn both_makers_have_firewalld_let_pods_through() {
    let (bed, _bus, _firewalld) = start();
    bed.pod("one");
    let previous = previous(&ADDRESSES);
    let variants = [
        (by("firewalld", &json!({})), "trusted"),
        (by("firewalld", &json!({"firewalldZone": "internal"})), "internal"),
        // firewalld runs, so it is asked.
        (by("", &json!({"FirewalldZone": ""})), "trusted"),
    ];
    for (config, zone) in variants {
        let config = with_previous(config, &previous);
        let made = Maker::BOTH.map(|maker| {
            let result = bed.run(maker, "ADD", "one", &config).ok();
            assert_eq!(comparable(result), previous);
            let made = sources(&bed, zone);
            bed.run(maker.other(), "CHECK", "one", &config).ok();
            bed.run(Maker::Ours, "CHECK", "one", &config).ok();
            bed.run(maker.other(), "ADD", "one", &config).ok();
            assert_eq!(sources(&bed, zone), made, "what is there is not added again");
            bed.run(maker.other(), "DEL", "one", &config).ok();
            assert_eq!(sources(&bed, zone), Vec::<String>::new(), "{maker:?} {zone}");
            bed.run(maker, "DEL", "one", &config).ok();
            bed.run(Maker::Ours, "DEL", "one", &config).ok();
            let (_, words) = bed.run(Maker::Ours, "CHECK", "one", &config).error();
            let expected = format!("10.1.0.5 is no source of firewalld's zone `{zone}`");
            assert!(words.contains(&expected), "{words}");
            made
        });
        assert_eq!(made[0], ["10.1.0.5/32", "fd00::5/128"], "{zone}");
        assert_eq!(made[0], made[1], "{zone}");
    }
    assert_eq!(rules_of_pods(&bed), "", "the filter table of iptables is left alone");
    assert_eq!(bed.sh("ls /run/crilet/firewall"), "");
}

#[test]
fn firewalld_acts_on_it_until_the_pod_goes() {
    let (bed, _bus, _firewalld) = start();
    bed.pod("one");
    bed.sh("ip link add host0 type veth peer name eth0 netns one
            ip addr add 10.1.0.1/24 dev host0; ip link set host0 up
            ip -n one addr add 10.1.0.5/24 dev eth0; ip -n one link set eth0 up");
    let server = "import socket
s = socket.create_server(('', 9999))
while True: s.accept()[0].close()";
    let _server = bed.host.command("python3").args(["-c", server]).spawn().unwrap();
    wait_until("the server", BOUND, || {
        let listening = bed.sh("ss -Hltn sport = 9999");
        if listening.is_empty() { Err("not listening".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    let reach = || {
        bed.in_pod(
            "one",
            "python3 -c 'import socket
try: socket.create_connection((\"10.1.0.1\", 9999), timeout=20); print(\"in\")
except OSError as e: print(e)'",
        )
    };
    let config = with_previous(by("firewalld", &json!({})), &previous(&["10.1.0.5/24"]));
    let refused = reach();
    assert!(refused.contains("No route to host"), "{refused}");
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(reach(), "in\n");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert_eq!(reach(), refused);
}

#[test]
fn sources_go_without_a_previous_result_by_gc_and_with_their_own_pod_only() {
    let (bed, _bus, firewalld) = start();
    let mut config = by("", &json!({}));
    config["cniVersion"] = "1.1.0".into();
    for (number, pod) in ["one", "two", "three"].into_iter().enumerate() {
        bed.pod(pod);
        let address = format!("10.1.0.{}/24", number + 5);
        let config = with_previous(config.clone(), &previous(&[&address]));
        bed.run(Maker::Ours, "ADD", pod, &config).ok();
    }
    let lonely = Call {
        maker: Maker::Ours,
        plugin: "firewall",
        command: "DEL",
        container: "one",
        namespace: "",
        link: "eth0",
        args: "",
        config: config.clone(),
    };
    bed.call(&lonely).ok();
    assert_eq!(sources(&bed, "trusted"), ["10.1.0.6/32", "10.1.0.7/32"]);
    let mut collect = config.clone();
    collect["name"] = "other".into();
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    assert_eq!(sources(&bed, "trusted").len(), 2, "another network's GC");
    collect["name"] = "net".into();
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "three", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    assert_eq!(sources(&bed, "trusted"), ["10.1.0.7/32"]);
    // The address has come to another pod; the late DEL is not about that.
    let seven = with_previous(config.clone(), &previous(&["10.1.0.7/24"]));
    bed.run(Maker::Ours, "ADD", "two", &seven).ok();
    bed.run(Maker::Ours, "DEL", "three", &seven).ok();
    assert_eq!(sources(&bed, "trusted"), ["10.1.0.7/32"]);
    // What is noted counts, not what the keys have become.
    let mut changed = seven.clone();
    changed["backend"] = "iptables".into();
    bed.run(Maker::Ours, "CHECK", "two", &changed).ok();
    bed.run(Maker::Ours, "DEL", "two", &changed).ok();
    assert_eq!(sources(&bed, "trusted"), Vec::<String>::new());
    // With firewalld gone, rules are made.
    bed.run(Maker::Ours, "ADD", "one", &seven).ok();
    drop(firewalld);
    wait_until("firewalld's end", BOUND, || {
        let state = firewall_cmd(&bed, "--state");
        if state == "not running" { Ok(()) } else { Err(state) }
    })
    .unwrap();
    bed.run(Maker::Ours, "DEL", "one", &seven).ok();
    bed.run(Maker::Ours, "ADD", "two", &seven).ok();
    assert_eq!(rules_of_pods(&bed).lines().count(), 2);
    // firewalld begins with an empty filter table; what is made again goes by what is noted.
    let _firewalld = start_firewalld(&bed);
    assert_eq!(rules_of_pods(&bed), "");
    bed.run(Maker::Ours, "ADD", "two", &changed).ok();
    bed.run(Maker::Ours, "CHECK", "two", &seven).ok();
    assert_eq!(rules_of_pods(&bed).lines().count(), 2);
    bed.run(Maker::Ours, "DEL", "two", &seven).ok();
    assert_eq!(rules_of_pods(&bed), "");
    assert_eq!(bed.sh("ls /run/crilet/firewall"), "");
}

#[test]
fn what_firewalld_refuses_is_said_and_leaves_nothing() {
    let (bed, bus, _firewalld) = start();
    bed.pod("one");
    let previous = previous(&ADDRESSES);
    let nowhere = by("firewalld", &json!({"firewalldZone": "nowhere"}));
    let (code, words) =
        bed.run(Maker::Ours, "ADD", "one", &with_previous(nowhere, &previous)).error();
    assert!(code == 999 && words.contains("zone `nowhere`: INVALID_ZONE"), "{words}");
    // The second address is in another zone already.
    firewall_cmd(&bed, "--zone=internal --add-source=fd00::5/128");
    let mut config = with_previous(by("firewalld", &json!({})), &previous);
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("failed to take fd00::5 into firewalld's zone `trusted`"), "{words}");
    assert!(words.contains("ZONE_CONFLICT"), "{words}");
    assert_eq!(sources(&bed, "trusted"), Vec::<String>::new(), "the first was taken back");
    assert_eq!(bed.sh("ls /run/crilet/firewall"), "");
    // A policy needs its bridge kept apart by rules, whoever lets the pods through.
    firewall_cmd(&bed, "--zone=internal --remove-source=fd00::5/128");
    config["ingressPolicy"] = "same-bridge".into();
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
    let rules = bed.saved("filter");
    assert!(rules.contains("CNI-ISOLATION-STAGE-2 -o br0"), "{rules}");
    assert!(!rules.contains("CNI-FORWARD"), "{rules}");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert_eq!(sources(&bed, "trusted"), Vec::<String>::new());
    // No bus, nobody on it.
    config["cniVersion"] = "1.1.0".into();
    bed.run(Maker::Ours, "STATUS", "one", &config).ok();
    drop(bus);
    for command in ["ADD", "STATUS"] {
        let (code, words) = bed.run(Maker::Ours, command, "one", &config).error();
        assert_eq!(code, 50, "{command}: {words}");
        assert!(words.contains("start firewalld, or set `backend` to \"iptables\""), "{words}");
    }
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    config["backend"] = "".into();
    bed.run(Maker::Ours, "STATUS", "one", &config).ok();
}
