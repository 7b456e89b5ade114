//! One exchange with a server: packets sent and received on the pod's link.
//!
//! The link has no address while it asks for one, so packets go past the kernel's own IPv4, by a
//! packet socket. It is opened within the pod's namespace for each exchange and closed after it:
//! an open one would keep the namespace of a pod that is gone.

use std::{
    io::{self, Error, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind,
        recvfrom, sendto, socket,
    },
};

use super::packet::{self, Message, option};

const TO_ALL: [u8; 6] = [0xff; 6];
const DATAGRAM: usize = 9000;
/// How long it is waited at once, before it is looked whether the lease is still wanted.
const SLICE: Duration = Duration::from_millis(100);

/// The link of a pod, within the pod's namespace.
#[derive(Debug)]
pub(super) struct Wire {
    socket: OwnedFd,
    index: u32,
    mac: [u8; 6],
    /// Keeps the kernel from answering the server that nobody listens.
    _quiet: Option<UdpSocket>,
}

/// Who asks, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) client: Vec<u8>,
    pub(super) provide: Vec<(u8, Vec<u8>)>,
    pub(super) request: Vec<u8>,
    pub(super) is_broadcast: bool,
}

/// What a server granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) message: Message,
    pub(super) server: Ipv4Addr,
    /// Hardware address that the answer came from: the server's, or that of the way to it.
    pub(super) hop: [u8; 6],
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    All,
    Known { server: Ipv4Addr, hop: [u8; 6] },
}

