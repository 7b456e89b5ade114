//! Sockets that wait, over sock_diag, in the namespace of the thread.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crilet_cni::netfilter::{Filter, Message, find};

use super::{Listener, Namespace, Protocol};

/// Kind of the question for sockets of a family, and length of its body.
const BY_FAMILY: u16 = 20;
const REQUEST: usize = 56;
/// State of a TCP socket that waits for connections, and of a UDP socket that has no peer.
const LISTENING: u8 = 10;
const UNCONNECTED: u8 = 7;
const V6_ONLY: u16 = 11;

/// Reads them all; a kernel that cannot be asked has files.
pub(super) fn read(namespace: &mut Namespace) {
    let kernel = Filter::sockets().ok();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for family in [2, 10] {
            let asked = kernel.as_ref().and_then(|kernel| ask(kernel, protocol, family));
            let found = asked.unwrap_or_else(|| from_file(protocol, family));
            namespace.listeners.extend(found);
        }
    }
}

fn state(protocol: Protocol) -> u8 {
    if protocol == Protocol::Tcp { LISTENING } else { UNCONNECTED }
}

fn ask(kernel: &Filter, protocol: Protocol, family: u8) -> Option<Vec<Listener>> {
    let mut body = vec![family, protocol.number(), 0, 0];
    body.extend((1u32 << state(protocol)).to_ne_bytes());
    body.resize(REQUEST, 0);
    let mut found = Vec::new();
    let asked = kernel.ask_whole(Message::plain(BY_FAMILY, &body), |_, answer| {
        found.extend(read_answer(protocol, family, answer));
    });
    asked.ok().map(|()| found)
}

/// Reads `struct inet_diag_msg`.
fn read_answer(protocol: Protocol, family: u8, answer: &[u8]) -> Option<Listener> {
    let address = if family == 2 {
        IpAddr::from(<[u8; 4]>::try_from(answer.get(8..12)?).ok()?)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(answer.get(8..24)?).ok()?)
    };
    let only = find(answer.get(72..)?, V6_ONLY).and_then(|bytes| bytes.first());
    Some(listener(
        protocol,
        address,
        u16::from_be_bytes(answer.get(4..6)?.try_into().ok()?),
        u32::from_ne_bytes(answer.get(68..72)?.try_into().ok()?),
        only.is_some_and(|only| *only != 0),
    ))
}

fn listener(protocol: Protocol, address: IpAddr, port: u16, inode: u32, only: bool) -> Listener {
    let mapped = match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    let takes_v4 = address.is_ipv4() || (address.is_unspecified() && !only);
    Listener { protocol, address: mapped.unwrap_or(address), port, takes_v4, inode }
}

fn from_file(protocol: Protocol, family: u8) -> Vec<Listener> {
    let ending = if family == 2 { "" } else { "6" };
    let text = fs::read_to_string(format!("/proc/thread-self/net/{protocol}{ending}"));
    text.unwrap_or_default().lines().skip(1).filter_map(|line| parse(protocol, line)).collect()
}

/// A line of `/proc/net/tcp` and its like: words of 32 bits in the machine's order, in hexadecimal.
fn parse(protocol: Protocol, line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    if u8::from_str_radix(words.get(3)?, 16).ok()? != state(protocol) {
        return None;
    }
    let mut bytes = Vec::new();
    for place in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(place..place + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(listener(protocol, address, port, words.get(9)?.parse().ok()?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_sockets_of_this_process() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let any = std::net::TcpListener::bind("[::]:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut namespace = Namespace::default();
        read(&mut namespace);
        let cases = [
            (Protocol::Tcp, tcp.local_addr().unwrap()),
            (Protocol::Tcp, any.local_addr().unwrap()),
            (Protocol::Udp, udp.local_addr().unwrap()),
        ];
        for (protocol, address) in cases {
            let own = |list: &[Listener]| {
                let mut own = list.iter().filter(|one| one.protocol == protocol);
                own.find(|one| one.port == address.port()).cloned()
            };
            let family = if address.is_ipv4() { 2 } else { 10 };
            let asked = own(&namespace.listeners).unwrap();
            assert_eq!(Some(&asked), own(&from_file(protocol, family)).as_ref());
            assert!(asked.takes(protocol, "127.0.0.1".parse().unwrap(), address.port()));
        }
    }
}
