use super::*;

fn example() -> Map {
    let pod = |number: u16, ports: &[u16]| Pod {
        name: format!("default/web-{number}"),
        link: "eth0".to_owned(),
        host_link: Some(format!("veth{number:08x}")),
        addresses: vec![
            format!("10.88.0.{}/16", number + 2).parse().unwrap(),
            format!("fd00:88::{:x}/64", number + 2).parse().unwrap(),
        ],
        ports: ports
            .iter()
            .map(|port| PublishedPort {
                host_port: *port,
                protocol: "tcp".to_owned(),
                host_ip: None,
                pod_port: 80,
                troubled: port % 2 == 1,
            })
            .collect(),
    };
    Map {
        node: "node <1>".to_owned(),
        uplinks: vec![Uplink {
            name: "eth0".to_owned(),
            addresses: vec!["192.0.2.1/24".parse().unwrap()],
        }],
        bridges: vec![
            Bridge {
                name: "cni0".to_owned(),
                addresses: vec!["10.88.0.1/16".parse().unwrap()],
                pods: vec![pod(0, &[8080, 8443]), pod(1, &[])],
                unknown: vec!["tap0".to_owned()],
            },
            Bridge {
                name: "docker0".to_owned(),
                addresses: vec!["172.17.0.1/16".parse().unwrap()],
                pods: Vec::new(),
                unknown: Vec::new(),
            },
        ],
        others: vec![Pod { host_link: Some("veth9".to_owned()), ..pod(7, &[]) }],
    }
}

#[test]
fn the_tree_shows_all_and_fits() {
    let mut map = example();
    assert_eq!(
        text(&map),
        "node <1>
├─ eth0  192.0.2.1/24
├─ cni0  10.88.0.1/16
│  ├─ veth00000000 ═ eth0  default/web-0
│  │    10.88.0.2/16 fd00:88::2/64
│  │    ⇐ 8080/tcp → 80
│  │    ⇐ 8443/tcp → 80 !
│  ├─ veth00000001 ═ eth0  default/web-1
│  │    10.88.0.3/16 fd00:88::3/64
│  └─ tap0  (other end not known)
├─ docker0  172.17.0.1/16
└─ veth9 ═ eth0  default/web-7
   ├─ 10.88.0.9/16 fd00:88::9/64
"
        .replace("   ├─ 10.88.0.9/16", "   └─ 10.88.0.9/16")
    );
    map.bridges[0].pods[0].name = "n".repeat(100);
    assert!(text(&map).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn pictures_hold_all_names_and_are_well_formed() {
    let map = example();
    let picture = svg(&map);
    for name in
        ["node &lt;1&gt;", "cni0", "default/web-1", "8443/tcp → 80 !", "veth00000001", "tap0"]
    {
        assert!(picture.contains(name), "{name}: {picture}");
    }
    assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
    assert_eq!(svg(&map), picture);
    let boxes = draw::picture(&map).boxes;
    for (index, one) in boxes.iter().enumerate() {
        for other in boxes.iter().skip(index + 1) {
            let apart = one.x + one.width <= other.x
                || other.x + other.width <= one.x
                || one.y + one.height <= other.y
                || other.y + other.height <= one.y;
            assert!(apart, "{one:?} lies over {other:?}");
        }
    }
    assert!(html(&map).contains("<svg") && dot(&map).ends_with("}\n"));
    assert!(dot(&map).contains("bridge0 -- pod0_1 [label=\"veth00000001\"];"));
}
