//! From bytes to physical lines, in a buffer that never grows.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use regex::bytes::Regex;

use super::{compact::compact, segment::Input};
use crate::format::Header;

/// Bytes read at a time. What is longer than this comes in pieces.
pub(crate) const BUFFER: usize = 128 << 10;

/// A physical line, or a piece of one that is longer than the buffer; ranges are of the buffer.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// What the line says it is; absent for what is no record, and for later pieces.
    pub(crate) header: Option<Header>,
    /// All of it, without the line end.
    pub(crate) line: Range<usize>,
    /// Whether it is the first piece of its line.
    pub(crate) first: bool,
    /// Whether it is the last piece of its line.
    pub(crate) last: bool,
}

/// What there was to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An item.
    Item,
    /// No more, for now or for ever.
    End,
}

/// Cuts what it reads into lines.
#[derive(Debug)]
pub(crate) struct Cursor {
    input: Option<Input>,
    /// As long as what is read needs, and never longer than [`BUFFER`].
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to where the buffer is known to have no line end.
    scanned: usize,
    /// Within a line of which a piece was given already.
    inside: bool,
    /// Up to where the buffer has fragments, or may have: no lines may be skipped before.
    fragments: usize,
    /// Up to where the buffer is known to have none.
    clear: usize,
    /// Offset in the content of `start`.
    offset: u64,
}

impl Cursor {
    pub(crate) fn new() -> Self {
        Self {
            input: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            inside: false,
            fragments: 0,
            clear: 0,
            offset: 0,
        }
    }

    /// Reads from here next; `offset` is where in the content that is. The rest of what was read
    /// before is given first, by [`Cursor::finish`].
    pub(crate) fn read_from(&mut self, input: Input, offset: u64) {
        self.input = Some(input);
        self.offset = offset.saturating_sub(as_u64(self.end - self.start));
    }

    /// The file that is read, unless it is compressed.
    pub(crate) fn file(&self) -> Option<&Arc<File>> {
        match &self.input {
            Some(Input::Plain { file, .. }) => Some(file),
            _ => None,
        }
    }

    /// Reads its file up to this length.
    pub(crate) fn extend(&mut self, length: u64) {
        if let Some(Input::Plain { end, .. }) = &mut self.input {
            *end = length;
        }
    }

    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// How far it has come in the content of what it reads: all before was given.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How far it has read in the content of what it reads.
    pub(crate) fn read_offset(&self) -> u64 {
        self.offset + as_u64(self.end - self.start)
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// The next line that has its end, or piece of a long one.
    #[inline]
    pub(crate) fn next(&mut self, item: &mut Item) -> io::Result<Step> {
        loop {
            let unseen = self.buffer.get(self.scanned..self.end).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', unseen) {
                let end = self.scanned + length;
                self.take(item, end, true);
                self.start = end + 1;
                self.scanned = self.start;
                self.offset += 1;
                return Ok(Step::Item);
            }
            self.scanned = self.end;
            if self.start == 0 && self.end == BUFFER {
                self.take(item, self.end, false);
                self.start = self.end;
                return Ok(Step::Item);
            }
            if !self.fill()? {
                return Ok(Step::End);
            }
        }
    }

    /// The contents of all records that the buffer has next, moved together in it, and how many they
    /// are. None where there is no more to read, or where what comes next is not a whole record.
    pub(crate) fn records(&mut self) -> io::Result<Option<(Range<usize>, u64)>> {
        loop {
            if self.inside {
                return Ok(None);
            }
            let unread = self.buffer.get_mut(self.start..self.end).unwrap_or_default();
            let done = compact(unread);
            let text = self.start..self.start + done.written;
            self.start += done.read;
            self.scanned = self.start;
            self.offset += as_u64(done.read);
            if done.lines > 0 {
                return Ok(Some((text, done.lines)));
            }
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let full = unread.len() == BUFFER;
            if full || memchr::memchr(b'\n', unread).is_some() || !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// What is left at the end of the input: a line without its end.
    pub(crate) fn finish(&mut self, item: &mut Item) -> Step {
        self.input = None;
        if self.start == self.end && !self.inside {
            return Step::End;
        }
        self.take(item, self.end, true);
        self.start = self.end;
        self.scanned = self.end;
        Step::Item
    }

    /// Forgets what was read and not given, as when a file was truncated.
    pub(crate) fn forget(&mut self) {
        (self.start, self.end, self.scanned) = (0, 0, 0);
        (self.fragments, self.clear) = (0, 0);
        self.inside = false;
    }

    #[inline]
    fn take(&mut self, item: &mut Item, end: usize, last: bool) {
        let line = self.start..end;
        let first = !self.inside;
        item.header = if first {
            Header::of(self.buffer.get(line.clone()).unwrap_or_default())
        } else {
            None
        };
        self.offset += as_u64(line.len());
        item.line = line;
        item.first = first;
        item.last = last;
        self.inside = !last;
    }

    /// Reads more; tells whether there was any.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.fragments = self.fragments.saturating_sub(self.start);
            self.clear = self.clear.saturating_sub(self.start);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        let Some(input) = &mut self.input else { return Ok(false) };
        let wanted = self.end.saturating_add(input.left()).min(BUFFER);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match input.read(room) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes to the next line that may match, without looking at each of those before.
    ///
    /// `regex` must not match across line ends, and nothing that was given may be waiting for its
    /// continuation. Stops as well before a fragment, whose continuation may match with it.
    pub(crate) fn skip_to(&mut self, regex: &Regex) -> io::Result<()> {
        while !self.inside {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Some(length) = memchr::memrchr(b'\n', unread).map(|at| at + 1) else {
                if unread.len() == BUFFER || !self.fill()? {
                    return Ok(());
                }
                continue;
            };
            if self.start < self.fragments {
                return Ok(());
            }
            let whole = unread.get(..length).unwrap_or_default();
            if self.clear < self.start + length {
                if has_fragment(whole) {
                    self.fragments = self.start + length;
                    return Ok(());
                }
                self.clear = self.start + length;
            }
            let skipped = match regex.find(whole) {
                Some(found) => {
                    let before = whole.get(..found.start()).unwrap_or_default();
                    memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)
                }
                None => length,
            };
            self.start += skipped;
            self.scanned = self.start;
            self.offset += as_u64(skipped);
            if skipped < length {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Item {
    pub(crate) fn empty() -> Self {
        Self { header: None, line: 0..0, first: true, last: true }
    }
}

/// Whether there may be a record with the tag P.
fn has_fragment(lines: &[u8]) -> bool {
    memchr::memmem::find(lines, b" stdout P").is_some()
        || memchr::memmem::find(lines, b" stderr P").is_some()
}

pub(crate) fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
