//! The line format of container logs.
//!
//! The CRI (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md) has one record a line:
//! `TIME STREAM TAGS CONTENT`, such as `2026-01-02T03:04:05.6Z stdout F hello`. Tags are separated by
//! colons and only the first means something: `P` is a fragment that the stream's next record goes
//! on, `F` ends a line.

mod time;

pub use time::{TimeReader, parse_time};

/// Longest time that RFC 3339 makes of nanoseconds with an offset; shortest without a fraction.
const LONGEST_TIME: usize = 35;
const SHORTEST_TIME: usize = 20;

/// Where a container wrote something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`, as the format writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log file, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was written, RFC 3339, as the runtime put it; not checked beyond its shape.
    pub time: &'a [u8],
    /// Where it was written.
    pub stream: Stream,
    /// Whether the stream's next record goes on where this one ends.
    pub partial: bool,
    /// What was written.
    pub content: &'a [u8],
}

/// Reads a line without its line end; nothing when it is no record.
#[inline]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let header = Header::of(line)?;
    Some(Record {
        time: line.get(..header.time)?,
        stream: header.stream,
        partial: header.partial,
        content: line.get(header.content..)?,
    })
}

/// What stands before the content, as lengths within the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) time: usize,
    pub(crate) content: usize,
    pub(crate) stream: Stream,
    pub(crate) partial: bool,
}

impl Header {
    #[inline]
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let time = time_length(line)?;
        let rest = line.get(time..)?;
        let stream = match rest.first_chunk::<8>()? {
            b" stdout " => Stream::Stdout,
            b" stderr " => Stream::Stderr,
            _ => return None,
        };
        let (tag, tags) = rest.get(8..)?.split_first()?;
        let partial = match tag {
            b'F' => false,
            b'P' => true,
            _ => return None,
        };
        let content = match tags.first() {
            Some(b' ') => time + 10,
            None => time + 9,
            // Further tags, which nobody has given a meaning yet.
            Some(b':') => time + 10 + memchr::memchr(b' ', tags)?,
            Some(_) => return None,
        };
        Some(Self { time, content, stream, partial })
    }
}

/// The length of the time at the beginning of a line, up to the space behind it.
#[inline]
fn time_length(line: &[u8]) -> Option<usize> {
    let shape = line.first_chunk::<SHORTEST_TIME>()?;
    if shape[4] != b'-' || shape[7] != b'-' || shape[10] != b'T' || shape[13] != b':' {
        return None;
    }
    // Go leaves out zeros at a fraction's end, so one in ten times is shorter than this.
    if line.get(29..31) == Some(b"Z ") {
        return Some(30);
    }
    let window = line.get(SHORTEST_TIME..line.len().min(LONGEST_TIME + 1))?;
    Some(SHORTEST_TIME + memchr::memchr(b' ', window)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_read() {
        let record = parse(b"2026-01-02T03:04:05.678901234Z stderr P:x:y a  b ").unwrap();
        assert_eq!(record.time, b"2026-01-02T03:04:05.678901234Z");
        assert_eq!((record.stream, record.partial), (Stream::Stderr, true));
        assert_eq!(record.content, b"a  b ");
        let record = parse(b"2026-01-02T03:04:05+05:30 stdout F ").unwrap();
        assert_eq!((record.partial, record.content), (false, &b""[..]));
        let record = parse(b"2026-01-02T03:04:05.1Z stdout F").unwrap();
        assert_eq!((record.partial, record.content), (false, &b""[..]));
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        let wrong: [&[u8]; 9] = [
            b"",
            b"hello",
            b"2026-01-02T03:04:05Z",
            b"2026-01-02T03:04:05Z stdout",
            b"2026-01-02T03:04:05Z stdlog F x",
            b"2026-01-02T03:04:05Z stdout X x",
            b"2026-01-02T03:04:05Z stdout Fx",
            b"2026-01-02T03:04:05Z stdout P:x",
            b"\x00\x00\x002026-01-02T03:04:05Z stdout F x",
        ];
        for line in wrong {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            parse(&line);
        }

        #[test]
        fn what_was_written_is_read(
            fraction in "(\\.[0-9]{1,9})?",
            partial: bool,
            content in proptest::collection::vec(any::<u8>().prop_filter("line end", |b| *b != b'\n'), 0..60),
        ) {
            let tag = if partial { "P" } else { "F" };
            let mut line = format!("2026-01-02T03:04:05{fraction}Z stdout {tag} ").into_bytes();
            line.extend(&content);
            let record = parse(&line).unwrap();
            prop_assert_eq!(record.partial, partial);
            prop_assert_eq!(record.content, content);
            prop_assert!(parse_time(record.time).is_some());
        }
    }
}
