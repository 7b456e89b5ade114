//! The two ends that every way into a pod has, whatever carries the bytes.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
    task::AbortHandle,
};

/// Chunks that wait between a connection and whoever takes them.
pub(crate) const QUEUE: usize = 32;
/// Bytes that are read from a socket at once.
pub(crate) const READ: usize = 256 << 10;

/// What is to be written to a connection that several channels share.
#[derive(Debug)]
pub(crate) enum Command {
    /// Bytes on a channel.
    Data(u32, Bytes),
    /// Nothing more comes on a channel.
    Close(u32),
    /// An answer to the peer's ping, or an order of the protocol, as bytes.
    Raw(Bytes),
}

/// The tasks of a connection; they end with the last end of it that is held.
#[derive(Debug)]
pub(crate) struct Tasks(pub(crate) Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Where bytes go in: a command's standard input, a port.
#[derive(Debug)]
pub struct Input(Sink);

#[derive(Debug)]
enum Sink {
    Channel { channel: u32, commands: mpsc::Sender<Command>, can_close: bool, _tasks: Arc<Tasks> },
    Socket(OwnedWriteHalf),
}

impl Input {
    pub(crate) fn channel(
        channel: u32,
        commands: mpsc::Sender<Command>,
        can_close: bool,
        tasks: Arc<Tasks>,
    ) -> Self {
        Self(Sink::Channel { channel, commands, can_close, _tasks: tasks })
    }

    pub(crate) fn socket(half: OwnedWriteHalf) -> Self {
        Self(Sink::Socket(half))
    }

    /// Hands bytes over; waits while the other side does not take them.
    ///
    /// # Errors
    /// `BrokenPipe` when nobody will read them any more.
    pub async fn write(&mut self, data: Bytes) -> io::Result<()> {
        match &mut self.0 {
            Sink::Channel { channel, commands, .. } => {
                let sent = commands.send(Command::Data(*channel, data)).await;
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
            Sink::Socket(half) => half.write_all(&data).await,
        }
    }

    /// Whether the other side can be told that nothing more comes, while it goes on answering.
    pub fn can_close(&self) -> bool {
        match &self.0 {
            Sink::Channel { can_close, .. } => *can_close,
            Sink::Socket(_) => true,
        }
    }

    /// Says that nothing more comes; what the other side sends can still be read.
    ///
    /// Where that cannot be said ([`Input::can_close`]), nothing is.
    pub async fn close(self) {
        match self.0 {
            Sink::Channel { channel, commands, can_close: true, .. } => {
                // If nobody takes it, the connection is gone, which closes it, too.
                drop(commands.send(Command::Close(channel)).await);
            }
            Sink::Channel { .. } => {}
            Sink::Socket(mut half) => drop(half.shutdown().await),
        }
    }
}

/// Where bytes come out: a command's standard output or error, a port.
#[derive(Debug)]
pub struct Output(Source);

#[derive(Debug)]
enum Source {
    Channel { chunks: mpsc::Receiver<Bytes>, _tasks: Arc<Tasks> },
    Socket { half: OwnedReadHalf, buffer: BytesMut },
}

impl Output {
    pub(crate) fn channel(chunks: mpsc::Receiver<Bytes>, tasks: Arc<Tasks>) -> Self {
        Self(Source::Channel { chunks, _tasks: tasks })
    }

    pub(crate) fn socket(half: OwnedReadHalf) -> Self {
        Self(Source::Socket { half, buffer: BytesMut::new() })
    }

    /// The next bytes, never empty ones, or nothing at the end. Nothing is lost when the future is
    /// dropped.
    ///
    /// # Errors
    /// The kernel's, where the bytes come from a socket of our own.
    pub async fn read(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.0 {
            Source::Channel { chunks, .. } => loop {
                match chunks.recv().await {
                    Some(chunk) if chunk.is_empty() => {}
                    other => return Ok(other),
                }
            },
            Source::Socket { half, buffer } => {
                buffer.reserve(READ);
                let read = half.read_buf(buffer).await?;
                Ok((read > 0).then(|| buffer.split().freeze()))
            }
        }
    }
}
