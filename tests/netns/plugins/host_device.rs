//! Links of the host that go to pods and come back.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable, with_previous};

const MAC: &str = "02:00:00:00:00:d0";

/// A host with a link to give away, and a pod.
fn start() -> Bed {
    let bed = Bed::start();
    bed.pod("one");
    bed.sh(&format!(
        "ip link add dev0 address {MAC} type veth peer name dev1; ip link set dev0 up; ip link set dev1 up"
    ));
    bed
}

fn config(more: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "host-device"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn managed() -> Value {
    json!({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]})
}

fn leases(bed: &Bed) -> String {
    bed.sh("ls /var/lib/cni/networks/net 2>/dev/null | grep '^10' || true")
}

#[test]
fn both_makers_move_the_link_alike_and_take_back_each_others() {
    let variants = [
        json!({"device": "dev0"}),
        json!({"hwaddr": MAC, "ipam": managed(), "dns": {"nameservers": ["10.1.0.1"]}}),
    ];
    for more in variants {
        let config = config(&more);
        let made = Maker::BOTH.map(|maker| {
            let bed = start();
            let result = bed.run(maker, "ADD", "one", &config).ok();
            assert_eq!(bed.sh("ip -o link show | grep -c dev0 || true"), "0\n");
            let state = bed.in_pod(
                "one",
                "ip -o link show eth0 | sed -e 's/^[0-9]*: //' -e 's/@if[0-9]*//'; ip -o -4 addr show eth0 | cut -d' ' -f2-; ip route
                cat /sys/class/net/eth0/ifalias 2>/dev/null; ip link show eth0 | grep alias",
            );
            let whole = with_previous(config.clone(), &result);
            for checker in Maker::BOTH {
                bed.run(checker, "CHECK", "one", &whole).ok();
            }
            bed.run(maker.other(), "DEL", "one", &whole).ok();
            let back = bed.sh("ip -o link show dev0 | sed -e 's/^[0-9]*: //'; ip link show dev0 | grep -c alias || true");
            assert!(back.contains("state DOWN"), "{back}");
            // Plugins before 1.2 leave their note.
            assert!(maker == Maker::Ours || back.ends_with("\n0\n"), "{back}");
            assert_eq!(leases(&bed), "");
            bed.run(Maker::Ours, "DEL", "one", &whole).ok();
            (comparable(result), state, back.contains(MAC))
        });
        assert_eq!(made[0], made[1], "{more}");
    }
}

#[test]
fn a_lease_goes_with_a_namespace_that_is_gone_and_with_gc() {
    let bed = start();
    let config = config(&json!({"device": "dev0", "ipam": managed(), "cniVersion": "1.1.0"}));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(leases(&bed), "10.1.0.2\n");
    let call = |namespace| Call {
        maker: Maker::Ours,
        plugin: "host-device",
        command: "DEL",
        container: "one",
        namespace,
        link: "eth0",
        args: "",
        config: config.clone(),
    };
    bed.call(&call("")).ok();
    assert_eq!(leases(&bed), "");
    bed.call(&call("one")).ok();
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let mut collect = config.clone();
    collect["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "one", &collect).ok();
    assert_eq!(leases(&bed), "");
    bed.run(Maker::Ours, "STATUS", "one", &collect).ok();
}

#[test]
fn an_add_that_fails_gives_the_link_back_as_it_was() {
    let bed = start();
    let state = |bed: &Bed| {
        bed.sh("ip -o link show dev0 | sed -e 's/^[0-9]*: //'") + &bed.in_pod("one", "ip -o link")
    };
    let before = state(&bed);
    let fails = |more: Value, code: u64, expected: &str| {
        let (given, words) = bed.run(Maker::Ours, "ADD", "one", &config(&more)).error();
        assert_eq!((given, words.contains(expected)), (code, true), "{expected}: {given} {words}");
        assert_eq!(state(&bed), before, "{expected}");
        assert_eq!(leases(&bed), "", "{expected}");
    };
    fails(json!({}), 7, "`device` is missing: name the link by `device`, `hwaddr`");
    fails(json!({"device": "dev9"}), 7, "`device` is \"dev9\", but the host has no such link");
    fails(json!({"device": "lo"}), 7, "`device` is \"lo\", which cannot leave the host");
    fails(json!({"hwaddr": "x"}), 7, "`hwaddr` is \"x\", but must be a hardware address");
    fails(
        json!({"hwaddr": "02:00:00:00:99:99"}),
        7,
        "`hwaddr` is \"02:00:00:00:99:99\", but the host",
    );
    fails(
        json!({"kernelpath": "/etc"}),
        7,
        "`kernelpath` is \"/etc\", but must begin with /sys/devices/",
    );
    fails(
        json!({"kernelpath": "/sys/devices/none"}),
        7,
        "`kernelpath` is \"/sys/devices/none/net\", but the host",
    );
    fails(json!({"pciBusID": "../x"}), 7, "`pciBusID` is \"../x\", which is no device's id");
    fails(json!({"pciBusID": "0000:99:00.0"}), 7, "`pciBusID` is \"0000:99:00.0\", but");
    fails(
        json!({"runtimeConfig": {"deviceID": "none"}}),
        7,
        "`runtimeConfig.deviceID` is \"none\"",
    );
    let wrong = json!({"device": "dev0", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24",
        "routes": [{"dst": "10.8.0.0/16", "gw": "10.7.0.1"}]}});
    fails(wrong, 999, "failed to add route 10.8.0.0/16 via 10.7.0.1");
    let full = json!({"device": "dev0", "ipam": {"type": "static"}});
    fails(full, 999, "IPAM plugin `static` returned missing IP config");
    bed.in_pod("one", "ip link add eth0 type bridge");
    let (_, words) =
        bed.run(Maker::Ours, "ADD", "one", &config(&json!({"device": "dev0"}))).error();
    assert!(words.contains("(\"eth0\") already exists"), "{words}");
}

