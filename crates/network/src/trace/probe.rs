//! One real connection, to compare with what was told.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    path::Path,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::Verdict;

/// What became of a real connection.
#[derive(Debug)]
pub enum Probe {
    /// It was accepted.
    Connected,
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
            (Self::Connected, Verdict::Delivered { .. })
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
            Self::Refused => write!(formatter, "it was refused"),
            Self::Silent => write!(formatter, "no answer came"),
            Self::Unreachable(cause) => write!(formatter, "there is no way: {cause}"),
            Self::Failed(cause) => write!(formatter, "it could not be tried: {cause}"),
        }
    }
}

/// Connects over TCP, from a namespace or from the node itself, and hangs up at once.
#[must_use]
pub fn probe(from: Option<&Path>, to: SocketAddr, limit: Duration) -> Probe {
    let connect = || -> io::Result<TcpStream> {
        if let Some(path) = from {
            setns(File::open(path)?.as_fd(), CloneFlags::CLONE_NEWNET)?;
        }
        TcpStream::connect_timeout(&to, limit)
    };
    // On a thread of its own, which ends in whatever namespace it entered.
    let result = thread::scope(|scope| scope.spawn(connect).join());
    match result.unwrap_or_else(|_| Err(io::Error::other("the thread died"))) {
        Ok(_) => Probe::Connected,
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
