//! Rules that crilet makes without iptables, beside those that the host's iptables makes.

use std::{fs::File, os::fd::AsFd as _, thread};

use crilet_cni::netfilter::{Filter, Kind, Message, attributes, push};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use super::bed::{Bed, Maker};

/// Of netlink: asks for rules; tells of one; what tables and rules are told by.
const GETRULE: u16 = 10 << 8 | 7;
const FAMILIES: [u8; 2] = [2, 10];
const RULE_TABLE: u16 = 1;
const RULE_HANDLE: u16 = 3;
const RULE_POSITION: u16 = 6;
const RULE_EXPRESSIONS: u16 = 4;
/// Of an expression: its name.
const NAME: u16 = 1;

/// A host whose `iptables-restore` notes that it was called.
fn bed() -> Bed {
    let bed = Bed::start();
    bed.sh("ip link set lo up");
    for name in ["iptables-restore", "ip6tables-restore"] {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] || echo called >>/run/calls\n\
             exec /usr/sbin/{name} \"$@\"\n"
        );
        bed.host.write(format!("/opt/{name}"), script).unwrap();
    }
    bed.sh("touch /run/calls\nchmod +x /opt/iptables-restore /opt/ip6tables-restore");
    bed.shadow(&[
        ("iptables-restore", "/opt/iptables-restore"),
        ("ip6tables-restore", "/opt/ip6tables-restore"),
    ]);
    bed
}

/// A pod with fixed addresses and these ports, and further keys of `portmap`.
fn list(mappings: &Value, keys: &Value) -> Value {
    let mut portmap = json!({"type": "portmap", "runtimeConfig": {"portMappings": mappings}});
    let more = keys.as_object().unwrap().clone();
    portmap.as_object_mut().unwrap().extend(more);
    let addresses = json!([
        {"address": "10.88.0.2/16", "gateway": "10.88.0.1"},
        {"address": "fd00:88::2/60", "gateway": "fd00:88::1"},
    ]);
    json!({
        "cniVersion": "1.0.0", "name": "net",
        "plugins": [{
            "type": "bridge", "bridge": "cni9", "isGateway": true, "ipMasq": true,
            "ipam": {"type": "static", "addresses": addresses},
        }, portmap],
    })
}

fn port(host: u16, protocol: &str, address: &str) -> Value {
    json!({"hostPort": host, "containerPort": 80, "protocol": protocol, "hostIP": address})
}

/// The expressions of a rule but those that count packets: the host's own packets, such as its reports of
/// multicast groups, may come by at any time.
fn expressions(list: &[u8]) -> Vec<u8> {
    let counts = |expression: &[u8]| {
        attributes(expression).any(|(kind, value)| kind == NAME && value.starts_with(b"counter"))
    };
    let mut kept = Vec::new();
    attributes(list)
        .filter(|(_, expression)| !counts(expression))
        .for_each(|(kind, expression)| push(&mut kept, kind, expression));
    kept
}

