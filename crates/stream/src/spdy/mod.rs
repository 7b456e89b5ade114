//! SPDY/3.1, as moby/spdystream speaks it, which containerd, CRI-O and the kubelet serve their streams
//! with.
//!
//! That dialect keeps to the draft's frames, compression, half-closing and resets, and leaves out its
//! windows: spdystream neither sends nor honours WINDOW_UPDATE, so whoever would wait for one would wait
//! for ever. What holds a sender back is TCP, for all streams of a connection at once. Two things follow:
//! bytes may only be sent on a stream that was replied to (earlier ones are thrown away), and
//! connections that must not hold up one another get a SPDY connection each.

mod connection;
mod dictionary;
mod frame;
#[cfg(test)]
mod tests;

pub(crate) use connection::open;
pub use frame::{Decoder, Encoder, Frame, FrameError, Headers, LONGEST_DATA, data_header};
