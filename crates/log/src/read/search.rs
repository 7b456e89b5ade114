//! Where to begin: the last lines, or a time, found without reading what comes before.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use super::{
    Query,
    cursor::as_u64,
    line::{DISORDER, Filter},
    segment::{Input, Segment, Snapshot},
    source::{Next, Source},
};
use crate::format::{Header, parse, parse_time};

/// Bytes looked at in one place.
const BLOCK: u64 = 64 << 10;
/// Bytes in which the last lines are looked for first: a few lines are all that is wanted, mostly.
const FIRST: u64 = 4 << 10;
/// How much more of a file is counted, going backwards, than the last time; and the most.
const GROWTH: u64 = 4;
const MOST_COUNTED: u64 = 8 << 20;
/// How far a record is looked for from the middle of a search.
const MOST_LOOKED: u64 = 1 << 20;

/// Begins to read a log where the query says.
pub(crate) fn begin(snapshot: &Snapshot, query: &Query, timed: bool) -> io::Result<Source> {
    let segments = snapshot.segments.len();
    let source = |segment, offset, filter: &Filter| {
        Source::of(snapshot, segment..segments, offset, filter.clone(), timed)
    };
    if let Some(lines) = query.tail {
        let mut wanted = lines;
        loop {
            let (segment, offset) = tail(snapshot, &query.filter, wanted)?;
            // Lines that come meanwhile are past the snapshot's end, so both readings agree.
            let mut counted = source(segment, offset, &query.filter);
            let all = count(&mut counted)?;
            if all >= lines || (segment, offset) == (0, 0) {
                let mut source = source(segment, offset, &query.filter);
                pass(&mut source, all.saturating_sub(lines))?;
                if source.counts.vanished <= counted.counts.vanished {
                    return Ok(source);
                }
                // What was counted was removed meanwhile: others are the last ones now.
                continue;
            }
            // A line over the edge of two files was taken for two.
            wanted = wanted.saturating_add(lines - all).saturating_add(1);
        }
    }
    let (segment, offset) = match query.filter.since {
        Some(since) => since_place(snapshot, since)?,
        None => (0, 0),
    };
    Ok(source(segment, offset, &query.filter))
}

/// Begins where only what is still to come is read. A line whose end is not there yet is, whole.
pub(crate) fn begin_at_end(snapshot: &Snapshot, filter: &Filter) -> io::Result<Source> {
    let segments = snapshot.segments.len();
    // One that was renamed a moment ago may still be written.
    let last = segments.saturating_sub(1);
    let (from, offset) = match plain(snapshot, last) {
        Some((file, length)) => (last, boundary(&file, length)?),
        None => (segments, 0),
    };
    Ok(Source::of(snapshot, from..segments, offset, filter.clone(), true))
}

/// Lines, with all pieces of each.
fn count(source: &mut Source) -> io::Result<u64> {
    let mut lines = 0;
    while source.advance()? == Next::Line {
        lines += u64::from(source.line().last);
    }
    Ok(lines)
}

/// Passes over lines.
fn pass(source: &mut Source, lines: u64) -> io::Result<()> {
    let mut passed = 0;
    while passed < lines && source.advance()? == Next::Line {
        passed += u64::from(source.line().last);
    }
    // They are not given.
    source.counts.broken = 0;
    Ok(())
}

/// A place with at least so many wanted lines behind it, near the end. No line reaches over it.
fn tail(snapshot: &Snapshot, filter: &Filter, lines: u64) -> io::Result<(usize, u64)> {
    let mut found = 0;
    for segment in (0..snapshot.segments.len()).rev() {
        let mut step = FIRST;
        let Some((file, length)) = plain(snapshot, segment) else {
            let mut all = Source::of(snapshot, segment..segment + 1, 0, filter.clone(), false);
            found += count(&mut all)?;
            if found >= lines {
                return over_the_edge(snapshot, segment, 0);
            }
            continue;
        };
        let mut end = length;
        while end > 0 && found < lines {
            let begin = boundary(&file, end.saturating_sub(step))?;
            let input = Input::plain(Arc::clone(&file), begin, end);
            found += count(&mut Source::of_input(input, begin, filter.clone()))?;
            end = begin;
            step = (step * GROWTH).min(MOST_COUNTED);
        }
        if found >= lines {
            return over_the_edge(snapshot, segment, end);
        }
    }
    Ok((0, 0))
}

/// Where a line that goes on at the beginning of a segment begins in one before; else the same
/// place. A line may reach over several files only where these are small.
fn over_the_edge(snapshot: &Snapshot, segment: usize, offset: u64) -> io::Result<(usize, u64)> {
    if offset > 0 || segment == 0 {
        return Ok((segment, offset));
    }
    let (mut before, mut start) = (segment, 0);
    while before > 0 && start == 0 {
        before -= 1;
        match snapshot.open(before, 0) {
            Ok(Input::Plain { file, .. }) => {
                let length = file.metadata()?.len();
                start = boundary(&file, length.saturating_sub(BLOCK))?;
            }
            Ok(Input::Archive { size, .. }) if size > BLOCK => break,
            _ => {}
        }
    }
    let mut source = Source::of(snapshot, before..segment, start, Filter::default(), false);
    Ok(source.open_at_end()?.unwrap_or((segment, 0)))
}

/// A segment as a file with its length, unless it is compressed or gone.
fn plain(snapshot: &Snapshot, segment: usize) -> Option<(Arc<File>, u64)> {
    if let Some(Segment::Open { file, length }) = snapshot.segments.get(segment) {
        return Some((Arc::clone(file), *length));
    }
    match snapshot.open(segment, 0).ok()? {
        Input::Plain { file, .. } => {
            let length = file.metadata().ok()?.len();
            Some((file, length))
        }
        Input::Archive { .. } => None,
    }
}

