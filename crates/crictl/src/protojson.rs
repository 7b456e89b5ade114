//! Messages of the CRI as JSON, by the rules of protojson.
//!
//! Messages are read from their bytes along the constant tables of `crilet_cri::schema`, so that no
//! descriptor needs to be decoded. Of what the tables do not have, nothing is shown, as with an older
//! client.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crilet_cri::schema::{self, Count, Field, Kind, Message};
pub use prost::Name;
use prost::{
    DecodeError,
    encoding::{WireType, decode_key, decode_varint},
};

use crate::json::{Json, float};

/// Which fields are shown, and how they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Names in lowerCamelCase, and all fields but messages that are not there, as protojson does with
    /// `EmitDefaultValues`. 64-bit numbers are strings, enums are names.
    Defaults,
    /// Names in snake_case, only fields that are not at their defaults, and numbers as numbers, as
    /// encoding/json does with the generated Go types.
    Go,
}

/// A message as JSON; keys are in the order of the message's fields.
pub fn of<M: Name>(message: &M, form: Form) -> Json {
    let bytes = message.encode_to_vec();
    // What was just encoded can be read.
    read(schema::of::<M>(), &bytes, form).unwrap_or(Json::Null)
}

/// Reads a message from its bytes.
///
/// # Errors
/// The bytes are no message.
pub fn read(message: &Message, mut bytes: &[u8], form: Form) -> Result<Json, DecodeError> {
    let mut found: Vec<Vec<Wire<'_>>> = vec![Vec::new(); message.fields.len()];
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        let value = Wire::take(wire_type, &mut bytes)?;
        let at = message.fields.iter().position(|field| field.number == number);
        if let Some(values) = at.and_then(|at| found.get_mut(at)) {
            values.push(value);
        }
    }
    let mut entries = Vec::new();
    for (field, values) in message.fields.iter().zip(&found) {
        let value = match field.count {
            Count::One => one(field, values, form)?,
            Count::Many => many(field, values, form)?,
            Count::Map => map(field, values, form)?,
        };
        let name = if form == Form::Go { field.name } else { field.json_name };
        entries.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(Json::Object(entries))
}

/// A value as it is on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn take(wire_type: WireType, bytes: &mut &'a [u8]) -> Result<Self, DecodeError> {
        match wire_type {
            WireType::Varint => decode_varint(bytes).map(Self::Number),
            WireType::SixtyFourBit => take(bytes, 8).map(|bytes| Self::Number(little(bytes))),
            WireType::ThirtyTwoBit => take(bytes, 4).map(|bytes| Self::Number(little(bytes))),
            WireType::LengthDelimited => {
                let length = decode_varint(bytes)?;
                take(bytes, usize::try_from(length).unwrap_or(usize::MAX)).map(Self::Bytes)
            }
            WireType::StartGroup | WireType::EndGroup => Err(broken()),
        }
    }

    fn number(self) -> u64 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
    *bytes = rest;
    Ok(taken)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// prost does not let others make its errors: this is how it says that something ends too early.
fn broken() -> DecodeError {
    match decode_varint(&mut [].as_slice()) {
        Err(error) => error,
        Ok(_) => unreachable!("nothing holds no number"),
    }
}

