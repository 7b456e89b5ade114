//! Packets of DHCP (RFC 2131, RFC 2132), and the headers of IPv4 and UDP around them.

use std::net::Ipv4Addr;

pub(super) const DISCOVER: u8 = 1;
pub(super) const OFFER: u8 = 2;
pub(super) const REQUEST: u8 = 3;
pub(super) const ACK: u8 = 5;
pub(super) const NAK: u8 = 6;
pub(super) const RELEASE: u8 = 7;

/// Numbers of options.
pub(super) mod option {
    pub(crate) const SUBNET_MASK: u8 = 1;
    pub(crate) const ROUTER: u8 = 3;
    pub(crate) const HOST_NAME: u8 = 12;
    pub(crate) const STATIC_ROUTES: u8 = 33;
    pub(crate) const REQUESTED_ADDRESS: u8 = 50;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(crate) const KIND: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const WANTED: u8 = 55;
    pub(crate) const RENEWAL_TIME: u8 = 58;
    pub(crate) const REBINDING_TIME: u8 = 59;
    pub(crate) const VENDOR_CLASS: u8 = 60;
    pub(crate) const CLIENT: u8 = 61;
    pub(crate) const USER_CLASS: u8 = 77;
    pub(crate) const CLASSLESS_ROUTES: u8 = 121;
    pub(super) const END: u8 = 255;
}

const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const TO_SERVER: u8 = 1;
const TO_CLIENT: u8 = 2;
const ETHERNET: u8 = 1;
const BROADCAST: u16 = 0x8000;
/// Where the options begin, behind the fixed fields and the cookie.
const OPTIONS: usize = 240;
const FILE: std::ops::Range<usize> = 108..236;
const SERVER_NAME: std::ops::Range<usize> = 44..108;
/// Old servers take nothing shorter (RFC 1542, 2.1).
const SHORTEST: usize = 300;
const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const HOPS: u8 = 64;

/// What a client and a server tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Number of the exchange.
    pub(super) exchange: u32,
    /// Whether answers are to be sent to all.
    pub(super) is_broadcast: bool,
    /// The client's address, when it has one.
    pub(super) client: Ipv4Addr,
    /// The address that the server gives.
    pub(super) given: Ipv4Addr,
    /// The client's hardware address.
    pub(super) mac: [u8; 6],
    /// Numbers and values, none empty.
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    pub(super) fn kind(&self) -> Option<u8> {
        self.option(option::KIND)?.first().copied()
    }

    pub(super) fn option(&self, number: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(one, _)| *one == number);
        found.map(|(_, value)| value.as_slice())
    }

    pub(super) fn address(&self, number: u8) -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = self.option(number)?.get(..4)?.try_into().ok()?;
        Some(bytes.into())
    }

    /// A time in seconds.
    pub(super) fn seconds(&self, number: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.option(number)?.try_into().ok()?))
    }

    /// As a client sends it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![TO_SERVER, ETHERNET, 6, 0];
        bytes.extend(self.exchange.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(if self.is_broadcast { BROADCAST } else { 0 }.to_be_bytes());
        bytes.extend(self.client.octets());
        bytes.extend([0; 12]);
        bytes.extend(self.mac);
        bytes.resize(OPTIONS - COOKIE.len(), 0);
        bytes.extend(COOKIE);
        for (number, value) in &self.options {
            // Longer ones are cut where they are read from the configuration.
            let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
            bytes.extend([*number, length]);
            bytes.extend(value.iter().take(usize::from(length)));
        }
        bytes.push(option::END);
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        bytes
    }

    /// What a server sent; `None` when it is nothing of the kind.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.get(..OPTIONS)?;
        if fixed.first() != Some(&TO_CLIENT) || !fixed.ends_with(&COOKIE) {
            return None;
        }
        let four =
            |at: usize| fixed.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        let mut options = Vec::new();
        read_options(bytes.get(OPTIONS..)?, &mut options);
        let overload = options.iter().find(|(number, _)| *number == option::OVERLOAD);
        let overload = overload.and_then(|(_, value)| value.first().copied()).unwrap_or_default();
        for (bit, place) in [(1, FILE), (2, SERVER_NAME)] {
            if overload & bit != 0 {
                read_options(fixed.get(place)?, &mut options);
            }
        }
        Some(Self {
            exchange: u32::from_be_bytes(four(4)?),
            is_broadcast: u16::from_be_bytes([*fixed.get(10)?, *fixed.get(11)?]) & BROADCAST != 0,
            client: four(12)?.into(),
            given: four(16)?.into(),
            mac: fixed.get(28..34)?.try_into().ok()?,
            options,
        })
    }
}

