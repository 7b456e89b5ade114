//! Scalars: text to the number, boolean, enum value or string that a field wants.

use crilet_core::{
    similar,
    yaml::{Scalar, Style},
};

use super::wire::Value;
use crate::{
    config::finding::Finding,
    schema::{Enum, Kind},
};

/// The most characters of a value that are repeated in a message.
const SHOWN: usize = 40;
/// The most values of an enum that are listed in a message.
const LISTED: usize = 8;

/// Reads a scalar for a field of this kind; the caller adds place and path to a finding.
pub(super) fn read(kind: Kind, scalar: &Scalar) -> Result<Value, Finding> {
    match kind {
        // The one field of bytes is the value of an environment variable, plain text in files.
        Kind::String | Kind::Bytes => text(scalar).map(Value::from_text),
        Kind::Bool => boolean(scalar).map(|value| Value::from_signed(value.into())),
        Kind::Int32 => {
            integer(scalar, false, i32::MIN, i32::MAX).map(|value| Value::from_signed(value.into()))
        }
        Kind::Uint32 => {
            integer(scalar, false, u32::MIN, u32::MAX).map(|value| Value::Number(value.into()))
        }
        Kind::Int64 => integer(scalar, true, i64::MIN, i64::MAX).map(Value::from_signed),
        Kind::Uint64 => integer(scalar, true, u64::MIN, u64::MAX).map(Value::Number),
        Kind::Enum(named) => {
            enumeration(named, scalar).map(|number| Value::from_signed(number.into()))
        }
        // No configuration has a fraction.
        Kind::Double | Kind::Message(_) => Err(mismatch(kind, scalar)),
    }
}

/// Reads what [`read`] refuses and YAML 1.1, which crictl reads, has as a boolean or a whole number: `yes`,
/// `010` for 8, `1_000`, `1.0`.
pub(super) fn by_yaml_1_1(kind: Kind, scalar: &Scalar) -> Option<Value> {
    if scalar.style != Style::Plain {
        return None;
    }
    let text = match (kind, scalar.text.as_str()) {
        (Kind::Bool, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE") => {
            "true".to_owned()
        }
        (
            Kind::Bool,
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE",
        ) => "false".to_owned(),
        (Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Uint64, text) => {
            number_of_yaml_1_1(text)?.to_string()
        }
        _ => return None,
    };
    read(kind, &Scalar { text, style: Style::Plain }).ok()
}

fn number_of_yaml_1_1(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (negative, digits) =
        text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
    let digits = digits.strip_prefix('+').filter(|_| !negative).unwrap_or(digits);
    let prefixed = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)];
    let whole = prefixed.iter().find_map(|(prefix, radix)| {
        let rest = digits.strip_prefix(prefix)?;
        let is_number = rest.chars().all(|digit| digit.is_digit(*radix));
        i64::from_str_radix(rest, *radix).ok().filter(|_| is_number)
    });
    let whole = whole.or_else(|| {
        // The whole numbers that a fraction has exactly.
        let (number, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_whole = fraction.bytes().all(|digit| digit == b'0');
        number
            .parse()
            .ok()
            .filter(|_| is_whole && number.bytes().all(|digit| digit.is_ascii_digit()))
    })?;
    Some(if negative { -whole } else { whole })
}

/// Names what a field of this kind takes.
pub(super) fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Bytes => "text",
        Kind::Bool => "true or false",
        Kind::Enum(_) => "a name or its number",
        Kind::Message(_) => "a mapping",
        Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Uint64 => "a whole number",
        Kind::Double => "a number",
    }
}

/// Repeats a value in a message: quoted if it was quoted, cut if it is long.
pub(super) fn quote(scalar: &Scalar) -> String {
    let mut shown: String = scalar.text.chars().take(SHOWN).collect();
    if shown.len() < scalar.text.len() {
        shown.push_str("...");
    }
    match scalar.style {
        Style::Plain => format!("`{shown}`"),
        Style::Text => format!("{shown:?}"),
    }
}

fn mismatch(kind: Kind, scalar: &Scalar) -> Finding {
    let finding = Finding::new(format!("expected {}, found {}", noun(kind), quote(scalar)));
    if scalar.style == Style::Plain && scalar.text.contains("//") {
        return finding.hint("comments begin with `#`");
    }
    finding
}

fn text(scalar: &Scalar) -> Result<String, Finding> {
    if scalar.text.contains('\0') {
        return Err(Finding::new("holds a NUL character, which no program can be given"));
    }
    Ok(scalar.text.clone())
}

fn boolean(scalar: &Scalar) -> Result<bool, Finding> {
    match (scalar.style, scalar.text.as_str()) {
        (Style::Plain, "true") => Ok(true),
        (Style::Plain, "false") => Ok(false),
        _ => {
            let finding = mismatch(Kind::Bool, scalar);
            Err(match scalar.text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" | "1" => finding.hint("write `true`"),
                "false" | "no" | "off" | "n" | "0" => finding.hint("write `false`"),
                _ => finding,
            })
        }
    }
}

/// Reads a whole number: decimal, `0x` or `0o`; in quotes only where `quoted` says so, because
/// JSON cannot carry all 64 bits otherwise.
fn integer<T: TryFrom<i128> + std::fmt::Display>(
    scalar: &Scalar,
    quoted: bool,
    least: T,
    most: T,
) -> Result<T, Finding> {
    let mismatch = || mismatch(Kind::Int32, scalar);
    let text = scalar.text.as_str();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (radix, digits) = match (digits.get(..2), digits.get(2..)) {
        (Some("0x"), Some(rest)) => (16, rest),
        (Some("0o"), Some(rest)) => (8, rest),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(mismatch());
    }
    if scalar.style == Style::Text && !quoted {
        return Err(mismatch().hint("write it without quotes"));
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        let plain = digits.trim_start_matches('0');
        let octal = !plain.is_empty() && plain.chars().all(|digit| digit.is_digit(8));
        return Err(mismatch().hint(match octal {
            true => format!("write `{plain}`, or `0o{plain}` if it is octal"),
            false => "drop the zero in front".to_owned(),
        }));
    }
    // More digits than fit are out of range like any other number that is too large.
    let number = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    T::try_from(if negative { -number } else { number })
        .map_err(|_| Finding::new(format!("{} is out of range: {least} to {most}", quote(scalar))))
}

fn enumeration(named: &Enum, scalar: &Scalar) -> Result<i32, Finding> {
    let values = named.values;
    if let Some((_, number)) = values.iter().find(|(name, _)| *name == scalar.text) {
        return Ok(*number);
    }
    let number = scalar.text.parse().ok().filter(|_| scalar.style == Style::Plain);
    if let Some(number) = number.filter(|number| values.iter().any(|(_, known)| known == number)) {
        return Ok(number);
    }
    let listed = values.iter().take(LISTED).map(|(name, number)| format!("{name} ({number})"));
    let mut listed = listed.collect::<Vec<_>>().join(", ");
    if values.len() > LISTED {
        listed.push_str(", ...");
    }
    let finding = Finding::new(format!("{} is none of {listed}", quote(scalar)));
    let names = || values.iter().map(|(name, _)| *name);
    let suffix = format!("_{}", scalar.text.to_ascii_uppercase());
    let meant = similar(&scalar.text, names())
        .or_else(|| names().find(|name| scalar.text.len() > 2 && name.ends_with(&suffix)));
    Err(match meant {
        Some(meant) => finding.hint(format!("did you mean `{meant}`?")),
        None => finding,
    })
}
