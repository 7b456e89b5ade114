//! gob, Go's own encoding, as far as a call of the daemon needs it.
//!
//! A stream is a row of messages, each with its length before it. A message either describes a type
//! (by a negative number) or has a value of a type that was described before. Fields of structures
//! are told by how far each is behind the last one that was sent; those that are zero are left out.
//! Numbers of types are the sender's choice, and names of fields are what both sides agree on, so
//! what is read is read along the descriptions that came with it.

use std::{
    collections::HashMap,
    io::{self, Read},
};

/// Types that every stream knows.
pub(super) const UINT: i64 = 3;
pub(super) const BYTES: i64 = 5;
pub(super) const STRING: i64 = 6;
/// The first number that a sender may give.
pub(super) const FIRST: i64 = 65;

const BOOL: i64 = 1;
const INT: i64 = 2;
const FLOAT: i64 = 4;
const WIRE_TYPE: i64 = 16;

/// Longest message that is read, in bytes. Configurations are far smaller.
const LONGEST: u64 = 4 << 20;
/// How deep values may be nested.
const DEEPEST: u32 = 32;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// Bytes, or a text.
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Fields(Vec<(String, Self)>),
    /// Of a kind that nobody here asks for.
    Other,
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    pub(super) fn fields<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Fields(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Fields(fields) = self else { return None };
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// A field's bytes; none when it is not there, which is how gob sends nothing.
    pub(super) fn bytes(&self, name: &str) -> &[u8] {
        match self.get(name) {
            Some(Self::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    pub(super) fn string(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    pub(super) fn list(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Self::List(list)) => list,
            _ => &[],
        }
    }

    /// A field's number, 0 when it is not there.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Self::Int(number)) => *number,
            Some(Self::Uint(number)) => i64::try_from(*number).unwrap_or(i64::MAX),
            _ => 0,
        }
    }
}

