//! Netlink messages of the packet filter: written and read by hand.
//!
//! rtnetlink knows routes and links only. What is needed here is small: attributes, nested ones,
//! and the answers' frame. Numbers are those of linux/netlink.h and linux/netfilter/*.h; numbers
//! of the packet filter are in network order.

use std::{cell::Cell, io, os::fd::OwnedFd};

use nix::{errno::Errno, libc};
use rtnetlink::sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_SOCK_DIAG},
};

use super::later;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLMSG_HEADER: usize = 16;
const NFGEN_HEADER: usize = 4;
/// Room for one datagram; the kernel fills at most half of it.
const DATAGRAM: usize = 64 * 1024;

/// What a message does beside asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for one thing, which is acknowledged.
    One,
    /// Asks for all things.
    Dump,
    /// Is part of a batch; only the last part is acknowledged.
    Part {
        /// Whether this is acknowledged.
        acknowledged: bool,
    },
    /// Is part of a batch, and makes something behind what is there; only a failure is answered.
    Addition,
}

/// A message that is being written.
#[derive(Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of a number (subsystem and kind), for a family, with a resource's number.
    pub fn new(number: u16, kind: Kind, family: u8, resource: u16) -> Self {
        let flags = NLM_F_REQUEST
            | match kind {
                Kind::One | Kind::Part { acknowledged: true } => NLM_F_ACK,
                Kind::Dump => NLM_F_DUMP,
                Kind::Part { acknowledged: false } => 0,
                Kind::Addition => NLM_F_CREATE | NLM_F_APPEND,
            };
        let mut bytes = vec![0; 4];
        bytes.extend(number.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // The sequence number is written when the message is sent; the sender is the kernel's
        // business.
        bytes.extend([0; 8]);
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        Self { bytes }
    }

    /// A message of another subsystem, whose body is given as it is.
    pub fn plain(number: u16, body: &[u8]) -> Self {
        let mut message = Self::new(number, Kind::Dump, 0, 0);
        message.bytes.truncate(NLMSG_HEADER);
        message.bytes.extend(body);
        message
    }

    /// Adds an attribute.
    pub fn attribute(mut self, number: u16, value: &[u8]) -> Self {
        push(&mut self.bytes, number, value);
        self
    }

    /// Adds an attribute with a text, its end marked.
    pub fn text(self, number: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(number, &bytes)
    }

    /// Adds an attribute with attributes inside.
    pub fn nested(self, number: u16, inside: &[u8]) -> Self {
        self.attribute(number | NLA_F_NESTED, inside)
    }

    /// The attributes alone.
    #[cfg(test)]
    pub(super) fn into_body(self) -> Vec<u8> {
        self.bytes.into_iter().skip(NLMSG_HEADER + NFGEN_HEADER).collect()
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for (place, byte) in self.bytes.iter_mut().zip(length.to_ne_bytes()) {
            *place = byte;
        }
        for (place, byte) in self.bytes.iter_mut().skip(8).zip(sequence.to_ne_bytes()) {
            *place = byte;
        }
        self.bytes
    }
}

/// Appends an attribute to the inside of a nested one.
pub fn push(bytes: &mut Vec<u8>, number: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// As [`push`], for an attribute that has attributes inside.
pub(super) fn push_nested(bytes: &mut Vec<u8>, number: u16, inside: &[u8]) {
    push(bytes, number | NLA_F_NESTED, inside);
}

/// The attributes of a message or of a nested attribute.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let number = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((number, value))
    })
}

/// The value of an attribute.
pub fn find(bytes: &[u8], number: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == number).map(|(_, value)| value)
}

/// A text whose end may be marked.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// A number of 32 bits in network order.
pub fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A connection to the packet filter of the calling thread's namespace.
#[derive(Debug)]
pub struct Filter {
    protocol: isize,
    socket: Socket,
    sequence: Cell<u32>,
    /// Keeps the kernel's end of the socket; dropped after it.
    holder: Option<OwnedFd>,
}

impl Drop for Filter {
    fn drop(&mut self) {
        if self.protocol == NETLINK_NETFILTER {
            self.holder = later::hold(&self.socket);
        }
    }
}

