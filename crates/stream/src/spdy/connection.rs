//! A connection and its streams, from the side that opens them.
//!
//! All streams of ours are opened at once, for what a server does with a connection begins when it
//! has all it expects:
//!
//! ```text
//! SYN_STREAM ×n ─▶  ◀─ SYN_REPLY ×n ─▶ open ─▶ data both ways ─ FIN of ours ─▶ ◀─ FINs of theirs ─▶ over
//! ```

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
};

use super::{Decoder, Encoder, Frame, Headers, LONGEST_DATA, data_header};
use crate::{
    StreamError,
    connect::Socket,
    pipe::{Command, Input, Output, QUEUE, READ, Tasks},
};

/// How long a server may take to accept streams.
const ACCEPT: Duration = Duration::from_secs(30);
/// The status of a stream that is not wanted: `REFUSED_STREAM`.
const REFUSED: u32 = 3;

/// Opens streams with these headers, and gives the ends of each in the same order.
pub(crate) async fn open(
    socket: Socket,
    streams: &[Headers],
) -> Result<Vec<(Input, Output)>, StreamError> {
    let (read, mut write) = tokio::io::split(socket);
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    let numbers: Vec<u32> = (0..).map(|n| 2 * n + 1).take(streams.len()).collect();
    for (stream, headers) in numbers.iter().zip(streams) {
        let (stream, headers) = (*stream, headers.clone());
        let frame = Frame::SynStream {
            stream,
            associated: 0,
            priority: 0,
            fin: false,
            unidirectional: false,
            headers,
        };
        encoder.encode(&frame, &mut bytes);
    }
    write.write_all(&bytes).await.map_err(protocol)?;
    let (commands, orders) = mpsc::channel(QUEUE);
    let (opened, is_open) = oneshot::channel();
    let mut reader = Reader {
        read,
        commands: commands.clone(),
        sinks: HashMap::new(),
        unanswered: numbers.iter().copied().collect(),
        opened: Some(opened),
    };
    let mut outputs = Vec::new();
    for stream in &numbers {
        let (sink, chunks) = mpsc::channel(QUEUE);
        reader.sinks.insert(*stream, sink);
        outputs.push((*stream, chunks));
    }
    let reading = tokio::spawn(reader.run());
    let writing = tokio::spawn(write_all(write, orders));
    let tasks = Arc::new(Tasks(vec![reading.abort_handle(), writing.abort_handle()]));
    let answer = tokio::time::timeout(ACCEPT, is_open).await;
    answer
        .map_err(|_| StreamError::Silent { seconds: ACCEPT.as_secs() })?
        .unwrap_or(Err(StreamError::Lost))?;
    let ends = outputs.into_iter().map(|(stream, chunks)| {
        let input = Input::channel(stream, commands.clone(), true, Arc::clone(&tasks));
        (input, Output::channel(chunks, Arc::clone(&tasks)))
    });
    Ok(ends.collect())
}

fn protocol(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StreamError {
    StreamError::Protocol { transport: "SPDY/3.1", cause: cause.into() }
}

/// Takes frames in, and hands bytes to whom they are for.
struct Reader {
    read: ReadHalf<Socket>,
    commands: mpsc::Sender<Command>,
    /// Streams that more may come on.
    sinks: HashMap<u32, mpsc::Sender<Bytes>>,
    /// Streams without a reply.
    unanswered: HashSet<u32>,
    /// Told when all streams have one, or that they never will.
    opened: Option<oneshot::Sender<Result<(), StreamError>>>,
}

impl Reader {
    /// Reads to the end. Streams that are still open then end, too.
    async fn run(mut self) {
        if let Err(error) = self.read_all().await {
            tracing::debug!(%error, "the connection of streams broke");
            if let Some(opened) = self.opened.take() {
                drop(opened.send(Err(error)));
            }
        }
    }

    async fn read_all(&mut self) -> Result<(), StreamError> {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::with_capacity(READ));
        loop {
            while let Some(frame) = decoder.decode(&mut buffer).map_err(protocol)? {
                self.take(frame).await?;
            }
            buffer.reserve(READ);
            if self.read.read_buf(&mut buffer).await.map_err(protocol)? == 0 {
                return if buffer.is_empty() { Ok(()) } else { Err(StreamError::Lost) };
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), StreamError> {
        match frame {
            Frame::SynReply { stream, fin, .. } => {
                self.unanswered.remove(&stream);
                if self.unanswered.is_empty()
                    && let Some(opened) = self.opened.take()
                {
                    drop(opened.send(Ok(())));
                }
                self.end_if(fin, stream);
            }
            Frame::Data { stream, fin, data } => {
                // Whoever has dropped the end does not want it.
                if let Some(sink) = self.sinks.get(&stream)
                    && !data.is_empty()
                    && sink.send(data).await.is_err()
                {
                    self.sinks.remove(&stream);
                }
                self.end_if(fin, stream);
            }
            Frame::Headers { stream, fin, .. } => self.end_if(fin, stream),
            Frame::Reset { stream, status } => {
                self.sinks.remove(&stream);
                if self.unanswered.contains(&stream) {
                    let message = format!("stream {stream} was refused with status {status}");
                    return Err(StreamError::Refused { transport: "SPDY/3.1", message });
                }
            }
            // Servers count pings in even numbers, and want them back.
            Frame::Ping(id) if id % 2 == 0 => self.order(&Frame::Ping(id)),
            Frame::SynStream { stream, .. } => {
                self.order(&Frame::Reset { stream, status: REFUSED });
            }
            // What is under way goes on after a GOAWAY; the end of the connection says the rest.
            Frame::Ping(_)
            | Frame::Settings(_)
            | Frame::GoAway { .. }
            | Frame::WindowUpdate { .. } => {}
        }
        Ok(())
    }

    fn end_if(&mut self, fin: bool, stream: u32) {
        if fin {
            self.sinks.remove(&stream);
        }
    }

    /// Has a frame written that is owed to the peer.
    ///
    /// Not when there is much to be written already: waiting here for the peer to read, while it waits
    /// for us to, would be for ever, and a busy connection shows by itself that it is alive.
    fn order(&self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        // Without headers, a frame does not depend on those before it.
        Encoder::default().encode(frame, &mut bytes);
        drop(self.commands.try_send(Command::Raw(bytes.freeze())));
    }
}

/// Writes what it is told to until nobody tells any more.
async fn write_all(mut write: WriteHalf<Socket>, mut orders: mpsc::Receiver<Command>) {
    while let Some(command) = orders.recv().await {
        let written = match command {
            Command::Data(stream, data) => write_data(&mut write, stream, data).await,
            Command::Close(stream) => write.write_all(&data_header(stream, true, 0)).await,
            Command::Raw(bytes) => write.write_all(&bytes).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the connection of streams cannot be written to");
            return;
        }
    }
}

async fn write_data(write: &mut WriteHalf<Socket>, stream: u32, mut data: Bytes) -> io::Result<()> {
    while !data.is_empty() {
        let part = data.split_to(data.len().min(LONGEST_DATA));
        let header = data_header(stream, false, part.len());
        write.write_all_buf(&mut Buf::chain(header.as_slice(), part)).await?;
    }
    Ok(())
}
