//! Connections to ports of a pod.
//!
//! Two ways lead there. The pod's network namespace, where it is on this machine: connections are
//! ordinary sockets with all that TCP can do. And the runtime's streams: containerd copies for a second
//! after one side has ended, then closes (`portForward`, sandbox_portforward_linux.go), so half-closed
//! connections do not work, and CRI-O's socat did the same. Over these each connection gets a SPDY
//! connection of its own, for streams on one hold each other up.

use std::path::PathBuf;

use crilet_core::ProcessEnd;
use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail, Pod, PodState},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Input, Output, StreamError, TlsFiles,
    address::Address,
    connect::{dial, upgrade_to_spdy},
    netns::Namespace,
    pipe::READ,
    spdy,
    websocket::{self, V4},
};

/// The protocol of forwarded ports over SPDY.
const PORT_FORWARD: &str = "portforward.k8s.io";
/// How often the runtime is asked whether a pod is up, where its end cannot be seen.
const ASK: std::time::Duration = std::time::Duration::from_secs(1);

/// How to get to a pod's ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Route {
    /// The network namespace where it is on this machine and we may enter it, else SPDY, else WebSocket.
    #[default]
    Auto,
    /// The pod's network namespace.
    Namespace,
    /// The runtime's streams over SPDY/3.1.
    Spdy,
    /// The runtime's streams over WebSocket; the end of one side ends the other.
    WebSocket,
}

/// Opens connections to the ports of one pod.
#[derive(Debug, Clone)]
pub struct Forwarder {
    client: Client,
    tls: TlsFiles,
    sandbox_id: String,
    pid: Option<u32>,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Namespace(Namespace),
    Runtime(Route),
}

impl Forwarder {
    /// For the pod of this sandbox.
    ///
    /// # Errors
    /// [`StreamError::NotUp`] when it is not up, [`StreamError::Namespace`] when only the namespace will
    /// do and cannot be entered, [`StreamError::Connect`] when it must be the runtime's streams and they
    /// cannot be reached or their certificate is not trusted.
    pub async fn new(
        client: Client,
        tls: TlsFiles,
        sandbox_id: &str,
        route: Route,
    ) -> Result<Self, StreamError> {
        let pod = inventory::read_pod(&client, sandbox_id, Detail::Pods).await?;
        let not_up = || StreamError::NotUp { id: sandbox_id.to_owned() };
        let pod = pod.filter(|pod| pod.state == PodState::Ready).ok_or_else(not_up)?;
        let way = match route {
            Route::Auto => match Namespace::enter(&namespace(&pod)).await {
                Ok(namespace) => Way::Namespace(namespace),
                Err(error) => {
                    tracing::debug!(%error, "ports are forwarded by the runtime");
                    Way::Runtime(Route::Auto)
                }
            },
            Route::Namespace => Way::Namespace(Namespace::enter(&namespace(&pod)).await?),
            Route::Spdy | Route::WebSocket => Way::Runtime(route),
        };
        let pid = pod.details.and_then(|details| details.pid);
        let forwarder = Self { client, tls, sandbox_id: sandbox_id.to_owned(), pid, way };
        if let Way::Runtime(_) = forwarder.way {
            forwarder.reach().await?;
        }
        Ok(forwarder)
    }

    /// Whether anybody can connect to the runtime's streams: that is told once and now, not at each
    /// connection that comes.
    async fn reach(&self) -> Result<(), StreamError> {
        let url = self.client.port_forward(&self.sandbox_id, &[]).await?;
        dial(&Address::parse(&url)?, &self.tls).await.map(drop)
    }

    /// Connects to a port on the pod's localhost.
    ///
    /// # Errors
    /// [`StreamError::NoListener`] where that can be told at once; a runtime tells it when bytes are
    /// carried ([`Connection::carry`]).
    pub async fn open(&self, port: u16) -> Result<Connection, StreamError> {
        match &self.way {
            Way::Namespace(namespace) => {
                let stream = namespace.connect(port).await?;
                Ok(Connection { port, kind: Kind::Socket(stream) })
            }
            Way::Runtime(Route::WebSocket) => self.over_websocket(port).await,
            Way::Runtime(route) => match self.over_spdy(port).await {
                Err(StreamError::Refused { message, .. }) if *route == Route::Auto => {
                    tracing::debug!(message, "the runtime does not speak SPDY");
                    self.over_websocket(port).await
                }
                other => other,
            },
        }
    }

    /// Waits until the pod is not up any more.
    pub async fn pod_ended(&self) {
        let end = self.pid.map(ProcessEnd::of);
        if let Some(Ok(end)) = end
            && self.is_up().await.unwrap_or(true)
            && end.wait().await.is_ok()
        {
            return;
        }
        // A runtime that is restarted leaves its pods alone.
        while self.is_up().await.unwrap_or(true) {
            tokio::time::sleep(ASK).await;
        }
    }

    async fn is_up(&self) -> Result<bool, CriError> {
        let pod = inventory::read_pod(&self.client, &self.sandbox_id, Detail::Lists).await?;
        Ok(pod.is_some_and(|pod| pod.state == PodState::Ready))
    }