/// A type that is described before its first value; its number is its place plus [`FIRST`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Name, and names and types of the fields.
    Struct(&'static str, &'static [(&'static str, i64)]),
    /// Name, and type of what it has.
    Slice(&'static str, i64),
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Writer {
    shapes: &'static [Shape],
    is_described: bool,
}

impl Writer {
    pub(super) fn new(shapes: &'static [Shape]) -> Self {
        Self { shapes, is_described: false }
    }

    /// A message with a structure of type `id`, after descriptions when it is the first.
    pub(super) fn message(&mut self, id: i64, value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.is_described {
            self.is_described = true;
            for (id, shape) in (FIRST..).zip(self.shapes) {
                bytes.extend(framed(&described(id, *shape)));
            }
        }
        let mut body = Vec::new();
        put_int(&mut body, id);
        self.put(&mut body, id, value);
        bytes.extend(framed(&body));
        bytes
    }

    fn put(&self, out: &mut Vec<u8>, id: i64, value: &Value) {
        let place = usize::try_from(id - FIRST).ok();
        match (place.and_then(|place| self.shapes.get(place)), value) {
            (Some(Shape::Struct(_, fields)), value) => {
                let mut skipped = 1;
                for (name, kind) in *fields {
                    match value.get(name).filter(|value| !is_zero(value)) {
                        Some(value) => {
                            put_uint(out, skipped);
                            self.put(out, *kind, value);
                            skipped = 1;
                        }
                        None => skipped += 1,
                    }
                }
                put_uint(out, 0);
            }
            (Some(Shape::Slice(_, kind)), Value::List(list)) => {
                put_uint(out, list.len() as u64);
                list.iter().for_each(|value| self.put(out, *kind, value));
            }
            (_, Value::Bytes(bytes)) => put_bytes(out, bytes),
            (_, Value::Uint(number)) => put_uint(out, *number),
            (_, Value::Int(number)) => put_int(out, *number),
            (_, Value::Bool(truth)) => put_uint(out, u64::from(*truth)),
            _ => put_uint(out, 0),
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => !truth,
        Value::Int(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Fields(_) => false,
        Value::Other => true,
    }
}

/// The description of a type, by the type that the language has for such.
fn described(id: i64, shape: Shape) -> Vec<u8> {
    let mut out = Vec::new();
    put_int(&mut out, -id);
    let common = |out: &mut Vec<u8>, name: &str| {
        put_uint(out, 1);
        if name.is_empty() {
            put_uint(out, 2);
        } else {
            put_uint(out, 1);
            put_bytes(out, name.as_bytes());
            put_uint(out, 1);
        }
        put_int(out, id);
        put_uint(out, 0);
    };
    match shape {
        Shape::Struct(name, fields) => {
            // The third field of the description.
            put_uint(&mut out, 3);
            common(&mut out, name);
            if !fields.is_empty() {
                put_uint(&mut out, 1);
                put_uint(&mut out, fields.len() as u64);
            }
            for (name, kind) in fields {
                put_uint(&mut out, 1);
                put_bytes(&mut out, name.as_bytes());
                put_uint(&mut out, 1);
                put_int(&mut out, *kind);
                put_uint(&mut out, 0);
            }
        }
        Shape::Slice(name, kind) => {
            put_uint(&mut out, 2);
            common(&mut out, name);
            put_uint(&mut out, 1);
            put_int(&mut out, kind);
        }
    }
    put_uint(&mut out, 0);
    put_uint(&mut out, 0);
    out
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, body);
    out
}

fn put_uint(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(small) if small < 128 => out.push(small),
        _ => {
            let bytes = number.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            // How many follow, negated.
            out.push(u8::MAX - u8::try_from(7 - zeros).unwrap_or_default());
            out.extend(bytes.iter().skip(zeros));
        }
    }
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    let shifted = number.cast_unsigned() << 1;
    put_uint(out, if number < 0 { !shifted } else { shifted });
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// A type as it was described.
#[derive(Debug, Clone)]
enum Kind {
    Struct(Vec<(String, i64)>),
    Slice(i64),
    Array(i64),
    Map(i64, i64),
    /// Encoded by a method of its own.
    Opaque,
}

/// Reads a stream.
#[derive(Debug)]
pub(super) struct Reader {
    kinds: HashMap<i64, Kind>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let fields = |fields: &[(&str, i64)]| {
            Kind::Struct(fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect())
        };
        // How types are described is described by types, whose numbers are fixed.
        let described = [
            ("ArrayT", 17),
            ("SliceT", 19),
            ("StructT", 20),
            ("MapT", 23),
            ("GobEncoderT", 24),
            ("BinaryMarshalerT", 24),
            ("TextMarshalerT", 24),
        ];
        let kinds = [
            (WIRE_TYPE, fields(&described)),
            (17, fields(&[("Common", 18), ("Elem", INT), ("Len", INT)])),
            (18, fields(&[("Name", STRING), ("Id", INT)])),
            (19, fields(&[("Common", 18), ("Elem", INT)])),
            (20, fields(&[("Common", 18), ("Field", 22)])),
            (21, fields(&[("Name", STRING), ("Id", INT)])),
            (22, Kind::Slice(21)),
            (23, fields(&[("Common", 18), ("Key", INT), ("Elem", INT)])),
            (24, fields(&[("Common", 18)])),
        ];
        Self { kinds: kinds.into() }
    }

    /// Reads the next value, and descriptions before it; `None` at the end of the stream.
    pub(super) fn message(&mut self, stream: &mut impl Read) -> io::Result<Option<Value>> {
        loop {
            let Some(length) = read_length(stream)? else { return Ok(None) };
            if length > LONGEST {
                return Err(wrong());
            }
            let mut message = Vec::new();
            stream.take(length).read_to_end(&mut message)?;
            let mut rest = message.as_slice();
            if (rest.len() as u64) < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let id = int(&mut rest).ok_or_else(wrong)?;
            if id < 0 {
                let value = self.value(WIRE_TYPE, &mut rest, 0).ok_or_else(wrong)?;
                self.kinds.insert(-id, kind(&value));
                continue;
            }
            let is_struct = matches!(self.kinds.get(&id), Some(Kind::Struct(_)));
            // A value that is no structure is sent as if it were the field of one.
            if !is_struct && uint(&mut rest) != Some(0) {
                return Err(wrong());
            }
            return self.value(id, &mut rest, 0).map(Some).ok_or_else(wrong);
        }
    }

    fn value(&self, id: i64, rest: &mut &[u8], depth: u32) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        match id {
            BOOL => return uint(rest).map(|number| Value::Bool(number != 0)),
            INT => return int(rest).map(Value::Int),
            UINT => return uint(rest).map(Value::Uint),
            FLOAT => return uint(rest).map(|_| Value::Other),
            BYTES | STRING => return bytes(rest).map(|bytes| Value::Bytes(bytes.to_vec())),
            _ => {}
        }
        match self.kinds.get(&id)? {
            Kind::Opaque => bytes(rest).map(|_| Value::Other),
            Kind::Slice(kind) | Kind::Array(kind) => {
                let count = count(rest)?;
                let values = (0..count).map(|_| self.value(*kind, rest, depth + 1));
                values.collect::<Option<_>>().map(Value::List)
            }
            Kind::Map(key, kind) => {
                for _ in 0..count(rest)? {
                    self.value(*key, rest, depth + 1)?;
                    self.value(*kind, rest, depth + 1)?;
                }
                Some(Value::Other)
            }
            Kind::Struct(fields) => self.structure(fields, rest, depth),
        }
    }

    fn structure(&self, fields: &[(String, i64)], rest: &mut &[u8], depth: u32) -> Option<Value> {
        let mut found = Vec::new();
        let mut remaining = fields.iter();
        loop {
            let step = usize::try_from(uint(rest)?).ok()?;
            let Some(skipped) = step.checked_sub(1) else { return Some(Value::Fields(found)) };
            let (name, kind) = remaining.nth(skipped)?;
            found.push((name.clone(), self.value(*kind, rest, depth + 1)?));
        }
    }
}

fn kind(described: &Value) -> Kind {
    if let Some(structure) = described.get("StructT") {
        let fields = structure.list("Field").iter();
        return Kind::Struct(fields.map(|one| (one.string("Name"), one.number("Id"))).collect());
    }
    if let Some(slice) = described.get("SliceT") {
        return Kind::Slice(slice.number("Elem"));
    }
    if let Some(array) = described.get("ArrayT") {
        return Kind::Array(array.number("Elem"));
    }
    match described.get("MapT") {
        Some(map) => Kind::Map(map.number("Key"), map.number("Elem")),
        None => Kind::Opaque,
    }
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is not in Go's encoding")
}

fn read_length(stream: &mut impl Read) -> io::Result<Option<u64>> {
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Ok(None);
    }
    let [first] = first;
    if first < 128 {
        return Ok(Some(u64::from(first)));
    }
    let mut bytes = vec![0; usize::from(u8::MAX - first) + 1];
    if bytes.len() > 8 {
        return Err(wrong());
    }
    stream.read_exact(&mut bytes)?;
    Ok(Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
}

fn uint(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    if *first < 128 {
        return Some(u64::from(*first));
    }
    let length = usize::from(u8::MAX - first) + 1;
    let (number, after) = rest.split_at_checked(length).filter(|_| length <= 8)?;
    *rest = after;
    Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn int(rest: &mut &[u8]) -> Option<i64> {
    let number = uint(rest)?;
    let half = (number >> 1).cast_signed();
    Some(if number & 1 == 1 { !half } else { half })
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(uint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// How many values follow; each takes at least a byte.
fn count(rest: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(uint(rest)?).ok()?;
    (count <= rest.len()).then_some(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPES: &[Shape] = &[
        Shape::Struct("Request", &[("ServiceMethod", STRING), ("Seq", UINT)]),
        Shape::Struct("More", &[("A", UINT), ("B", FIRST + 2), ("C", BYTES)]),
        Shape::Slice("", FIRST),
    ];

    /// What Debian's plugin sends, recorded.
    #[test]
    fn what_go_sends_is_read_and_written_the_same() {
        let recorded = b"\x2f\xff\x81\x03\x01\x01\x07Request\x01\xff\x82\x00\x01\x02\x01\x0dServiceMethod\x01\x0c\x00\x01\x03Seq\x01\x06\x00\x00\x00\x12\xff\x82\x01\x0dDHCP.Allocate\x00";
        let mut stream = recorded.as_slice();
        let mut reader = Reader::new();
        let value = reader.message(&mut stream).unwrap().unwrap();
        assert_eq!(value.string("ServiceMethod"), "DHCP.Allocate");
        assert_eq!(value.number("Seq"), 0);
        assert_eq!(reader.message(&mut stream).unwrap(), None);
        let mut writer = Writer::new(&SHAPES[..1]);
        let value = Value::fields([("ServiceMethod", Value::text("DHCP.Allocate"))]);
        assert_eq!(writer.message(FIRST, &value), recorded);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a in any::<u64>(), texts in prop::collection::vec(".{0,200}", 0..5), c in prop::collection::vec(any::<u8>(), 0..300)) {
            let list = texts.iter().map(|text| Value::fields([("ServiceMethod", Value::text(text))])).collect();
            let value = Value::fields([("A", Value::Uint(a)), ("B", Value::List(list)), ("C", Value::Bytes(c.clone()))]);
            let bytes = Writer::new(SHAPES).message(FIRST + 1, &value);
            let read = Reader::new().message(&mut bytes.as_slice()).unwrap().unwrap();
            prop_assert_eq!(read.number("A"), i64::try_from(a).unwrap_or(i64::MAX));
            let given: Vec<_> = read.list("B").iter().map(|one| one.string("ServiceMethod")).collect();
            prop_assert_eq!(given, texts);
            prop_assert_eq!(read.bytes("C"), c);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = bytes.as_slice();
            let mut reader = Reader::new();
            while let Ok(Some(_)) = reader.message(&mut stream) {}
        }

        #[test]
        fn signed_numbers_survive(number in any::<i64>()) {
            let mut bytes = Vec::new();
            put_int(&mut bytes, number);
            prop_assert_eq!(int(&mut bytes.as_slice()), Some(number));
        }
    }
}