/// The last place at or before `near` where a line begins and no line of either stream is open.
fn boundary(file: &File, near: u64) -> io::Result<u64> {
    let mut place = line_start(file, near)?;
    while place > 0 {
        let begin = place.saturating_sub(BLOCK);
        let mut block = read_at(file, begin, place - begin)?;
        // From one fragment to the one before it, for as long as enough stands before these.
        loop {
            let Some(earlier) = open_before(&block) else { return Ok(begin + as_u64(block.len())) };
            block.truncate(earlier);
            place = begin + as_u64(earlier);
            if begin > 0 && as_u64(earlier) < BLOCK / 2 {
                break;
            }
        }
    }
    Ok(0)
}

/// Where the last fragment in a block begins that no later record of its stream goes on; the block
/// ends with a line end.
fn open_before(block: &[u8]) -> Option<usize> {
    let mut seen = [false; 2];
    let mut end = block.len();
    while end > 0 && seen != [true; 2] {
        let line_end = end - 1;
        let start =
            memchr::memrchr(b'\n', block.get(..line_end)?).map_or(0, |line_end| line_end + 1);
        if let Some(header) = Header::of(block.get(start..line_end)?) {
            let seen = seen.get_mut(usize::from(header.stream == crate::format::Stream::Stderr))?;
            if !*seen && header.partial {
                return Some(start);
            }
            *seen = true;
        }
        end = start;
    }
    None
}

/// The beginning of the line that `near` is in, or `near` where a line begins there.
fn line_start(file: &File, near: u64) -> io::Result<u64> {
    let (mut end, mut step) = (near, FIRST);
    while end > 0 {
        let begin = end.saturating_sub(step);
        step = BLOCK;
        let block = read_at(file, begin, end - begin)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(begin + as_u64(at) + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut filled = 0;
    while filled < block.len() {
        let room = block.get_mut(filled..).unwrap_or_default();
        match file.read_at(room, offset + as_u64(filled)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(block)
}

/// A place with all lines of a time and later behind it, and not many earlier ones.
///
/// Times may be a little out of order; more than that, as after a clock was set back, is not seen.
fn since_place(snapshot: &Snapshot, since: i64) -> io::Result<(usize, u64)> {
    let target = since.saturating_sub(DISORDER);
    let last = snapshot.segments.len().saturating_sub(1);
    let mut segment = last;
    while segment > 0 && first_time(snapshot, segment)?.is_none_or(|first| first >= target) {
        segment -= 1;
    }
    let Some((file, length)) = plain(snapshot, segment) else { return Ok((segment, 0)) };
    Ok((segment, place_in_file(&file, length, target)?))
}

/// The time of the first record of a segment.
fn first_time(snapshot: &Snapshot, segment: usize) -> io::Result<Option<i64>> {
    let mut head = Vec::new();
    let read = snapshot
        .open(segment, 0)
        .and_then(|input| io::Read::read_to_end(&mut io::Read::take(input, BLOCK), &mut head));
    // A file that is gone or damaged has no time, and is read like the others in its turn.
    Ok(if read.is_ok() || !head.is_empty() {
        time_in(&head, 0).map(|(_, time)| time)
    } else {
        None
    })
}

/// The first record that begins in a block at or after a line's beginning: place and time.
fn time_in(block: &[u8], from: usize) -> Option<(usize, i64)> {
    let mut start = from;
    while let Some(rest) = block.get(start..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len()))?;
        if let Some(time) = parse(line).and_then(|record| parse_time(record.time)) {
            return Some((start, time));
        }
        start += end? + 1;
    }
    None
}

/// A line's beginning before which all records are earlier than `target`.
pub(crate) fn place_in_file(file: &File, length: u64, target: i64) -> io::Result<u64> {
    let (mut low, mut high) = (0, length);
    while high - low > BLOCK {
        let middle = low + (high - low) / 2;
        match record_after(file, middle, high)? {
            Some((place, time)) if time < target => low = place,
            Some(_) => high = middle,
            // Nothing in this half can be told apart: what comes before it may be.
            None if high - middle <= MOST_LOOKED => high = middle,
            None => break,
        }
    }
    boundary(file, low)
}

/// The first record that begins behind `from`, if there is one soon: place and time.
fn record_after(file: &File, from: u64, end: u64) -> io::Result<Option<(u64, i64)>> {
    let mut block = Vec::new();
    let mut wanted = BLOCK / 16;
    loop {
        wanted = (wanted * 4).min(end - from).min(MOST_LOOKED);
        if as_u64(block.len()) >= wanted {
            return Ok(None);
        }
        block = read_at(file, from, wanted)?;
        let Some(line_end) = memchr::memchr(b'\n', &block) else { continue };
        if let Some((place, time)) = time_in(&block, line_end + 1) {
            return Ok(Some((from + as_u64(place), time)));
        }
    }
}

/// The first record behind a place found by [`place_in_file`] that is not earlier than `target`.
pub(crate) fn first_since(file: &File, place: u64, target: i64) -> io::Result<Option<u64>> {
    // The place is off by one block of the search, and by where a line begins.
    let block = read_at(file, place, BLOCK * 4)?;
    let mut from = 0;
    while let Some((at, time)) = time_in(&block, from) {
        if time >= target {
            return Ok(Some(place + as_u64(at)));
        }
        let rest = block.get(at..).unwrap_or_default();
        let Some(line_end) = memchr::memchr(b'\n', rest) else { break };
        from = at + line_end + 1;
    }
    Ok(None)
}
