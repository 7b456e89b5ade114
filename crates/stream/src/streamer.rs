//! From a wish to streams: asks the runtime for an address, and goes there.

use crilet_cri::{Client, CriError, v1};

use crate::{
    Ending, Forwarder, Route, Session, StreamError, Terminal, TlsFiles,
    address::Address,
    connect::{dial, upgrade_to_spdy},
    spdy::{self, Headers},
    websocket::{self, V4, V5},
};

/// Versions of the streams' protocol over SPDY: those that tell exit codes and take sizes. All runtimes
/// of the last ten years have v4.
const SPDY_VERSIONS: [&str; 1] = [V4];

/// What carries streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket for commands without input: containerd takes several milliseconds less for it. Else SPDY,
    /// which can tell that input has ended. The other one where the server does not speak it.
    #[default]
    Auto,
    /// SPDY/3.1.
    Spdy,
    /// WebSocket, with `v5.channel.k8s.io` or `v4.channel.k8s.io`.
    WebSocket,
}

/// Which streams of a process are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal, which has one output.
    pub stderr: bool,
    /// A terminal. For an attach, whether the process has one.
    pub tty: bool,
    /// Whether the end of input must be told; not needed for terminals, where a key says it.
    pub half_close: bool,
}

/// Opens streams to what a runtime runs; clones share its connection.
#[derive(Debug, Clone)]
pub struct Streamer {
    client: Client,
    tls: TlsFiles,
    transport: Transport,
}

impl Streamer {
    /// For the containers of this runtime.
    pub fn new(client: Client) -> Self {
        Self { client, tls: TlsFiles::default(), transport: Transport::default() }
    }

    /// With these files, where the runtime's streams are behind TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsFiles) -> Self {
        self.tls = tls;
        self
    }

    /// Over this transport.
    #[must_use]
    pub fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Runs a command in a container.
    ///
    /// # Errors
    /// The runtime refuses, or its streams cannot be had. That there is no such program is told by
    /// [`Ending::wait`].
    pub async fn exec(
        &self,
        container_id: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<Session, StreamError> {
        let request = v1::ExecRequest {
            container_id: container_id.to_owned(),
            cmd: command.to_vec(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr && !streams.tty,
        };
        self.session(streams, Wish::Exec(request)).await
    }

    /// Joins the streams of a container's first process, as they are from now on.
    ///
    /// # Errors
    /// As [`Streamer::exec`].
    pub async fn attach(
        &self,
        container_id: &str,
        streams: Streams,
    ) -> Result<Session, StreamError> {
        let request = v1::AttachRequest {
            container_id: container_id.to_owned(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr && !streams.tty,
        };
        self.session(streams, Wish::Attach(request)).await
    }

    /// Leads to ports of a pod, by its sandbox.
    ///
    /// # Errors
    /// As [`Forwarder::new`].
    pub async fn forward(&self, sandbox_id: &str, route: Route) -> Result<Forwarder, StreamError> {
        Forwarder::new(self.client.clone(), self.tls.clone(), sandbox_id, route).await
    }

    async fn ask(&self, wish: &Wish) -> Result<String, CriError> {
        match wish {
            Wish::Exec(request) => self.client.exec(request.clone()).await,
            Wish::Attach(request) => self.client.attach(request.clone()).await,
        }
    }

    async fn session(&self, streams: Streams, wish: Wish) -> Result<Session, StreamError> {
        let streams = Streams { stderr: streams.stderr && !streams.tty, ..streams };
        // Without input there is no end of it to tell.
        let is_quick = matches!(wish, Wish::Exec(_)) && !streams.stdin;
        let (first, second) = match self.transport {
            Transport::Auto if is_quick => (Transport::WebSocket, Transport::Spdy),
            Transport::Auto => (Transport::Spdy, Transport::WebSocket),
            only => (only, only),
        };
        match self.over(first, &wish, streams).await {
            Err(StreamError::Refused { transport, message }) if first != second => {
                tracing::debug!(message, "the runtime does not speak {transport}");
                self.over(second, &wish, streams).await
            }
            other => other,
        }
    }

    /// Each address is good for one connection, so each attempt asks for its own.
    async fn over(
        &self,
        transport: Transport,
        wish: &Wish,
        streams: Streams,
    ) -> Result<Session, StreamError> {
        let address = Address::parse(&self.ask(wish).await?)?;
        match transport {
            Transport::WebSocket => self.over_websocket(&address, streams).await,
            Transport::Auto | Transport::Spdy => self.over_spdy(&address, streams).await,
        }
    }

    async fn over_spdy(&self, address: &Address, streams: Streams) -> Result<Session, StreamError> {
        let socket = dial(address, &self.tls).await?;
        let (socket, _) = upgrade_to_spdy(socket, address, &SPDY_VERSIONS).await?;
        let kinds = [
            ("error", true),
            ("stdin", streams.stdin),
            ("stdout", streams.stdout),
            ("stderr", streams.stderr),
            ("resize", streams.tty),
        ];
        let wanted: Vec<_> = kinds.iter().filter(|(_, wanted)| *wanted).map(|(k, _)| *k).collect();
        let headers: Vec<Headers> =
            wanted.iter().map(|kind| vec![("streamtype".into(), (*kind).into())]).collect();
        let ends = spdy::open(socket, &headers).await?;
        let mut parts = Parts::default();
        for (kind, (input, output)) in wanted.into_iter().zip(ends) {
            match kind {
                "stdin" => parts.stdin = Some(input),
                "stdout" => parts.stdout = Some(output),
                "stderr" => parts.stderr = Some(output),
                "resize" => parts.terminal = Some(Terminal(input)),
                _ => parts.ending = Some(Ending(output)),
            }
        }
        parts.session()
    }

    async fn over_websocket(
        &self,
        address: &Address,
        streams: Streams,
    ) -> Result<Session, StreamError> {
        let socket = dial(address, &self.tls).await?;
        let channels = websocket::open(socket, address, &[V5, V4], 5).await?;
        if streams.half_close && channels.protocol != V5 {
            return Err(StreamError::NoHalfClose { protocol: channels.protocol });
        }
        let mut parts = Parts::default();
        for (channel, (input, output)) in channels.ends.into_iter().enumerate() {
            match channel {
                0 => parts.stdin = streams.stdin.then_some(input),
                1 => parts.stdout = streams.stdout.then_some(output),
                2 => parts.stderr = streams.stderr.then_some(output),
                3 => parts.ending = Some(Ending(output)),
                _ => parts.terminal = streams.tty.then_some(Terminal(input)),
            }
        }
        parts.session()
    }
}

/// What the runtime is asked for.
enum Wish {
    Exec(v1::ExecRequest),
    Attach(v1::AttachRequest),
}

/// A session as it is put together.
#[derive(Default)]
struct Parts {
    stdin: Option<crate::Input>,
    stdout: Option<crate::Output>,
    stderr: Option<crate::Output>,
    terminal: Option<Terminal>,
    ending: Option<Ending>,
}

impl Parts {
    fn session(self) -> Result<Session, StreamError> {
        let Self { stdin, stdout, stderr, terminal, ending } = self;
        let ending = ending.ok_or(StreamError::Lost)?;
        Ok(Session { stdin, stdout, stderr, terminal, ending })
    }
}
