//! The host's links to namespaces, and the bridges between them.

use std::net::IpAddr;

use super::{
    Verdict,
    routes::{Found, Question, find, is_local},
    walk::{Walk, lost},
};
use crate::snapshot::Link;

impl<'a> Walk<'a> {
    /// The host's end of a pod's link.
    pub(super) fn host_side(&self, link: &Link) -> Option<&'a Link> {
        let host = &self.node.snapshot.host;
        host.link(link.peer?).filter(|peer| peer.peer == Some(link.index) && link.peer_elsewhere)
    }

    /// Whether bridges pass what they forward through the packet filter of IP.
    pub(super) fn filters_bridged(&self) -> bool {
        let name = if self.packet.is_v4() {
            "bridge/bridge-nf-call-iptables"
        } else {
            "bridge/bridge-nf-call-ip6tables"
        };
        self.node.snapshot.host.sysctl(name) != 0
    }

    /// Whether a bridge forwards a packet itself, although it was for the host: its destination was
    /// rewritten to somebody behind the same bridge.
    pub(super) fn goes_straight(&self, from: &Link, to: Option<u32>) -> bool {
        to == Some(from.index)
            && self.port.is_some()
            && self.packet.rewritten.0
            && self.filters_bridged()
    }

    /// The same for an answer to `sender`, whose address is put back, from behind a port.
    pub(super) fn is_bridged_back(&self, port: &Link, sender: IpAddr) -> bool {
        let question = Question { to: sender, from: None, input: None, mark: 0 };
        let back = find(&self.node.snapshot.host, question);
        let is_same = matches!(back, Found::Route(route) if route.link == port.master);
        port.master.is_some() && is_same && self.filters_bridged()
    }

    /// A bridge gives the host what is for it.
    pub(super) fn come_up(&mut self, bridge: &Link) -> Result<(), Verdict> {
        let host = self.host();
        let port = self.port.and_then(|index| host.namespace.link(index));
        if port.is_some_and(|port| port.master == Some(bridge.index)) {
            self.at_bridge("input", port, None)?;
            self.at_link(host, "ingress", bridge)?;
        }
        Ok(())
    }

    pub(super) fn over_bridge(
        &mut self,
        bridge: &'a Link,
        hop: IpAddr,
        bridged: bool,
    ) -> Result<Verdict, Verdict> {
        let host = &self.node.snapshot.host;
        let ports = host.links.iter().filter(|link| link.master == Some(bridge.index));
        let mut others = false;
        let mut found = None;
        for port in ports {
            match self.node.behind(port) {
                Some((pod, inside, namespace)) if is_local(namespace, hop) => {
                    found = Some((port, pod, inside))
                }
                Some(_) => {}
                None => others = true,
            }
        }
        let Some((port, pod, inside)) = found else {
            if others {
                self.at_unknown_port(bridge, &["forward", "output", "postrouting"])?;
                return Err(Verdict::Leaves {
                    why: format!("by a port of {} to {hop}", bridge.name),
                });
            }
            return Err(Verdict::Unreachable {
                why: format!("nobody on {} has the address {hop}", bridge.name),
            });
        };
        let flags = port.port.clone().unwrap_or_default();
        if !port.up || !flags.forwarding {
            return lost(format!("port {} of {} does not forward", port.name, bridge.name));
        }
        let hairpin = flags.hairpin || bridge.promiscuous;
        if bridged && self.port == Some(port.index) && !hairpin {
            return lost(format!(
                "port {} of {} has no hairpin: a packet may not leave by the port that it came in by",
                port.name, bridge.name
            ));
        }
        let came = self.port.and_then(|index| host.link(index)).and_then(|link| link.port.as_ref());
        if bridged && flags.isolated && came.is_some_and(|port| port.isolated) {
            return lost(format!("ports of {} are isolated from each other", bridge.name));
        }
        self.hop("host", "bridge", format!("{} to its port {}", bridge.name, port.name));
        let came = self.port.filter(|_| bridged).and_then(|index| host.link(index));
        self.leave_by_port(came, port)?;
        self.enter_pod(pod, inside)
    }

    /// What a bridge forwards from a port, or sends for the host, to another one.
    pub(super) fn leave_by_port(&mut self, from: Option<&Link>, to: &Link) -> Result<(), Verdict> {
        let hook = if from.is_some() { "forward" } else { "output" };
        self.at_bridge(hook, from, Some(to))?;
        self.at_bridge("postrouting", None, Some(to))?;
        self.at_link(self.host(), "egress", to)
    }
}
