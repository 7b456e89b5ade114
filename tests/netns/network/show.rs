//! What `crilet net inspect` and `crilet net map` tell of real pods.

use serde_json::{Value, json};

use super::{
    bed::{json_of, net, serve},
    doctor::Node,
};
use crate::plugins::bed::Maker;

#[test]
fn all_of_a_pod_is_told() {
    let node = Node::start("iptables");
    let ports = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
    ]);
    node.bed.pod("one");
    node.attach(
        Maker::Ours,
        "one",
        &json!({"portMappings": ports, "dns": {"Servers": ["192.0.2.53"], "Searches": ["example"]}}),
    );
    node.pod(Maker::Ours, "two", &json!([]));
    let _server = serve(&node.bed, "one", 80, "one");
    let script = "import socket; socket.create_connection(('127.0.0.1', 8080)).recv(9)";
    node.bed.host.command("python3").args(["-c", script]).success().unwrap();
    let told = json_of(&node.bed.host, "inspect default/one");
    assert_eq!((&told["name"], &told["containers"]), (&"default/one".into(), &json!(["one"])));
    let link = &told["interfaces"][0];
    assert_eq!(
        (&link["name"], &link["kind"], &link["up"], &link["network"]),
        (&"eth0".into(), &"veth".into(), &true.into(), &"net".into())
    );
    assert_eq!(link["addresses"][0], "10.88.0.2/16");
    assert_eq!(link["leases"][0]["file"], "/var/lib/cni/networks/net/10.88.0.2");
    assert_eq!(
        (&link["host"]["bridge"], &link["host"]["hairpin"], &link["host"]["bridge_addresses"][0]),
        (&"cni0".into(), &true.into(), &"10.88.0.1/16".into())
    );
    let outer = node.bed.sh("ls /sys/class/net/cni0/brif | head -1");
    assert!(link["host"]["name"].as_str().unwrap().starts_with("veth"), "{link:#} {outer}");
    assert!(link["packets"][0].as_u64() > Some(0), "{link:#}");
    assert!(
        told["routes"].as_array().unwrap().iter().any(|route| route["gateway"] == "10.88.0.1"),
        "{told:#}"
    );
    assert_eq!(
        told["dns"],
        json!({"nameservers": ["192.0.2.53"], "search": ["example"], "options": []})
    );
    assert!(
        told["listeners"].as_array().unwrap().iter().any(|one| one["address"] == "[::]:80"),
        "{told:#}"
    );
    let find = |port: u16| {
        let mut all = told["ports"].as_array().unwrap().iter();
        all.find(|one| {
            one["host_port"] == port && one["target"].as_str().unwrap().starts_with("10.")
        })
        .unwrap()
    };
    let tcp = find(8080);
    assert_eq!((&tcp["listening"], &tcp["by"]), (&true.into(), &"portmap".into()));
    assert_eq!(tcp["connections"], 1, "{tcp:#}");
    let rules: Vec<&str> = tcp["carriers"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["text"].as_str().unwrap())
        .collect();
    // Every one of them is a rule of the table, letter for letter.
    let saved = node.bed.saved("nat");
    for rule in
        rules.iter().filter(|rule| !rule.contains("127.0.0.0/8") && !rule.contains("LOCALNET"))
    {
        assert!(saved.contains(rule), "{rule}: {saved}");
    }
    assert!(rules.iter().any(|rule| rule.contains("--to-destination 10.88.0.2:80")), "{rules:#?}");
    let from: Vec<&Value> =
        tcp["carriers"].as_array().unwrap().iter().map(|one| &one["from"]).collect();
    assert_eq!(from, ["outside", "node"]);
    let udp = find(5353);
    assert_eq!(udp["carriers"][0]["to"], "192.0.2.1:5353");
    assert_eq!(udp["carriers"].as_array().unwrap().len(), 1);
    let text = net(&node.bed.host, "inspect one");
    assert_eq!(text.status, 0, "{text}");
    for word in
        ["port of cni0 (10.88.0.1/16", "hairpin", "lease /var/lib", "delivered to pod default/one"]
    {
        assert!(text.stdout.contains(word), "{word}: {text}");
    }
    let yaml = net(&node.bed.host, "inspect one -o yaml");
    assert!(yaml.stdout.starts_with("name: default/one\n"), "{yaml}");
    let none = net(&node.bed.host, "inspect nobody");
    assert_eq!(none.status, 4, "{none}");
    // The same from a file.
    net(&node.bed.host, "snapshot /run/show.json");
    let again = json_of(&node.bed.host, "inspect one --from /run/show.json");
    assert_eq!(again["ports"][0]["target"], told["ports"][0]["target"]);
}

#[test]
fn the_node_is_drawn() {
    let node = Node::start("iptables");
    let port = |host: u16| json!([{"hostPort": host, "containerPort": 80, "protocol": "tcp"}]);
    node.pod(Maker::Ours, "one", &port(8080));
    node.pod(Maker::Ours, "two", &port(8081));
    let _server = serve(&node.bed, "one", 80, "one");
    let tree = net(&node.bed.host, "map");
    assert_eq!((tree.status, tree.stderr.as_str()), (0, ""), "{tree}");
    assert!(tree.stdout.starts_with("testhost\n├─ uplink  192.0.2.1/24"), "{tree}");
    for line in
        ["⇐ 8080/tcp → 80\n", "⇐ 8081/tcp → 80 !\n", "─ cni0  10.88.0.1/16", "default/two\n"]
    {
        assert!(tree.stdout.contains(line), "{line}: {tree}");
    }
    assert!(tree.stdout.lines().all(|line| line.chars().count() <= 80), "{tree}");
    let svg = net(&node.bed.host, "map -o svg");
    assert!(svg.stdout.starts_with("<svg ") && svg.stdout.contains("default/one"), "{svg}");
    assert_eq!(net(&node.bed.host, "map -o svg").stdout, svg.stdout);
    let dot = net(&node.bed.host, "map -o dot");
    assert!(dot.stdout.contains("host -- bridge0"), "{dot}");
    let html = net(&node.bed.host, "map -o html");
    assert!(html.stdout.contains("</svg>") && html.stdout.contains("<pre>testhost"), "{html}");
}
