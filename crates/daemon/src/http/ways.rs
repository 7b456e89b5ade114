//! Ways into pods: WebSockets that carry commands, terminals and ports.
//!
//! The messages are those of Kubernetes' `v5.channel.k8s.io` and `v4.channel.k8s.io`, so that what speaks
//! these to a cluster speaks them to us. What cannot be had is told before the protocol is changed, as
//! every other error.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{
        FromRequestParts, Path, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{header, request::Parts},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use crilet_api::{ApiError, ContainerState, ErrorCode, Pod, PodRef};
use crilet_core::ErrorChain;
use crilet_stream::{
    CLOSE, Connection, Ending, Input, Output, Session, StreamError, Streams, Terminal,
    TerminalSize, V4, V5, status,
};
use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    App,
    extract::{Params, Target},
    failure::Failure,
};

/// Messages that wait for the client.
const QUEUE: usize = 16;
/// Ports of one request: their channels are numbered in a byte, and 255 is taken.
const MOST_PORTS: usize = 100;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

type Shared = State<Arc<App>>;
type Pairs = Params<Vec<(String, String)>>;

/// A request to speak WebSocket with a subprotocol that we have.
pub(super) struct Upgrade {
    upgrade: WebSocketUpgrade,
    protocol: &'static str,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        // A page in somebody's browser may open one without being asked for leave; browsers say so.
        if parts.headers.contains_key(header::ORIGIN) {
            return Err(Failure::bad_request("this is not for pages in a browser"));
        }
        let offered = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        let protocol =
            offered.map(str::trim).find_map(|name| [V5, V4].into_iter().find(|p| *p == name));
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let upgrade = upgrade.map_err(|error| Failure::bad_request(error.body_text()))?;
        let protocol = protocol.ok_or_else(|| {
            Failure::bad_request(format!("the subprotocols are `{V5}` and `{V4}`"))
        })?;
        Ok(Self { upgrade: upgrade.protocols([protocol]), protocol })
    }
}

impl Upgrade {
    fn run<F>(self, app: &App, work: impl FnOnce(Channels) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (can_close, closing) = (self.protocol == V5, app.closing.clone());
        self.upgrade.on_upgrade(move |socket| work(Channels::new(socket, can_close, closing)))
    }
}

pub(super) async fn exec(
    State(app): Shared,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Params(pairs): Pairs,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let (streams, command) = wanted(&pairs)?;
    if command.is_empty() {
        return Err(Failure::bad_request("no `command`"));
    }
    let id = running(&app, &PodRef::new(&namespace, &name), &container)?;
    let session = app.node.exec(id, command, streams).await?;
    Ok(upgrade.run(&app, |channels| carry_session(channels, session)))
}

pub(super) async fn attach(
    State(app): Shared,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Params(pairs): Pairs,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let (streams, command) = wanted(&pairs)?;
    if !command.is_empty() {
        return Err(Failure::bad_request("an attach takes no `command`"));
    }
    let id = running(&app, &PodRef::new(&namespace, &name), &container)?;
    let session = app.node.attach(id, streams).await?;
    Ok(upgrade.run(&app, |channels| carry_session(channels, session)))
}

pub(super) async fn forward(
    State(app): Shared,
    Target(pod): Target,
    Params(pairs): Pairs,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let ports = ports(&pairs)?;
    let sandbox = find(&app, &pod)?.sandbox.as_ref().filter(|sandbox| sandbox.ready).cloned();
    let sandbox = sandbox.ok_or_else(|| conflict(format!("pod `{pod}` is not up")))?;
    let mut connections = Vec::new();
    for port in ports {
        connections.push((port, app.node.connect(sandbox.id.clone(), port).await));
    }
    Ok(upgrade.run(&app, |channels| carry_ports(channels, connections)))
}

fn find(app: &App, pod: &PodRef) -> Result<Arc<Pod>, Failure> {
    Ok(app.node.pod(pod).ok_or_else(|| ApiError::no_such_pod(pod))?)
}

fn conflict(message: String) -> ApiError {
    ApiError::new(ErrorCode::Conflict, message)
}

