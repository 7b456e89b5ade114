//! Many records at once, for whoever wants nothing of them but what was written.

use crate::format::Header;

/// Bytes that are moved at a time: less than the shortest header, so that what is moved down over it
/// never reaches what is still to be read.
const BLOCK: usize = 16;

/// What [`compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Compacted {
    /// Bytes of the records that were read, from the beginning on.
    pub(super) read: usize,
    /// Bytes of their contents, which stand at the beginning now.
    pub(super) written: usize,
    /// How many they were.
    pub(super) lines: u64,
}

/// Moves the contents of the first records together, line ends included, over their headers. Ends
/// before the first line that is no record, or only a fragment, or has no end.
///
/// In place, and in blocks of constant length: nearly all time of reading a log is spent here, on some
/// ten million lines a GiB, where each call of the C library for copying would count.
pub(super) fn compact(buffer: &mut [u8]) -> Compacted {
    let mut done = Compacted::default();
    loop {
        let rest = buffer.get(done.read..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', rest) else { return done };
        let line = rest.get(..length).unwrap_or_default();
        let Some(Header { content, partial: false, .. }) = Header::of(line) else { return done };
        let length = length + 1;
        shift(buffer, done.read + content, length - content, done.written);
        done.written += length - content;
        done.read += length;
        done.lines += 1;
    }
}

/// Moves bytes down, by more than a block; up to a block of what follows goes with them.
#[inline]
fn shift(buffer: &mut [u8], from: usize, length: usize, to: usize) {
    let padded = length.next_multiple_of(BLOCK);
    if from + padded > buffer.len() {
        return buffer.copy_within(from..from + length, to);
    }
    for block in (0..padded).step_by(BLOCK) {
        buffer.copy_within(from + block..from + block + BLOCK, to + block);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::parse;

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let content = prop_oneof!["[ -~]{0,70}", "x{0,3}"];
        let record = ("(\\.[0-9]{1,9})?", "(stdout|stderr) (F|F|F|F|F|P|F:x)", content).prop_map(
            |(fraction, kind, content)| format!("2026-01-02T03:04:05{fraction}Z {kind} {content}"),
        );
        prop_oneof![
            20 => record,
            1 => "[ -~]{0,30}",
            1 => Just("2026-01-02T03:04:05Z stdout F".to_owned()),
        ]
        .prop_map(String::into_bytes)
    }

    proptest! {
        #[test]
        fn it_gives_what_reading_each_gives(lines in prop::collection::vec(line(), 0..40), cut in 0..80_usize) {
            let mut buffer: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            buffer.truncate(buffer.len().saturating_sub(cut));
            let before = buffer.clone();
            let mut wanted = Compacted::default();
            let mut text = Vec::new();
            for line in before.split_inclusive(|byte| *byte == b'\n') {
                let Some(line) = line.strip_suffix(b"\n") else { break };
                let Some(record) = parse(line).filter(|record| !record.partial) else { break };
                text.extend([record.content, b"\n"].concat());
                wanted.lines += 1;
                wanted.read += line.len() + 1;
            }
            wanted.written = text.len();
            prop_assert_eq!(compact(&mut buffer), wanted);
            prop_assert_eq!(&buffer[..text.len()], &text);
            prop_assert_eq!(&buffer[wanted.read..], &before[wanted.read..], "the rest is untouched");
        }
    }
}
