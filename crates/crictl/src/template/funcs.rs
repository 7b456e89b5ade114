//! The functions of templates.

use std::cmp::Ordering;

use super::{exec::Value, printf};
use crate::json::{Escapes, Json};

/// Functions that there are.
const KNOWN: [&str; 18] = [
    "and", "eq", "ge", "gt", "index", "json", "le", "len", "lower", "lt", "ne", "not", "or",
    "print", "printf", "println", "title", "upper",
];

/// Functions of Go that are refused by name.
const REFUSED: [&str; 4] = ["call", "html", "js", "urlquery"];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name == "slice"
}

pub(super) fn is_refused(name: &str) -> bool {
    REFUSED.contains(&name)
}

type Result<'a> = std::result::Result<Value<'a>, String>;

/// Calls a function; `and` and `or` are not for here.
pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Result<'a> {
    match (name, arguments) {
        ("not", [one]) => Ok(Value::Bool(!one.is_true())),
        ("len", [one]) => length(one),
        ("index", [first, keys @ ..]) => keys.iter().try_fold(first.clone(), index),
        ("slice", [first, bounds @ ..]) => slice(first, bounds),
        ("json", [one]) => Ok(Value::Text(json(one).compact(Escapes::Html) + "\n")),
        ("lower" | "upper" | "title", [one]) => {
            let text = text_of(one).ok_or_else(|| wrong_type(one, "a text"))?;
            Ok(Value::Text(match name {
                "lower" => text.to_lowercase(),
                "upper" => text.to_uppercase(),
                _ => title(text),
            }))
        }
        ("print" | "println", all) => Ok(Value::Text(printed(all, name == "println"))),
        ("printf", [format, rest @ ..]) => {
            let format = text_of(format).ok_or_else(|| wrong_type(format, "a format"))?;
            Ok(Value::Text(printf::printf(format, rest)))
        }
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut same = false;
            for other in others {
                same = same || equal(first, other)?;
            }
            Ok(Value::Bool(same))
        }
        ("ne", [a, b]) => equal(a, b).map(|same| Value::Bool(!same)),
        ("lt", [a, b]) => order(a, b).map(|order| Value::Bool(order == Ordering::Less)),
        ("le", [a, b]) => order(a, b).map(|order| Value::Bool(order != Ordering::Greater)),
        ("gt", [a, b]) => order(a, b).map(|order| Value::Bool(order == Ordering::Greater)),
        ("ge", [a, b]) => order(a, b).map(|order| Value::Bool(order != Ordering::Less)),
        _ => Err(format!("wrong number of arguments: {}", arguments.len())),
    }
}

/// A text, or a number of the data, which is one.
pub(super) fn text_of<'b>(value: &'b Value<'_>) -> Option<&'b str> {
    match value {
        Value::Text(text) | Value::Data(Json::String(text) | Json::Number(text)) => Some(text),
        _ => None,
    }
}

/// What Go calls the type of a value.
pub(super) fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Nothing | Value::Data(Json::Null) => "nil",
        Value::Bool(_) | Value::Data(Json::Bool(_)) => "bool",
        Value::Text(_) | Value::Data(Json::String(_)) => "string",
        Value::Data(Json::Number(_)) => "json.Number",
        Value::Data(Json::Array(_)) => "[]interface {}",
        Value::Data(Json::Object(_)) => "map[string]interface {}",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
    }
}

fn wrong_type(value: &Value<'_>, expected: &str) -> String {
    format!("expected {expected}, found {}", type_name(value))
}

fn length<'a>(value: &Value<'a>) -> Result<'a> {
    let length = match value {
        Value::Data(Json::Array(values)) => values.len(),
        Value::Data(Json::Object(entries)) => entries.len(),
        other => text_of(other).ok_or_else(|| format!("len of type {}", type_name(other)))?.len(),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index<'a>(value: Value<'a>, key: &Value<'a>) -> Result<'a> {
    match (&value, key) {
        (Value::Data(data @ Json::Object(_)), key) => {
            let key = text_of(key).ok_or_else(|| wrong_type(key, "a key"))?;
            Ok(data.get(key).map_or(Value::Nothing, Value::Data))
        }
        (Value::Data(Json::Array(values)), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| values.get(at));
            found.map(Value::Data).ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Data(Json::Array(_)), other) => {
            Err(format!("cannot index slice/array with type {}", type_name(other)))
        }
        (Value::Nothing | Value::Data(Json::Null), _) => Err("index of untyped nil".to_owned()),
        (other, _) => Err(format!("can't index item of type {}", type_name(other))),
    }
}

