//! Published ports, of whoever published them.

use serde_json::{Value, json};

use super::bed::{add, json_of, list, net, serve};
use crate::plugins::bed::{Bed, Maker};

const OTHERS: &str = r#"
table ip crio-hostports {
  map hostports { type inet_proto . inet_service : ipv4_addr . inet_service; elements = { tcp . 9100 comment "x" : 10.88.0.2 . 80 }; }
  chain prerouting { type nat hook prerouting priority -100; fib daddr type local goto hostports; }
  chain hostports { dnat ip to meta l4proto . th dport map @hostports; }
}
"#;
const DOCKER: &str = "*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9200 -j DNAT --to-destination 172.17.0.9:80
COMMIT
";

fn find<'a>(ports: &'a Value, port: u16, to: &str) -> &'a Value {
    let mut all = ports.as_array().unwrap().iter();
    all.find(|one| one["host_port"] == port && one["target"] == to)
        .unwrap_or_else(|| panic!("{port} to {to}: {ports:#}"))
}

#[test]
fn ports_are_told_with_owner_listener_and_conflicts() {
    let bed = Bed::start();
    add(
        &bed,
        "nftables",
        "one",
        true,
        json!([
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
        ]),
    );
    let port = json!([{"hostPort": 8090, "containerPort": 80, "protocol": "tcp"}]);
    for pod in ["old", "young"] {
        bed.pod(pod);
        bed.add(&[Maker::Reference], pod, &list("iptables", true, &port));
    }
    bed.host.command("nft").args(["-f", "-"]).input(OTHERS).success().unwrap();
    bed.host.command("iptables-restore").arg("--noflush").input(DOCKER).success().unwrap();
    let _servers = [serve(&bed, "one", 80, "one"), serve(&bed, "", 8080, "host")];
    let ports = json_of(&bed.host, "ports");
    let own = find(&ports, 8080, "10.88.0.2:80");
    assert_eq!(
        (&own["owner"], &own["listening"], &own["by"]),
        (&"one".into(), &true.into(), &"portmap".into())
    );
    assert_eq!(
        own["conflicts"],
        json!(["a process of the host listens on [::]:8080 and hears nothing"])
    );
    let six = find(&ports, 8080, "[fd00:88::2]:80");
    assert_eq!((&six["v4"], &six["listening"]), (&false.into(), &true.into()));
    let udp = find(&ports, 5353, "10.88.0.2:53");
    assert_eq!(
        (&udp["host_ip"], &udp["protocol"], &udp["listening"]),
        (&"192.0.2.1".into(), &"udp".into(), &false.into())
    );
    let old = find(&ports, 8090, "10.88.0.3:80");
    assert_eq!(old["conflicts"], json!(["young (10.88.0.4:80) wants it, too, and gets nothing"]));
    let young = find(&ports, 8090, "10.88.0.4:80");
    assert_eq!(young["conflicts"], json!(["old (10.88.0.3:80) comes first and has it"]));
    assert_eq!(find(&ports, 9100, "10.88.0.2:80")["by"], "cri-o");
    let dead = find(&ports, 9200, "172.17.0.9:80");
    assert_eq!(
        (&dead["by"], &dead["owner"], &dead["listening"]),
        (&"docker".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(dead["conflicts"], json!(["nobody on this node has the address 172.17.0.9"]));
    let text = net(&bed.host, "ports");
    assert_eq!(text.status, 0, "{text}");
    assert!(text.stdout.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(
        text.stderr.contains("*:8090/tcp to 10.88.0.4:80: old (10.88.0.3:80) comes first"),
        "{text}"
    );
}
