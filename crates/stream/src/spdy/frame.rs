//! Frames of SPDY/3.1 as bytes and back: pure, for both directions.
//!
//! A frame is a header of eight bytes and a payload. Data frames:
//!
//! ```text
//! |0| stream (31 bits) | flags (8) | length (24) | bytes
//! ```
//!
//! Control frames:
//!
//! ```text
//! |1| version (15 bits) | type (16) | flags (8) | length (24) | payload
//! ```
//!
//! Headers are compressed, with one zlib stream for each direction of a connection, so every frame that
//! carries some must be read even if nobody wants them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::dictionary;

const VERSION: u16 = 3;
const FIN: u8 = 0x01;
const UNIDIRECTIONAL: u8 = 0x02;
const STREAM: u32 = 0x7fff_ffff;

/// Longest payload of a control frame that is taken, in bytes: a few headers fit many times over.
const LONGEST_CONTROL: usize = 64 << 10;
/// Longest headers once they are decompressed, in bytes; a small frame could hold much more.
const LONGEST_HEADERS: usize = 256 << 10;
/// Longest payload of a frame, in bytes: what 24 bits can say.
pub const LONGEST_DATA: usize = (1 << 24) - 1;

/// Names in lower case with their values; several values of one name are joined with a zero byte.
pub type Headers = Vec<(String, String)>;

/// A frame, or a part of one: a data frame is given in pieces as its bytes arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the SPDY/3.1 draft, section 2.6, says what the fields mean")]
pub enum Frame {
    /// A new stream.
    SynStream {
        stream: u32,
        associated: u32,
        priority: u8,
        fin: bool,
        unidirectional: bool,
        headers: Headers,
    },
    /// A stream is accepted.
    SynReply { stream: u32, fin: bool, headers: Headers },
    /// A stream ends at once, both ways.
    Reset { stream: u32, status: u32 },
    /// What the sender wants: flags, id and value of each.
    Settings(Vec<(u8, u32, u32)>),
    /// To be sent back by who did not send it.
    Ping(u32),
    /// No new streams are taken.
    GoAway { last: u32, status: u32 },
    /// More headers of a stream.
    Headers { stream: u32, fin: bool, headers: Headers },
    /// More may be sent by who keeps to windows.
    WindowUpdate { stream: u32, delta: u32 },
    /// Bytes of a stream; `fin` on the last there will be.
    Data { stream: u32, fin: bool, data: Bytes },
}

/// Why bytes are no SPDY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another version.
    #[error("frame of SPDY version {0}, not 3")]
    Version(u16),
    /// A control frame of a length that its type cannot have, or that is too long.
    #[error("control frame of type {kind} with {length} bytes")]
    Length {
        /// The type.
        kind: u16,
        /// Its payload in bytes.
        length: usize,
    },
    /// Headers that cannot be decompressed, or do not come out even.
    #[error("headers that cannot be read")]
    Headers,
    /// Headers that are too long once decompressed.
    #[error("headers longer than {LONGEST_HEADERS} bytes")]
    LongHeaders,
    /// Data for stream 0, which there is not.
    #[error("data for stream 0")]
    Zero,
}

/// From bytes to frames.
#[derive(Debug)]
pub struct Decoder {
    inflate: Decompress,
    /// The data frame that is under way: stream, whether it is the last, bytes that are missing.
    partial: Option<(u32, bool, usize)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), partial: None }
    }
}

