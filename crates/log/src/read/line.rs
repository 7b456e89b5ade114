//! What is asked for and what is given: filters, lines, counts.

use super::grep::Grep;
use crate::format::Stream;

/// How far apart the times of neighbouring records may be the wrong way round, nanoseconds: the two
/// streams are stamped side by side.
pub(crate) const DISORDER: i64 = 2_000_000_000;

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only lines of this stream. Lines that are no records belong to no stream.
    pub stream: Option<Stream>,
    /// Only lines of this time and later, nanoseconds since 1970.
    pub since: Option<i64>,
    /// Only lines up to this time, nanoseconds since 1970.
    pub until: Option<i64>,
    /// Only lines that match.
    pub grep: Option<Grep>,
}

impl Filter {
    /// Whether there is no line that it does not want.
    pub(crate) fn takes_all(&self) -> bool {
        let Self { stream, since, until, grep } = self;
        stream.is_none() && since.is_none() && until.is_none() && grep.is_none()
    }

    /// Whether no line that is still to be written is wanted, by the clock of now.
    pub(crate) fn is_past(&self) -> bool {
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        self.until.is_some_and(|until| now.saturating_sub(DISORDER) > until)
    }
}

/// A line, or a piece of one that is longer than what is held.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its time as the runtime wrote it; empty where the line has none.
    pub time: &'a [u8],
    /// Where it was written; absent when the line is no record.
    pub stream: Option<Stream>,
    /// What was written, without the line end.
    pub content: &'a [u8],
    /// Whether it is the line's first piece.
    pub first: bool,
    /// Whether it is the line's last piece.
    pub last: bool,
    /// Whether its log ends before the line does: the runtime wrote that it goes on, and nothing came.
    pub cut: bool,
}

/// What was found while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Lines given.
    pub lines: u64,
    /// Lines that are no records: no time, binary, cut by a crash. They are given as they are.
    pub broken: u64,
    /// Compressed files that end too early or are damaged. What can be read of them is given.
    pub torn: u64,
    /// Files that were removed before their turn came.
    pub vanished: u64,
}

impl Counts {
    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.broken += other.broken;
        self.torn += other.torn;
        self.vanished += other.vanished;
    }
}

/// What a source has before its first line.
pub(super) const NOTHING: Line<'static> =
    Line { time: b"", stream: None, content: b"", first: true, last: true, cut: false };