/// All rules of both families' table `nat` as the kernel tells them, without its numbers.
fn told(bed: &Bed) -> Vec<Vec<u8>> {
    let namespace = File::open(format!("/proc/{}/ns/net", bed.host.init_pid())).unwrap();
    let inside = || {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        let filter = Filter::open().unwrap();
        let mut rules = Vec::new();
        for family in FAMILIES {
            let question = Message::new(GETRULE, Kind::Dump, family, 0).text(RULE_TABLE, "nat");
            let take = |_, body: &[u8]| {
                let numbers = [RULE_HANDLE, RULE_POSITION];
                let mut rule = vec![family];
                attributes(body).filter(|(kind, _)| !numbers.contains(kind)).for_each(
                    |(kind, value)| match kind {
                        RULE_EXPRESSIONS => push(&mut rule, kind, &expressions(value)),
                        _ => push(&mut rule, kind, value),
                    },
                );
                rules.push(rule);
            };
            filter.ask(question, take).unwrap();
        }
        // Chains are listed in the order in which they were made first.
        rules.sort();
        rules
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap()
}

fn calls(bed: &Bed) -> usize {
    bed.host.read("/run/calls").unwrap().lines().count()
}

/// Has the host's program make all rules, or only those that need it.
fn by_the_program(bed: &Bed, is_wanted: bool) {
    let (from, to) = if is_wanted { ("same", "other") } else { ("other", "same") };
    bed.sh(&format!("sed -i s/^{from}$/{to}/ /run/crilet/cni-iptables4 /run/crilet/cni-iptables6"));
}

#[test]
fn rules_are_byte_by_byte_those_of_the_hosts_program() {
    let bed = bed();
    let makes_all = |list: &Value| {
        bed.pod("one");
        let result = bed.add(&[Maker::Ours], "one", list);
        let rules = (told(&bed), bed.saved("nat"));
        bed.check(Maker::Ours, "one", list, &result);
        bed.del(Maker::Ours, "one", list, &result);
        bed.sh("ip netns del one");
        rules
    };
    let many: Vec<Value> = (0..40).map(|number| port(9000 + number, "tcp", "")).collect();
    let mixed = json!([
        port(8080, "tcp", ""),
        port(8081, "udp", "192.0.2.1"),
        port(8083, "tcp", "2001:db8::1"),
        port(8084, "udp", "0.0.0.0"),
    ]);
    // What all pods share is made, and the host's program is looked at.
    makes_all(&list(&mixed, &json!({})));
    for family in [4, 6] {
        let kept = bed.host.read(format!("/run/crilet/cni-iptables{family}")).unwrap();
        assert!(kept.ends_with("\nsame\n"), "{kept}");
    }
    bed.sh("iptables -t nat -N KUBE-MARK-MASQ\nip6tables -t nat -N KUBE-MARK-MASQ");
    let cases = [
        (json!(many), json!({})),
        (mixed.clone(), json!({})),
        (mixed.clone(), json!({"snat": false})),
        (mixed.clone(), json!({"masqAll": true})),
        (mixed.clone(), json!({"externalSetMarkChain": "KUBE-MARK-MASQ"})),
        (mixed.clone(), json!({"markMasqBit": 5})),
    ];
    for (mappings, keys) in cases {
        let list = list(&mappings, &keys);
        by_the_program(&bed, true);
        let before = calls(&bed);
        let theirs = makes_all(&list);
        assert_eq!(calls(&bed), before + 4, "{keys}");
        by_the_program(&bed, false);
        let ours = makes_all(&list);
        assert_eq!(calls(&bed), before + 4, "{keys}");
        assert_eq!(theirs.1, ours.1, "{keys}");
        assert!(theirs.0 == ours.0, "{keys}: bytes differ where words are the same: {}", ours.1);
    }
}

#[test]
fn words_that_are_not_known_go_to_the_hosts_program() {
    let bed = bed();
    let mappings = json!([port(8080, "tcp", "")]);
    bed.pod("one");
    bed.add(&[Maker::Ours], "one", &list(&mappings, &json!({})));
    let before = calls(&bed);
    let conditions = ["-i", "uplink", "!", "-s", "192.0.2.7"];
    let list =
        list(&mappings, &json!({"conditionsV4": conditions, "conditionsV6": ["-i", "uplink"]}));
    let portmap = &list["plugins"][1];
    let mut config = portmap.clone();
    config["name"] = "net".into();
    config["cniVersion"] = "1.0.0".into();
    config["prevResult"] = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/one"}],
        "ips": [
            {"address": "10.88.0.2/16", "interface": 0},
            {"address": "fd00:88::2/60", "interface": 0},
        ],
    });
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(calls(&bed), before + 2);
    let rules = bed.saved("nat");
    assert!(rules.contains("! -s 192.0.2.7/32 -i uplink -p tcp"), "{rules}");
    assert_eq!(rules.matches("-i uplink").count(), 2, "{rules}");

    let before = calls(&bed);
    config["conditionsV4"] = json!([]);
    config["conditionsV6"] = json!([]);
    config["runtimeConfig"]["portMappings"] = json!([port(9, "sctp", ""), port(8080, "tcp", "")]);
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    assert_eq!(calls(&bed), before + 2);
    bed.run(Maker::Ours, "CHECK", "one", &config).ok();
}

/// A version that writes otherwise is found out, and makes all rules itself.
#[test]
fn a_program_that_writes_otherwise_makes_all_rules() {
    let bed = bed();
    for name in ["iptables-restore", "ip6tables-restore"] {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec /usr/sbin/{name} --version\n\
             echo called >>/run/calls\n\
             sed 's/-m comment --comment \"[^-]*\" -m multi/-m multi/' | \
             exec /usr/sbin/{name} \"$@\"\n"
        );
        bed.host.write(format!("/opt/{name}"), script).unwrap();
    }
    let list = list(&json!([port(8080, "tcp", "")]), &json!({}));
    for pod in ["one", "two"] {
        bed.pod(pod);
        let before = calls(&bed);
        let result = bed.add(&[Maker::Ours], pod, &list);
        assert!(calls(&bed) >= before + 4, "{pod}");
        let kept = bed.host.read("/run/crilet/cni-iptables4").unwrap();
        assert!(kept.ends_with("\nother\n"), "{kept}");
        let rules = bed.saved("nat");
        let entry = rules.lines().find(|line| line.contains("--dports 8080")).unwrap();
        assert!(!entry.contains("comment"), "{entry}");
        bed.del(Maker::Ours, pod, &list, &result);
    }
    // Another program is looked at anew.
    bed.shadow(&[]);
    bed.pod("three");
    bed.add(&[Maker::Ours], "three", &list);
    let kept = bed.host.read("/run/crilet/cni-iptables4").unwrap();
    assert!(kept.ends_with("\nsame\n"), "{kept}");
}

/// What the kernel refuses goes to the host's program, which makes what is missing or says in its
/// words what is wrong.
#[test]
fn what_the_kernel_refuses_goes_to_the_hosts_program() {
    let bed = bed();
    let mappings = json!([port(8080, "tcp", "")]);
    let plain = list(&mappings, &json!({}));
    bed.pod("one");
    let result = bed.add(&[Maker::Ours], "one", &plain);
    let made = bed.saved("nat");
    bed.del(Maker::Ours, "one", &plain, &result);
    bed.sh("nft delete table ip nat\nnft delete table ip6 nat");
    bed.add(&[Maker::Ours], "one", &plain);
    assert_eq!(bed.saved("nat"), made);
    bed.del(Maker::Ours, "one", &plain, &result);

    let before = bed.saved("nat");
    let wrong = list(&mappings, &json!({"externalSetMarkChain": "NO-SUCH"}));
    let mut config = wrong["plugins"][1].clone();
    config["name"] = "net".into();
    config["cniVersion"] = "1.0.0".into();
    config["prevResult"] = result;
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("NO-SUCH"), "{words}");
    assert_eq!(bed.saved("nat"), before);
}
