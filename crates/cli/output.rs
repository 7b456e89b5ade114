//! The one place that writes to stdout and stderr.
//!
//! Data goes to stdout, words go to stderr. A reader that has gone away (`crilet ps | head -1`)
//! ends the command quietly.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// Set once a reader of stdout has gone away.
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

use nix::fcntl::{FcntlArg, fcntl};

use crate::paint;

/// Room of a pipe in bytes: what users who are not root may have at most by default.
const PIPE: i32 = 1 << 20;

/// Bytes that a screen takes at once.
const PICTURE: usize = 64 << 10;

/// Writes data to stdout.
pub(crate) fn data(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            READER_IS_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        other => other,
    }
}

/// Standard output for much data, written as it comes in whole batches.
///
/// A pipe is given as much room as the kernel lets anybody have, so that both ends work side by side.
pub(crate) fn stream() -> impl Write {
    let stdout = io::stdout().lock();
    fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(PIPE)).unwrap_or_default();
    stdout
}

/// A writer that notes whether it failed, for who reads and writes in one and has one error for both.
#[derive(Debug)]
pub(crate) struct Noted<W> {
    to: W,
    failed: bool,
}

impl<W> Noted<W> {
    /// Writes to `to`.
    pub(crate) fn new(to: W) -> Self {
        Self { to, failed: false }
    }

    /// Whether it was the writing that failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().inspect_err(|_| self.failed = true)
    }
}

/// A stream of a command that runs elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Writes what a command elsewhere wrote, on a thread of its own: whoever takes it may be slow, and the
/// rest goes on meanwhile. An error is a reader that has gone away, or a full disk.
pub(crate) fn relay(
    stream: Stream,
    mut chunks: tokio::sync::mpsc::Receiver<bytes::Bytes>,
) -> tokio::task::JoinHandle<io::Result<()>> {
    tokio::task::spawn_blocking(move || {
        let mut target: Box<dyn Write> = match stream {
            Stream::Out => Box::new(raw_stdout()?),
            Stream::Err => Box::new(io::stderr()),
        };
        while let Some(chunk) = chunks.blocking_recv() {
            target.write_all(&chunk)?;
        }
        target.flush()
    })
}

/// Standard output without std's buffer, which would look for ends of lines.
fn raw_stdout() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    let file = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    fcntl(&file, FcntlArg::F_SETPIPE_SZ(PIPE)).unwrap_or_default();
    Ok(file)
}

/// Standard output as a screen that is drawn on, written as it comes in whole pictures.
pub(crate) fn screen() -> io::Result<impl Write> {
    Ok(io::BufWriter::with_capacity(PICTURE, raw_stdout()?))
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes a line to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    data(&format!("{text}\n"))
}

/// Writes a value as indented JSON to stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    text.push('\n');
    data(&text)
}

/// Whether what read stdout went away: what would go on for ever can end then.
pub(crate) fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// Writes a value as YAML to stdout.
pub(crate) fn yaml(value: &impl serde::Serialize) -> io::Result<()> {
    data(&yaml_text(value)?)
}

/// A value as YAML.
pub(crate) fn yaml_text(value: &impl serde::Serialize) -> io::Result<String> {
    serde_saphyr::to_string(value).map_err(io::Error::other)
}

/// Whether lines can be written over on stdout.
pub(crate) fn can_redraw() -> bool {
    is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text on a terminal that is written again in its place.
#[derive(Debug, Default)]
pub(crate) struct Redrawn {
    /// Lines that it has now.
    lines: usize,
}

impl Redrawn {
    /// Writes a text over the former one. What does not fit is cut: lines that wrap or scroll away
    /// could not be written over.
    pub(crate) fn show(&mut self, text: &str) -> io::Result<()> {
        let size = terminal_size::terminal_size_of(io::stdout());
        let (width, height) = size.map_or((80, 24), |(width, height)| (width.0, height.0));
        let lines = text.lines().take(usize::from(height.saturating_sub(1)));
        let lines: Vec<_> = lines.map(|line| paint::cut(line, width.into()) + "\n").collect();
        let up = match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        self.lines = lines.len();
        data(&format!("{up}\r\x1b[J{}", lines.concat()))
    }
}

/// A table to which rows are added: columns are as wide as they were, or wider.
#[derive(Debug)]
pub(crate) struct GrowingTable {
    header: Option<Vec<String>>,
    widths: Vec<usize>,
}

impl GrowingTable {
    /// A table whose header comes before its first rows.
    pub(crate) fn new(header: &[&str]) -> Self {
        let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
        Self {
            widths: header.iter().map(|name| name.chars().count()).collect(),
            header: Some(header),
        }
    }

    /// Rows that come below those before.
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let rows: Vec<_> = self.header.take().into_iter().chain(rows).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter().map(|row| table_row(row, &self.widths)).collect()
    }
}

/// Says something to a person. Nobody listening is no error.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(writeln!(stderr, "{text}"));
}

/// Rewrites the current line of a terminal on stderr; an empty text clears it.
///
/// What does not fit is cut: a line that wraps could not be rewritten.
pub(crate) fn progress(text: &str) {
    let mut stderr = io::stderr().lock();
    let width = terminal_size::terminal_size_of(&stderr).map_or(80, |(width, _)| width.0);
    let fitting: String = text.chars().take(usize::from(width).saturating_sub(1)).collect();
    drop(write!(stderr, "\r\x1b[2K{fitting}").and_then(|()| stderr.flush()));
}

/// Says a last word and ends the process, when there is nothing left to wait for.
#[expect(clippy::exit, reason = "a second Ctrl-C wants out, whatever is still under way")]
pub(crate) fn leave(text: &str, status: i32) -> ! {
    say(text);
    std::process::exit(status)
}

/// Whether a person watches stderr.
pub(crate) fn is_interactive() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A table with a header; columns are as wide as they need to be and the last one is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    self::rows(&std::iter::once(header).chain(rows.iter().cloned()).collect::<Vec<_>>())
}

/// Rows of one table without a header.
pub(crate) fn rows(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter().map(|row| table_row(row, &widths)).collect()
}

/// A row of a table whose columns have these widths at least.
pub(crate) fn table_row(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<_> =
        row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let rows = vec![vec!["a".into(), "long name".into(), String::new()]];
        assert_eq!(table(&["ID", "NAME", "X"], &rows), "ID  NAME       X\na   long name\n");
    }
}
