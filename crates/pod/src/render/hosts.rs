//! `/etc/hosts` of a pod that is kept.

use std::{fmt::Write, net::IpAddr};

use crate::{hosts, model::Pod};

/// Another pod that is found by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

/// What a pod's containers have as `/etc/hosts`: itself by every address, what the manifest adds,
/// other pods. `node` is the host's own file, which a pod on the host's network begins with.
pub fn hosts_file(pod: &Pod, addresses: &[IpAddr], node: &str, peers: &[Peer]) -> String {
    let mut text = if pod.uses_host_network() {
        hosts::for_host_network(node)
    } else {
        let full = pod.names.fqdn.as_deref().filter(|full| *full != pod.names.hostname);
        let names = full.into_iter().chain([pod.names.hostname.as_str()]);
        hosts::for_pod(&names.collect::<Vec<_>>().join("\t"), addresses)
    };
    let aliases = pod.host_aliases.iter().map(|alias| (alias.ip, &alias.names));
    let peers = peers.iter().map(|peer| (peer.ip, &peer.names));
    for (title, lines) in
        [("added by the manifest", aliases.collect::<Vec<_>>()), ("other pods", peers.collect())]
    {
        if !lines.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for (index, (ip, names)) in lines.into_iter().enumerate() {
            let title = if index == 0 { format!("# {title}\n") } else { String::new() };
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{title}{ip}\t{}", names.join("\t"));
        }
    }
    text
}
