use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Decoder, Encoder, Frame, FrameError, Headers, connection::open};

/// Two SYN_REPLY frames of stream 1, compressed by zlib at its best level, as Go's and C's do: without
/// headers, and with two.
const REPLIES: [u8; 74] = [
    0x80, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x01, 0x78, 0xf9, 0xe3, 0xc6,
    0xa7, 0xc2, 0x02, 0xa6, 0x23, 0x06, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x80, 0x03, 0x00, 0x02,
    0x00, 0x00, 0x00, 0x26, 0x00, 0x00, 0x00, 0x01, 0x02, 0xe5, 0x10, 0x70, 0x5a, 0x2b, 0x29, 0x4a,
    0x4d, 0xcc, 0x85, 0x16, 0x27, 0xc0, 0x54, 0x9b, 0x92, 0x0f, 0x2e, 0x8c, 0x81, 0x65, 0x73, 0x11,
    0x88, 0x66, 0xb2, 0x30, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
];

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::vec(("[a-z:-]{0,20}", "\\PC{0,40}"), 0..6)
}

fn stream() -> impl Strategy<Value = u32> {
    1..=0x7fff_ffffu32
}

fn frame() -> impl Strategy<Value = Frame> {
    let data = proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Bytes::from);
    let setting = (any::<u8>(), 0..1u32 << 24, any::<u32>());
    prop_oneof![
        (stream(), 0..=0x7fff_ffffu32, 0..8u8, any::<(bool, bool)>(), headers()).prop_map(
            |(stream, associated, priority, (fin, unidirectional), headers)| {
                Frame::SynStream { stream, associated, priority, fin, unidirectional, headers }
            }
        ),
        (stream(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::SynReply {
            stream,
            fin,
            headers
        }),
        (stream(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::Headers {
            stream,
            fin,
            headers
        }),
        (stream(), any::<u32>()).prop_map(|(stream, status)| Frame::Reset { stream, status }),
        proptest::collection::vec(setting, 0..5).prop_map(Frame::Settings),
        any::<u32>().prop_map(Frame::Ping),
        (stream(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (stream(), 0..=0x7fff_ffffu32)
            .prop_map(|(stream, delta)| Frame::WindowUpdate { stream, delta }),
        (stream(), any::<bool>(), data).prop_map(|(stream, fin, data)| Frame::Data {
            stream,
            fin,
            data
        }),
    ]
}

/// Puts the pieces of data frames together again.
fn whole(frames: Vec<Frame>) -> Vec<Frame> {
    let mut joined: Vec<(Frame, bool)> = Vec::new();
    for frame in frames {
        if let Some((Frame::Data { stream, fin, data }, open @ true)) = joined.last_mut()
            && let Frame::Data { stream: next, fin: ends, data: more } = &frame
            && next == stream
        {
            *data = [data.as_ref(), more.as_ref()].concat().into();
            *fin = *ends;
            *open = true;
            continue;
        }
        let open = matches!(frame, Frame::Data { .. });
        joined.push((frame, open));
    }
    joined.into_iter().map(|(frame, _)| frame).collect()
}

fn decode_all(input: &[u8], piece: usize) -> Result<Vec<Frame>, FrameError> {
    let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

proptest! {
    /// Frames come out as they went in, in order, however the bytes are cut.
    #[test]
    fn frames_survive_the_wire(frames in proptest::collection::vec(frame(), 1..12), piece in 1usize..3000) {
        let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
        let decoded = decode_all(&bytes, piece).unwrap();
        // Neighbouring data frames of one stream cannot be told from pieces of one.
        prop_assert_eq!(whole(decoded), whole(frames));
    }

    /// Whatever comes is a frame or an error, and never taken for more than it is.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600), piece in 1usize..64) {
        let data: usize = decode_all(&bytes, piece).unwrap_or_default().iter().map(|frame| match frame {
            Frame::Data { data, .. } => data.len(),
            _ => 0,
        }).sum();
        prop_assert!(data <= bytes.len());
    }

    /// The same, with headers of frames that are nearly right.
    #[test]
    fn any_control_frame_is_survived(kind in 0u16..12, flags: u8, payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![0x80, 3];
        bytes.extend(kind.to_be_bytes());
        bytes.push(flags);
        bytes.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
        bytes.extend(payload);
        drop(decode_all(&bytes, 1000));
    }
}

#[test]
fn what_others_compress_is_read() {
    let frames = decode_all(&REPLIES, 100).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let two = vec![pair("streamtype", "stdout"), pair("port", "80")];
    let reply = |headers| Frame::SynReply { stream: 1, fin: false, headers };
    assert_eq!(frames, [reply(vec![]), reply(two)]);
}

#[test]
fn what_is_no_spdy_is_refused() {
    let error = |bytes: &[u8]| decode_all(bytes, 100).unwrap_err();
    assert_eq!(error(b"\x80\x02\0\x06\0\0\0\x04\0\0\0\0"), FrameError::Version(2));
    assert_eq!(error(&[0; 8]), FrameError::Zero);
    assert_eq!(error(b"\x80\x03\0\x06\0\0\0\x05hello"), FrameError::Length { kind: 6, length: 5 });
    let long = FrameError::Length { kind: 1, length: 0xff_ffff };
    assert_eq!(error(b"\x80\x03\0\x01\0\xff\xff\xff"), long);
    assert_eq!(error(b"\x80\x03\0\x02\0\0\0\x08\0\0\0\x01zlib"), FrameError::Headers);
}

/// A small frame can hold endless headers; they are not held.
#[test]
fn headers_cannot_fill_the_memory() {
    let huge = vec![("a".to_owned(), "a".repeat(300 << 10))];
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    encoder.encode(&Frame::SynReply { stream: 1, fin: false, headers: huge }, &mut bytes);
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    assert_eq!(decode_all(&bytes, 100).unwrap_err(), FrameError::LongHeaders);
}

/// The other side, as spdystream would be.
struct Peer {
    socket: DuplexStream,
    decoder: Decoder,
    encoder: Encoder,
    buffer: BytesMut,
}

impl Peer {
    fn pair() -> (DuplexStream, Self) {
        let (ours, socket) = tokio::io::duplex(64 << 10);
        let (decoder, encoder, buffer) = Default::default();
        (ours, Self { socket, decoder, encoder, buffer })
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            if self.socket.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, frames: &[Frame]) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| self.encoder.encode(frame, &mut bytes));
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Takes so many streams, and gives their numbers and kinds.
    async fn accept(&mut self, count: usize) -> Vec<(u32, String)> {
        let mut streams = Vec::new();
        while streams.len() < count {
            let Some(Frame::SynStream { stream, headers, .. }) = self.next().await else {
                panic!("no stream");
            };
            streams.push((stream, headers[0].1.clone()));
            self.send(&[Frame::SynReply { stream, fin: false, headers: vec![] }]).await;
        }
        streams
    }
}

fn kinds(kinds: &[&str]) -> Vec<Headers> {
    kinds.iter().map(|kind| vec![("streamtype".to_owned(), (*kind).to_owned())]).collect()
}

fn data(stream: u32, text: &str, fin: bool) -> Frame {
    Frame::Data { stream, fin, data: Bytes::copy_from_slice(text.as_bytes()) }
}

#[tokio::test]
async fn streams_carry_bytes_and_end_one_side_at_a_time() {
    let (socket, mut peer) = Peer::pair();
    let headers = kinds(&["stdin", "stdout"]);
    let (ends, streams) = tokio::join!(open(Box::new(socket), &headers), peer.accept(2));
    assert_eq!(streams, [(1, "stdin".to_owned()), (3, "stdout".to_owned())]);
    let [(mut stdin, _), (_, mut stdout)] = ends.unwrap().try_into().unwrap();
    stdin.write(Bytes::from_static(b"in")).await.unwrap();
    stdin.close().await;
    assert_eq!(peer.next().await, Some(data(1, "in", false)));
    assert_eq!(peer.next().await, Some(data(1, "", true)));
    // Our side has ended; theirs goes on.
    peer.send(&[data(3, "out", false), data(3, "put", true)]).await;
    assert_eq!(stdout.read().await.unwrap().unwrap(), "out");
    assert_eq!(stdout.read().await.unwrap().unwrap(), "put");
    assert_eq!(stdout.read().await.unwrap(), None);
}

#[tokio::test]
async fn pings_are_answered_and_streams_of_the_server_refused() {
    let (socket, mut peer) = Peer::pair();
    let headers = kinds(&["stdout"]);
    let (ends, _) = tokio::join!(open(Box::new(socket), &headers), peer.accept(1));
    let theirs = Frame::SynStream {
        stream: 2,
        associated: 0,
        priority: 0,
        fin: false,
        unidirectional: false,
        headers: vec![],
    };
    let settings = Frame::Settings(vec![(0, 4, 100)]);
    peer.send(&[Frame::Ping(2), settings, Frame::Ping(7), theirs, data(1, "x", true)]).await;
    let [(_, mut stdout)] = ends.unwrap().try_into().unwrap();
    assert_eq!(stdout.read().await.unwrap().unwrap(), "x");
    assert_eq!(peer.next().await, Some(Frame::Ping(2)));
    assert_eq!(peer.next().await, Some(Frame::Reset { stream: 2, status: 3 }));
}

#[tokio::test]
async fn a_refused_stream_is_an_error() {
    let (socket, mut peer) = Peer::pair();
    let serve = async {
        peer.next().await;
        peer.send(&[Frame::Reset { stream: 1, status: 3 }]).await;
        peer.next().await
    };
    let headers = kinds(&["stdout"]);
    let (ends, _) = tokio::join!(open(Box::new(socket), &headers), serve);
    assert!(ends.unwrap_err().to_string().contains("status 3"));
}

#[tokio::test]
async fn a_connection_that_ends_ends_all_streams() {
    let (socket, mut peer) = Peer::pair();
    let headers = kinds(&["stdin", "stdout"]);
    let (ends, _) = tokio::join!(open(Box::new(socket), &headers), peer.accept(2));
    let [(mut stdin, _), (_, mut stdout)] = ends.unwrap().try_into().unwrap();
    peer.send(&[data(3, "last", false), Frame::GoAway { last: 3, status: 0 }]).await;
    drop(peer);
    assert_eq!(stdout.read().await.unwrap().unwrap(), "last");
    assert_eq!(stdout.read().await.unwrap(), None);
    // Whoever goes on writing learns it at the second write at the latest.
    let mut written = Ok(());
    for _ in 0..100 {
        written = stdin.write(Bytes::from_static(b"x")).await;
        if written.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

/// A stream that nobody reads and nobody wants is thrown away; the others go on.
#[tokio::test]
async fn a_dropped_output_holds_up_nobody() {
    let (socket, mut peer) = Peer::pair();
    let headers = kinds(&["stdout", "stderr"]);
    let (ends, _) = tokio::join!(open(Box::new(socket), &headers), peer.accept(2));
    let [(_, stdout), (_, mut stderr)] = ends.unwrap().try_into().unwrap();
    drop(stdout);
    let feed = tokio::spawn(async move {
        for _ in 0..200 {
            peer.send(&[data(1, &"x".repeat(1000), false)]).await;
        }
        peer.send(&[data(3, "here", true)]).await;
        peer
    });
    assert_eq!(stderr.read().await.unwrap().unwrap(), "here");
    feed.await.unwrap();
}
