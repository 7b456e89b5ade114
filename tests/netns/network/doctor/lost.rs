//! Rules that somebody took from under pods that run, and flows that know old ones.

use serde_json::json;

use super::{Node, evidence, port};
use crate::{
    network::bed::{net, serve},
    plugins::bed::Maker,
};

fn flushed(backend: &str, how: &str) {
    let node = Node::start(backend);
    let ports = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"},
    ]);
    node.pod(Maker::Ours, "one", &ports);
    let _server = serve(&node.bed, "one", 80, "one");
    node.is_well();
    let before = node.bed.rules();
    node.bed.sh(how);
    node.has_all(&["ports-missing", "masquerade-missing", "localnet-open"]);
    node.mend();
    assert_eq!(sorted(&node.bed.rules()), sorted(&before));
    for from in ["127.0.0.1:8080", "192.0.2.1:8081"] {
        let traced = net(&node.bed.host, &format!("trace --live {from}"));
        assert!(traced.status == 0 && traced.stderr.contains("agrees"), "{traced}");
    }
}

/// Tables and base chains come in the order in which they were made.
fn sorted(rules: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = rules.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn rules_of_iptables_come_back_after_a_flush() {
    flushed(
        "iptables",
        "for t in nat filter raw; do for i in iptables ip6tables; do $i -t $t -F; $i -t $t -X; done; done",
    );
}

#[test]
fn rules_of_nft_come_back_after_a_flush() {
    flushed("nftables", "nft flush ruleset");
}

#[test]
fn shared_rules_come_back_alone() {
    let node = Node::start("iptables");
    node.pod(Maker::Ours, "one", &port(8080));
    let before = node.bed.saved("nat");
    node.bed.sh(
        "iptables -t nat -D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
         iptables -t nat -D POSTROUTING -m comment --comment 'CNI portfwd requiring masquerade' -j CNI-HOSTPORT-MASQ",
    );
    let finding = node.has("shared-missing");
    assert_eq!(
        evidence(&finding),
        [
            "rule ip nat OUTPUT: nothing leads to CNI-HOSTPORT-DNAT",
            "rule ip nat POSTROUTING: nothing leads to CNI-HOSTPORT-MASQ",
        ]
    );
    node.mend();
    assert_eq!(node.bed.saved("nat"), before);
}

#[test]
fn the_firewalls_chain_is_filled_again_and_its_policy_watched() {
    let mut list = super::plain(super::list("iptables", true, &json!([])));
    let firewall = json!({"type": "firewall", "backend": "iptables", "ingressPolicy": "isolated"});
    list["plugins"].as_array_mut().unwrap().push(firewall);
    let node = Node::with(list);
    node.bed.sh("echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables");
    node.pod(Maker::Ours, "one", &json!([]));
    node.is_well();
    let before = node.bed.saved("filter");
    node.bed.sh("iptables -F CNI-FORWARD");
    node.has("forward-missing");
    node.mend();
    assert_eq!(node.bed.saved("filter"), before);
    node.bed.sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables");
    node.has("bridge-nf-off");
    node.bed.sh("echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables");
    node.is_well();
}

/// The reference adds a pod again whose address has changed, and leaves the rule for the old one
/// before the new one.
#[test]
fn a_rule_for_an_old_address_of_a_pod_goes() {
    let node = Node::start("iptables");
    node.guard();
    let result = node.pod(Maker::Reference, "one", &port(8080));
    let old = result["ips"][0]["address"].as_str().unwrap().trim_end_matches("/16").to_owned();
    let rule = "$(iptables -t nat -S | grep -o '^-N CNI-DN-.*' | cut -d' ' -f2)";
    node.bed.sh(&format!(
        "iptables -t nat -I {rule} 1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.99:80"
    ));
    let finding = node.has("port-nowhere");
    assert!(finding["what"].as_str().unwrap().contains("10.88.0.99:80"), "{finding:#}");
    node.mend();
    assert!(node.bed.saved("nat").contains(&format!("--to-destination {old}:80")));
}

/// The reference ends flows when a port is mapped, and not when it is taken back.
#[test]
fn flows_of_a_port_that_leads_elsewhere_by_now_are_ended() {
    let node = Node::start("iptables");
    let port = json!([{"hostPort": 5353, "containerPort": 53, "protocol": "udp"}]);
    node.guard();
    node.pod(Maker::Reference, "old", &port);
    node.pod(Maker::Reference, "young", &port);
    let send = |source: u16| {
        let script = format!(
            "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('', {source}))\ns.sendto(b'x', ('192.0.2.1', 5353))"
        );
        node.bed
            .host
            .command("ip")
            .args(["netns", "exec", "outside", "python3", "-c", &script])
            .success()
            .unwrap();
    };
    node.has("port-twice");
    send(4001);
    let old = node.bed.sh("cat /var/lib/cni/results/net-old-eth0");
    let old: serde_json::Value = serde_json::from_str(&old).unwrap();
    let mut portmap = node.list["plugins"][1].clone();
    portmap["name"] = "net".into();
    portmap["cniVersion"] = "1.0.0".into();
    portmap["runtimeConfig"] = json!({ "portMappings": port });
    portmap["prevResult"] = old["result"].clone();
    node.bed.run(Maker::Reference, "DEL", "old", &portmap).ok();
    send(4002);
    let mut cached = old.clone();
    cached["capabilityArgs"] = json!({});
    node.bed.host.write("/var/lib/cni/results/net-old-eth0", cached.to_string()).unwrap();
    let finding = node.has("flow-stale");
    assert_eq!(evidence(&finding), ["flow udp port 5353: 1 flow to 10.88.0.2"]);
    node.mend();
    // The one that is right is left.
    let flows =
        node.bed.sh("cat /proc/net/nf_conntrack 2>/dev/null | grep -c 'sport=4002' || true");
    let snapshot = super::super::bed::json_of(&node.bed.host, "snapshot");
    let kept = snapshot["flows"]["rewritten"].as_array().unwrap();
    assert!(kept.iter().any(|flow| flow["source_port"] == 4002), "{flows}{kept:#?}");
}
