//! The kernel's table of flows.

use std::{cell::Cell, fs, io, net::IpAddr};

use nix::errno::Errno;

use super::wire::{Filter, Kind, Message, find, push};

const SUBSYSTEM: u16 = 1;
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// Which parts of a tuple the kernel compares.
const COMPARE_SOURCE: u32 = 1;
const COMPARE_DESTINATION: u32 = 1 << 1;
const COMPARE_NUMBER: u32 = 1 << 3;
const COMPARE_DESTINATION_PORT: u32 = 1 << 5;
/// An attribute with attributes inside.
const NESTED: u16 = 0x8000;
const UDP: u8 = 17;
/// What the kernel takes for each bucket of its table, for each flow that it passes over, and for
/// each one that it lists, in ns as measured; what counts is how they relate.
const BUCKET: u64 = 16;
const PASSED: u64 = 180;
const LISTED: u64 = 850;
const SIZES: &str = "/proc/sys/net/netfilter";
/// Flows that are ended in one message to the kernel.
const TOGETHER: usize = 256;

const INET: u8 = 2;
const INET6: u8 = 10;

const fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

/// Flows of UDP to a port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flows {
    /// The port that the first packet went to.
    pub(crate) port: u16,
    /// The address that it went to; without one, any address that is the host's own.
    pub(crate) host: Option<IpAddr>,
    /// The pod that it was led to, and that answers; without one, whoever does.
    pub(crate) pod: Option<IpAddr>,
}

/// What of a flow tells whether it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    port: u16,
    destination: IpAddr,
    answers: IpAddr,
}

impl Flows {
    fn have(&self, flow: Flow, is_own: &dyn Fn(IpAddr) -> bool) -> bool {
        let is_for_host = || match self.host {
            Some(host) => flow.destination == host,
            None => is_own(flow.destination),
        };
        flow.port == self.port
            && match self.pod {
                // A flow to the pod's own address was never led there by a port of the host.
                Some(pod) => {
                    flow.answers == pod
                        && flow.destination != pod
                        && self.host.is_none_or(|host| host == flow.destination)
                }
                None => is_for_host(),
            }
    }
}

/// Ends flows of UDP of a family that the kernel lists, filtered as far as it can: by the protocol,
/// and by port, host and pod where these are the same for all that is asked for at once. Kernels
/// before 5.8 do not filter and list all; those after it leave out just the flows that have a given
/// address of IPv6, so they are not asked for one. `is_own` says whether an address is one of the
/// host.
///
/// However many ports there are, it takes as long as listing all flows of UDP once, at most.
pub(crate) fn end_udp(
    filter: &Filter,
    is_v4: bool,
    wanted: &[Flows],
    is_own: &dyn Fn(IpAddr) -> bool,
) -> io::Result<()> {
    let family = family(is_v4);
    for some in questions(wanted, Size::read()) {
        let is_filtered = Cell::new(true);
        let is_meant = |flow: Flow| {
            is_filtered.set(is_filtered.get() && some.iter().any(|one| one.port == flow.port));
            wanted.iter().any(|one| one.have(flow, is_own))
        };
        end(filter, family, question(family, &some), is_meant)?;
        if !is_filtered.get() {
            // All flows were listed, those that are asked for next among them.
            break;
        }
    }
    Ok(())
}

/// How large the table of flows is.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    buckets: u64,
    flows: u64,
}

impl Size {
    /// Nought where the kernel does not tell.
    fn read() -> Self {
        let read = |name: &str| {
            let text = fs::read_to_string(format!("{SIZES}/nf_conntrack_{name}"));
            text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
        };
        Self { buckets: read("buckets"), flows: read("count") }
    }

    /// Whether so many questions for a port each take less time than one for all flows.
    fn favours(self, questions: usize) -> bool {
        let walk = self.buckets.saturating_mul(BUCKET);
        let each = walk.saturating_add(self.flows.saturating_mul(PASSED));
        let all = walk.saturating_add(self.flows.saturating_mul(LISTED));
        u64::try_from(questions).is_ok_and(|questions| each.saturating_mul(questions) < all)
    }
}

