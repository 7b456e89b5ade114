//! Processes of the host that listen on ports.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use super::mapping::{PortMapping, Protocol};
use crate::netfilter::{Filter, Message};

/// State of a TCP socket that waits for connections.
const LISTENING: u8 = 10;
/// State of a UDP socket that has no peer.
const UNCONNECTED: u8 = 7;
/// Kind of the question for sockets of a family, and length of its body.
const BY_FAMILY: u16 = 20;
const REQUEST: usize = 56;

/// A socket that would lose its packets to a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: IpAddr,
    inode: u64,
}

/// A socket of the host that takes what comes to its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Listener {
    /// Finds a mapping that would shadow a socket of the host. SCTP has no list of such.
    pub(crate) fn find(mappings: &[PortMapping]) -> Option<(PortMapping, Self)> {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let own: Vec<_> = mappings.iter().filter(|one| one.protocol == protocol).collect();
            if own.is_empty() {
                continue;
            }
            for socket in sockets(protocol) {
                let meets = |mapping: &&&PortMapping| {
                    mapping.host_port == socket.port && shadows(mapping, socket.address)
                };
                if let Some(mapping) = own.iter().find(meets) {
                    let listener = Self { address: socket.address, inode: socket.inode };
                    return Some((**mapping, listener));
                }
            }
        }
        None
    }

    /// Who listens, as far as this process may know.
    pub(crate) fn owner(&self) -> String {
        let wanted = format!("socket:[{}]", self.inode);
        let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let found = processes.filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())
        });
        let mut found = found.filter(|process| has_socket(&process.path(), &wanted));
        match found.next() {
            Some(process) => {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                let pid = process.file_name().to_string_lossy().into_owned();
                format!("process {pid} ({}) listens on {}", name.trim(), self.address)
            }
            None => format!("a process of the host listens on {}", self.address),
        }
    }
}

fn has_socket(process: &Path, wanted: &str) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(Result::ok);
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str() == wanted)
}

/// Sockets that wait for connections or packets, as the kernel lists them; `/proc/net` would have
/// it look through the table of all connections, some milliseconds for each file.
fn sockets(protocol: Protocol) -> Vec<Socket> {
    let state = if protocol == Protocol::Tcp { LISTENING } else { UNCONNECTED };
    let mut found = Vec::new();
    for family in [2, 10] {
        let mut body = vec![family, protocol.number(), 0, 0];
        body.extend((1u32 << state).to_ne_bytes());
        body.resize(REQUEST, 0);
        let asked = Filter::sockets().and_then(|kernel| {
            kernel.ask(Message::plain(BY_FAMILY, &body), |_, answer| {
                found.extend(read(family == 2, answer));
            })
        });
        if asked.is_err() {
            // A kernel without this list has the files.
            found.extend(from_file(protocol, family == 2, state));
        }
    }
    found
}

/// Reads `struct inet_diag_msg` without its first four bytes.
fn read(is_v4: bool, answer: &[u8]) -> Option<Socket> {
    let port = u16::from_be_bytes(answer.get(..2)?.try_into().ok()?);
    let address = if is_v4 {
        IpAddr::from(<[u8; 4]>::try_from(answer.get(4..8)?).ok()?)
    } else {
        unmapped(Ipv6Addr::from(<[u8; 16]>::try_from(answer.get(4..20)?).ok()?))
    };
    let inode = u32::from_ne_bytes(answer.get(64..68)?.try_into().ok()?);
    Some(Socket { address, port, inode: inode.into() })
}

fn from_file(protocol: Protocol, is_v4: bool, state: u8) -> Vec<Socket> {
    let path =
        format!("/proc/thread-self/net/{}{}", protocol.as_str(), if is_v4 { "" } else { "6" });
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let lines = text.lines().skip(1).filter_map(parse);
    let own = lines.filter(|(_, found)| *found == state);
    own.map(|(socket, _)| socket).collect()
}

/// Whether packets to a socket's address would go to the mapping instead.
fn shadows(mapping: &PortMapping, address: IpAddr) -> bool {
    match mapping.destination() {
        None => true,
        Some(own) => own == address || address.is_unspecified(),
    }
}

/// Socket and state of a line of `/proc/net/tcp` and its like.
fn parse(line: &str) -> Option<(Socket, u8)> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = u8::from_str_radix(words.nth(1)?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((Socket { address: parse_address(address)?, port, inode }, state))
}

/// Words of 32 bits in the machine's order, in hexadecimal.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words = (0..text.len() / 8).map(|index| {
        let word = text.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| unmapped(Ipv6Addr::from(bytes))),
        _ => None,
    }
}

/// Sockets of IPv6 may serve an address of IPv4.
fn unmapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        let (socket, state) = parse(line).unwrap();
        assert_eq!((socket.address.to_string().as_str(), socket.port), ("127.0.0.1", 8080));
        assert_eq!((state, socket.inode), (LISTENING, 12345));
        let six = parse_address("00000000000000000000000001000000").unwrap();
        assert_eq!(six.to_string(), "::1");
        let mapped = parse_address("0000000000000000FFFF00000100007F").unwrap();
        assert_eq!(mapped.to_string(), "127.0.0.1");
    }

    #[test]
    fn both_lists_have_a_socket_of_this_process() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let cases = [
            (Protocol::Tcp, tcp.local_addr().unwrap(), LISTENING),
            (Protocol::Udp, udp.local_addr().unwrap(), UNCONNECTED),
        ];
        for (protocol, address, state) in cases {
            let find = |list: Vec<Socket>| {
                let mut own = list.into_iter().filter(|socket| socket.port == address.port());
                own.find(|socket| socket.address == address.ip())
            };
            let asked = find(sockets(protocol)).unwrap();
            let of_file = find(from_file(protocol, address.is_ipv4(), state)).unwrap();
            assert_eq!(asked, of_file);
            let listener = Listener { address: asked.address, inode: asked.inode };
            let owner = listener.owner();
            assert!(owner.starts_with(&format!("process {} (", std::process::id())), "{owner}");
        }
    }
}
