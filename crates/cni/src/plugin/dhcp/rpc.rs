//! Calls between plugin and daemon: Go's `net/rpc` over HTTP's CONNECT on a socket.
//!
//! Either side may be the reference's, so names, texts and types are its own. A call is a header
//! with the name of the method, and the arguments; an answer is a header with the error, if there
//! is one, and the result.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::gob::{BYTES, FIRST, Reader, STRING, Shape, UINT, Value, Writer};

const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
const WELCOME: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";
const REFUSAL: &[u8] = b"HTTP/1.0 405 must CONNECT\n\n";
/// Longest head that either side may send, in bytes.
const HEAD: usize = 8192;

const REQUEST: i64 = FIRST;
const ARGUMENTS: i64 = FIRST + 1;
const CALLS: &[Shape] = &[
    Shape::Struct("Request", &[("ServiceMethod", STRING), ("Seq", UINT)]),
    Shape::Struct(
        "CmdArgs",
        &[
            ("ContainerID", STRING),
            ("Netns", STRING),
            ("IfName", STRING),
            ("Args", STRING),
            ("Path", STRING),
            ("StdinData", BYTES),
        ],
    ),
];

const RESPONSE: i64 = FIRST;
const RESULT: i64 = FIRST + 1;
const NOTHING: i64 = FIRST + 7;
const ANSWERS: &[Shape] = &[
    Shape::Struct("Response", &[("ServiceMethod", STRING), ("Seq", UINT), ("Error", STRING)]),
    Shape::Struct("Result", &[("CNIVersion", STRING), ("IPs", FIRST + 2), ("Routes", FIRST + 3)]),
    Shape::Slice("[]*types100.IPConfig", FIRST + 4),
    Shape::Slice("[]*types.Route", FIRST + 5),
    Shape::Struct("IPConfig", &[("Address", FIRST + 6), ("Gateway", BYTES)]),
    Shape::Struct("Route", &[("Dst", FIRST + 6), ("GW", BYTES), ("Priority", 2)]),
    Shape::Struct("IPNet", &[("IP", BYTES), ("Mask", BYTES)]),
    Shape::Struct("", &[]),
];

/// What a plugin tells its daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) container: String,
    pub(super) namespace: String,
    pub(super) link: String,
    pub(super) args: String,
    pub(super) path: String,
    pub(super) config: Vec<u8>,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// Nobody listens.
    Dial(io::Error),
    /// The connection ended, or what came is no answer.
    Talk(io::Error),
    /// What the daemon says.
    Refused(String),
}

/// Calls a method of the daemon.
pub(super) fn call(socket: &Path, method: &str, arguments: &Arguments) -> Result<Value, CallError> {
    let mut stream = UnixStream::connect(socket).map_err(CallError::Dial)?;
    talk(&mut stream, method, arguments).map_err(CallError::Talk)?.map_err(CallError::Refused)
}

fn talk(
    stream: &mut UnixStream,
    method: &str,
    arguments: &Arguments,
) -> io::Result<Result<Value, String>> {
    stream.write_all(GREETING)?;
    if !head(stream)?.starts_with("HTTP/1.0 200 ") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no daemon of dhcp listens there"));
    }
    let mut writer = Writer::new(CALLS);
    let request = Value::fields([("ServiceMethod", Value::text(method))]);
    stream.write_all(&writer.message(REQUEST, &request))?;
    let body = Value::fields([
        ("ContainerID", Value::text(&arguments.container)),
        ("Netns", Value::text(&arguments.namespace)),
        ("IfName", Value::text(&arguments.link)),
        ("Args", Value::text(&arguments.args)),
        ("Path", Value::text(&arguments.path)),
        ("StdinData", Value::Bytes(arguments.config.clone())),
    ]);
    stream.write_all(&writer.message(ARGUMENTS, &body))?;
    let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut reader = Reader::new();
    let response = reader.message(stream)?.ok_or_else(ended)?;
    let error = response.string("Error");
    if !error.is_empty() {
        return Ok(Err(error));
    }
    reader.message(stream)?.ok_or_else(ended).map(Ok)
}

/// The head of a request or an answer, up to the empty line.
fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    // What follows belongs to the encoded stream, so not a byte more may be taken.
    while bytes.len() < HEAD {
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
        if bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n") {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// A result for the plugin, or nothing.
pub(super) type Answer = Result<Option<Value>, String>;

/// Answers the calls of a connection until it ends.
pub(super) fn serve(
    stream: &mut (impl Read + Write),
    answer: impl Fn(&str, &Arguments) -> Answer,
) -> io::Result<()> {
    if !head(stream)?.starts_with("CONNECT /_goRPC_ ") {
        return stream.write_all(REFUSAL);
    }
    stream.write_all(WELCOME)?;
    let (mut reader, mut writer) = (Reader::new(), Writer::new(ANSWERS));
    while let Some(request) = reader.message(stream)? {
        let body = reader.message(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let arguments = Arguments {
            container: body.string("ContainerID"),
            namespace: body.string("Netns"),
            link: body.string("IfName"),
            args: body.string("Args"),
            path: body.string("Path"),
            config: body.bytes("StdinData").to_vec(),
        };
        let method = request.string("ServiceMethod");
        let answered = answer(&method, &arguments);
        let error = answered.as_ref().err().cloned().unwrap_or_default();
        let response = Value::fields([
            ("ServiceMethod", Value::text(&method)),
            ("Seq", request.get("Seq").cloned().unwrap_or(Value::Uint(0))),
            ("Error", Value::text(&error)),
        ]);
        let mut bytes = writer.message(RESPONSE, &response);
        bytes.extend(match answered {
            Ok(Some(result)) => writer.message(RESULT, &result),
            _ => writer.message(NOTHING, &Value::Fields(Vec::new())),
        });
        stream.write_all(&bytes)?;
    }
    Ok(())
}