/// What is asked for at once: all, or port by port where that is quicker and nothing else than the
/// port tells the kernel what is meant.
fn questions(wanted: &[Flows], size: Size) -> Vec<Vec<Flows>> {
    let mut ports: Vec<u16> = wanted.iter().map(|one| one.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let is_narrow = shared(wanted, |one| one.pod).is_some_and(|pod| pod.is_ipv4());
    if is_narrow || !size.favours(ports.len()) {
        return vec![wanted.to_vec()];
    }
    let of_port = |port| wanted.iter().filter(|one| one.port == port).copied().collect();
    ports.into_iter().map(of_port).collect()
}

/// Ends the flows of UDP of a family that came to one of these ports and are answered by the address
/// beside it, wherever they were sent; gives how many.
pub(crate) fn end_udp_answered_by(
    filter: &Filter,
    is_v4: bool,
    ends: &[(u16, IpAddr)],
) -> io::Result<usize> {
    let wanted: Vec<Flows> =
        ends.iter().map(|&(port, pod)| Flows { port, host: None, pod: Some(pod) }).collect();
    let is_meant = |flow: Flow| ends.contains(&(flow.port, flow.answers));
    end(filter, family(is_v4), question(family(is_v4), &wanted), is_meant)
}

fn family(is_v4: bool) -> u8 {
    if is_v4 { INET } else { INET6 }
}

/// Lists flows, and ends those that are meant; gives how many.
fn end(
    filter: &Filter,
    family: u8,
    question: Message,
    is_meant: impl Fn(Flow) -> bool,
) -> io::Result<usize> {
    let mut found = Vec::new();
    let listed = filter.ask(question, |message, body| {
        let flow = (message == kind(NEW)).then(|| read(body)).flatten();
        if flow.is_some_and(&is_meant) {
            let own = |number: u16| find(body, number).map(<[u8]>::to_vec);
            found.push((own(TUPLE_ORIGINAL).unwrap_or_default(), own(ZONE), own(ID)));
        }
    });
    match listed {
        // The kernel, or this namespace, tracks nothing of the family.
        Err(error) if is_untracked(&error) => return Ok(0),
        // What changed meanwhile are other flows.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        other => other?,
    }
    for some in found.chunks(TOGETHER) {
        let messages = some.iter().map(|(tuple, zone, id)| {
            let part = Kind::Part { acknowledged: true };
            let message = Message::new(kind(DELETE), part, family, 0);
            let more = [(ZONE, zone), (ID, id)].into_iter();
            more.filter_map(|(number, value)| Some((number, value.as_ref()?)))
                .fold(message.nested(TUPLE_ORIGINAL, tuple), |message, (number, value)| {
                    message.attribute(number, value)
                })
        });
        match filter.send_all(messages.collect()) {
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            other => other?,
        }
    }
    Ok(found.len())
}

fn is_untracked(error: &io::Error) -> bool {
    let numbers = [Errno::EINVAL, Errno::EOPNOTSUPP, Errno::ENOENT, Errno::EPROTONOSUPPORT];
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|e| *e as i32 == number))
}

/// What is the same for all.
fn shared<T: PartialEq + Copy>(wanted: &[Flows], part: impl Fn(&Flows) -> Option<T>) -> Option<T> {
    let first = part(wanted.first()?)?;
    wanted.iter().all(|one| part(one) == Some(first)).then_some(first)
}

