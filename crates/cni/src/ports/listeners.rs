//! Processes of the host that listen on ports.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::mapping::{PortMapping, Protocol};

/// State of a TCP socket that waits for connections.
const LISTENING: &str = "0A";
/// State of a UDP socket that has no peer.
const UNCONNECTED: &str = "07";

/// A socket that would lose its packets to a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: IpAddr,
    inode: u64,
}

impl Listener {
    /// Finds a socket of the host that a mapping would shadow. SCTP has no such list.
    pub(crate) fn find(mapping: &PortMapping) -> Option<Self> {
        let (files, state, is_ordered) = match mapping.protocol {
            Protocol::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], LISTENING, true),
            Protocol::Udp => (["/proc/net/udp", "/proc/net/udp6"], UNCONNECTED, false),
            Protocol::Sctp => return None,
        };
        files.into_iter().find_map(|file| {
            let file = fs::File::open(file).ok()?;
            let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
            let sockets = lines.map(|line| parse(&line));
            // Listening sockets of TCP come first, and connections may be many.
            let mut sockets = sockets.map_while(|socket| {
                let socket = socket?;
                (!is_ordered || socket.2 == state).then_some(socket)
            });
            sockets.find_map(|(address, port, found, inode)| {
                let is_one =
                    found == state && port == mapping.host_port && shadows(mapping, address);
                is_one.then_some(Self { address, inode })
            })
        })
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

/// Whether packets to a socket's address would go to the mapping instead.
fn shadows(mapping: &PortMapping, address: IpAddr) -> bool {
    match mapping.destination() {
        None => true,
        Some(own) => own == address || address.is_unspecified(),
    }
}

/// Address, port, state and inode of a line of `/proc/net/tcp` and its like.
fn parse(line: &str) -> Option<(IpAddr, u16, String, u64)> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((parse_address(address)?, port, state.to_owned(), inode))
}

/// Words of 32 bits in the machine's order, in hexadecimal.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words = (0..text.len() / 8).map(|index| {
        let word = text.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        let (address, port, state, inode) = parse(line).unwrap();
        assert_eq!((address.to_string().as_str(), port), ("127.0.0.1", 8080));
        assert_eq!((state.as_str(), inode), ("0A", 12345));
        let six = parse_address("00000000000000000000000001000000").unwrap();
        assert_eq!(six.to_string(), "::1");
        let mapped = parse_address("0000000000000000FFFF00000100007F").unwrap();
        assert_eq!(mapped.to_string(), "127.0.0.1");
    }
}
