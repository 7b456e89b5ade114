//! The system bus, as far as firewalld is asked over it: calls with texts, one after the other.
//!
//! Hand-written on a blocking socket, for crates of D-Bus bring a runtime or a second layer of
//! system calls, and the program is started for each call of a plugin: four methods of two texts
//! each are not worth that.

mod message;

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    time::Duration,
};

pub(crate) use message::{MethodCall, Value};

use message::{Incoming, Kind};

/// Where the bus is when `DBUS_SYSTEM_BUS_ADDRESS` does not say otherwise.
const USUAL: &str = "unix:path=/run/dbus/system_bus_socket";
/// How long it is waited for an answer; libdbus waits as long.
const LIMIT: Duration = Duration::from_secs(25);
/// Longest line of the greeting, in bytes.
const LINE: u64 = 4096;

/// Name, path and interface of the bus itself.
pub(crate) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Why the bus, or somebody on it, does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// The address is of no kind that is known here.
    #[error("address `{address}` of the system bus is none of `unix:path=…` and `unix:abstract=…`")]
    Address {
        /// As it was given.
        address: String,
    },
    /// Nobody listens.
    #[error("connect to the system bus at `{address}`")]
    Connect {
        /// As it was given.
        address: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The bus does not take this user, or does not speak its protocol.
    #[error("the system bus refuses the connection: {said}")]
    Greeting {
        /// Its line.
        said: String,
    },
    /// The connection broke, or nothing came over it.
    #[error("speak over the system bus")]
    Talk(#[source] io::Error),
    /// The one who was asked says no.
    #[error("{text} ({name})")]
    Refused {
        /// Name of the error.
        name: String,
        /// Words of the one who was asked.
        text: String,
    },
}

/// A connection to the bus.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Bus {
    /// Connects to the first place of `address` where somebody listens; to the usual one when it is
    /// empty.
    ///
    /// # Errors
    /// When nobody listens, or this user is not welcome.
    pub(crate) fn system(address: &str) -> Result<Self, BusError> {
        let address = if address.is_empty() { USUAL } else { address };
        let mut failure = BusError::Address { address: address.to_owned() };
        for place in address.split(';').filter_map(place) {
            let connected = place.and_then(|place| UnixStream::connect_addr(&place));
            match connected {
                Ok(stream) => return Self::greet(stream),
                Err(cause) => {
                    failure = BusError::Connect { address: address.to_owned(), cause };
                }
            }
        }
        Err(failure)
    }

    fn greet(stream: UnixStream) -> Result<Self, BusError> {
        stream.set_read_timeout(Some(LIMIT)).map_err(BusError::Talk)?;
        stream.set_write_timeout(Some(LIMIT)).map_err(BusError::Talk)?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0 };
        // The kernel tells who asks; the number is what the protocol wants besides.
        let user: String = nix::unistd::geteuid()
            .to_string()
            .bytes()
            .map(|digit| format!("{digit:02x}"))
            .collect();
        bus.write(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let mut line = String::new();
        let read = (&mut bus.stream).take(LINE).read_line(&mut line);
        read.map_err(silent).map_err(BusError::Talk)?;
        if !line.starts_with("OK ") {
            return Err(BusError::Greeting { said: line.trim().to_owned() });
        }
        bus.write(b"BEGIN\r\n")?;
        bus.call_bus("Hello", &[])?;
        Ok(bus)
    }

    /// Whether somebody has a name on the bus.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub(crate) fn has_owner(&mut self, name: &str) -> Result<bool, BusError> {
        Ok(self.call_bus("NameHasOwner", &[name])? == Value::Truth(true))
    }

    fn call_bus(&mut self, member: &str, texts: &[&str]) -> Result<Value, BusError> {
        self.call(&MethodCall { destination: BUS, path: BUS_PATH, interface: BUS, member, texts })
    }

    /// Calls a method, and gives the first value of the answer.
    ///
    /// # Errors
    /// What the one who is asked says, or that nobody answers.
    pub(crate) fn call(&mut self, call: &MethodCall<'_>) -> Result<Value, BusError> {
        self.serial += 1;
        self.write(&call.encode(self.serial))?;
        loop {
            let message = self.read().map_err(silent).map_err(BusError::Talk)?;
            // The bus tells of names that come and go, too.
            if message.reply_to != self.serial {
                continue;
            }
            match (message.kind, message.first) {
                (Kind::Return, value) => return Ok(value),
                (Kind::Error(name), Value::Text(text)) => {
                    return Err(BusError::Refused { name, text });
                }
                (Kind::Error(name), _) => {
                    return Err(BusError::Refused { name, text: "no words".to_owned() });
                }
                (Kind::Other, _) => {}
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BusError> {
        self.stream.get_mut().write_all(bytes).map_err(silent).map_err(BusError::Talk)
    }

    fn read(&mut self) -> io::Result<Incoming> {
        let wrong = || io::Error::new(ErrorKind::InvalidData, "what came is no message of D-Bus");
        let mut frame = [0; message::FRAME];
        self.stream.read_exact(&mut frame)?;
        let mut bytes = frame.to_vec();
        bytes.resize(message::length(&frame).ok_or_else(wrong)?, 0);
        let rest = bytes.get_mut(message::FRAME..).ok_or_else(wrong)?;
        self.stream.read_exact(rest)?;
        Incoming::decode(&bytes).ok_or_else(wrong)
    }
}

/// What the kernel says when the time is over would be a riddle.
fn silent(error: io::Error) -> io::Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        let text = format!("no answer within {} s", LIMIT.as_secs());
        return io::Error::new(ErrorKind::TimedOut, text);
    }
    error
}

