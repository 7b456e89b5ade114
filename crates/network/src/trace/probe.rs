//! One real connection, or datagram, to compare with what was told.

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::Verdict;
use crate::snapshot::Protocol;

/// What became of a real connection, or of a datagram.
#[derive(Debug)]
pub enum Probe {
    /// It was accepted.
    Connected,
    /// A datagram was answered.
    Answered,
    /// A datagram was not: it came to nobody, or to somebody who says nothing to it.
    Unanswered,
    /// It was refused.
    Refused,
    /// Nothing came back in time.
    Silent,
    /// Somebody said that there is no way.
    Unreachable(io::Error),
    /// It could not be tried.
    Failed(io::Error),
}

impl Probe {
    /// Whether a verdict says the same; `None` when it says nothing about that.
    #[must_use]
    pub fn agrees(&self, verdict: &Verdict) -> Option<bool> {
        Some(match (self, verdict) {
            (Self::Failed(_), _) | (_, Verdict::Unknown { .. } | Verdict::Leaves { .. }) => {
                return None;
            }
            // Who refuses a datagram says so; all else may be quiet.
            (Self::Unanswered, verdict) if !matches!(verdict, Verdict::Refused { .. }) => {
                return None;
            }
            (Self::Connected | Self::Answered, Verdict::Delivered { .. })
            | (Self::Refused, Verdict::Refused { .. })
            | (Self::Silent, Verdict::Hangs { .. } | Verdict::Dropped { .. })
            | (Self::Unreachable(_), Verdict::Unreachable { .. }) => true,
            // Of an address that nobody has, senders hear only after some seconds.
            (Self::Silent, Verdict::Unreachable { .. }) => return None,
            _ => false,
        })
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connected => write!(formatter, "it was accepted"),
            Self::Answered => write!(formatter, "it was answered"),
            Self::Unanswered => write!(formatter, "no answer came, and not everybody answers"),
            Self::Refused => write!(formatter, "it was refused"),
            Self::Silent => write!(formatter, "no answer came"),
            Self::Unreachable(cause) => write!(formatter, "there is no way: {cause}"),
            Self::Failed(cause) => write!(formatter, "it could not be tried: {cause}"),
        }
    }
}

/// Connects over TCP and hangs up at once, or sends an empty datagram over UDP, from a namespace or from
/// the node itself.
#[must_use]
pub fn probe(from: Option<&Path>, to: SocketAddr, protocol: Protocol, limit: Duration) -> Probe {
    let attempt = || -> io::Result<Probe> {
        if let Some(path) = from {
            setns(File::open(path)?.as_fd(), CloneFlags::CLONE_NEWNET)?;
        }
        match protocol {
            Protocol::Tcp => TcpStream::connect_timeout(&to, limit).map(|_| Probe::Connected),
            Protocol::Udp => datagram(to, limit),
            Protocol::Sctp => Err(io::ErrorKind::Unsupported.into()),
        }
    };
    // On a thread of its own, which ends in whatever namespace it entered.
    let result = thread::scope(|scope| scope.spawn(attempt).join());
    match result.unwrap_or_else(|_| Err(io::Error::other("the thread died"))) {
        Ok(probe) => probe,
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Probe::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Probe::Silent,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Probe::Unreachable(error)
            }
            // A rewritten destination whose route is forbidden.
            io::ErrorKind::InvalidInput => Probe::Silent,
            _ => Probe::Failed(error),
        },
    }
}

/// A refusal that comes back is an error of the socket, for it is connected.
fn datagram(to: SocketAddr, limit: Duration) -> io::Result<Probe> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(limit))?;
    socket.send(&[])?;
    match socket.recv(&mut [0; 16]) {
        Ok(_) => Ok(Probe::Answered),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Probe::Unanswered),
        Err(error) => Err(error),
    }
}