impl Decoder {
    /// Takes the next frame off the front of `input`, or nothing when more bytes are needed.
    ///
    /// Control frames of unknown types are passed over, as the draft has it.
    ///
    /// # Errors
    /// [`FrameError`], after which nothing sensible can follow.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(partial) = self.partial {
                return Ok(self.more_data(partial, input));
            }
            let Some((first, flags, length)) = peek(input) else { return Ok(None) };
            if first & !STREAM == 0 {
                if first == 0 {
                    return Err(FrameError::Zero);
                }
                input.advance(8);
                self.partial = Some((first, flags & FIN != 0, length));
                continue;
            }
            let [version_high, version_low, kind_high, kind_low] = (first & STREAM).to_be_bytes();
            let version = u16::from_be_bytes([version_high, version_low]);
            let kind = u16::from_be_bytes([kind_high, kind_low]);
            if version != VERSION {
                return Err(FrameError::Version(version));
            }
            if length > LONGEST_CONTROL {
                return Err(FrameError::Length { kind, length });
            }
            if input.len() < 8 + length {
                return Ok(None);
            }
            input.advance(8);
            let payload = input.split_to(length).freeze();
            if let Some(frame) = self.control(kind, flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    fn more_data(
        &mut self,
        (stream, fin, missing): (u32, bool, usize),
        input: &mut BytesMut,
    ) -> Option<Frame> {
        let here = missing.min(input.len());
        if here == 0 && missing > 0 {
            return None;
        }
        let data = input.split_to(here).freeze();
        let rest = missing - here;
        self.partial = (rest > 0).then_some((stream, fin, rest));
        Some(Frame::Data { stream, fin: fin && rest == 0, data })
    }

    fn control(
        &mut self,
        kind: u16,
        flags: u8,
        mut payload: Bytes,
    ) -> Result<Option<Frame>, FrameError> {
        let length = payload.len();
        let wrong = FrameError::Length { kind, length };
        let need = |bytes: usize| if length < bytes { Err(wrong) } else { Ok(()) };
        let exactly = |bytes: usize| if length == bytes { Ok(()) } else { Err(wrong) };
        let fin = flags & FIN != 0;
        Ok(Some(match kind {
            1 => {
                need(10)?;
                let (stream, associated) = (payload.get_u32() & STREAM, payload.get_u32() & STREAM);
                let priority = payload.get_u8() >> 5;
                payload.advance(1);
                let unidirectional = flags & UNIDIRECTIONAL != 0;
                let headers = self.headers(&payload)?;
                Frame::SynStream { stream, associated, priority, fin, unidirectional, headers }
            }
            2 | 8 => {
                need(4)?;
                let stream = payload.get_u32() & STREAM;
                let headers = self.headers(&payload)?;
                match kind {
                    2 => Frame::SynReply { stream, fin, headers },
                    _ => Frame::Headers { stream, fin, headers },
                }
            }
            3 => {
                exactly(8)?;
                Frame::Reset { stream: payload.get_u32() & STREAM, status: payload.get_u32() }
            }
            4 => {
                need(4)?;
                let count = usize::try_from(payload.get_u32()).unwrap_or(usize::MAX);
                exactly(count.saturating_mul(8).saturating_add(4))?;
                Frame::Settings((0..count).map(|_| setting(&mut payload)).collect())
            }
            6 => {
                exactly(4)?;
                Frame::Ping(payload.get_u32())
            }
            7 => {
                exactly(8)?;
                Frame::GoAway { last: payload.get_u32() & STREAM, status: payload.get_u32() }
            }
            9 => {
                exactly(8)?;
                let stream = payload.get_u32() & STREAM;
                Frame::WindowUpdate { stream, delta: payload.get_u32() & STREAM }
            }
            _ => return Ok(None),
        }))
    }

    fn headers(&mut self, compressed: &[u8]) -> Result<Headers, FrameError> {
        let mut block = Bytes::from(self.decompress(compressed)?);
        let count = number(&mut block)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            headers.push((text(&mut block)?, text(&mut block)?));
        }
        if block.is_empty() { Ok(headers) } else { Err(FrameError::Headers) }
    }

    fn decompress(&mut self, mut compressed: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut block = Vec::with_capacity(1024);
        loop {
            let (read_before, room) = (self.inflate.total_in(), block.len());
            let outcome =
                self.inflate.decompress_vec(compressed, &mut block, FlushDecompress::Sync);
            let read = usize::try_from(self.inflate.total_in() - read_before);
            compressed = compressed.get(read.unwrap_or(usize::MAX)..).ok_or(FrameError::Headers)?;
            match outcome {
                Ok(Status::StreamEnd) => return Err(FrameError::Headers),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.inflate.set_dictionary(&dictionary());
                    set.map_err(|_| FrameError::Headers)?;
                    continue;
                }
                Err(_) => return Err(FrameError::Headers),
            }
            if compressed.is_empty() && block.len() < block.capacity() {
                return Ok(block);
            }
            if block.len() >= LONGEST_HEADERS {
                return Err(FrameError::LongHeaders);
            }
            if block.len() == room && block.len() < block.capacity() {
                return Err(FrameError::Headers);
            }
            block.reserve(block.capacity().max(1024));
        }
    }
}

/// The header of the next frame: its first word, flags, and length of the payload.
fn peek(input: &BytesMut) -> Option<(u32, u8, usize)> {
    let mut header = input.get(..8)?;
    let first = header.get_u32();
    let flags = header.get_u8();
    let length = header.get_uint(3);
    Some((first, flags, usize::try_from(length).unwrap_or(usize::MAX)))
}

fn setting(payload: &mut Bytes) -> (u8, u32, u32) {
    let flags = payload.get_u8();
    let id = u32::try_from(payload.get_uint(3)).unwrap_or_default();
    (flags, id, payload.get_u32())
}

fn number(block: &mut Bytes) -> Result<u32, FrameError> {
    if block.len() < 4 { Err(FrameError::Headers) } else { Ok(block.get_u32()) }
}