/// One place of an address, such as `unix:path=/run/bus,guid=…`; `None` when it is of another kind.
fn place(address: &str) -> Option<io::Result<SocketAddr>> {
    address.strip_prefix("unix:")?.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        match key {
            "path" => Some(SocketAddr::from_pathname(unescape(value))),
            "abstract" => Some(SocketAddr::from_abstract_name(unescape(value))),
            _ => None,
        }
    })
}

/// Values have what is no plain letter as `%` and two digits.
fn unescape(value: &str) -> String {
    let mut parts = value.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let escaped = part.split_at_checked(2);
        match escaped.and_then(|(digits, rest)| Some((u8::from_str_radix(digits, 16).ok()?, rest)))
        {
            Some((byte, rest)) => {
                bytes.push(byte);
                bytes.extend(rest.as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_specification_has_them() {
        let path = |text: &str| {
            let place = place(text).and_then(Result::ok);
            place.and_then(|place| place.as_pathname().map(|path| path.display().to_string()))
        };
        assert_eq!(path("unix:path=/run/a%20b,guid=1").as_deref(), Some("/run/a b"));
        assert_eq!(path("unix:guid=1,path=/a%zz").as_deref(), Some("/a%zz"));
        assert_eq!(path("tcp:host=x,port=1"), None);
        let hidden = place("unix:abstract=bus").and_then(Result::ok).unwrap();
        assert_eq!(hidden.as_abstract_name(), Some(b"bus".as_slice()));
        let nobody = Bus::system("tcp:host=x").unwrap_err();
        assert!(matches!(nobody, BusError::Address { .. }), "{nobody}");
        let nobody = Bus::system("unix:path=/nowhere/a;unix:path=/nowhere/b").unwrap_err();
        assert!(matches!(nobody, BusError::Connect { .. }), "{nobody}");
    }

    #[test]
    fn a_bus_that_refuses_or_babbles_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let address = format!("unix:path={}", socket.display());
        for (said, expected) in [
            ("REJECTED EXTERNAL\r\n", "the system bus refuses the connection: REJECTED EXTERNAL"),
            ("", "the system bus refuses the connection: "),
            ("OK 1\r\nthis is no message", "speak over the system bus"),
        ] {
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut line = String::new();
                    BufReader::new(&stream).read_line(&mut line).unwrap();
                    assert!(line.starts_with("\0AUTH EXTERNAL "), "{line}");
                    stream.write_all(said.as_bytes()).unwrap();
                });
                Bus::system(&address).unwrap_err().to_string()
            });
            assert_eq!(error, expected);
        }
    }
}
