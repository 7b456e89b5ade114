//! JSON that keeps the order of its keys, written as Go writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A value. Numbers are kept as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// Values by name, in the order in which they are written.
    Object(Vec<(String, Self)>),
}

/// Which characters are escaped beyond what JSON asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// None, as protojson does.
    Few,
    /// `<`, `>`, `&` and the two line separators of Unicode, as encoding/json does.
    Html,
}

impl Json {
    /// Reads JSON as encoding/json reads it into an `interface{}`: keys are sorted, the last of
    /// several values of a key counts, and numbers are 64-bit floats.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<serde_json::Value>(text).map(|value| Self::of(&value))
    }

    fn of(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(float(number.as_f64().unwrap_or_default())),
            Value::String(text) => Self::String(text.clone()),
            Value::Array(values) => Self::Array(values.iter().map(Self::of).collect()),
            Value::Object(values) => Self::Object(
                values.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect(),
            ),
        }
        .sorted()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets the value of a key of an object; other values have no keys.
    pub fn set(&mut self, key: &str, value: Self) {
        let Self::Object(entries) = self else { return };
        match entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => entries.push((key.to_owned(), value)),
        }
    }

    /// With the keys of all objects in the order of their bytes, as Go writes maps.
    #[must_use]
    pub fn sorted(self) -> Self {
        match self {
            Self::Array(values) => Self::Array(values.into_iter().map(Self::sorted).collect()),
            Self::Object(entries) => {
                let sorted: BTreeMap<_, _> =
                    entries.into_iter().map(|(key, value)| (key, value.sorted())).collect();
                Self::Object(sorted.into_iter().collect())
            }
            other => other,
        }
    }

    /// On one line, without spaces.
    pub fn compact(&self, escapes: Escapes) -> String {
        let mut out = String::new();
        self.write(&mut out, escapes, None);
        out
    }

    /// Over several lines, each level two spaces further in.
    pub fn indented(&self, escapes: Escapes) -> String {
        let mut out = String::new();
        self.write(&mut out, escapes, Some(0));
        out
    }

    fn write(&self, out: &mut String, escapes: Escapes, level: Option<usize>) {
        let inner = level.map(|level| level + 1);
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::String(text) => string(text, escapes, out),
            Self::Array(values) if values.is_empty() => out.push_str("[]"),
            Self::Object(entries) if entries.is_empty() => out.push_str("{}"),
            Self::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    line(out, inner);
                    value.write(out, escapes, inner);
                }
                line(out, level);
                out.push(']');
            }
            Self::Object(entries) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    line(out, inner);
                    string(key, escapes, out);
                    out.push_str(if level.is_some() { ": " } else { ":" });
                    value.write(out, escapes, inner);
                }
                line(out, level);
                out.push('}');
            }
        }
    }
}

/// Begins a line, where there are lines.
fn line(out: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}

/// Writes a string with its quotes.
fn string(text: &str, escapes: Escapes, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        let more =
            escapes == Escapes::Html && matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if letter < ' ' || more => {
                write!(out, "\\u{:04x}", u32::from(letter)).unwrap_or_default()
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// A float as encoding/json writes it: the fewest digits that tell it from its neighbours, with an
/// exponent below 1e-6 and from 1e21 on.
pub fn float(value: f64) -> String {
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_and_writes_again_is_written_the_same() {
        let written = |text: &str| Json::read(text).unwrap().compact(Escapes::Html);
        assert_eq!(written(r#"{"b":1,"a":[{},[],null,true]}"#), r#"{"a":[{},[],null,true],"b":1}"#);
        assert_eq!(
            written(r#"["<a&b>","\u2028\u0001"]"#),
            r#"["\u003ca\u0026b\u003e","\u2028\u0001"]"#
        );
        // Numbers are floats in between.
        let numbers = "[9223372036854775807,1e21,1e-7,0.5,-0,4294967295,1.0]";
        assert_eq!(
            written(numbers),
            "[9223372036854775807,1e+21,1e-7,0.5,-0,4294967295,1]"
                .replace("9223372036854775807", "9223372036854776000")
        );
        assert!(Json::read("{").is_err());
    }

    #[test]
    fn levels_are_two_spaces_and_what_is_empty_stays_on_its_line() {
        let json = Json::Object(vec![
            ("b".into(), Json::Array(vec![Json::Number("1".into()), Json::Object(vec![])])),
            ("a".into(), Json::String("<\n>".into())),
        ]);
        let expected = "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"<\\n>\"\n}";
        assert_eq!(json.indented(Escapes::Few), expected);
        assert_eq!(json.sorted().compact(Escapes::Few), r#"{"a":"<\n>","b":[1,{}]}"#);
    }
}
