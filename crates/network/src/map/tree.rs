//! The map as a tree of text, at most 80 columns wide.

use super::{Bridge, Map, Pod};
use ipnet::IpNet;

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Draws the tree.
#[must_use]
pub fn text(map: &Map) -> String {
    let mut lines = vec![map.node.clone()];
    let mut branches: Vec<(String, Vec<Branch>)> = Vec::new();
    for uplink in &map.uplinks {
        branches.push((format!("{}  {}", uplink.name, joined(&uplink.addresses)), Vec::new()));
    }
    for bridge in &map.bridges {
        branches.push((format!("{}  {}", bridge.name, joined(&bridge.addresses)), ports(bridge)));
    }
    branches.extend(map.others.iter().map(|other| {
        let branch = pod(other);
        (
            branch.head,
            branch.lines.into_iter().map(|head| Branch { head, lines: Vec::new() }).collect(),
        )
    }));
    let count = branches.len();
    for (index, (head, inside)) in branches.into_iter().enumerate() {
        let is_last = index + 1 == count;
        lines.push(format!("{}{head}", if is_last { "└─ " } else { "├─ " }));
        let indent = if is_last { "   " } else { "│  " };
        let below = inside.len();
        for (index, branch) in inside.into_iter().enumerate() {
            let is_last = index + 1 == below;
            lines.push(format!("{indent}{}{}", if is_last { "└─ " } else { "├─ " }, branch.head));
            let more = if is_last { "   " } else { "│  " };
            lines.extend(branch.lines.into_iter().map(|line| format!("{indent}{more}  {line}")));
        }
    }
    lines.into_iter().map(|line| format!("{}\n", fitting(line.trim_end()))).collect()
}

/// A pod, and what is told below it.
struct Branch {
    head: String,
    lines: Vec<String>,
}

fn ports(bridge: &Bridge) -> Vec<Branch> {
    let unknown = bridge
        .unknown
        .iter()
        .map(|name| Branch { head: format!("{name}  (other end not known)"), lines: Vec::new() });
    bridge.pods.iter().map(pod).chain(unknown).collect()
}

fn pod(pod: &Pod) -> Branch {
    let link = match &pod.host_link {
        Some(outer) => format!("{outer} ═ {}", pod.link),
        None => pod.link.clone(),
    };
    let mut lines = Vec::new();
    if !pod.addresses.is_empty() {
        lines.push(joined(&pod.addresses));
    }
    lines.extend(pod.ports.iter().map(|port| format!("⇐ {port}")));
    Branch { head: format!("{link}  {}", pod.name), lines }
}

fn joined(addresses: &[IpNet]) -> String {
    addresses.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
}

/// What does not fit is cut, and shows it.
fn fitting(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}