#[test]
fn a_name_that_is_taken_on_the_host_keeps_the_link_in_the_pod() {
    let bed = start();
    let config = config(&json!({"device": "dev0"}));
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.sh("ip link add dev0 type bridge");
    let (_, words) = bed.run(Maker::Ours, "DEL", "one", &config).error();
    assert!(
        words.contains(
            "failed to move link `eth0` of the pod to the host as `dev0`: the host has another"
        ),
        "{words}"
    );
    assert!(bed.in_pod("one", "ip -o link show eth0").contains(",UP"));
    bed.sh("ip link del dev0");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert!(bed.sh("ip -o link show dev0").contains(MAC));
    // Without an alias the configuration tells the name, where it has it.
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    bed.in_pod("one", "ip link set eth0 alias ''");
    let nameless =
        json!({"cniVersion": "1.0.0", "name": "net", "type": "host-device", "hwaddr": MAC});
    let (_, words) = bed.run(Maker::Ours, "DEL", "one", &nameless).error();
    assert!(words.contains("has no alias that tells its name on the host"), "{words}");
    bed.run(Maker::Ours, "DEL", "one", &config).ok();
    assert!(bed.sh("ip -o link show dev0").contains(MAC));
}

#[test]
fn a_device_that_a_program_drives_gets_addresses_but_is_not_moved() {
    let bed = start();
    // A tree of devices as the kernel shows it.
    bed.sh("mount -t tmpfs devices /sys/bus/pci/devices
            mkdir -p /sys/bus/pci/devices/vfio-pci /sys/bus/pci/devices/e1000
            for id in 1 2; do mkdir -p /sys/bus/pci/devices/0000:0$id:00.0; done
            ln -s ../vfio-pci /sys/bus/pci/devices/0000:01:00.0/driver
            ln -s ../e1000 /sys/bus/pci/devices/0000:02:00.0/driver
            mkdir -p /sys/bus/pci/devices/0000:02:00.0/virtio3/net/dev0");
    let user = config(&json!({"pciBusID": "0000:01:00.0", "ipam": managed()}));
    let made = Maker::BOTH.map(|maker| {
        let mut result = bed.run(maker, "ADD", "one", &user).ok();
        let whole = with_previous(user.clone(), &result);
        bed.run(maker.other(), "CHECK", "one", &whole).ok();
        bed.run(Maker::Ours, "DEL", "one", &whole).ok();
        bed.sh("rm /var/lib/cni/networks/net/last_reserved_ip.0");
        assert!(maker == Maker::Reference || result["interfaces"][0]["name"] == "eth0");
        // Plugins before 1.2 leave the link out.
        result["interfaces"] = json!([]);
        comparable(result)
    });
    assert_eq!(made[0], made[1]);
    assert_eq!(bed.in_pod("one", "ip -o link | wc -l"), "1\n");
    let virtio = config(&json!({"runtimeConfig": {"deviceID": "0000:02:00.0"}}));
    let result = bed.run(Maker::Ours, "ADD", "one", &virtio).ok();
    assert_eq!(result["interfaces"][0]["mac"], MAC);
    bed.run(Maker::Ours, "DEL", "one", &virtio).ok();
}
