//! The kernel's table of flows.

use std::{io, net::IpAddr};

use nix::errno::Errno;

use super::wire::{Filter, Kind, Message, find, push};

const SUBSYSTEM: u16 = 1;
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const TUPLE_ADDRESSES: u16 = 1;
const SOURCE_V4: u16 = 1;
const SOURCE_V6: u16 = 3;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;
const FILTER_ORIGINAL: u16 = 1;
/// The kernel compares only the protocol's number, and the destination port.
const COMPARE_NUMBER: u32 = 1 << 3;
const COMPARE_DESTINATION: u32 = 1 << 5;
const UDP: u8 = 17;
/// Flows that are ended in one message to the kernel.
const TOGETHER: usize = 256;

/// Families as the kernel numbers them.
pub(crate) const INET: u8 = 2;
pub(crate) const INET6: u8 = 10;

const fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

/// Ends the flows of UDP whose first packet went to one of the ports.
///
/// The kernel lists only flows of UDP, and with a single port only those to it. Kernels before 5.8
/// do not filter and list all.
pub(crate) fn end_udp(filter: &Filter, family: u8, ports: &[u16]) -> io::Result<()> {
    end_udp_where(filter, family, ports, |_, _| true).map(drop)
}

/// As [`end_udp`], but only those that `is_wanted` picks by the port and by who answers; gives how many.
pub(crate) fn end_udp_where(
    filter: &Filter,
    family: u8,
    ports: &[u16],
    is_wanted: impl Fn(u16, IpAddr) -> bool,
) -> io::Result<usize> {
    let mut found = Vec::new();
    let listed = filter.ask(question(family, ports), |message, body| {
        let ends = port_of(body).zip(answers(body));
        let is_one =
            ends.is_some_and(|(port, answers)| ports.contains(&port) && is_wanted(port, answers));
        if message == kind(NEW) && is_one {
            found.push((
                find(body, TUPLE_ORIGINAL).unwrap_or_default().to_vec(),
                find(body, ZONE).map(<[u8]>::to_vec),
            ));
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
        let messages = some.iter().map(|(tuple, zone)| {
            let part = Kind::Part { acknowledged: true };
            let message = Message::new(kind(DELETE), part, family, 0).nested(TUPLE_ORIGINAL, tuple);
            match zone {
                Some(zone) => message.attribute(ZONE, zone),
                None => message,
            }
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

fn question(family: u8, ports: &[u16]) -> Message {
    let (mut protocol, mut compare) = (Vec::new(), COMPARE_NUMBER);
    push(&mut protocol, PROTOCOL_NUMBER, &[UDP]);
    if let [port] = ports {
        push(&mut protocol, PROTOCOL_DESTINATION, &port.to_be_bytes());
        compare |= COMPARE_DESTINATION;
    }
    let (mut tuple, mut wanted) = (Vec::new(), Vec::new());
    push(&mut tuple, TUPLE_PROTOCOL | 0x8000, &protocol);
    push(&mut wanted, FILTER_ORIGINAL, &compare.to_ne_bytes());
    let message = Message::new(kind(GET), Kind::Dump, family, 0);
    message.nested(TUPLE_ORIGINAL, &tuple).nested(FILTER, &wanted)
}

/// The port that the first packet went to, of a flow of UDP.
fn port_of(body: &[u8]) -> Option<u16> {
    let protocol = find(find(body, TUPLE_ORIGINAL)?, TUPLE_PROTOCOL)?;
    let number = find(protocol, PROTOCOL_NUMBER)?.first().copied();
    let port = find(protocol, PROTOCOL_DESTINATION)?.try_into().ok()?;
    (number == Some(UDP)).then(|| u16::from_be_bytes(port))
}

/// Who answers.
fn answers(body: &[u8]) -> Option<IpAddr> {
    let addresses = find(find(body, TUPLE_REPLY)?, TUPLE_ADDRESSES)?;
    let four = find(addresses, SOURCE_V4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let six = find(addresses, SOURCE_V6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    four.map(IpAddr::from).or_else(|| six.map(IpAddr::from))
}
