//! A command, or a container's first process, with its streams.

use bytes::Bytes;
use serde::Serialize;

use crate::{Input, Output, StreamError, status};

/// How much of the channel for errors is kept, in bytes.
const LONGEST_STATUS: usize = 64 << 10;

/// A command that runs, or a process that is attached to.
///
/// Whoever asked for an output should read it to its end, then ask [`Ending::wait`]: all outputs come
/// over one connection, and one that nobody reads holds up the others. Dropping every part leaves the
/// command to itself: its input ends, it runs on.
#[derive(Debug)]
pub struct Session {
    /// Standard input, if it was asked for.
    pub stdin: Option<Input>,
    /// Standard output, if it was asked for; with a terminal, standard error as well.
    pub stdout: Option<Output>,
    /// Standard error, if it was asked for.
    pub stderr: Option<Output>,
    /// The terminal, if one was asked for.
    pub terminal: Option<Terminal>,
    /// How it ends.
    pub ending: Ending,
}

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The size of a command's terminal.
#[derive(Debug)]
pub struct Terminal(pub(crate) Input);

impl Terminal {
    /// Tells the command how large its terminal is. A command that has ended does not care.
    pub async fn resize(&mut self, size: TerminalSize) {
        let text = serde_json::to_vec(&size).unwrap_or_default();
        drop(self.0.write(Bytes::from(text)).await);
    }
}

/// How a command ends.
#[derive(Debug)]
pub struct Ending(pub(crate) Output);

impl Ending {
    /// Waits for the end, and gives the exit code, 0 to 255; 0 when a container was attached to.
    ///
    /// # Errors
    /// As [`status::read`].
    pub async fn wait(mut self) -> Result<u8, StreamError> {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.0.read().await {
            let room = LONGEST_STATUS.saturating_sub(bytes.len());
            bytes.extend(chunk.iter().take(room));
            // Servers leave the channel open for a while after the status.
            if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
                break;
            }
        }
        status::read(&bytes)
    }
}
