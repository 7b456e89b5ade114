//! Logs on their way to a client.

use std::{
    fmt,
    io::{self, Write},
};

use bytes::Bytes;
use crilet_log::{Control, Counts, Form, LogError, Query};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Pieces that wait for the client; the reader waits then, and holds no more.
const QUEUE: usize = 4;

/// Which logs of a pod, and what of them.
#[derive(Debug, Clone, Default)]
pub struct LogRequest {
    /// Only this container's.
    pub container: Option<String>,
    /// Of the containers that were there before.
    pub previous: bool,
    /// Whether to go on with what is added, until the containers have ended.
    pub follow: bool,
    /// Which lines.
    pub query: Query,
    /// How lines are written.
    pub form: Form,
    /// Whether the time stands before each.
    pub timestamps: bool,
}

/// A log as it is read. What is not taken is not read: a client that stops costs no memory. What
/// reads ends when this is dropped.
pub struct LogStream {
    chunks: mpsc::Receiver<Result<Bytes, LogError>>,
    first: Option<Bytes>,
    follower: Option<Follower>,
    /// Ends the reader, even one that is held up by its client.
    ended: CancellationToken,
    _end: DropGuard,
}

/// What goes on while a log is followed.
struct Follower {
    control: Control,
    tracker: AbortHandle,
}

impl fmt::Debug for LogStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogStream").finish_non_exhaustive()
    }
}

impl LogStream {
    /// Has `work` write on a thread of its own.
    pub(crate) fn start(
        work: impl FnOnce(&mut dyn Write) -> Result<Counts, LogError> + Send + 'static,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(QUEUE);
        let ended = CancellationToken::new();
        let mut out = Chunks { sender, ended: ended.clone(), runtime: Handle::current() };
        tokio::task::spawn_blocking(move || match work(&mut out) {
            Err(error) if !error.is_reader_gone() => {
                // Whoever is gone by now needs no words.
                let _gone = out.put(Err(error)).is_err();
            }
            _ => {}
        });
        let end = ended.clone().drop_guard();
        Self { chunks, first: None, follower: None, ended, _end: end }
    }

    /// Ends the reader with `closing`, too. A connection whose client takes nothing does not ask
    /// for the next piece, and so would never hear of it.
    pub(crate) fn end_with(&self, closing: CancellationToken) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = closing.cancelled() => ended.cancel(),
                () = ended.cancelled() => {}
            }
        });
    }

    /// Ends the follower and what tells it about containers when this is dropped.
    pub(crate) fn followed_by(mut self, control: Control, tracker: AbortHandle) -> Self {
        self.follower = Some(Follower { control, tracker });
        self
    }

    /// Waits until it is known that something can be read.
    ///
    /// # Errors
    /// What went wrong before the first byte.
    pub(crate) async fn begin(mut self) -> Result<Self, LogError> {
        self.first = self.chunks.recv().await.transpose()?;
        Ok(self)
    }

    /// The next piece; nothing at the end. Safe to drop and to call again.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, LogError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        tokio::select! {
            () = self.ended.cancelled() => None,
            next = self.chunks.recv() => next,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.control.stop();
        self.tracker.abort();
    }
}

/// Hands on what is written, and waits while nobody takes it.
struct Chunks {
    sender: mpsc::Sender<Result<Bytes, LogError>>,
    ended: CancellationToken,
    runtime: Handle,
}

impl Chunks {
    fn put(&self, chunk: Result<Bytes, LogError>) -> io::Result<()> {
        let gone = || io::ErrorKind::BrokenPipe.into();
        self.runtime.block_on(async {
            tokio::select! {
                () = self.ended.cancelled() => Err(gone()),
                sent = self.sender.send(chunk) => sent.map_err(|_| gone()),
            }
        })
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(Ok(Bytes::copy_from_slice(bytes))).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
