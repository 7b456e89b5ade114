//! The files of a snapshot, opened one after the other.

use std::{io, ops::Range};

use super::{
    line::Counts,
    segment::{Input, Snapshot},
};
use crate::files::is_planted;

/// Files that are read one after the other.
#[derive(Debug)]
pub(super) struct Queue {
    snapshot: Snapshot,
    next: usize,
    end: usize,
    offset: u64,
}

impl Queue {
    /// These segments, from a place in the first one on.
    pub(super) fn new(snapshot: &Snapshot, segments: Range<usize>, offset: u64) -> Self {
        let (next, end) = (segments.start, segments.end);
        Self { snapshot: snapshot.clone(), next, end, offset }
    }

    /// Whether all were opened.
    pub(super) fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The segment that was opened last.
    pub(super) fn segment(&self) -> usize {
        self.next.saturating_sub(1)
    }

    /// Opens the next one that can be, and tells where in it to begin. What is gone or damaged is
    /// counted and passed over.
    pub(super) fn open(&mut self, counts: &mut Counts) -> io::Result<Option<(Input, u64)>> {
        while self.next < self.end {
            let (segment, offset) = (self.next, std::mem::take(&mut self.offset));
            self.next += 1;
            match self.snapshot.open(segment, offset) {
                Ok(input) => return Ok(Some((input, offset))),
                // Planted after the files were listed; before, it would not have been among them.
                Err(error) if is_planted(&error) => counts.vanished += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => counts.vanished += 1,
                Err(error) if is_damage(&error) => counts.torn += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether a compressed file is cut or damaged, as opposed to unreadable.
pub(super) fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
    )
}