impl Wire {
    /// Opens the link in the namespace of the calling thread.
    pub(super) fn open(index: u32, mac: [u8; 6]) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::EthIp;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, protocol)?;
        bind(socket.as_raw_fd(), &address(index, TO_ALL)?)?;
        let quiet = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, packet::CLIENT_PORT)).ok();
        Ok(Self { socket, index, mac, _quiet: quiet })
    }

    fn send(&self, message: &Message, way: Way) -> io::Result<()> {
        let (destination, hop) = match way {
            Way::All => (Ipv4Addr::BROADCAST, TO_ALL),
            Way::Known { server, hop } => (server, hop),
        };
        let packet = packet::wrap(message.client, destination, &message.encode());
        let to = address(self.index, hop)?;
        sendto(self.socket.as_raw_fd(), &packet, &to, MsgFlags::empty())?;
        Ok(())
    }

    /// The next packet, when one comes within the time.
    fn receive(&self, within: Duration) -> io::Result<Option<(Vec<u8>, [u8; 6])>> {
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            other => other?,
        };
        let mut packet = vec![0; DATAGRAM];
        let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut packet)?;
        packet.truncate(length);
        Ok(Some((packet, from.and_then(|from| from.addr()).unwrap_or(TO_ALL))))
    }

    /// Waits for an answer to an exchange.
    fn answer(
        &self,
        exchange: u32,
        limit: Duration,
        go_on: &dyn Fn() -> bool,
        is_wanted: impl Fn(&Message) -> bool,
    ) -> io::Result<(Message, [u8; 6])> {
        let end = uptime()? + limit;
        loop {
            let now = uptime()?;
            if !go_on() {
                return Err(Error::new(ErrorKind::Interrupted, "the lease is not wanted any more"));
            }
            if now >= end {
                let text = format!("no DHCP server answered within {} s", limit.as_secs_f32());
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            let Some((packet, hop)) = self.receive(SLICE.min(end - now))? else { continue };
            let message = packet::unwrap(&packet).and_then(Message::parse);
            let is_ours = |one: &Message| one.exchange == exchange && one.mac == self.mac;
            if let Some(message) = message.filter(|one| is_ours(one) && is_wanted(one)) {
                return Ok((message, hop));
            }
        }
    }

    fn message(&self, identity: &Identity, kind: u8, exchange: u32, client: Ipv4Addr) -> Message {
        let mut options = vec![(option::KIND, vec![kind])];
        options.push((option::CLIENT, identity.client.clone()));
        if kind != packet::RELEASE {
            let own = |number: u8| [option::KIND, option::WANTED].contains(&number);
            for (number, value) in identity.provide.iter().filter(|(number, _)| !own(*number)) {
                options.retain(|(known, _)| known != number);
                options.push((*number, value.clone()));
            }
            if !identity.request.is_empty() {
                options.push((option::WANTED, identity.request.clone()));
            }
        }
        Message {
            exchange,
            is_broadcast: identity.is_broadcast && client.is_unspecified(),
            client,
            given: Ipv4Addr::UNSPECIFIED,
            mac: self.mac,
            options,
        }
    }

    /// Gets a lease from any server.
    pub(super) fn acquire(
        &self,
        identity: &Identity,
        limit: Duration,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<Grant> {
        let exchange = number()?;
        let nobody = Ipv4Addr::UNSPECIFIED;
        self.send(&self.message(identity, packet::DISCOVER, exchange, nobody), Way::All)?;
        let is_offer = |message: &Message| {
            message.kind() == Some(packet::OFFER) && message.address(option::SERVER).is_some()
        };
        let (offer, _) = self.answer(exchange, limit, go_on, is_offer)?;
        let mut request = self.message(identity, packet::REQUEST, exchange, nobody);
        let offered = offer.given.octets().to_vec();
        request.options.push((option::REQUESTED_ADDRESS, offered));
        let server = offer.option(option::SERVER).unwrap_or_default().to_vec();
        request.options.push((option::SERVER, server));
        self.send(&request, Way::All)?;
        self.granted(exchange, limit, go_on)
    }

    /// Has a lease prolonged: by its server or, when it is silent, by any.
    pub(super) fn prolong(
        &self,
        identity: &Identity,
        grant: &Grant,
        by_any: bool,
        limit: Duration,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<Grant> {
        let exchange = number()?;
        let request = self.message(identity, packet::REQUEST, exchange, grant.message.given);
        self.send(&request, if by_any { Way::All } else { grant.way() })?;
        let mut prolonged = self.granted(exchange, limit, go_on)?;
        if prolonged.server.is_unspecified() {
            prolonged.server = grant.server;
        }
        Ok(prolonged)
    }

    fn granted(
        &self,
        exchange: u32,
        limit: Duration,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<Grant> {
        let is_verdict =
            |message: &Message| matches!(message.kind(), Some(packet::ACK | packet::NAK));
        let (message, hop) = self.answer(exchange, limit, go_on, is_verdict)?;
        if message.kind() == Some(packet::NAK) {
            let text = "the DHCP server refused the address";
            return Err(Error::new(ErrorKind::ConnectionRefused, text));
        }
        let server = message.address(option::SERVER).unwrap_or(Ipv4Addr::UNSPECIFIED);
        Ok(Grant { message, server, hop })
    }

    /// Gives a lease back. Nothing answers it, and by the next moment the link may be gone, so it
    /// goes straight to where the grant came from.
    pub(super) fn release(&self, identity: &Identity, grant: &Grant) -> io::Result<()> {
        let address = grant.message.given;
        let mut release = self.message(identity, packet::RELEASE, number()?, address);
        release.options.push((option::SERVER, grant.server.octets().to_vec()));
        self.send(&release, grant.way())
    }
}

impl Grant {
    fn way(&self) -> Way {
        Way::Known { server: self.server, hop: self.hop }
    }
}

/// An address of a link, for packets of IPv4.
fn address(index: u32, mac: [u8; 6]) -> io::Result<LinkAddr> {
    let invalid = || Error::from(ErrorKind::InvalidInput);
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(mac).for_each(|(place, byte)| *place = byte);
    let raw = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(|_| invalid())?,
        sll_protocol: u16::try_from(libc::ETH_P_IP).map_err(|_| invalid())?.to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| invalid())?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: bytes,
    };
    let size = u32::try_from(size_of_val(&raw)).map_err(|_| invalid())?;
    // SAFETY: `raw` is a whole address of the family that it names, and lives until it is copied.
    #[expect(unsafe_code, reason = "nix has no safe way to make an address of a link")]
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(size)) };
    address.ok_or_else(invalid)
}

fn number() -> io::Result<u32> {
    let random = super::super::endpoint::random_bytes();
    random.map(u32::from_ne_bytes).map_err(|error| Error::other(error.to_string()))
}

/// Time since the machine was started, in which its sleep counts, as it does for a lease.
pub(super) fn uptime() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| Error::new(ErrorKind::InvalidData, "/proc/uptime has no time"))
}
