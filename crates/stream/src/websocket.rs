//! WebSocket as Kubernetes uses it: one message is a channel's number and its bytes.
//!
//! `v4.channel.k8s.io` has no way to end a channel; `v5.channel.k8s.io` ends channel N with the message
//! `255 N`.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        handshake::client::Response,
        http::{self, Request},
        protocol::WebSocketConfig,
    },
};

use crate::{
    StreamError,
    address::Address,
    connect::{Socket, told},
    pipe::{Command, Input, Output, QUEUE, Tasks},
};

/// The subprotocol that can end channels.
pub const V5: &str = "v5.channel.k8s.io";
/// The subprotocol that runtimes have.
pub const V4: &str = "v4.channel.k8s.io";
/// The channel on which ends of channels are told.
pub const CLOSE: u8 = 255;
/// Longest message of ours in bytes: servers read a message whole.
const LONGEST: usize = 32 << 10;
/// Bytes that are asked for at a time. The library fills its buffer with zeros before each read, so much
/// more than most messages have is only work; runtimes send up to 32 KiB in one.
const READ: usize = 16 << 10;

/// Ends of channels, numbered from 0, and the subprotocol that the server chose.
pub(crate) struct Channels {
    pub(crate) ends: Vec<(Input, Output)>,
    pub(crate) protocol: String,
}

/// Has the server speak WebSocket with one of these subprotocols, and gives the ends of `count` channels.
pub(crate) async fn open(
    socket: Socket,
    address: &Address,
    protocols: &[&str],
    count: u8,
) -> Result<Channels, StreamError> {
    let request = request(address, protocols).map_err(|error| failed(error.into()))?;
    let config = WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(0);
    let handshake = tokio_tungstenite::client_async_with_config(request, socket, Some(config));
    let (stream, response) = handshake.await.map_err(failed)?;
    let protocol = chosen(&response);
    let (write, read) = stream.split();
    let (commands, orders) = mpsc::channel(QUEUE);
    let (mut sinks, mut outputs) = (HashMap::new(), Vec::new());
    for channel in 0..count {
        let (sink, chunks) = mpsc::channel(QUEUE);
        sinks.insert(channel, sink);
        outputs.push((channel, chunks));
    }
    let reading = tokio::spawn(read_all(read, sinks));
    let writing = tokio::spawn(write_all(write, orders));
    let tasks = Arc::new(Tasks(vec![reading.abort_handle(), writing.abort_handle()]));
    let can_close = protocol == V5;
    let ends = outputs.into_iter().map(|(channel, chunks)| {
        let (channel, tasks) = (u32::from(channel), Arc::clone(&tasks));
        let input = Input::channel(channel, commands.clone(), can_close, Arc::clone(&tasks));
        (input, Output::channel(chunks, tasks))
    });
    Ok(Channels { ends: ends.collect(), protocol })
}

fn request(address: &Address, protocols: &[&str]) -> http::Result<Request<()>> {
    Request::builder()
        .uri(format!("ws://{}{}", address.authority(), address.target))
        .header("Host", address.authority())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", key())
        .header("Sec-WebSocket-Protocol", protocols.join(", "))
        .body(())
}

/// What the server answers is derived from, so that no cache can answer in its place: sixteen bytes that
/// nobody used before, and no secret (RFC 6455, 1.3 and 4.1). The library's own come from a generator of
/// random numbers that looks first what the processor can do, which takes longer in a virtual machine than
/// all of the handshake here.
fn key() -> String {
    let part = || RandomState::new().hash_one(0).to_ne_bytes();
    BASE64_STANDARD.encode([part(), part()].concat())
}

fn chosen(response: &Response) -> String {
    let value = response.headers().get("Sec-WebSocket-Protocol");
    value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn failed(error: tungstenite::Error) -> StreamError {
    let refused = |message| StreamError::Refused { transport: "WebSocket", message };
    match error {
        tungstenite::Error::Http(response) => {
            refused(told(response.status(), response.body().as_deref().unwrap_or_default()))
        }
        tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(cause)) => {
            refused(cause.to_string())
        }
        cause => StreamError::Protocol { transport: "WebSocket", cause: cause.into() },
    }
}

/// Hands messages to whom they are for until the server closes.
async fn read_all(
    mut read: SplitStream<WebSocketStream<Socket>>,
    mut sinks: HashMap<u8, mpsc::Sender<Bytes>>,
) {
    while let Some(message) = read.next().await {
        let mut data = match message {
            Ok(Message::Binary(data)) => data,
            Ok(Message::Text(text)) => text.into(),
            Ok(Message::Close(_)) => return,
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "the connection of streams broke");
                return;
            }
        };
        let Some(&channel) = data.first() else { continue };
        let data = data.split_off(1);
        if channel == CLOSE {
            data.first().map(|ended| sinks.remove(ended));
            continue;
        }
        // Servers say that they are there by an empty message.
        if let Some(sink) = sinks.get(&channel)
            && !data.is_empty()
            && sink.send(data).await.is_err()
        {
            sinks.remove(&channel);
        }
    }
}

/// Writes what it is told to until nobody tells any more.
async fn write_all(
    mut write: SplitSink<WebSocketStream<Socket>, Message>,
    mut orders: mpsc::Receiver<Command>,
) {
    while let Some(command) = orders.recv().await {
        let written = match command {
            Command::Data(channel, data) => write_data(&mut write, channel, data).await,
            Command::Close(channel) => write.send(message(u32::from(CLOSE), &byte(channel))).await,
            Command::Raw(bytes) => write.send(Message::Binary(bytes)).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the connection of streams cannot be written to");
            return;
        }
    }
}

async fn write_data(
    write: &mut SplitSink<WebSocketStream<Socket>, Message>,
    channel: u32,
    data: Bytes,
) -> Result<(), tungstenite::Error> {
    for part in data.chunks(LONGEST) {
        write.send(message(channel, part)).await?;
    }
    Ok(())
}

fn byte(channel: u32) -> [u8; 1] {
    [u8::try_from(channel).unwrap_or(CLOSE)]
}

fn message(channel: u32, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(1 + data.len());
    bytes.put_slice(&byte(channel));
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}
