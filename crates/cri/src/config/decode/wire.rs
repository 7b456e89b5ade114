//! Messages as they are on the wire, put together field by field.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use prost::encoding::{WireType, encode_key, encode_varint};

/// One value, without its field's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Any number, boolean or enum value, as the varint it is sent as.
    Number(u64),
    /// A text or an encoded message.
    Bytes(Vec<u8>),
}

impl Value {
    pub(super) fn from_text(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }

    /// Negative numbers of any width are sent with 64 bits.
    pub(super) fn from_signed(number: i64) -> Self {
        Self::Number(number.cast_unsigned())
    }

    /// Writes the value as one of the field's.
    pub(super) fn write(&self, number: u32, buffer: &mut Vec<u8>) {
        match self {
            Self::Number(value) => {
                encode_key(number, WireType::Varint, buffer);
                encode_varint(*value, buffer);
            }
            Self::Bytes(bytes) => {
                encode_key(number, WireType::LengthDelimited, buffer);
                encode_varint(bytes.len() as u64, buffer);
                buffer.extend_from_slice(bytes);
            }
        }
    }

    /// An entry of a map.
    pub(super) fn entry(key: &str, value: &Self) -> Self {
        let mut entry = Vec::new();
        Self::from_text(key.to_owned()).write(1, &mut entry);
        value.write(2, &mut entry);
        Self::Bytes(entry)
    }
}