/// Reads options as far as they are whole; the parts of one that comes twice are joined (RFC 3396).
fn read_options(mut rest: &[u8], options: &mut Vec<(u8, Vec<u8>)>) {
    while let Some((number, after)) = rest.split_first() {
        if *number == 0 {
            rest = after;
            continue;
        }
        let Some((length, after)) = after.split_first() else { return };
        if *number == option::END {
            return;
        }
        let Some((value, after)) = after.split_at_checked(usize::from(*length)) else { return };
        rest = after;
        match options.iter_mut().find(|(one, _)| one == number) {
            Some((_, known)) => known.extend(value),
            None => options.push((*number, value.to_vec())),
        }
    }
}

/// Puts the headers of IPv4 and UDP before a client's message.
pub(super) fn wrap(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(message.len() + more).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length(IP_HEADER + UDP_HEADER).to_be_bytes());
    header.extend([0, 0, 0, 0, HOPS, UDP, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&[&header]);
    set(&mut header, 10, sum);
    let mut datagram = CLIENT_PORT.to_be_bytes().to_vec();
    datagram.extend(SERVER_PORT.to_be_bytes());
    datagram.extend(length(UDP_HEADER).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    let [high, low] = length(UDP_HEADER).to_be_bytes();
    let pseudo = [&source.octets()[..], &destination.octets(), &[0, UDP, high, low]].concat();
    // Zero would mean that there is none.
    let sum = match checksum(&[&pseudo, &datagram]) {
        0 => u16::MAX,
        sum => sum,
    };
    set(&mut datagram, 6, sum);
    [header, datagram].concat()
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    for (place, byte) in bytes.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *place = byte;
    }
}

/// The sum of the Internet's headers over parts, each but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let words = words.map(|word| {
        let byte = |at: usize| u32::from(word.get(at).copied().unwrap_or_default());
        byte(0) << 8 | byte(1)
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// The message within a packet of IPv4, when it is one of a server's for a client. The sum of UDP
/// is not looked at: between links of one machine it is left to hardware that is not there.
pub(super) fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let is_fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0;
    if first >> 4 != 4 || header < IP_HEADER || packet.get(9) != Some(&UDP) || is_fragment {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let datagram = packet.get(header..length)?;
    let word = |at: usize| Some(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?]));
    if word(0)? != SERVER_PORT || word(2)? != CLIENT_PORT {
        return None;
    }
    datagram.get(UDP_HEADER..usize::from(word(4)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> Message {
        Message {
            exchange: 0x0102_0304,
            is_broadcast: true,
            client: Ipv4Addr::UNSPECIFIED,
            given: Ipv4Addr::UNSPECIFIED,
            mac: [2, 0, 0, 0, 0, 7],
            options: vec![(option::KIND, vec![DISCOVER]), (option::CLIENT, b"\0one".to_vec())],
        }
    }

    #[test]
    fn a_message_has_its_fields_where_servers_look() {
        let mut bytes = message().encode();
        assert_eq!(bytes.len(), SHORTEST);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0x80, 0]);
        assert_eq!(bytes[236..243], [99, 130, 83, 99, 53, 1, 1]);
        assert_eq!(Message::parse(&bytes), None, "clients do not answer");
        bytes[0] = TO_CLIENT;
        assert_eq!(Message::parse(&bytes), Some(message()));
    }

    #[test]
    fn options_may_be_in_other_fields_and_in_parts() {
        let mut bytes = message().encode();
        bytes[0] = TO_CLIENT;
        bytes.truncate(OPTIONS);
        bytes.extend([53, 1, 5, 52, 1, 3, 12, 1, b'a', 0, 0, 255]);
        bytes[108..112].copy_from_slice(&[12, 1, b'b', 255]);
        bytes[44..48].copy_from_slice(&[12, 1, b'c', 255]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.option(option::HOST_NAME), Some(&b"abc"[..]));
        assert_eq!(message.kind(), Some(ACK));
    }

    #[test]
    fn headers_have_right_sums() {
        let packet = wrap([0, 0, 0, 0].into(), [255, 255, 255, 255].into(), b"abc");
        assert_eq!(checksum(&[&packet[..20]]), 0);
        assert_eq!(packet.len(), 31);
        // The kernel's own, for the same packet.
        let pseudo = [&packet[12..20], &[0, UDP, 0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0);
        assert_eq!(unwrap(&packet), None, "it goes to a server");
        let mut answer = packet;
        answer[20..24].copy_from_slice(&[0, 67, 0, 68]);
        assert_eq!(unwrap(&answer), Some(&b"abc"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            drop(unwrap(&bytes).map(Message::parse));
            let mut whole = vec![TO_CLIENT];
            whole.resize(OPTIONS - 4, 0);
            whole.extend(COOKIE);
            whole.extend(bytes);
            prop_assert!(Message::parse(&whole).is_some());
        }
    }
}