fn question(family: u8, wanted: &[Flows]) -> Message {
    let (mut protocol, mut original, mut compare) = (Vec::new(), Vec::new(), COMPARE_NUMBER);
    push(&mut protocol, PROTOCOL_NUMBER, &[UDP]);
    if let Some(port) = shared(wanted, |one| Some(one.port)) {
        push(&mut protocol, PROTOCOL_DESTINATION, &port.to_be_bytes());
        compare |= COMPARE_DESTINATION_PORT;
    }
    let of_v4 = |address: Option<IpAddr>| address.filter(IpAddr::is_ipv4);
    if let Some(host) = of_v4(shared(wanted, |one| one.host)) {
        push_address(&mut original, host, Side::Destination);
        compare |= COMPARE_DESTINATION;
    }
    push(&mut original, TUPLE_PROTOCOL | NESTED, &protocol);
    let mut compared = Vec::new();
    push(&mut compared, FILTER_ORIGINAL, &compare.to_ne_bytes());
    let message = Message::new(kind(GET), Kind::Dump, family, 0);
    let message = message.nested(TUPLE_ORIGINAL, &original);
    let Some(pod) = of_v4(shared(wanted, |one| one.pod)) else {
        return message.nested(FILTER, &compared);
    };
    let mut reply = Vec::new();
    push_address(&mut reply, pod, Side::Source);
    push(&mut compared, FILTER_REPLY, &COMPARE_SOURCE.to_ne_bytes());
    message.nested(TUPLE_REPLY, &reply).nested(FILTER, &compared)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

impl Side {
    /// The number of the attribute with the address of this side.
    fn number(self, is_v4: bool) -> u16 {
        match (self, is_v4) {
            (Self::Source, true) => 1,
            (Self::Destination, true) => 2,
            (Self::Source, false) => 3,
            (Self::Destination, false) => 4,
        }
    }
}

fn push_address(tuple: &mut Vec<u8>, address: IpAddr, side: Side) {
    let mut inside = Vec::new();
    match address {
        IpAddr::V4(four) => push(&mut inside, side.number(true), &four.octets()),
        IpAddr::V6(six) => push(&mut inside, side.number(false), &six.octets()),
    }
    push(tuple, TUPLE_ADDRESSES | NESTED, &inside);
}

/// Reads a flow; `None` when it is none of UDP.
fn read(body: &[u8]) -> Option<Flow> {
    let tuple = find(body, TUPLE_ORIGINAL)?;
    let protocol = find(tuple, TUPLE_PROTOCOL)?;
    if find(protocol, PROTOCOL_NUMBER) != Some(&[UDP]) {
        return None;
    }
    let port = find(protocol, PROTOCOL_DESTINATION)?.try_into().ok()?;
    Some(Flow {
        port: u16::from_be_bytes(port),
        destination: address(tuple, Side::Destination)?,
        answers: address(find(body, TUPLE_REPLY)?, Side::Source)?,
    })
}

fn address(tuple: &[u8], side: Side) -> Option<IpAddr> {
    let addresses = find(tuple, TUPLE_ADDRESSES)?;
    if let Some(four) = find(addresses, side.number(true)) {
        return Some(IpAddr::from(<[u8; 4]>::try_from(four).ok()?));
    }
    let six = find(addresses, side.number(false))?;
    Some(IpAddr::from(<[u8; 16]>::try_from(six).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_was_led_to_the_pod_or_came_for_the_host_is_meant() {
        let own = |address: IpAddr| address == ip("192.0.2.1") || address == ip("127.0.0.1");
        let flow = |port: u16, destination: &str, answers: &str| Flow {
            port,
            destination: ip(destination),
            answers: ip(answers),
        };
        let of_pod = Flows { port: 53, host: None, pod: Some(ip("10.1.0.2")) };
        assert!(of_pod.have(flow(53, "192.0.2.1", "10.1.0.2"), &own));
        assert!(!of_pod.have(flow(54, "192.0.2.1", "10.1.0.2"), &own));
        assert!(!of_pod.have(flow(53, "192.0.2.1", "10.1.0.3"), &own), "another pod's");
        assert!(!of_pod.have(flow(53, "198.51.100.1", "198.51.100.1"), &own), "elsewhere");
        assert!(!of_pod.have(flow(53, "10.1.0.2", "10.1.0.2"), &own), "straight to the pod");
        let of_address = Flows { host: Some(ip("127.0.0.1")), ..of_pod };
        assert!(of_address.have(flow(53, "127.0.0.1", "10.1.0.2"), &own));
        assert!(!of_address.have(flow(53, "192.0.2.1", "10.1.0.2"), &own));

        let of_host = Flows { port: 53, host: None, pod: None };
        assert!(of_host.have(flow(53, "192.0.2.1", "192.0.2.1"), &own));
        assert!(of_host.have(flow(53, "192.0.2.1", "10.1.0.9"), &own), "a pod that is gone");
        assert!(!of_host.have(flow(53, "198.51.100.1", "198.51.100.1"), &own));
        assert!(!of_host.have(flow(53, "10.1.0.3", "10.1.0.3"), &own));
        let of_address = Flows { host: Some(ip("127.0.0.1")), ..of_host };
        assert!(!of_address.have(flow(53, "192.0.2.1", "192.0.2.1"), &own));
    }

    #[test]
    fn the_kernel_is_told_what_is_the_same_for_all() {
        let one = Flows { port: 53, host: None, pod: Some(ip("10.1.0.2")) };
        let two = Flows { port: 54, ..one };
        assert_eq!(shared(&[one, two], |flows| flows.pod), one.pod);
        assert_eq!(shared(&[one, two], |flows| Some(flows.port)), None);
        assert_eq!(shared(&[one, one], |flows| Some(flows.port)), Some(53));
        assert_eq!(shared(&[one], |flows| flows.host), None);
    }

    #[test]
    fn few_ports_are_asked_for_one_by_one_unless_the_pod_tells_them() {
        let full = Size { buckets: 262_144, flows: 100_000 };
        let ports = |from: u16, to: u16, pod: Option<IpAddr>| -> Vec<Vec<u16>> {
            let wanted: Vec<Flows> =
                (from..=to).map(|port| Flows { port, host: None, pod }).collect();
            let asked = questions(&wanted, full).into_iter();
            asked.map(|some| some.iter().map(|one| one.port).collect()).collect()
        };
        assert_eq!(ports(53, 54, None), [[53], [54]]);
        assert_eq!(ports(53, 57, None), [[53, 54, 55, 56, 57]]);
        assert_eq!(ports(53, 54, Some(ip("10.1.0.2"))), [[53, 54]]);
        assert_eq!(ports(53, 54, Some(ip("fd00::2"))), [[53], [54]]);
        let one = Flows { port: 53, host: Some(ip("192.0.2.1")), pod: None };
        let two = Flows { host: Some(ip("192.0.2.2")), ..one };
        assert_eq!(questions(&[one, two], full), [[one, two]]);
        let empty = Size { flows: 100, ..full };
        assert_eq!(questions(&[one, Flows { port: 54, ..one }], empty).len(), 1);
        assert!(!Size::default().favours(1));
    }
}