/// A part of a text by its bytes.
fn slice<'a>(value: &Value<'a>, bounds: &[Value<'a>]) -> Result<'a> {
    let text = text_of(value).ok_or_else(|| wrong_type(value, "a text"))?;
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(number)) => usize::try_from(*number).map_err(|error| error.to_string()),
        Some(other) => Err(wrong_type(other, "a number")),
    };
    let (from, to) = (bound(0, 0)?, bound(1, text.len())?);
    let part = text.as_bytes().get(from..to).filter(|_| bounds.len() < 3);
    let part = part.ok_or_else(|| format!("index out of range: {to}"))?;
    Ok(Value::Text(String::from_utf8_lossy(part).into_owned()))
}

/// Upper case at the beginning of every word.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::new();
    for letter in text.chars() {
        if before.is_alphanumeric() || before == '\'' || before == '_' {
            out.push(letter);
        } else {
            out.extend(letter.to_uppercase());
        }
        before = letter;
    }
    out
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Nothing => Json::Null,
        Value::Data(data) => (*data).clone(),
        Value::Bool(value) => Json::Bool(*value),
        Value::Text(text) => Json::String(text.clone()),
        Value::Int(number) => Json::Number(number.to_string()),
        Value::Float(number) => Json::Number(crate::json::float(*number)),
    }
}

/// What can be compared with each other.
enum Basic<'b> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'b str),
}

fn basic<'b>(value: &'b Value<'_>) -> std::result::Result<Basic<'b>, String> {
    Ok(match value {
        Value::Nothing | Value::Data(Json::Null) => Basic::Nil,
        Value::Bool(value) | Value::Data(Json::Bool(value)) => Basic::Bool(*value),
        Value::Int(number) => Basic::Int(*number),
        Value::Float(number) => Basic::Float(*number),
        other => Basic::Text(text_of(other).ok_or("non-comparable type")?),
    })
}

fn equal(a: &Value<'_>, b: &Value<'_>) -> std::result::Result<bool, String> {
    match (basic(a)?, basic(b)?) {
        (Basic::Nil, Basic::Nil) => Ok(true),
        (Basic::Nil, _) | (_, Basic::Nil) => Ok(false),
        (Basic::Bool(a), Basic::Bool(b)) => Ok(a == b),
        (Basic::Int(a), Basic::Int(b)) => Ok(a == b),
        #[expect(clippy::float_cmp, reason = "that is what is asked")]
        (Basic::Float(a), Basic::Float(b)) => Ok(a == b),
        (Basic::Text(a), Basic::Text(b)) => Ok(a == b),
        _ => Err(incompatible(a, b)),
    }
}

fn order(a: &Value<'_>, b: &Value<'_>) -> std::result::Result<Ordering, String> {
    match (basic(a)?, basic(b)?) {
        (Basic::Int(a), Basic::Int(b)) => Ok(a.cmp(&b)),
        (Basic::Float(a), Basic::Float(b)) => {
            a.partial_cmp(&b).ok_or_else(|| "what is no number has no order".to_owned())
        }
        (Basic::Text(a), Basic::Text(b)) => Ok(a.cmp(b)),
        _ => Err(incompatible(a, b)),
    }
}

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> String {
    let number = |value: &Value<'_>| matches!(value, Value::Data(Json::Number(_)));
    let hint =
        if number(a) || number(b) { "; numbers of the data are compared as texts" } else { "" };
    format!("incompatible types for comparison: {} and {}{hint}", type_name(a), type_name(b))
}

/// A value as it stands in the output.
pub(super) fn shown(value: &Value<'_>) -> String {
    let mut out = String::new();
    print(value, &mut out);
    out
}

/// Writes a value into the output.
pub(super) fn print(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Nothing | Value::Data(Json::Null) => out.push_str("<no value>"),
        other => within(other, out),
    }
}

/// Writes a value as Go's `%v`.
pub(super) fn within(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Nothing | Value::Data(Json::Null) => out.push_str("<nil>"),
        Value::Bool(value) | Value::Data(Json::Bool(value)) => out.push_str(&value.to_string()),
        Value::Text(text) | Value::Data(Json::String(text) | Json::Number(text)) => {
            out.push_str(text);
        }
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&crate::units::shortest(*number)),
        Value::Data(Json::Array(values)) => {
            for (at, value) in values.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ' ' });
                within(&Value::Data(value), out);
            }
            out.push_str(if values.is_empty() { "[]" } else { "]" });
        }
        Value::Data(Json::Object(entries)) => {
            out.push_str("map[");
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { " " });
                out.push_str(key);
                out.push(':');
                within(&Value::Data(value), out);
            }
            out.push(']');
        }
    }
}

/// As Go's Sprint: a space between two values of which neither is a text. As Sprintln: always one.
fn printed(values: &[Value<'_>], line: bool) -> String {
    let mut out = String::new();
    let is_text = |value: &Value<'_>| matches!(type_name(value), "string");
    for (at, value) in values.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| values.get(before));
        if before.is_some_and(|before| line || !is_text(before) && !is_text(value)) {
            out.push(' ');
        }
        within(value, &mut out);
    }
    if line {
        out.push('\n');
    }
    out
}