    async fn over_spdy(&self, port: u16) -> Result<Connection, StreamError> {
        let url = self.client.port_forward(&self.sandbox_id, &[port]).await?;
        let address = Address::parse(&url)?;
        let socket = dial(&address, &self.tls).await?;
        let (socket, _) = upgrade_to_spdy(socket, &address, &[PORT_FORWARD]).await?;
        let headers = |kind: &str| {
            let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let port = header("port", &port.to_string());
            vec![header("streamtype", kind), port, header("requestid", "0")]
        };
        let ends = spdy::open(socket, &[headers("error"), headers("data")]).await?;
        let mut ends = ends.into_iter();
        let (Some((silent, errors)), Some((input, output))) = (ends.next(), ends.next()) else {
            return Err(StreamError::Lost);
        };
        // Nothing is ever said to a server on its channel for errors.
        silent.close().await;
        Ok(Connection { port, kind: Kind::Channel { input, output, errors } })
    }

    async fn over_websocket(&self, port: u16) -> Result<Connection, StreamError> {
        let url = self.client.port_forward(&self.sandbox_id, &[port]).await?;
        let address = Address::parse(&url)?;
        let socket = dial(&address, &self.tls).await?;
        let channels = websocket::open(socket, &address, &[V4], 2).await?;
        let mut ends = channels.ends.into_iter();
        let (Some((input, mut output)), Some((_, mut errors))) = (ends.next(), ends.next()) else {
            return Err(StreamError::Lost);
        };
        // Either channel begins with the port's number in two bytes, in a message of its own.
        for channel in [&mut output, &mut errors] {
            drop(channel.read().await);
        }
        Ok(Connection { port, kind: Kind::Channel { input, output, errors } })
    }
}

/// The file of the network namespace that a pod is in: its own, or the host's, which is ours.
fn namespace(pod: &Pod) -> PathBuf {
    let details = pod.details.as_ref();
    let own = details.and_then(|details| details.network_namespace.clone());
    let of_process = || details.and_then(|d| d.pid).map(|pid| format!("/proc/{pid}/ns/net").into());
    match details {
        Some(details) if details.host_network => "/proc/self/ns/net".into(),
        // Without a word from the runtime it is not known; a file that is not there says so.
        _ => own.or_else(of_process).unwrap_or_else(|| "/proc/-/ns/net".into()),
    }
}

/// A connection to a port of a pod.
#[derive(Debug)]
pub struct Connection {
    port: u16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Socket(TcpStream),
    Channel { input: Input, output: Output, errors: Output },
}

impl Connection {
    /// To a port of this machine, as if it were a pod's.
    ///
    /// # Errors
    /// What the kernel says.
    #[cfg(feature = "fake")]
    pub async fn to_localhost(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Self { port, kind: Kind::Socket(stream) })
    }

    /// Its ends, and a third on which a runtime tells what went wrong.
    pub fn into_ends(self) -> (Input, Output, Option<Output>) {
        match self.kind {
            Kind::Socket(stream) => {
                let (read, write) = stream.into_split();
                (Input::socket(write), Output::socket(read), None)
            }
            Kind::Channel { input, output, errors } => (input, output, Some(errors)),
        }
    }

    /// Carries bytes both ways until both sides have ended; the end of one is told to the other.
    ///
    /// # Errors
    /// [`StreamError::Failed`] with the runtime's words, [`StreamError::Carry`] when a side broke.
    pub async fn carry<S>(self, mut local: S) -> Result<(), StreamError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let port = self.port;
        let broke = |cause| StreamError::Carry { port, cause };
        match self.kind {
            Kind::Socket(mut stream) => {
                let copy =
                    tokio::io::copy_bidirectional_with_sizes(&mut local, &mut stream, READ, READ);
                copy.await.map(|_| ()).map_err(broke)
            }
            Kind::Channel { input, mut output, mut errors } => {
                let (mut read, mut write) = tokio::io::split(local);
                let up = upward(&mut read, input);
                let down = async {
                    while let Some(chunk) = output.read().await? {
                        write.write_all(&chunk).await?;
                    }
                    write.shutdown().await
                };
                // The runtime's side is over for both: it takes nothing any more.
                let copied = tokio::select! {
                    outcome = down => outcome,
                    never = up => match never {},
                };
                match words(&mut errors).await {
                    Some(message) => Err(StreamError::Failed { message }),
                    None => copied.map_err(broke),
                }
            }
        }
    }
}

/// Carries what the client sends, tells its end, and lets the answers end the connection.
async fn upward(read: &mut (impl AsyncRead + Unpin), mut input: Input) -> std::convert::Infallible {
    let mut buffer = bytes::BytesMut::new();
    loop {
        buffer.reserve(READ);
        match read.read_buf(&mut buffer).await {
            Ok(1..) if input.write(buffer.split().freeze()).await.is_ok() => {}
            _ => break,
        }
    }
    input.close().await;
    std::future::pending().await
}

/// What the runtime has to say of a connection that has ended.
async fn words(errors: &mut Output) -> Option<String> {
    let mut text = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = errors.read().await {
            text.extend_from_slice(&chunk);
        }
    };
    // A server that does not end its channel has nothing more to say.
    drop(tokio::time::timeout(ASK, read).await);
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}
