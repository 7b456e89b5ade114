//! Messages of D-Bus, as far as calls with texts and their answers need them.
//!
//! Numbers and alignment are those of the D-Bus specification, "Message Protocol". What is written
//! is little-endian; what is read may be either.

const LITTLE: u8 = b'l';
const BIG: u8 = b'B';
const VERSION: u8 = 1;
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_TO: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Bytes before the fields of the header, which tell how long the rest is.
pub(super) const FRAME: usize = 16;
/// Where the length of the fields stands.
const FIELDS_LENGTH: usize = 12;
/// Longest message that is read, in bytes; answers to what is asked here have some hundred.
const LONGEST: usize = 1 << 20;

/// A call of a method whose arguments are texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MethodCall<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) texts: &'a [&'a str],
}

impl MethodCall<'_> {
    /// The message with that number.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        for text in self.texts {
            put_text(&mut body, text);
        }
        let mut bytes = vec![LITTLE, CALL, 0, VERSION];
        put_length(&mut bytes, body.len());
        bytes.extend(serial.to_le_bytes());
        bytes.extend([0; 4]);
        for (field, kind, text) in [
            (PATH, b'o', self.path),
            (INTERFACE, b's', self.interface),
            (MEMBER, b's', self.member),
            (DESTINATION, b's', self.destination),
        ] {
            put_field(&mut bytes, field, kind);
            put_text(&mut bytes, text);
        }
        if !self.texts.is_empty() {
            put_field(&mut bytes, SIGNATURE, b'g');
            bytes.push(u8::try_from(self.texts.len()).unwrap_or(u8::MAX));
            bytes.extend(self.texts.iter().map(|_| b's'));
            bytes.push(0);
        }
        let length = u32::try_from(bytes.len() - FRAME).unwrap_or(u32::MAX).to_le_bytes();
        bytes.iter_mut().skip(FIELDS_LENGTH).zip(length).for_each(|(place, byte)| *place = byte);
        align(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    put_length(bytes, text.len());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn put_field(bytes: &mut Vec<u8>, field: u8, kind: u8) {
    align(bytes, 8);
    bytes.extend([field, 1, kind, 0]);
}

/// The first value of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Truth(bool),
    /// None, or of a kind that nothing here asks for.
    Other,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Return,
    /// With its name.
    Error(String),
    /// No answer.
    Other,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) kind: Kind,
    /// Number of the message that it answers.
    pub(super) reply_to: u32,
    pub(super) first: Value,
}

/// Length of a message in bytes, by its frame; `None` when that is none, or too long.
pub(super) fn length(frame: &[u8; FRAME]) -> Option<usize> {
    let mut reader = Reader::new(frame)?;
    reader.at = 4;
    let body = usize::try_from(reader.number()?).ok()?;
    reader.at = FIELDS_LENGTH;
    let fields = usize::try_from(reader.number()?).ok()?;
    let whole = FRAME.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    Some(whole).filter(|whole| *whole <= LONGEST)
}

impl Incoming {
    /// Reads a whole message; `None` when it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let kind = *bytes.get(1)?;
        reader.at = FIELDS_LENGTH;
        let end = FRAME + usize::try_from(reader.number()?).ok()?;
        let (mut name, mut reply_to, mut signature) = (String::new(), 0, String::new());
        while reader.at < end {
            reader.align(8);
            let field = reader.byte()?;
            match (field, reader.signature()?.as_str()) {
                (REPLY_TO, "u") => reply_to = reader.number()?,
                (ERROR_NAME, "s") => name = reader.text()?,
                (SIGNATURE, "g") => signature = reader.signature()?,
                (_, "u") => drop(reader.number()?),
                (_, "s" | "o") => drop(reader.text()?),
                (_, "g") => drop(reader.signature()?),
                _ => return None,
            }
        }
        reader.at = end.next_multiple_of(8);
        let first = match signature.bytes().next() {
            Some(b's' | b'o') => Value::Text(reader.text()?),
            Some(b'b') => Value::Truth(reader.number()? != 0),
            _ => Value::Other,
        };
        let kind = match kind {
            RETURN => Kind::Return,
            ERROR => Kind::Error(name),
            _ => Kind::Other,
        };
        Some(Self { kind, reply_to, first })
    }
}