impl Filter {
    /// Connects.
    ///
    /// # Errors
    /// When the kernel has no packet filter, or no memory.
    pub fn open() -> io::Result<Self> {
        Self::connect(NETLINK_NETFILTER)
    }

    /// Connects to what tells of sockets, whose messages have the same frame.
    ///
    /// # Errors
    /// When the kernel has no such thing.
    pub fn sockets() -> io::Result<Self> {
        Self::connect(NETLINK_SOCK_DIAG)
    }

    /// Connects to what tells of links and routes, for those who list thousands of them and read of
    /// each a few attributes only.
    ///
    /// # Errors
    /// When the kernel has no memory.
    pub fn routes() -> io::Result<Self> {
        Self::connect(NETLINK_ROUTE)
    }

    fn connect(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        // The kernel gives an address to who connects without one.
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { protocol, socket, sequence: Cell::new(0), holder: None })
    }

    fn next(&self) -> u32 {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        sequence
    }

    /// Sends a question and gives the bodies of the answers to `each`, with their numbers.
    ///
    /// # Errors
    /// With the kernel's error, `EINTR` when what is listed changed meanwhile.
    pub fn ask(&self, message: Message, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.ask_whole(message, |number, body| {
            each(number, body.get(NFGEN_HEADER..).unwrap_or_default());
        })
    }

    /// As [`Filter::ask`], until `is_enough` says so; then nothing else can be asked.
    pub(super) fn ask_until(
        &self,
        message: Message,
        mut is_enough: impl FnMut(u16, &[u8]) -> bool,
    ) -> io::Result<()> {
        self.exchange(message, |number, body| {
            is_enough(number, body.get(NFGEN_HEADER..).unwrap_or_default())
        })
    }

    /// As [`Filter::ask`], but the bodies begin right after the header of netlink: they have the
    /// family, and what else the subsystem's own header tells.
    ///
    /// # Errors
    /// As [`Filter::ask`].
    pub fn ask_whole(&self, message: Message, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.exchange(message, |number, body| {
            each(number, body);
            false
        })
    }

    fn exchange(
        &self,
        message: Message,
        mut is_enough: impl FnMut(u16, &[u8]) -> bool,
    ) -> io::Result<()> {
        let sequence = self.next();
        self.socket.send(&message.finish(sequence), 0)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(DATAGRAM);
        let mut changed = false;
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0)?;
            for answer in answers(&buffer) {
                if answer.sequence != sequence {
                    continue;
                }
                changed |= answer.flags & NLM_F_DUMP_INTR != 0;
                match answer.number {
                    NLMSG_DONE if changed => return Err(Errno::EINTR.into()),
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return answer.error(),
                    number if is_enough(number, answer.body) => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Sends several messages as one, and waits for all that the kernel says to them.
    ///
    /// # Errors
    /// With the kernel's first error.
    pub fn send_all(&self, messages: Vec<Message>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(message.finish(self.next()));
        }
        self.socket.send(&bytes, 0)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(DATAGRAM);
        let mut first = Ok(());
        // The kernel works in the call that sends, so all answers are there by now.
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return first,
                received => received?,
            };
            for answer in answers(&buffer).filter(|answer| answer.number == NLMSG_ERROR) {
                first = first.and_then(|()| answer.error());
            }
        }
    }
}

struct Answer<'a> {
    number: u16,
    flags: u16,
    sequence: u32,
    /// What comes after the headers.
    body: &'a [u8],
    whole: &'a [u8],
}

impl Answer<'_> {
    /// An error of number 0 acknowledges.
    fn error(&self) -> io::Result<()> {
        let code = self.whole.get(NLMSG_HEADER..NLMSG_HEADER + 4);
        let code = code.and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

fn answers(datagram: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok().filter(|length| *length >= NLMSG_HEADER)?;
        let whole = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer {
            number: u16::from_ne_bytes(whole.get(4..6)?.try_into().ok()?),
            flags: u16::from_ne_bytes(whole.get(6..8)?.try_into().ok()?),
            sequence: u32::from_ne_bytes(whole.get(8..12)?.try_into().ok()?),
            body: whole.get(NLMSG_HEADER..).unwrap_or_default(),
            whole,
        })
    })
}
