//! Nodes on which nothing is wrong, and pods that come and go while the doctor works.

use serde_json::json;

use super::{Node, port};
use crate::{network::bed::net, plugins::bed::Maker};

#[test]
fn a_hundred_pods_of_all_makers_are_well() {
    let node = Node::start("iptables");
    for number in 0..100u16 {
        let maker = if number % 8 == 7 { Maker::Reference } else { Maker::Ours };
        let ports = if number % 2 == 1 { port(20_000 + number) } else { json!([]) };
        node.pod(maker, &format!("pod{number}"), &ports);
    }
    node.is_well();
    let before = node.bed.rules();
    let output = net(&node.bed.host, "doctor --fix --yes");
    assert_eq!((output.status, output.stdout.as_str()), (0, "nothing to mend\n"), "{output}");
    assert_eq!(node.bed.rules(), before);
}

#[test]
fn an_empty_node_and_one_of_nft_are_well() {
    let node = Node::start("nftables");
    node.is_well();
    for pod in ["one", "two"] {
        node.pod(Maker::Ours, pod, &json!([]));
    }
    node.pod(Maker::Ours, "three", &port(8080));
    node.is_well();
    // A person hears that something was looked at, a program nothing but findings.
    let output = net(&node.bed.host, "doctor");
    assert_eq!((output.status, output.stdout.as_str()), (0, ""), "{output}");
    let told = output.stderr.strip_prefix("no findings: 3 pods, 1 network, ");
    let checks = told.and_then(|told| told.strip_suffix(" checks\n")?.parse::<u32>().ok());
    assert!(checks.is_some_and(|checks| checks > 30), "{output}");
    node.bed.del(Maker::Ours, "three", &node.list, &json!(null));
    node.bed.sh("ip netns delete three; rm /var/lib/cni/results/net-three-eth0");
    node.is_well();
}

/// Pods are added and taken away all the time, by plugins that need many steps for it, while all that
/// looks wrong is mended again and again.
#[test]
fn pods_that_come_and_go_meanwhile_are_left_alone() {
    let node = Node::start("iptables");
    node.pod(Maker::Reference, "stays", &port(8080));
    node.pod(Maker::Reference, "lost", &port(8081));
    node.lose("lost");
    let config = |index: usize, more: &str| {
        let mut plugin = node.list["plugins"][index].clone();
        plugin["name"] = "net".into();
        plugin["cniVersion"] = "1.0.0".into();
        let text = plugin.to_string();
        format!("{}{more}}}", text.strip_suffix('}').unwrap())
    };
    node.bed.host.write("/run/bridge", config(0, "")).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_crilet")).display().to_string();
    let ports = r#","prevResult":'$result',"runtimeConfig":{"portMappings":[{"hostPort":'$port',"containerPort":80,"protocol":"tcp"}]}"#;
    let portmap = config(1, ports);
    let script = format!(
        r#"export CNI_PATH=/usr/lib/cni CNI_IFNAME=eth0
for number in $(seq 1 12); do
  pod=new$number port=$((9000 + number))
  export CNI_CONTAINERID=$pod CNI_NETNS=/run/netns/$pod
  ip netns add $pod
  result=$(CNI_COMMAND=ADD /usr/lib/cni/bridge </run/bridge)
  printf %s '{portmap}' >/run/portmap
  CNI_COMMAND=ADD /usr/lib/cni/portmap </run/portmap >/dev/null
  [ $((number % 3)) = 0 ] || continue
  CNI_COMMAND=DEL /usr/lib/cni/portmap </run/portmap
  CNI_COMMAND=DEL /usr/lib/cni/bridge </run/bridge
  ip netns delete $pod
done >/run/adding 2>&1 &
while kill -0 $! 2>/dev/null; do
  {program} net doctor --fix --yes >/run/mending 2>&1 || true
done
wait $!"#
    );
    node.bed.sh(&script);
    assert_eq!(node.bed.host.read("/run/adding").unwrap(), "");
    let rules = node.bed.saved("nat");
    for number in (1..=12).filter(|number| number % 3 != 0) {
        for kind in ["name", "dnat name"] {
            let named = format!(r#"{kind}: \"net\" id: \"new{number}\""#);
            assert!(rules.contains(&named), "{named}: {rules}");
        }
    }
    assert!(!rules.contains(r#"id: \"lost\""#), "{rules}");
    node.is_well();
}
