//! Server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::{collections::VecDeque, fmt, path::Path};

use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::{ClientError, request::Stream};
use crate::{Event, PodEvent};

/// Longest event that is read, in bytes.
const LONGEST_EVENT: usize = 64 * 1024 * 1024;

/// A watch of pods.
#[derive(Debug)]
pub struct PodWatch(Events);

/// A watch of events.
#[derive(Debug)]
pub struct EventWatch(Events);

impl PodWatch {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Events::new(stream))
    }

    /// The next thing that happened; nothing when the daemon has ended the watch, as it does when
    /// it ends itself. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError`] when the connection is lost or what comes cannot be read.
    pub async fn next(&mut self) -> Result<Option<PodEvent>, ClientError> {
        while let Some(message) = self.0.next().await? {
            let event = match message.name.as_str() {
                "snapshot" => PodEvent::Snapshot(self.0.decode(&message)?),
                "pod" => PodEvent::Changed(self.0.decode(&message)?),
                "gone" => PodEvent::Gone(self.0.decode(&message)?),
                // A daemon that is newer than this client.
                _ => continue,
            };
            return Ok(Some(event));
        }
        Ok(None)
    }
}

impl EventWatch {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Events::new(stream))
    }

    /// The next event; nothing when the daemon has ended the watch, as it does when it ends
    /// itself. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError`] when the connection is lost or what comes cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while let Some(message) = self.0.next().await? {
            if message.name == "event" {
                return self.0.decode(&message).map(Some);
            }
        }
        Ok(None)
    }
}

/// A stream of messages.
struct Events {
    stream: Stream,
    parser: Parser,
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Events").field("socket", &self.stream.socket).finish()
    }
}

impl Events {
    fn new(stream: Stream) -> Self {
        Self { stream, parser: Parser::default() }
    }

    async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            if let Some(message) = self.parser.complete.pop_front() {
                return Ok(Some(message));
            }
            let socket = &self.stream.socket;
            match self.stream.body.frame().await {
                None => return Ok(None),
                Some(Err(cause)) => {
                    return Err(ClientError::Lost { socket: socket.clone(), cause });
                }
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    self.parser.feed(&bytes).map_err(|reason| foreign(socket, reason))?;
                }
            }
        }
    }

    fn decode<T: DeserializeOwned>(&self, message: &Message) -> Result<T, ClientError> {
        serde_json::from_str(&message.data).map_err(|error| {
            foreign(&self.stream.socket, format!("an event cannot be read: {error}"))
        })
    }
}

fn foreign(socket: &Path, reason: impl Into<String>) -> ClientError {
    ClientError::Foreign { socket: socket.to_owned(), reason: reason.into() }
}

/// A message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) data: String,
}

/// Makes messages of bytes, wherever these are cut.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: Option<String>,
    pub(super) complete: VecDeque<Message>,
}

impl Parser {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for &byte in bytes {
            let newline_of_return = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if newline_of_return => {}
                b'\n' | b'\r' => self.end_line()?,
                _ => self.line.push(byte),
            }
            if self.line.len() > LONGEST_EVENT {
                return Err("an event is too long");
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), &'static str> {
        let line = String::from_utf8(std::mem::take(&mut self.line));
        let line = line.map_err(|_| "an event is not text")?;
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                self.complete.push_back(Message { name, data });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) if data.len() + value.len() > LONGEST_EVENT => {
                    return Err("an event is too long");
                }
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                data => *data = Some(value.to_owned()),
            },
            // Comments keep the connection alive; ids and retry times are of no use to us.
            _ => {}
        }
        Ok(())
    }
}
