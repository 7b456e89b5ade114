//! The kernel's table of flows.

use std::io;

use nix::errno::Errno;

use super::wire::{Filter, Kind, Message, find, push};

const SUBSYSTEM: u16 = 1;
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
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
    let mut found = Vec::new();
    let listed = filter.ask(question(family, ports), |message, body| {
        if message == kind(NEW) && is_to(body, ports) {
            found.push((
                find(body, TUPLE_ORIGINAL).unwrap_or_default().to_vec(),
                find(body, ZONE).map(<[u8]>::to_vec),
            ));
        }
    });
    match listed {
        // The kernel, or this namespace, tracks nothing of the family.
        Err(error) if is_untracked(&error) => return Ok(()),
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
    Ok(())
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

fn is_to(body: &[u8], ports: &[u16]) -> bool {
    let tuple = find(body, TUPLE_ORIGINAL).unwrap_or_default();
    let protocol = find(tuple, TUPLE_PROTOCOL).unwrap_or_default();
    let number = find(protocol, PROTOCOL_NUMBER).and_then(|bytes| bytes.first().copied());
    let port = find(protocol, PROTOCOL_DESTINATION).and_then(|bytes| bytes.try_into().ok());
    number == Some(UDP) && port.is_some_and(|port| ports.contains(&u16::from_be_bytes(port)))
}
