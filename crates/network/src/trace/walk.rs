//! The way there: from the sender through the host to whoever takes the packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Hop, Node, Request, Sender, Trace, Verdict, answer,
    chains::{Place, first_address, pass},
    packet::Packet,
    routes::{Found, Question, find, is_local},
};
use crate::snapshot::{Link, Route};

/// Who is meant when nobody is named: addresses kept for documentation.
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const STRANGER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// A packet on its way, with what it met.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) node: &'a Node<'a>,
    pub(super) hops: Vec<Hop>,
    pub(super) packet: Packet,
    /// What the sender sent, before anything was rewritten.
    pub(super) sent: Packet,
    /// The pod that sends.
    pub(super) sender: Option<usize>,
    /// The port of a bridge that it came in by.
    pub(super) port: Option<u32>,
}

pub(super) fn walk(node: &Node<'_>, request: &Request) -> Trace {
    let target = std::net::SocketAddr::new(request.to, request.port);
    let (sender, source) = sender(node, request);
    let told = match (request.from, sender) {
        (_, Some(pod)) => node.name_of(pod).to_owned(),
        (Sender::Node, None) => "the node".to_owned(),
        (Sender::Address(address), None) => address.to_string(),
        _ => "outside".to_owned(),
    };
    let packet = Packet {
        protocol: request.protocol,
        source: source.unwrap_or(request.to),
        destination: request.to,
        source_port: None,
        port: Some(request.port),
        mark: 0,
        mac: None,
        input: None,
        output: None,
        established: false,
        rewritten: (false, false),
    };
    let mut walk =
        Walk { node, hops: Vec::new(), sent: packet.clone(), packet, sender, port: None };
    let result = if source.is_some_and(|one| one.is_ipv4() != request.to.is_ipv4()) {
        Err(Verdict::Unreachable {
            why: "source and destination are of different families".to_owned(),
        })
    } else {
        walk.go(request, source)
    };
    let verdict = result.unwrap_or_else(|verdict| verdict);
    Trace {
        request: format!("{} from {told} to {target}", request.protocol),
        hops: walk.hops,
        verdict,
    }
}

/// The pod that sends, and from which address, where that is known.
fn sender(node: &Node<'_>, request: &Request) -> (Option<usize>, Option<IpAddr>) {
    let v4 = request.to.is_ipv4();
    match request.from {
        Sender::Node => (None, None),
        Sender::Namespace(place) => (Some(place), None),
        Sender::Address(address) => (
            node.namespace_with(address).filter(|_| !is_local(&node.snapshot.host, address)),
            Some(address),
        ),
        Sender::Outside if v4 => (None, Some(STRANGER.into())),
        Sender::Outside => (None, Some(STRANGER_V6.into())),
    }
}

pub(super) fn lost<T>(why: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Hangs { why: why.into() })
}

