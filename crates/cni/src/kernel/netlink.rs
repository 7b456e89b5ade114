//! Requests to the kernel over rtnetlink.

use std::{cell::Cell, io};

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{KernelError, Namespace};

/// What a request does beside asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Changes what is there.
    Change,
    /// Makes something that must not be there.
    Create,
    /// Makes or replaces.
    Replace,
    /// Asks for one thing.
    Get,
    /// Asks for all things.
    List,
}

impl Mode {
    fn flags(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Self::Change => NLM_F_ACK,
                Self::Create => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                Self::Replace => NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                Self::Get => NLM_F_ACK,
                Self::List => NLM_F_DUMP,
            }
    }
}

/// A connection to rtnetlink of one namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

impl Netlink {
    /// Connects in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no netlink, or no memory.
    pub(crate) fn open() -> Result<Self, KernelError> {
        let connect = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(Self { socket, sequence: Cell::new(0) })
        };
        connect().map_err(|cause| KernelError::Refused { action: "open netlink".into(), cause })
    }

    /// Connects within a namespace.
    ///
    /// # Errors
    /// When it cannot be entered, and as [`Netlink::open`].
    pub(crate) fn inside(namespace: &Namespace) -> Result<Self, KernelError> {
        namespace.run(Self::open)?
    }

    /// Sends a request and gathers the answers; `action` says what it is for, as in "add link
    /// `x`".
    ///
    /// # Errors
    /// With the kernel's error.
    pub(crate) fn request(
        &self,
        message: RouteNetlinkMessage,
        mode: Mode,
        action: impl FnOnce() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        self.exchange(message, mode)
            .map_err(|cause| KernelError::Refused { action: action(), cause })
    }

    /// Has the kernel take listings that `ask` asks for at their word: what the header names, and nothing else
    /// (`NETLINK_GET_STRICT_CHK` of netlink(7), since Linux 4.20). A kernel without it lists all.
    pub(crate) fn strictly<T>(&self, ask: impl FnOnce() -> T) -> T {
        let is_set = self.socket.set_netlink_get_strict_chk(true).is_ok();
        let answer = ask();
        if is_set {
            // Nothing but the socket itself could refuse, which has just agreed.
            self.socket.set_netlink_get_strict_chk(false).unwrap_or_default();
        }
        answer
    }

    fn exchange(
        &self,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = mode.flags();
        packet.header.sequence_number = sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            if take(&bytes, sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes the messages of one datagram; `true` after the last one.
fn take(
    datagram: &[u8],
    sequence: u32,
    answers: &mut Vec<RouteNetlinkMessage>,
) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            continue;
        }
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => match error.code {
                None => return Ok(true),
                Some(code) => return Err(io::Error::from_raw_os_error(code.get().abs())),
            },
            NetlinkPayload::InnerMessage(message) => answers.push(message),
            _ => {}
        }
        if length == 0 {
            break;
        }
    }
    Ok(false)
}
