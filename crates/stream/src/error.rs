//! What can go wrong between here and a pod.

use std::{io, path::PathBuf};

use crilet_cri::CriError;
use tokio_rustls::rustls::{self, pki_types::pem};

/// Why a command, a terminal or a port of a pod could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The runtime would not give an address for the streams.
    #[error(transparent)]
    Runtime(#[from] CriError),
    /// The runtime gave an address that is none.
    #[error("the runtime gave `{url}` as the address of its streams, which is no http URL")]
    Address {
        /// What it gave.
        url: String,
    },
    /// Nobody answers at the address.
    #[error("connect to the runtime's streams at {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the kernel or TLS said.
        #[source]
        cause: io::Error,
    },
    /// A file for TLS cannot be used.
    #[error("use `{}` for TLS", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: pem::Error,
    },
    /// Certificate and key do not fit, or cannot be used.
    #[error("use the certificate `{}`", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("a client's certificate and its key are needed both")]
    HalfCertificate,
    /// A name that no server can have.
    #[error("`{name}` is no name that a certificate could be for")]
    ServerName {
        /// The name.
        name: String,
    },
    /// No certificate authorities are known on this machine.
    #[error("no certificate authorities are installed on this machine")]
    NoAuthorities,
    /// The server would not change the protocol.
    #[error("{transport} is refused by the runtime's streams: {message}")]
    Refused {
        /// `SPDY/3.1` or `WebSocket`.
        transport: &'static str,
        /// HTTP status and what was said with it.
        message: String,
    },
    /// The end of input cannot be told to the command.
    #[error("the runtime speaks {protocol} over WebSocket, which cannot tell that input has ended")]
    NoHalfClose {
        /// The subprotocol.
        protocol: String,
    },
    /// What came is not the protocol that was agreed upon.
    #[error("read what the runtime sent over {transport}")]
    Protocol {
        /// `SPDY/3.1` or `WebSocket`.
        transport: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection ended before it should.
    #[error("the runtime closed the streams before it told how the command ended")]
    Lost,
    /// The server was silent for too long.
    #[error("the runtime did not accept the streams within {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// The command did not get to run.
    #[error("{message}")]
    Start {
        /// As a shell tells it: 127 when there is no such program, 126 when it cannot be run.
        code: u8,
        /// The runtime's words.
        message: String,
    },
    /// The runtime failed with the command, or with a forwarded port.
    #[error("{message}")]
    Failed {
        /// The runtime's words.
        message: String,
    },
    /// Nothing listens on the port of the pod.
    #[error("nothing listens on port {port} of the pod")]
    NoListener {
        /// The port.
        port: u16,
    },
    /// The pod's network namespace cannot be entered.
    #[error("enter the network namespace `{}`", path.display())]
    Namespace {
        /// The namespace's file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The sandbox is not there any more, or not up.
    #[error("pod sandbox `{id}` is not up")]
    NotUp {
        /// The sandbox.
        id: String,
    },
    /// Copying between two ends of a forwarded connection failed.
    #[error("carry bytes of port {port}")]
    Carry {
        /// The port of the pod.
        port: u16,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

impl StreamError {
    /// What can be done about it, where there is such a thing.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Runtime(error) => return error.hint(),
            Self::Connect { cause, .. } if is_certificate(cause) => {
                "--tls-ca names who signed the runtime's certificate, --tls-server-name the name it \
                 is for; --tls-insecure-skip-verify takes any"
            }
            Self::NoHalfClose { .. } => "--transport spdy can",
            Self::NoAuthorities => "--tls-ca names a file with those to be trusted",
            Self::Address { .. } | Self::Connect { .. } => {
                "the runtime's configuration says where its streams are: stream_server_address with \
                 containerd, stream_address with CRI-O"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn is_certificate(cause: &io::Error) -> bool {
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
