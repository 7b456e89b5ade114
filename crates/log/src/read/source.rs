//! From physical lines to the lines that a container wrote: fragments stitched, what is not wanted
//! left out.

use std::{io, ops::Range};

use super::{
    append::append,
    cursor::{Cursor, Item, Step},
    line::{Counts, DISORDER, Filter, Line, NOTHING},
    queue::{Queue, is_damage},
    segment::{Input, Snapshot},
};
use crate::format::{Stream, TimeReader};

/// Bytes of a line that are held back until its end is there. A longer one is given in pieces.
const HELD: usize = 256 << 10;

/// Where the current line is.
#[derive(Debug, Clone)]
enum Place {
    None,
    Buffer {
        time: Range<usize>,
        content: Range<usize>,
        stream: Option<Stream>,
    },
    Held {
        slot: usize,
        last: bool,
    },
    /// Many lines, of which nothing is known but their text and number.
    Text(Range<usize>, u64),
}

/// A line whose end is not there yet: one for each stream, and one for what is no record.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    time: Vec<u8>,
    at: i64,
    /// Whether it is open.
    open: bool,
    /// Whether a piece was given already.
    given: bool,
    /// Whether what was given of it is wanted.
    wanted: bool,
}

/// What comes next of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line, in [`Source::line`], or many, in [`Source::text`].
    Line,
    /// No more, for now or for ever.
    End,
}

/// The lines of one log.
#[derive(Debug)]
pub(crate) struct Source {
    cursor: Cursor,
    item: Item,
    filter: Filter,
    held: [Held; 3],
    /// Whose line it is that comes in pieces, and whether it is a fragment.
    long: (usize, bool),
    /// Segment and offset since which there was always an open line.
    open_since: (usize, u64),
    place: Place,
    times: TimeReader,
    /// Whether anybody wants to know times.
    timed: bool,
    /// Whether lines may come many at a time.
    by_text: bool,
    /// Time of the current line, or of the last one that had one.
    at: i64,
    /// The segments that are still to come.
    queue: Option<Queue>,
    over: bool,
    /// Whether it gives what no record went on.
    finishing: bool,
    /// Whether more may come at the end of the last file.
    endless: bool,
    /// What is read after the last file.
    follow_up: Option<Input>,
    pub(crate) counts: Counts,
}

const SLOTS: [Option<Stream>; 3] = [Some(Stream::Stdout), Some(Stream::Stderr), None];

fn slot(stream: Option<Stream>) -> usize {
    match stream {
        Some(Stream::Stdout) => 0,
        Some(Stream::Stderr) => 1,
        None => 2,
    }
}

impl Source {
    /// A source that is given its input piece by piece.
    pub(crate) fn new(filter: Filter, timed: bool) -> Self {
        let timed = timed || filter.since.is_some() || filter.until.is_some();
        Self {
            cursor: Cursor::new(),
            item: Item::empty(),
            filter,
            held: Default::default(),
            long: (NO_RECORD, false),
            open_since: (0, 0),
            place: Place::None,
            times: TimeReader::default(),
            timed,
            by_text: false,
            at: i64::MIN,
            queue: None,
            over: false,
            finishing: false,
            endless: false,
            follow_up: None,
            counts: Counts::default(),
        }
    }

    /// Reads segments of a snapshot, from a place in the first one on.
    pub(crate) fn of(
        snapshot: &Snapshot,
        segments: Range<usize>,
        offset: u64,
        filter: Filter,
        timed: bool,
    ) -> Self {
        let queue = Some(Queue::new(snapshot, segments, offset));
        Self { queue, ..Self::new(filter, timed) }
    }

    /// Reads this file alone, up to its end or a place in it.
    pub(crate) fn of_input(input: Input, offset: u64, filter: Filter) -> Self {
        let mut source = Self::new(filter, false);
        source.cursor.read_from(input, offset);
        source
    }

    /// Goes on with another file after this one.
    pub(crate) fn turn(&mut self, input: Input) {
        self.follow_up = Some(input);
    }

    /// Reads its file from the beginning; a line whose end had not come is forgotten with the rest.
    pub(crate) fn restart(&mut self) {
        if let Some(file) = self.cursor.file().cloned() {
            self.cursor.forget();
            self.cursor.read_from(Input::plain(file, 0, 0), 0);
        }
    }

    /// Says that nothing more will come: what has no end yet is given as it is.
    pub(crate) fn end(&mut self) {
        self.endless = false;
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Takes the end of the last file for a place where more may come.
    pub(crate) fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Whether it stands at the end of the last file, where more may come.
    fn waits(&self) -> bool {
        let last = self.queue.as_ref().is_none_or(Queue::is_done) && self.follow_up.is_none();
        self.endless && last && self.cursor.has_input()
    }

    /// Whether nothing more is wanted, whatever comes.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Reads its file up to this length.
    pub(crate) fn extend(&mut self, length: u64) {
        self.cursor.extend(length);
    }

    /// The time of the current line, nanoseconds since 1970.
    #[inline]
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// Whether the line that is given is not at its end.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.place, Place::Held { last: false, .. })
    }