/// The runtime's id of a container that runs.
fn running(app: &App, pod: &PodRef, name: &str) -> Result<String, Failure> {
    let found = find(app, pod)?;
    let container = found.containers.iter().find(|container| container.name == name);
    let container = container.ok_or_else(|| {
        let message = format!("pod `{pod}` has no container `{name}`");
        ApiError::new(ErrorCode::NoSuchContainer, message)
    })?;
    match (&container.state, &container.id) {
        (ContainerState::Running { .. }, Some(id)) => Ok(id.clone()),
        _ => Err(conflict(format!("container `{name}` of pod `{pod}` does not run")).into()),
    }
}

/// Streams and command out of query parameters.
fn wanted(pairs: &[(String, String)]) -> Result<(Streams, Vec<String>), Failure> {
    let (mut streams, mut command) = (Streams { stdout: true, ..Streams::default() }, Vec::new());
    let mut stderr = None;
    for (name, value) in pairs {
        match name.as_str() {
            "command" => command.push(value.clone()),
            "stdin" => streams.stdin = flag(name, value)?,
            "stdout" => streams.stdout = flag(name, value)?,
            "stderr" => stderr = Some(flag(name, value)?),
            "tty" => streams.tty = flag(name, value)?,
            other => return Err(unknown(other)),
        }
    }
    streams.stderr = stderr.unwrap_or(!streams.tty) && !streams.tty;
    streams.half_close = streams.stdin && !streams.tty;
    if streams.stdin || streams.stdout || streams.stderr {
        Ok((streams, command))
    } else {
        Err(Failure::bad_request("one of `stdin`, `stdout` and `stderr` is needed"))
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Failure::bad_request(format!("`{name}` is `{value}`: it takes true or false"))),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::bad_request(format!("there is no parameter `{name}`"))
}

fn ports(pairs: &[(String, String)]) -> Result<Vec<u16>, Failure> {
    let mut ports = Vec::new();
    for (name, value) in pairs {
        if name != "port" && name != "ports" {
            return Err(unknown(name));
        }
        for text in value.split(',') {
            let port = text.parse().ok().filter(|port| *port != 0);
            ports.push(port.ok_or_else(|| {
                Failure::bad_request(format!("`{text}` is no port between 1 and 65535"))
            })?);
        }
    }
    match ports.len() {
        0 => Err(Failure::bad_request("no `port`")),
        1..=MOST_PORTS => Ok(ports),
        _ => Err(Failure::bad_request(format!("more than {MOST_PORTS} ports"))),
    }
}

/// A client's WebSocket.
struct Channels {
    read: SplitStream<WebSocket>,
    messages: mpsc::Sender<Message>,
    /// Whether the end of a channel can be told.
    can_close: bool,
    closing: CancellationToken,
}

/// What a client says.
enum Said {
    Data(u8, Bytes),
    Close(u8),
}

impl Channels {
    fn new(socket: WebSocket, can_close: bool, closing: CancellationToken) -> Self {
        let (mut write, read) = socket.split();
        let (messages, mut queue) = mpsc::channel(QUEUE);
        // Ends with the last that has something to say, or with the client.
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if write.send(message).await.is_err() {
                    return;
                }
            }
            // A client that is gone is as good as one that was told.
            drop(write.close().await);
        });
        Self { read, messages, can_close, closing }
    }

    /// The next thing that the client says; nothing when it has gone.
    async fn next(read: &mut SplitStream<WebSocket>) -> Option<Said> {
        while let Some(Ok(message)) = read.next().await {
            let mut data = match message {
                Message::Binary(data) => data,
                Message::Text(text) => text.into(),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            let Some(&channel) = data.first() else { continue };
            let data = data.split_off(1);
            match (channel, data.first()) {
                (CLOSE, Some(&ended)) => return Some(Said::Close(ended)),
                (CLOSE, None) | (_, None) => {}
                (channel, Some(_)) => return Some(Said::Data(channel, data)),
            }
        }
        None
    }
}

async fn say(messages: &mpsc::Sender<Message>, channel: u8, data: &[u8]) -> bool {
    let mut bytes = BytesMut::with_capacity(1 + data.len());
    bytes.put_u8(channel);
    bytes.put_slice(data);
    messages.send(Message::Binary(bytes.freeze())).await.is_ok()
}

