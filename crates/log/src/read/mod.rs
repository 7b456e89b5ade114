//! Reading logs: all files of each, oldest first, as one stream.
//!
//! ```text
//! Snapshot   the files of a log at one moment (segment.rs), opened one by one (queue.rs)
//!    │ tail, since: where to begin, found by searching (search.rs)
//!    ▼
//! Cursor     bytes to physical lines, in a buffer that never grows (cursor.rs)
//!    ▼
//! Source     fragments stitched over records and files, what is not wanted left out (source.rs); where
//!    │       everything is wanted and nothing but the text, many lines at once (compact.rs)
//!    ▼
//! merge      lines of several sources by time, rendered and written in batches (merge.rs, render.rs)
//! ```

mod append;
mod compact;
mod cursor;
mod grep;
mod line;
mod merge;
mod queue;
mod render;
mod search;
mod segment;
mod source;
#[cfg(test)]
mod tests;

use std::{ffi::OsStr, io::Write, os::unix::ffi::OsStrExt};

pub use grep::{Grep, InvalidPattern};
pub use line::{Counts, Filter, Line};
use merge::Whole;
pub(crate) use merge::{Lines, Output, by_time};
pub use render::{Form, Name, Renderer};
pub(crate) use search::{begin, begin_at_end, first_since, place_in_file};
pub use segment::LogFile;
pub(crate) use segment::{FORMS, Input, Snapshot, decompress, id};
pub(crate) use source::{Next, Source};

use crate::{error::LogError, files::Compression};

/// What is read of logs.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which lines.
    pub filter: Filter,
    /// Only this many lines, the last ones of each log that pass the filter.
    pub tail: Option<u64>,
    /// Only this many bytes of output.
    pub limit: Option<u64>,
}

/// Reads logs from their beginning, or where the query says, to their end as it is now, and writes
/// their lines by time. `renderer` has the logs as its sources, in the same order.
///
/// Every byte of every file of the logs is written once and in order, whoever rotates them
/// meanwhile. Memory is bounded by the number of logs, not by their sizes.
///
/// # Errors
/// A log that is not there or cannot be read; [`LogError::Write`] when `out` fails.
pub fn read(
    logs: &[LogFile],
    query: &Query,
    renderer: &mut Renderer,
    out: &mut dyn Write,
) -> Result<Counts, LogError> {
    let snapshots: Result<Vec<_>, LogError> = logs.iter().map(Snapshot::of_log).collect();
    read_snapshots(&snapshots?, query, renderer, out)
}

/// Reads logs as [`read`] does, from these moments on.
pub(crate) fn read_snapshots(
    snapshots: &[Snapshot],
    query: &Query,
    renderer: &mut Renderer,
    out: &mut dyn Write,
) -> Result<Counts, LogError> {
    let mut sources = Vec::new();
    for snapshot in snapshots {
        let log = &snapshot.log;
        let source =
            begin(snapshot, query, snapshots.len() > 1).map_err(|cause| log.failed(cause))?;
        sources.push(Whole { log: log.clone(), source });
    }
    merge::run(sources, query.limit, renderer, out)
}

/// Reads one file as [`read`] does: a log by itself, or a compressed part of one.
///
/// # Errors
/// As [`read`].
pub fn read_file(
    file: &LogFile,
    query: &Query,
    renderer: &mut Renderer,
    out: &mut dyn Write,
) -> Result<Counts, LogError> {
    let snapshot = Snapshot::of_one(file, compression(&file.name));
    let source = begin(&snapshot, query, false).map_err(|cause| file.failed(cause))?;
    merge::run(vec![Whole { log: file.clone(), source }], query.limit, renderer, out)
}

/// How a file is compressed, by its name.
fn compression(name: &OsStr) -> Option<Compression> {
    match name.as_bytes() {
        name if name.ends_with(b".gz") => Some(Compression::Gzip),
        name if name.ends_with(b".zst") => Some(Compression::Zstd),
        _ => None,
    }
}
