//! Rules of other programs, in the shapes that they have on real hosts: everything is read, and the ports
//! that they publish are found.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::{collections::BTreeSet, fs, path::Path};

use crilet_network::{
    ports::published,
    ruleset::{Action, Field},
    snapshot::{Firewall, Route, Saved, Snapshot},
    trace::Node,
};
use serde_json::value::RawValue;

/// An address of the host, for which some of them publish.
const HOST: &str = "192.0.2.1/32";

fn snapshot(name: &str) -> Snapshot {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let text = fs::read_to_string(path).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.host.firewall = match name.ends_with(".json") {
        true => Firewall { nft: vec![RawValue::from_string(text).unwrap()], ..Firewall::default() },
        false => {
            let saved = Saved { legacy: false, v4: true, text };
            Firewall { iptables: vec![saved], ..Firewall::default() }
        }
    };
    snapshot.host.routes = ["127.0.0.0/8", HOST].map(local).into();
    snapshot
}

fn local(net: &str) -> Route {
    Route {
        destination: net.parse().unwrap(),
        table: 255,
        kind: "local".into(),
        gateway: None,
        link: None,
        source: None,
        metric: 0,
        dead: false,
        shared: false,
    }
}

/// Port, target, program and whether something gets in its way.
fn ports(name: &str) -> Vec<String> {
    let snapshot = snapshot(name);
    let node = Node::new(&snapshot);
    assert!(node.host.problems.is_empty(), "{:?}", node.host.problems);
    let one = |port: crilet_network::ports::Port| {
        let conflicts: Vec<_> =
            port.conflicts.iter().filter(|text| !text.starts_with("nobody on this node")).collect();
        let ip = port.host_ip.map(|ip| format!("{ip}:")).unwrap_or_default();
        let (from, to, target) = (port.host_port, port.last_port, port.target);
        format!("{ip}{from}-{to}/{:?} {target} {} {conflicts:?}", port.protocol, port.by)
    };
    published(&node).into_iter().map(one).collect()
}

/// What is not understood of conditions and of actions, in the tools' words.
fn unknown(name: &str) -> (BTreeSet<String>, Vec<String>) {
    let snapshot = snapshot(name);
    let ruleset = Node::new(&snapshot).host;
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let rules: Vec<_> = chains.flat_map(|chain| &chain.rules).collect();
    assert!(rules.len() > 8, "{name} has its rules");
    let fields = rules.iter().flat_map(|rule| &rule.conditions).flat_map(|one| &one.fields);
    let of_fields = fields.filter_map(|field| match field {
        Field::Unknown(text) => Some(text.clone()),
        _ => None,
    });
    let is_unknown = |action: &Action| matches!(action, Action::Unknown(_));
    let of_actions = rules.iter().filter(|rule| is_unknown(&rule.action));
    (of_fields.collect(), of_actions.map(|rule| rule.text.clone()).collect())
}

#[test]
fn ports_of_docker() {
    let expected = [
        "127.0.0.1:5353-5353/Udp 172.17.0.3:53 docker []",
        "8080-8080/Tcp 172.17.0.2:80 docker []",
    ];
    assert_eq!(ports("docker.iptables"), expected);
}

#[test]
fn ports_of_podman() {
    let expected = [
        "5000-5003/Udp 10.88.0.5:5000 podman []",
        "8082-8082/Tcp 10.88.0.5:80 podman []",
        "192.0.2.1:8443-8443/Tcp 10.88.0.5:443 podman []",
    ];
    assert_eq!(ports("netavark.json"), expected);
}

#[test]
fn ports_of_crio() {
    let expected =
        ["192.0.2.1:5354-5354/Udp 10.85.0.7:53 cri-o []", "8081-8081/Tcp 10.85.0.7:80 cri-o []"];
    assert_eq!(ports("crio.iptables"), expected);
}

#[test]
fn ports_of_firewalls() {
    assert_eq!(ports("ufw.iptables"), ["8443-8443/Tcp 10.9.0.4:443 somebody else []"]);
    assert_eq!(ports("firewalld.json"), ["2222-2222/Tcp 10.44.0.9:22 somebody else []"]);
}

/// Chance decides between the endpoints of a service: none gets in another's way.
#[test]
fn ports_of_kube_proxy() {
    let expected = [
        "30080-30080/Tcp 10.244.0.5:8080 kube-proxy []",
        "30080-30080/Tcp 10.244.0.6:8080 kube-proxy []",
    ];
    assert_eq!(ports("kube-proxy.iptables"), expected);
}

#[test]
fn what_is_not_understood_is_told_by_name() {
    let expected: [(&str, &[&str]); 6] = [
        ("docker.iptables", &[]),
        ("crio.iptables", &[]),
        ("netavark.json", &[]),
        ("firewalld.json", &[]),
        (
            "ufw.iptables",
            &["-m icmp --icmp-type", "-m limit --limit", "-m recent --set", "-m recent --update"],
        ),
        (
            "kube-proxy.iptables",
            &[
                "-m nfacct --nfacct-name localhost_nps_accepted",
                "-m nfacct --nfacct-name ct_state_invalid_dropped",
                "-m statistic --mode random --probability",
            ],
        ),
    ];
    for (name, matches) in expected {
        let (fields, actions) = unknown(name);
        assert_eq!(actions, Vec::<String>::new(), "{name}");
        assert_eq!(fields.len(), matches.len(), "{name}: {fields:?}");
        for word in matches {
            assert!(fields.iter().any(|text| text.contains(word)), "{name}: {word} in {fields:?}");
        }
    }
}
