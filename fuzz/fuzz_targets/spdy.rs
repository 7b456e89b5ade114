//! Whatever a server of streams sends, in any pieces; the first byte says how they are cut.
#![no_main]

use bytes::BytesMut;
use crilet_stream::spdy::{Decoder, Encoder, Frame};
use libfuzzer_sys::fuzz_target;

/// Frames of some bytes, until they are none.
fn decode(input: &[u8], piece: usize) -> Vec<Frame> {
    let (mut decoder, mut buffer, mut frames) =
        (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in input.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, input)) = input.split_first() else { return };
    let frames = decode(input, usize::from(*piece) + 1);
    // What was understood is understood again when we say it.
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
    assert_eq!(decode(&bytes, bytes.len().max(1)), frames);
});