fn one(field: &Field, values: &[Wire<'_>], form: Form) -> Result<Option<Json>, DecodeError> {
    match (values.last(), form) {
        (None, Form::Go) => Ok(None),
        (None, Form::Defaults) if matches!(field.kind, Kind::Message(_)) => Ok(None),
        (None, Form::Defaults) => Ok(Some(nothing(field.kind))),
        (Some(value), _) => json(field.kind, *value, form).map(Some),
    }
}

fn many(field: &Field, values: &[Wire<'_>], form: Form) -> Result<Option<Json>, DecodeError> {
    if values.is_empty() && form == Form::Go {
        return Ok(None);
    }
    let packable = !matches!(field.kind, Kind::String | Kind::Bytes | Kind::Message(_));
    let mut list = Vec::new();
    for value in values {
        match value {
            Wire::Bytes(packed) if packable => {
                let wire_type = if matches!(field.kind, Kind::Double) {
                    WireType::SixtyFourBit
                } else {
                    WireType::Varint
                };
                let mut packed = *packed;
                while !packed.is_empty() {
                    list.push(json(field.kind, Wire::take(wire_type, &mut packed)?, form)?);
                }
            }
            value => list.push(json(field.kind, *value, form)?),
        }
    }
    Ok(Some(Json::Array(list)))
}

/// Entries are messages of a key (1) and a value (2); they are shown in the order of the keys.
fn map(field: &Field, values: &[Wire<'_>], form: Form) -> Result<Option<Json>, DecodeError> {
    if values.is_empty() && form == Form::Go {
        return Ok(None);
    }
    let mut entries = std::collections::BTreeMap::new();
    for entry in values {
        let (mut key, mut value) = (String::new(), nothing(field.kind));
        let mut bytes = entry.bytes();
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes)?;
            let part = Wire::take(wire_type, &mut bytes)?;
            match number {
                1 => key = text(part.bytes()),
                2 => value = json(field.kind, part, form)?,
                _ => {}
            }
        }
        entries.insert(key, value);
    }
    Ok(Some(Json::Object(entries.into_iter().collect())))
}

/// What stands for a value at its default.
fn nothing(kind: Kind) -> Json {
    match kind {
        Kind::String | Kind::Bytes => Json::String(String::new()),
        Kind::Bool => Json::Bool(false),
        Kind::Int64 | Kind::Uint64 => Json::String("0".to_owned()),
        Kind::Int32 | Kind::Uint32 | Kind::Double => Json::Number("0".to_owned()),
        Kind::Enum(named) => {
            Json::String(named.values.first().map_or("", |(name, _)| name).to_owned())
        }
        Kind::Message(_) => Json::Object(Vec::new()),
    }
}

fn json(kind: Kind, value: Wire<'_>, form: Form) -> Result<Json, DecodeError> {
    let long = |text: String| match form {
        Form::Defaults => Json::String(text),
        Form::Go => Json::Number(text),
    };
    let number = value.number();
    Ok(match kind {
        Kind::String => Json::String(text(value.bytes())),
        Kind::Bytes => Json::String(STANDARD.encode(value.bytes())),
        Kind::Bool => Json::Bool(number != 0),
        Kind::Int32 => Json::Number(narrow(number).to_string()),
        Kind::Uint32 => Json::Number((number & u64::from(u32::MAX)).to_string()),
        Kind::Int64 => long(number.cast_signed().to_string()),
        Kind::Uint64 => long(number.to_string()),
        Kind::Double => double(f64::from_bits(number)),
        Kind::Enum(named) => match (named.name(narrow(number)), form) {
            (Some(name), Form::Defaults) => Json::String(name.to_owned()),
            _ => Json::Number(narrow(number).to_string()),
        },
        Kind::Message(message) => read(message, value.bytes(), form)?,
    })
}

/// The lower half of a number, which is all that a 32-bit field has.
fn narrow(number: u64) -> i32 {
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
    low.cast_signed()
}

/// JSON has no words for what is no number.
fn double(value: f64) -> Json {
    match value {
        _ if value.is_nan() => Json::String("NaN".to_owned()),
        f64::INFINITY => Json::String("Infinity".to_owned()),
        f64::NEG_INFINITY => Json::String("-Infinity".to_owned()),
        _ => Json::Number(float(value)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use crilet_cri::v1;

    use super::*;
    use crate::json::Escapes;

    #[test]
    fn defaults_are_shown_and_messages_that_are_not_there_are_not() {
        let image = v1::Image { id: "sha256:1".into(), size: 5, ..v1::Image::default() };
        assert_eq!(
            of(&image, Form::Defaults).compact(Escapes::Few),
            r#"{"id":"sha256:1","repoTags":[],"repoDigests":[],"size":"5","username":"","pinned":false}"#
        );
        assert_eq!(of(&image, Form::Go).compact(Escapes::Few), r#"{"id":"sha256:1","size":5}"#);
    }

    #[test]
    fn every_kind_has_its_form() {
        let mut container = v1::Container { created_at: -1, ..v1::Container::default() };
        container.state = v1::ContainerState::ContainerExited.into();
        container.labels.extend([("b".into(), "2".into()), ("a".into(), "1".into())]);
        container.metadata = Some(v1::ContainerMetadata { name: "n".into(), attempt: u32::MAX });
        let json = of(&container, Form::Defaults).compact(Escapes::Few);
        for part in [
            r#""createdAt":"-1""#,
            r#""state":"CONTAINER_EXITED""#,
            r#""labels":{"a":"1","b":"2"}"#,
            r#""metadata":{"name":"n","attempt":4294967295}"#,
            r#""annotations":{}"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
        assert!(!json.contains("\"image\""), "{json}");
        let mounts = v1::PsiData { avg10: 0.5, ..v1::PsiData::default() };
        let json = of(&mounts, Form::Defaults).compact(Escapes::Few);
        assert!(json.contains(":0.5") && json.contains(r#""Avg60":0"#), "{json}");
        let answer =
            v1::ExecSyncResponse { stdout: b"\xff".to_vec(), exit_code: -2, stderr: vec![] };
        assert_eq!(
            of(&answer, Form::Defaults).compact(Escapes::Few),
            r#"{"stdout":"/w==","stderr":"","exitCode":-2}"#
        );
        let unknown = v1::RuntimeCondition::default();
        assert_eq!(
            of(&unknown, Form::Defaults).compact(Escapes::Few),
            r#"{"type":"","status":false,"reason":"","message":""}"#
        );
    }

    #[test]
    fn lists_of_numbers_are_read_packed_and_not() {
        let request = v1::PortForwardRequest { pod_sandbox_id: "p".into(), port: vec![1, 300] };
        let expected = r#"{"podSandboxId":"p","port":[1,300]}"#;
        assert_eq!(of(&request, Form::Defaults).compact(Escapes::Few), expected);
        let unpacked = [0x0a, 1, b'p', 0x10, 1, 0x10, 0xac, 2];
        let read = read(schema::of::<v1::PortForwardRequest>(), &unpacked, Form::Defaults).unwrap();
        assert_eq!(read.compact(Escapes::Few), expected);
    }

    #[test]
    fn what_is_cut_or_unknown_is_no_panic() {
        let table = schema::of::<v1::Image>();
        assert!(read(table, &[0x0a, 9, 1], Form::Defaults).is_err());
        assert!(read(table, &[0x0b], Form::Defaults).is_err());
        let unknown = read(table, &[0xf8, 0x07, 1], Form::Go).unwrap();
        assert_eq!(unknown, Json::Object(vec![]));
    }
}