/// A place in a message.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big = match bytes.first() {
            Some(&LITTLE) => false,
            Some(&BIG) => true,
            _ => return None,
        };
        Some(Self { bytes, at: 0, is_big })
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Text and the byte of zero after it.
    fn letters(&mut self, length: usize) -> Option<String> {
        let letters = String::from_utf8_lossy(self.take(length)?).into_owned();
        (self.byte()? == 0).then_some(letters)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        self.letters(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.letters(length.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUERY: MethodCall<'_> = MethodCall {
        destination: "a.b",
        path: "/a",
        interface: "a.b.zone",
        member: "querySource",
        texts: &["trusted", "10.1.0.5/32"],
    };

    /// What libdbus sends for this call, but for the number of the message.
    #[test]
    fn a_call_is_written_as_the_specification_has_it() {
        let bytes = QUERY.encode(7);
        let expected = b"l\x01\0\x01\x1c\0\0\0\x07\0\0\0\x58\0\0\0\
            \x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\
            \x02\x01s\0\x08\0\0\0a.b.zone\0\0\0\0\0\0\0\0\
            \x03\x01s\0\x0b\0\0\0querySource\0\0\0\0\0\
            \x06\x01s\0\x03\0\0\0a.b\0\0\0\0\0\
            \x08\x01g\0\x02ss\0\
            \x07\0\0\0trusted\0\x0b\0\0\x0010.1.0.5/32\0";
        assert_eq!(bytes, expected);
        assert_eq!(length(bytes.first_chunk().unwrap()), Some(bytes.len()));
    }

    #[test]
    fn answers_of_either_order_are_read() {
        let truth = b"l\x02\x01\x01\x04\0\0\0\x09\0\0\0\x0f\0\0\0\
            \x05\x01u\0\x07\0\0\0\x08\x01g\0\x01b\0\0\x01\0\0\0";
        let wanted = Incoming { kind: Kind::Return, reply_to: 7, first: Value::Truth(true) };
        assert_eq!(Incoming::decode(truth), Some(wanted.clone()));
        let big = b"B\x02\x01\x01\0\0\0\x04\0\0\0\x09\0\0\0\x0f\
            \x05\x01u\0\0\0\0\x07\x08\x01g\0\x01b\0\0\0\0\0\x01";
        assert_eq!(Incoming::decode(big), Some(wanted));
        assert_eq!(length(big.first_chunk().unwrap()), Some(big.len()));
        let error = b"l\x03\x01\x01\x09\0\0\0\x09\0\0\0\x1f\0\0\0\
            \x04\x01s\0\x03\0\0\0x.y\0\0\0\0\0\x05\x01u\0\x08\0\0\0\x08\x01g\0\x01s\0\0\
            \x04\0\0\0gone\0";
        let first = Value::Text("gone".to_owned());
        let wanted = Incoming { kind: Kind::Error("x.y".to_owned()), reply_to: 8, first };
        assert_eq!(Incoming::decode(error), Some(wanted));
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(length(b"x\x02\x01\x01\x04\0\0\0\x09\0\0\0\x0f\0\0\0"), None);
        assert_eq!(length(b"l\x02\x01\x01\xff\xff\xff\xff\x09\0\0\0\x0f\0\0\0"), None);
        assert_eq!(Incoming::decode(b"l\x02\x01\x01\x04\0\0\0\x09\0\0\0\x0f\0\0\0"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_big: bool) {
            if let Some(first) = bytes.first_mut() {
                *first = if is_big { BIG } else { LITTLE };
            }
            drop(Incoming::decode(&bytes));
            prop_assert!(bytes.first_chunk().and_then(length).is_none_or(|whole| whole <= LONGEST));
        }
    }
}
