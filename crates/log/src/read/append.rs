//! Short pieces of bytes behind each other.

/// From this many bytes on the C library's way of copying is as good as it gets.
const LONG: usize = 512;
const BLOCK: usize = 16;

/// Adds bytes to a buffer; made for lines of some hundred bytes.
///
/// As `extend_from_slice`, which calls the C library: musl's `memcpy` takes some 50 ns before it copies
/// the first byte (`rep movs`), and a log of a GiB has ten million lines. A block of constant length
/// is two instructions.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= LONG {
        return out.extend_from_slice(bytes);
    }
    out.reserve(bytes.len());
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        out.extend_from_slice(block);
    }
    if rest.is_empty() {
        return;
    }
    match bytes.last_chunk::<BLOCK>() {
        // What is left is the end of one more block, whose beginning is written once more.
        Some(last) => {
            out.truncate(out.len() - (BLOCK - rest.len()));
            out.extend_from_slice(last);
        }
        None => few(out, rest),
    }
}

/// Adds less than a block.
#[inline]
fn few(out: &mut Vec<u8>, mut bytes: &[u8]) {
    if let Some((eight, rest)) = bytes.split_first_chunk::<8>() {
        out.extend_from_slice(eight);
        bytes = rest;
    }
    if let Some((four, rest)) = bytes.split_first_chunk::<4>() {
        out.extend_from_slice(four);
        bytes = rest;
    }
    if let Some((two, rest)) = bytes.split_first_chunk::<2>() {
        out.extend_from_slice(two);
        bytes = rest;
    }
    if let Some(one) = bytes.first() {
        out.push(*one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_stand_behind_what_was_there() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(LONG + BLOCK).collect();
        for length in 0..bytes.len() {
            for before in [0, 1, BLOCK - 1, BLOCK] {
                let (there, added) = (&bytes[..before], &bytes[..length]);
                let mut out = there.to_vec();
                append(&mut out, added);
                assert_eq!(out, [there, added].concat(), "{length} behind {before}");
            }
        }
    }
}
