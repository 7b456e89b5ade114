//! The map in the words of graphviz.

use ipnet::IpNet;

use super::{Map, Pod};

/// Draws it.
#[must_use]
pub fn dot(map: &Map) -> String {
    let mut lines = vec![
        "graph network {".to_owned(),
        "  rankdir=LR;".to_owned(),
        "  node [shape=box, fontname=\"monospace\"];".to_owned(),
        format!("  host [label={}];", quoted(std::slice::from_ref(&map.node))),
    ];
    for (index, uplink) in map.uplinks.iter().enumerate() {
        let label = quoted(&with(&uplink.name, &uplink.addresses));
        lines.push(format!("  uplink{index} [label={label}];"));
        lines.push(format!("  uplink{index} -- host;"));
    }
    for (index, bridge) in map.bridges.iter().enumerate() {
        let label = quoted(&with(&bridge.name, &bridge.addresses));
        lines.push(format!("  bridge{index} [label={label}];"));
        lines.push(format!("  host -- bridge{index};"));
        for (number, one) in bridge.pods.iter().enumerate() {
            lines.extend(pod(one, &format!("pod{index}_{number}"), &format!("bridge{index}")));
        }
    }
    for (number, one) in map.others.iter().enumerate() {
        lines.extend(pod(one, &format!("other{number}"), "host"));
    }
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}

fn with(name: &str, addresses: &[IpNet]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(addresses.iter().map(IpNet::to_string)).collect()
}

fn pod(pod: &Pod, id: &str, from: &str) -> [String; 2] {
    let mut label = with(&pod.name, &pod.addresses);
    label.extend(pod.ports.iter().map(ToString::to_string));
    let link = pod.host_link.as_deref().unwrap_or(&pod.link).to_owned();
    [
        format!("  {id} [label={}];", quoted(&label)),
        format!("  {from} -- {id} [label={}];", quoted(std::slice::from_ref(&link))),
    ]
}

fn quoted(lines: &[String]) -> String {
    let escaped = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\""));
    format!("\"{}\"", escaped.collect::<Vec<_>>().join("\\n"))
}