fn text(block: &mut Bytes) -> Result<String, FrameError> {
    let length = usize::try_from(number(block)?).map_err(|_| FrameError::Headers)?;
    if block.len() < length {
        return Err(FrameError::Headers);
    }
    let bytes = block.split_to(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// From frames to bytes.
#[derive(Debug)]
pub struct Encoder {
    deflate: Compress,
    /// The dictionary is there only once something was compressed with it.
    begun: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { deflate: Compress::new(Compression::fast(), true), begun: false }
    }
}

impl Encoder {
    /// Appends a frame.
    ///
    /// # Panics
    /// If a data frame carries more than [`LONGEST_DATA`], or headers do not fit into a frame.
    pub fn encode(&mut self, frame: &Frame, output: &mut BytesMut) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        match frame {
            Frame::Data { stream, fin, data } => {
                output.put_slice(&data_header(*stream, *fin, data.len()));
                output.put_slice(data);
            }
            Frame::SynStream { stream, associated, priority, fin, unidirectional, headers } => {
                let headers = self.compress(headers);
                let flags = flag(*fin, FIN) | flag(*unidirectional, UNIDIRECTIONAL);
                control(output, 1, flags, 10 + headers.len());
                output.put_u32(*stream);
                output.put_u32(*associated);
                output.put_u8(priority << 5);
                output.put_u8(0);
                output.put_slice(&headers);
            }
            Frame::SynReply { stream, fin, headers } | Frame::Headers { stream, fin, headers } => {
                let kind = if matches!(frame, Frame::SynReply { .. }) { 2 } else { 8 };
                let headers = self.compress(headers);
                control(output, kind, flag(*fin, FIN), 4 + headers.len());
                output.put_u32(*stream);
                output.put_slice(&headers);
            }
            Frame::Settings(settings) => {
                control(output, 4, 0, 4 + 8 * settings.len());
                output.put_u32(u32::try_from(settings.len()).unwrap_or_default());
                for (flags, id, value) in settings {
                    output.put_u8(*flags);
                    output.put_uint(u64::from(*id), 3);
                    output.put_u32(*value);
                }
            }
            Frame::Ping(id) => {
                control(output, 6, 0, 4);
                output.put_u32(*id);
            }
            Frame::Reset { stream: a, status: b } => pair(output, 3, *a, *b),
            Frame::GoAway { last: a, status: b } => pair(output, 7, *a, *b),
            Frame::WindowUpdate { stream: a, delta: b } => pair(output, 9, *a, *b),
        }
    }

    fn compress(&mut self, headers: &Headers) -> Vec<u8> {
        let mut block = BytesMut::new();
        block.put_u32(u32::try_from(headers.len()).unwrap_or_default());
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(u32::try_from(text.len()).unwrap_or_default());
            block.put_slice(text.as_bytes());
        }
        if !self.begun {
            // A fresh stream takes any dictionary.
            self.deflate.set_dictionary(&dictionary()).unwrap_or_default();
            self.begun = true;
        }
        let mut compressed = Vec::with_capacity(block.len() + 64);
        let mut rest: &[u8] = &block;
        loop {
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(rest, &mut compressed, FlushCompress::Sync);
            debug_assert!(status.is_ok(), "compression cannot fail with room to write to");
            let read = usize::try_from(self.deflate.total_in() - before).unwrap_or_default();
            rest = rest.get(read..).unwrap_or_default();
            // A flush is complete when it left room.
            if rest.is_empty() && compressed.len() < compressed.capacity() {
                return compressed;
            }
            compressed.reserve(compressed.capacity());
        }
    }
}

/// The header of a data frame, for those that write its payload themselves.
///
/// # Panics
/// If `length` is more than [`LONGEST_DATA`].
pub fn data_header(stream: u32, fin: bool, length: usize) -> [u8; 8] {
    let [a, b, c, d] = (stream & STREAM).to_be_bytes();
    let [e, f, g] = three_bytes(length);
    [a, b, c, d, if fin { FIN } else { 0 }, e, f, g]
}

fn three_bytes(length: usize) -> [u8; 3] {
    assert!(length <= LONGEST_DATA, "a frame's payload is at most {LONGEST_DATA} bytes");
    let [_, bytes @ ..] = u32::try_from(length).unwrap_or_default().to_be_bytes();
    bytes
}

fn control(output: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    output.put_u16(0x8000 | VERSION);
    output.put_u16(kind);
    output.put_u8(flags);
    output.put_slice(&three_bytes(length));
}

fn pair(output: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(output, kind, 0, 8);
    output.put_u32(first);
    output.put_u32(second);
}