    /// Says whether whoever takes its lines wants nothing of them but their text.
    pub(crate) fn allow_text(&mut self, allowed: bool) {
        self.by_text = allowed && !self.timed && self.filter.takes_all();
    }

    /// Many lines with their ends and how many they are, where those are what is current.
    #[inline]
    pub(crate) fn text(&self) -> Option<(&[u8], u64)> {
        match &self.place {
            Place::Text(text, lines) => Some((self.cursor.bytes(text.clone()), *lines)),
            _ => None,
        }
    }

    /// The current line.
    #[inline]
    pub(crate) fn line(&self) -> Line<'_> {
        match &self.place {
            Place::Buffer { time, content, stream } => Line {
                time: self.cursor.bytes(time.clone()),
                stream: *stream,
                content: self.cursor.bytes(content.clone()),
                first: true,
                last: true,
                cut: false,
            },
            Place::Held { slot, last } => match (self.held.get(*slot), SLOTS.get(*slot)) {
                (Some(held), Some(stream)) => Line {
                    time: &held.time,
                    stream: *stream,
                    content: &held.bytes,
                    first: !held.given,
                    last: *last,
                    cut: self.finishing && *slot != NO_RECORD,
                },
                _ => NOTHING,
            },
            Place::None | Place::Text(..) => NOTHING,
        }
    }

    /// Goes to the next wanted line, through all files; at their end, to what has no end.
    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        loop {
            if self.over {
                return Ok(Next::End);
            }
            match self.drain() {
                Ok(Next::Line) => return Ok(Next::Line),
                Ok(Next::End) if self.over || self.waits() => return Ok(Next::End),
                Ok(Next::End) => {}
                Err(error) if is_damage(&error) => self.counts.torn += 1,
                Err(error) => return Err(error),
            }
            if self.finish_file()? == Next::Line {
                return Ok(Next::Line);
            }
            if !self.open_next()? {
                return Ok(if self.endless { Next::End } else { self.finish() });
            }
        }
    }

    /// Goes to the next wanted line that has its end in what can be read now.
    #[inline]
    pub(crate) fn drain(&mut self) -> io::Result<Next> {
        self.release();
        loop {
            if self.by_text && self.take_text()? {
                return Ok(Next::Line);
            }
            self.skip()?;
            let begun = self.cursor.offset();
            if self.cursor.next(&mut self.item)? == Step::End {
                return Ok(Next::End);
            }
            if self.take_item(begun) {
                return Ok(Next::Line);
            }
            if self.over {
                return Ok(Next::End);
            }
        }
    }

    /// Ends the current file: what it has after its last line end is a line, too.
    pub(crate) fn finish_file(&mut self) -> io::Result<Next> {
        if !self.cursor.has_input() {
            return Ok(Next::End);
        }
        let begun = self.cursor.offset();
        let left = self.cursor.finish(&mut self.item) == Step::Item;
        Ok(if left && self.take_item(begun) { Next::Line } else { Next::End })
    }

    /// Gives, one after the other, the fragments that nothing went on.
    pub(crate) fn finish(&mut self) -> Next {
        self.release();
        self.finishing = true;
        for slot in 0..self.held.len() {
            if self.held.get(slot).is_some_and(|held| held.open) && self.complete(slot, true) {
                return Next::Line;
            }
        }
        self.over = true;
        Next::End
    }

    /// Reads everything; gives the last place before which no line is left open, if one is at
    /// the end: segment and offset.
    pub(crate) fn open_at_end(&mut self) -> io::Result<Option<(usize, u64)>> {
        while self.open_next()? {
            loop {
                match self.drain() {
                    Ok(Next::Line) => {}
                    Ok(Next::End) => break,
                    Err(error) if is_damage(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            self.finish_file()?;
        }
        self.release();
        Ok(self.held.iter().any(|held| held.open).then_some(self.open_since))
    }

    fn open_next(&mut self) -> io::Result<bool> {
        if let Some(input) = self.follow_up.take() {
            self.cursor.read_from(input, 0);
            return Ok(true);
        }
        let Some(queue) = &mut self.queue else { return Ok(false) };
        let Some((input, offset)) = queue.open(&mut self.counts)? else { return Ok(false) };
        self.cursor.read_from(input, offset);
        Ok(true)
    }

    /// Passes over lines that cannot match, where that can be told without looking at each.
    #[inline]
    fn skip(&mut self) -> io::Result<()> {
        let Some(grep) = &self.filter.grep else { return Ok(()) };
        let Some(regex) = grep.across_lines() else { return Ok(()) };
        if self.timed || self.held.iter().any(|held| held.open) {
            return Ok(());
        }
        self.cursor.skip_to(regex)
    }

    /// Makes as many lines current as there are by themselves; tells whether there are any.
    fn take_text(&mut self) -> io::Result<bool> {
        if self.held.iter().any(|held| held.open) {
            return Ok(false);
        }
        let Some((text, lines)) = self.cursor.records()? else { return Ok(false) };
        self.place = Place::Text(text, lines);
        Ok(true)
    }

    /// Makes the item the current line, or a part of one; tells whether there is a line to give.
    #[inline]
    fn take_item(&mut self, begun: u64) -> bool {
        let Some(header) = self.item.header else { return self.take_bare(begun) };
        if self.filter.stream.is_some_and(|wanted| wanted != header.stream) && self.item.last {
            return false;
        }
        let line = self.item.line.clone();
        let time = line.start..line.start + header.time;
        if self.timed
            && let Some(at) = self.times.read(self.cursor.bytes(time.clone()))
        {
            self.at = at;
        }
        let content = line.start + header.content..line.end;
        let slot = slot(Some(header.stream));
        let whole = self.item.last && !header.partial;
        if whole && self.held.get(slot).is_none_or(|held| !held.open) {
            self.place = Place::Buffer { time, content, stream: Some(header.stream) };
            return self.is_wanted(Some(header.stream), self.at);
        }
        self.hold(slot, begun, time, content, whole)
    }

    /// An item without a header: what is no record, or a later piece of a long line.
    fn take_bare(&mut self, begun: u64) -> bool {
        let line = self.item.line.clone();
        if !self.item.first {
            let (slot, partial) = self.long;
            return self.hold(slot, begun, 0..0, line, self.item.last && !partial);
        }
        if self.item.last {
            self.place = Place::Buffer { time: 0..0, content: line, stream: None };
            let wanted = self.is_wanted(None, self.at);
            self.counts.broken += u64::from(wanted);
            return wanted;
        }
        self.hold(NO_RECORD, begun, 0..0, line, false)
    }

    /// Keeps a part of a line until its end is there, or until there is too much of it.
    fn hold(
        &mut self,
        slot: usize,
        begun: u64,
        time: Range<usize>,
        content: Range<usize>,
        whole: bool,
    ) -> bool {
        if self.item.first && !self.item.last {
            self.long = (slot, self.item.header.is_some_and(|header| header.partial));
        }
        let at = self.at;
        if !self.held.iter().any(|held| held.open) {
            let segment = self.queue.as_ref().map_or(0, Queue::segment);
            self.open_since = (segment, begun);
        }
        let Some(held) = self.held.get_mut(slot) else { return false };
        if !held.open {
            held.open = true;
            held.at = at;
            held.given = false;
            held.time.clear();
            append(&mut held.time, self.cursor.bytes(time));
        }
        append(&mut held.bytes, self.cursor.bytes(content));
        if whole {
            return self.complete(slot, true);
        }
        held.bytes.len() >= HELD && self.complete(slot, false)
    }

    /// Makes what is held the current line, or piece; tells whether it is wanted.
    fn complete(&mut self, slot: usize, last: bool) -> bool {
        self.place = Place::Held { slot, last };
        let Some(held) = self.held.get(slot) else { return false };
        let (given, at) = (held.given, held.at);
        let wanted = if given {
            held.wanted
        } else {
            let stream = SLOTS.get(slot).copied().flatten();
            let wanted = self.is_wanted(stream, at);
            self.counts.broken += u64::from(wanted && slot == NO_RECORD);
            wanted
        };
        if let Some(held) = self.held.get_mut(slot) {
            held.wanted = wanted;
        }
        self.at = at;
        if !wanted {
            self.release();
        }
        wanted
    }

    /// Forgets the current line, once it has been given.
    #[inline]
    fn release(&mut self) {
        if let Place::Held { slot, last } = self.place
            && let Some(held) = self.held.get_mut(slot)
        {
            held.bytes.clear();
            held.given = true;
            if last {
                held.open = false;
                // One long line must not keep its room for ever.
                held.bytes.shrink_to(HELD / 4);
            }
        }
        self.place = Place::None;
    }

    /// Whether the current line passes the filter; past its end, nothing does.
    #[inline]
    fn is_wanted(&mut self, stream: Option<Stream>, at: i64) -> bool {
        let Filter { stream: wanted, since, until, grep } = &self.filter;
        if until.is_some_and(|until| at > until) {
            self.over = until.is_some_and(|until| at.saturating_sub(DISORDER) > until);
            return false;
        }
        if wanted.is_some() && *wanted != stream || since.is_some_and(|since| at < since) {
            return false;
        }
        grep.as_ref().is_none_or(|grep| grep.is_match(self.line().content))
    }
}

/// Where what is no record is held.
const NO_RECORD: usize = 2;
