//! Flows whose destination is rewritten, over ctnetlink.

use std::{io, net::IpAddr};

use crilet_cni::netfilter::{Filter, Kind, Message, find};

use super::{Flow, Protocol};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const NEW: u16 = 0;
const STATUS: u16 = 3;
const STATUS_MASK: u16 = 26;
/// The destination is rewritten.
const DST_NAT: u32 = 1 << 5;
/// More would say nothing more.
const MOST: usize = 10_000;

/// Lists them. Kernels that cannot filter list all, of which the others are left out here.
pub(super) fn read() -> io::Result<Vec<Flow>> {
    let kernel = Filter::open()?;
    let mut found = Vec::new();
    for family in [2, 10] {
        let question = Message::new(SUBSYSTEM << 8 | GET, Kind::Dump, family, 0)
            .attribute(STATUS, &DST_NAT.to_be_bytes())
            .attribute(STATUS_MASK, &DST_NAT.to_be_bytes());
        let asked = kernel.ask(question, |number, body| {
            if number == SUBSYSTEM << 8 | NEW && found.len() < MOST {
                found.extend(flow(body));
            }
        });
        match asked {
            // What changed meanwhile are other flows.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nothing is tracked, or not of this family.
            Err(_) | Ok(()) => {}
        }
    }
    Ok(found)
}

fn flow(body: &[u8]) -> Option<Flow> {
    let status =
        find(body, STATUS).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)))?;
    if status & DST_NAT == 0 {
        return None;
    }
    let (protocol, source, destination, source_port, destination_port) = tuple(find(body, 1)?)?;
    let (_, answers, _, answer_port, _) = tuple(find(body, 2)?)?;
    let timeout = find(body, 7).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    Some(Flow {
        protocol,
        source,
        source_port,
        destination,
        destination_port,
        answers,
        answer_port,
        timeout: timeout.unwrap_or_default(),
    })
}

fn tuple(tuple: &[u8]) -> Option<(Protocol, IpAddr, IpAddr, u16, u16)> {
    let (addresses, transport) = (find(tuple, 1)?, find(tuple, 2)?);
    let address = |four, six| {
        let four = find(addresses, four).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let six = find(addresses, six).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        four.map(IpAddr::from).or_else(|| six.map(IpAddr::from))
    };
    let port = |kind| Some(u16::from_be_bytes(find(transport, kind)?.try_into().ok()?));
    let protocol = Protocol::from_number(*find(transport, 1)?.first()?)?;
    Some((protocol, address(1, 3)?, address(2, 4)?, port(2)?, port(3)?))
}