/// Writes an output to a channel until it ends, or the client has gone.
async fn pump(output: Option<Output>, messages: &mpsc::Sender<Message>, channel: u8) {
    let Some(mut output) = output else { return };
    while let Ok(Some(data)) = output.read().await {
        if !say(messages, channel, &data).await {
            return;
        }
    }
}

async fn carry_session(channels: Channels, session: Session) {
    let Channels { mut read, messages, closing, .. } = channels;
    let Session { stdin, stdout, stderr, terminal, ending } = session;
    // So that clients know it begins; others do so, too.
    say(&messages, STDOUT, &[]).await;
    let outward = async {
        tokio::join!(pump(stdout, &messages, STDOUT), pump(stderr, &messages, STDERR));
        say(&messages, STATUS, &ended(ending).await).await;
    };
    tokio::select! {
        () = outward => {}
        () = inward(&mut read, stdin, terminal) => {}
        () = closing.cancelled() => {}
    }
}

async fn ended(ending: Ending) -> Vec<u8> {
    match ending.wait().await {
        Ok(code) => status::write(code),
        Err(StreamError::Start { message, .. } | StreamError::Failed { message }) => {
            status::write_failure(&message)
        }
        Err(error) => status::write_failure(&ErrorChain(&error).to_string()),
    }
}

/// Hands over what the client says until it has gone.
async fn inward(
    read: &mut SplitStream<WebSocket>,
    mut stdin: Option<Input>,
    mut terminal: Option<Terminal>,
) {
    while let Some(said) = Channels::next(read).await {
        match said {
            Said::Data(STDIN, data) => {
                if let Some(input) = &mut stdin
                    && input.write(data).await.is_err()
                {
                    // The command reads no more; how it ends is told.
                    stdin = None;
                }
            }
            Said::Close(STDIN) => {
                if let Some(input) = stdin.take() {
                    input.close().await;
                }
            }
            Said::Data(RESIZE, text) => {
                if let (Some(terminal), Ok(size)) = (&mut terminal, serde_json::from_slice(&text)) {
                    let Size { width, height } = size;
                    terminal.resize(TerminalSize { width, height }).await;
                }
            }
            Said::Data(..) | Said::Close(_) => {}
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

async fn carry_ports(channels: Channels, ports: Vec<(u16, Result<Connection, ApiError>)>) {
    let Channels { mut read, messages, can_close, closing } = channels;
    let mut inputs: HashMap<u8, Input> = HashMap::new();
    let mut outputs = Vec::new();
    for (channel, (port, connection)) in (0_u8..).step_by(2).zip(ports) {
        for channel in [channel, channel + 1] {
            say(&messages, channel, &port.to_le_bytes()).await;
        }
        match connection {
            Ok(connection) => {
                let (input, output, errors) = connection.into_ends();
                inputs.insert(channel, input);
                outputs.push((channel, output, errors));
            }
            Err(error) => {
                say(&messages, channel + 1, error.message.as_bytes()).await;
            }
        }
    }
    let outward = outputs.into_iter().map(|(channel, output, errors)| {
        let messages = &messages;
        async move {
            pump(Some(output), messages, channel).await;
            pump(errors, messages, channel + 1).await;
            if can_close {
                say(messages, CLOSE, &[channel]).await;
            }
        }
    });
    tokio::select! {
        _ = futures_util::future::join_all(outward) => {}
        () = inward_ports(&mut read, inputs) => {}
        () = closing.cancelled() => {}
    }
}

async fn inward_ports(read: &mut SplitStream<WebSocket>, mut inputs: HashMap<u8, Input>) {
    while let Some(said) = Channels::next(read).await {
        match said {
            Said::Data(channel, data) => {
                if let Some(input) = inputs.get_mut(&channel)
                    && input.write(data).await.is_err()
                {
                    inputs.remove(&channel);
                }
            }
            Said::Close(channel) => {
                if let Some(input) = inputs.remove(&channel) {
                    input.close().await;
                }
            }
        }
    }
}