impl<'a> Walk<'a> {
    pub(super) fn host(&self) -> Place<'a> {
        Place { name: "host", namespace: &self.node.snapshot.host, rules: &self.node.host }
    }

    pub(super) fn hop(&mut self, at: &str, stage: &str, what: impl Into<String>) {
        let hop = Hop { at: at.to_owned(), stage: stage.to_owned(), what: what.into(), rule: None };
        self.hops.push(hop);
    }

    fn go(&mut self, request: &Request, source: Option<IpAddr>) -> Result<Verdict, Verdict> {
        if let Some(pod) = self.sender {
            return self.start_in_pod(pod, source);
        }
        let host = self.host();
        match (request.from, source) {
            (Sender::Node, _) => self.start_at_node(None),
            (_, Some(address)) if is_local(host.namespace, address) => {
                self.start_at_node(Some(address))
            }
            (_, address) => self.start_outside(address),
        }
    }

    fn route(&mut self, place: Place<'a>, from: Option<IpAddr>) -> Result<&'a Route, Verdict> {
        let question = Question {
            to: self.packet.destination,
            from,
            input: self.packet.input.as_deref(),
            mark: self.packet.mark,
        };
        match find(place.namespace, question) {
            Found::Route(route) if route.shared => Err(Verdict::Unknown {
                why: format!("the route to {}, which has several next hops", route.destination),
            }),
            Found::Route(route) => Ok(route),
            Found::None => Err(Verdict::Unreachable {
                why: format!("{} has no route to {}", place.name, self.packet.destination),
            }),
            Found::Unknown(priority) => Err(Verdict::Unknown {
                why: format!("the routing rule {priority}, whose conditions are not known"),
            }),
        }
    }

    fn link_of(&self, place: Place<'a>, route: &Route) -> Result<&'a Link, Verdict> {
        route.link.and_then(|index| place.namespace.link(index)).ok_or_else(|| Verdict::Unknown {
            why: format!(
                "the route to {} of {}, whose link is not known",
                route.destination, place.name
            ),
        })
    }

    /// What a process sends: OUTPUT, and the route again when the destination was rewritten.
    fn send(&mut self, place: Place<'a>, source: Option<IpAddr>) -> Result<&'a Link, Verdict> {
        let route = self.route(place, source)?;
        let link = self.link_of(place, route)?;
        let local = route.kind == "local";
        let own = if local {
            Some(self.packet.destination)
        } else {
            route.source.or_else(|| first_address(place.namespace, &link.name, self.packet.is_v4()))
        };
        let Some(source) = source.or(own) else {
            return Err(Verdict::Unreachable {
                why: format!("{} has no address to send from", place.name),
            });
        };
        self.packet.source = source;
        self.sent = self.packet.clone();
        // What is for the namespace itself goes over its loopback link.
        let output = if local { place.namespace.link_named("lo").unwrap_or(link) } else { link };
        self.packet.output = Some(output.name.clone());
        self.hop(
            place.name,
            "route",
            format!("{source} to {} by {}", self.packet.destination, output.name),
        );
        let before = self.packet.destination;
        pass(place, "output", &mut self.packet, &mut self.hops)?;
        if self.packet.destination == before {
            return Ok(output);
        }
        let route = self.route(place, Some(source))?;
        let link = self.link_of(place, route)?;
        if route.kind == "local" {
            return Ok(output);
        }
        self.packet.output = Some(link.name.clone());
        self.hop(place.name, "route", format!("to {} by {}", self.packet.destination, link.name));
        self.leave_loopback(place, link)?;
        Ok(link)
    }

    /// A packet from 127.0.0.0/8 may leave by another link only if that is told so.
    fn leave_loopback(&self, place: Place<'a>, link: &Link) -> Result<(), Verdict> {
        let is_allowed = link.settings.route_localnet
            || place.namespace.sysctl("ipv4/conf/all/route_localnet") != 0;
        let is_v4_loopback = self.packet.source.is_ipv4() && self.packet.source.is_loopback();
        if is_v4_loopback && link.name != "lo" && !is_allowed {
            return lost(format!(
                "net.ipv4.conf.{}.route_localnet is 0: nothing from 127.0.0.1 may leave by {}",
                link.name, link.name
            ));
        }
        Ok(())
    }

    fn start_at_node(&mut self, source: Option<IpAddr>) -> Result<Verdict, Verdict> {
        let host = self.host();
        let link = self.send(host, source)?;
        if is_local(host.namespace, self.packet.destination) {
            pass(host, "postrouting", &mut self.packet, &mut self.hops)?;
            self.packet.input = Some("lo".to_owned());
            self.packet.output = None;
            return self.arrive(host, None);
        }
        pass(host, "postrouting", &mut self.packet, &mut self.hops)?;
        self.leave_host(link, false)
    }

    fn start_outside(&mut self, source: Option<IpAddr>) -> Result<Verdict, Verdict> {
        let host = self.host();
        let back = Question {
            to: source.unwrap_or(IpAddr::V4(STRANGER)),
            from: None,
            input: None,
            mark: 0,
        };
        let Found::Route(route) = find(host.namespace, back) else {
            return Err(Verdict::Unreachable {
                why: format!("the node has no route to {}: nothing comes from there", back.to),
            });
        };
        let link = self.link_of(host, route)?;
        if link.kind.as_deref() == Some("bridge") {
            self.at_unknown_port(link, &["prerouting", "input"])?;
        }
        self.at_link(host, "ingress", link)?;
        self.enter_host(link)
    }

    fn start_in_pod(&mut self, pod: usize, source: Option<IpAddr>) -> Result<Verdict, Verdict> {
        let name = self.node.name_of(pod);
        let place = self.pod(pod)?;
        let link = self.send(place, source)?;
        if is_local(place.namespace, self.packet.destination) {
            self.packet.input = Some("lo".to_owned());
            self.packet.output = None;
            return self.arrive(place, Some(pod));
        }
        pass(place, "postrouting", &mut self.packet, &mut self.hops)?;
        self.leave_namespace(place, link)?;
        let Some(peer) = self.host_side(link) else {
            return Err(Verdict::Unknown {
                why: format!("link {} of {name}, whose other end is not on the host", link.name),
            });
        };
        self.packet.output = None;
        self.hop("host", "veth", format!("{} of {name} is {} here", link.name, peer.name));
        self.leave_pod(peer)
    }

    /// What a namespace sends by a link to a neighbour.
    pub(super) fn leave_namespace(&mut self, place: Place<'_>, link: &Link) -> Result<(), Verdict> {
        self.packet.mac.clone_from(&link.mac);
        self.asks_neighbours(place)?;
        self.at_link(place, "egress", link)
    }

    pub(super) fn pod(&self, pod: usize) -> Result<Place<'a>, Verdict> {
        let name = self.node.name_of(pod);
        let namespace = self.node.snapshot.namespaces.get(pod);
        match (namespace, self.node.others.get(pod)) {
            (Some(namespace), Some(rules)) => Ok(Place { name, namespace, rules }),
            _ => Err(Verdict::Unknown { why: format!("{name}, which is not in the snapshot") }),
        }
    }

    /// What a pod sends comes to the bridge that the link is a port of, or right to the host.
    fn leave_pod(&mut self, link: &'a Link) -> Result<Verdict, Verdict> {
        let host = self.host().namespace;
        if !link.up {
            return lost(format!("link {} is down", link.name));
        }
        self.at_link(self.host(), "ingress", link)?;
        let Some(bridge) = link.master.and_then(|index| host.link(index)) else {
            return self.enter_host(link);
        };
        self.port = Some(link.index);
        if bridge.vlan_filtering {
            return Err(Verdict::Unknown {
                why: format!("bridge {}, which looks at VLANs", bridge.name),
            });
        }
        self.at_bridge("prerouting", Some(link), None)?;
        let to = self.packet.destination;
        let is_on_link =
            bridge.addresses.iter().any(|net| net.contains(&to)) && !is_local(host, to);
        if !is_on_link {
            return self.enter_host(bridge);
        }
        self.hop("host", "bridge", format!("{to} is on {} itself", bridge.name));
        if self.filters_bridged() {
            self.packet.input = Some(bridge.name.clone());
            pass(self.host(), "prerouting", &mut self.packet, &mut self.hops)?;
            self.packet.output = Some(bridge.name.clone());
            pass(self.host(), "forward", &mut self.packet, &mut self.hops)?;
            pass(self.host(), "postrouting", &mut self.packet, &mut self.hops)?;
        }
        self.over_bridge(bridge, self.packet.destination, true)
    }

    fn enter_host(&mut self, link: &'a Link) -> Result<Verdict, Verdict> {
        let host = self.host();
        self.packet.input = Some(link.name.clone());
        self.packet.output = None;
        self.hop("host", "link", format!("comes in by {}", link.name));
        pass(host, "prerouting", &mut self.packet, &mut self.hops)?;
        self.check_source(link)?;
        let route = self.route(host, Some(self.packet.source))?;
        if !self.goes_straight(link, route.link) {
            self.come_up(link)?;
        }
        if route.kind == "local" {
            self.hop("host", "route", format!("{} is the node itself", self.packet.destination));
            return self.arrive(host, None);
        }
        let out = self.link_of(host, route)?;
        let hop = route.gateway.unwrap_or(self.packet.destination);
        self.forward(link, out, hop)
    }

    /// What the kernel refuses by its addresses alone.
    fn check_source(&self, link: &Link) -> Result<(), Verdict> {
        let host = &self.node.snapshot.host;
        let (source, to) = (self.packet.source, self.packet.destination);
        if !source.is_ipv4() {
            return Ok(());
        }
        let all = |name: &str| host.sysctl(&format!("ipv4/conf/all/{name}"));
        let localnet = link.settings.route_localnet || all("route_localnet") != 0;
        if (source.is_loopback() || to.is_loopback()) && !localnet {
            return lost(format!(
                "a packet of 127.0.0.0/8 comes in by {}, whose route_localnet is 0",
                link.name
            ));
        }
        if is_local(host, source) && !(link.settings.accept_local || all("accept_local") != 0) {
            return lost(format!(
                "{source}, which comes in by {}, is the node's own address",
                link.name
            ));
        }
        let strict = link.settings.rp_filter.max(all("rp_filter"));
        let back = Question {
            to: source,
            from: Some(to).filter(|to| is_local(host, *to)),
            input: None,
            mark: 0,
        };
        match (strict, find(host, back)) {
            (1, Found::Route(route)) if route.link != Some(link.index) => lost(format!(
                "rp_filter of {} is 1 and answers to {source} would leave by another link",
                link.name
            )),
            (1 | 2, Found::None) => lost(format!("rp_filter: the node has no route to {source}")),
            _ => Ok(()),
        }
    }

    fn forward(&mut self, from: &'a Link, to: &'a Link, hop: IpAddr) -> Result<Verdict, Verdict> {
        let host = self.host();
        let bridged = self.goes_straight(from, Some(to.index));
        self.hop("host", "route", format!("to {} by {}", self.packet.destination, to.name));
        self.check_forwarding(from)?;
        self.packet.output = Some(to.name.clone());
        pass(host, "forward", &mut self.packet, &mut self.hops)?;
        pass(host, "postrouting", &mut self.packet, &mut self.hops)?;
        self.next_hop(to, hop, bridged)
    }

    pub(super) fn check_forwarding(&self, from: &Link) -> Result<(), Verdict> {
        let host = &self.node.snapshot.host;
        if self.packet.is_v4() && !from.settings.forwarding {
            return lost(format!(
                "net.ipv4.conf.{}.forwarding (net.ipv4.ip_forward) is 0: the node forwards nothing that comes in by {}",
                from.name, from.name
            ));
        }
        if !self.packet.is_v4() && host.sysctl("ipv6/conf/all/forwarding") == 0 {
            return lost("net.ipv6.conf.all.forwarding is 0: the node forwards nothing".to_owned());
        }
        Ok(())
    }

    fn leave_host(&mut self, link: &'a Link, bridged: bool) -> Result<Verdict, Verdict> {
        let route = self.route(self.host(), Some(self.packet.source))?;
        let hop = route.gateway.unwrap_or(self.packet.destination);
        self.next_hop(link, hop, bridged)
    }

    fn next_hop(&mut self, link: &'a Link, hop: IpAddr, bridged: bool) -> Result<Verdict, Verdict> {
        if !link.up {
            return lost(format!("link {} is down", link.name));
        }
        if !bridged {
            self.leave_namespace(self.host(), link)?;
        }
        if link.kind.as_deref() == Some("bridge") {
            return self.over_bridge(link, hop, bridged);
        }
        let peer = self.node.behind(link).filter(|(_, _, namespace)| is_local(namespace, hop));
        match peer {
            Some((pod, inside, _)) => self.enter_pod(pod, inside),
            None => Err(Verdict::Leaves { why: format!("by {} to {hop}", link.name) }),
        }
    }

    pub(super) fn enter_pod(&mut self, pod: usize, link: &'a Link) -> Result<Verdict, Verdict> {
        let place = self.pod(pod)?;
        self.packet.input = Some(link.name.clone());
        self.packet.output = None;
        self.packet.mark = 0;
        let told = format!("comes in by {} from {}", link.name, self.packet.source);
        self.hop(place.name, "link", told);
        if !link.up {
            return lost(format!("link {} of {} is down", link.name, place.name));
        }
        self.at_link(place, "ingress", link)?;
        let source = self.packet.source;
        if source.is_loopback() && !link.settings.route_localnet {
            return lost(format!(
                "{} drops what comes from {source} by another link than lo",
                place.name
            ));
        }
        pass(place, "prerouting", &mut self.packet, &mut self.hops)?;
        if is_local(place.namespace, source) {
            return lost(format!(
                "{} drops what comes from its own address {source} by {}: the source was not rewritten",
                place.name, link.name
            ));
        }
        if !is_local(place.namespace, self.packet.destination) {
            return Err(Verdict::Unknown {
                why: format!(
                    "{}, which is not {} and would forward it",
                    place.name, self.packet.destination
                ),
            });
        }
        self.arrive(place, Some(pod))
    }

    /// The packet is where it should be: the rules of INPUT, a socket, and the answer.
    fn arrive(&mut self, place: Place<'a>, pod: Option<usize>) -> Result<Verdict, Verdict> {
        pass(place, "input", &mut self.packet, &mut self.hops)?;
        let (address, port) = (self.packet.destination, self.packet.port.unwrap_or_default());
        let takes =
            |one: &&crate::snapshot::Listener| one.takes(self.packet.protocol, address, port);
        if self.packet.protocol != crate::snapshot::Protocol::Sctp
            && place.namespace.listeners.iter().find(takes).is_none()
        {
            let at = std::net::SocketAddr::new(address, port);
            return Err(Verdict::Refused {
                why: format!("nobody listens at {at} in {}", place.name),
            });
        }
        self.hop(place.name, "socket", format!("a socket takes {}:{port}", self.packet.protocol));
        let sees = self.packet.source;
        answer::back(self, place, pod)?;
        Ok(Verdict::Delivered { to: place.name.to_owned(), sees, address, port })
    }
}
