//! Scalars as YAML 1.1 has them.

use base64::{Engine, prelude::BASE64_STANDARD};
use crilet_core::yaml::{Node, Scalar, Style, Value};
use crilet_cri::config::Finding;

/// The most characters of a value that are repeated in a message.
const SHOWN: usize = 40;

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

/// Says what was expected and what was found, and where.
pub(super) fn mismatch(expected: &str, node: &Node) -> Finding {
    let found = match &node.value {
        Value::Scalar(scalar) => quote(scalar),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    };
    Finding::new(format!("expected {expected}, found {found}")).at(node.position)
}

/// Shows how a value is put into a list.
pub(super) fn list_hint(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => format!("write `[{}]`", quote(scalar).replace('`', "")),
        _ => "begin each item with `- `, even if there is one only".to_owned(),
    }
}

fn unfit(expected: &str, scalar: &Scalar) -> Finding {
    Finding::new(format!("expected {expected}, found {}", quote(scalar)))
}

pub(super) fn text(scalar: &Scalar) -> Result<String, Finding> {
    if scalar.text.contains('\0') {
        return Err(Finding::new("holds a NUL character, which no program can be given"));
    }
    Ok(if scalar.is_null() { String::new() } else { scalar.text.clone() })
}

/// Kubernetes' own decoder takes line breaks within base64, as `base64` makes them.
pub(super) fn base64(text: &str) -> Result<(), Finding> {
    match BASE64_STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Finding::new("not base64")
            .hint("plain text goes into `stringData` of a Secret, or `data` of a ConfigMap")),
    }
}

pub(super) fn boolean(scalar: &Scalar) -> Result<bool, Finding> {
    let unfit = || unfit("true or false", scalar);
    if scalar.style == Style::Text {
        let hint = "write it without quotes";
        let is_boolean =
            boolean(&Scalar { text: scalar.text.clone(), style: Style::Plain }).is_ok();
        return Err(if is_boolean { unfit().hint(hint) } else { unfit() });
    }
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            Ok(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            Ok(false)
        }
        _ => Err(unfit()),
    }
}

/// Whether a scalar is a number where a number or a name may stand.
pub(super) fn looks_whole(scalar: &Scalar) -> bool {
    scalar.style == Style::Plain
        && scalar
            .text
            .trim_start_matches(['-', '+'])
            .starts_with(|sign: char| sign.is_ascii_digit())
        && parse_integer(&scalar.text).is_some()
}

/// Decimal, `0x` hexadecimal, `0o` or a leading zero for octal, `0b` binary.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |prefix| digits.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
    let (radix, digits) = if let Some(rest) = prefixed("0x") {
        (16, rest)
    } else if let Some(rest) = prefixed("0o") {
        (8, rest)
    } else if let Some(rest) = prefixed("0b") {
        (2, rest)
    } else if let Some(rest) = prefixed("0") {
        (8, rest)
    } else {
        (10, digits)
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // More digits than fit are out of range like any other number that is too large.
    let number = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(if negative { -number } else { number })
}

pub(super) fn integer<T: TryFrom<i128> + std::fmt::Display>(
    scalar: &Scalar,
    least: T,
    most: T,
) -> Result<T, Finding> {
    let unfit = || unfit("a whole number", scalar);
    let number = parse_integer(&scalar.text);
    if scalar.style == Style::Text && number.is_some() {
        return Err(unfit().hint("write it without quotes"));
    }
    let number = number.filter(|_| scalar.style == Style::Plain).ok_or_else(unfit)?;
    T::try_from(number)
        .map_err(|_| Finding::new(format!("{} is out of range: {least} to {most}", quote(scalar))))
}

pub(super) fn float(scalar: &Scalar) -> Result<f64, Finding> {
    let number = scalar.text.parse().ok().filter(|_| scalar.style == Style::Plain);
    number.ok_or_else(|| unfit("a number", scalar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_yaml_1_1_has_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("0644", Some(0o644)),
            ("0o644", Some(0o644)),
            ("420", Some(420)),
            ("0x1f", Some(31)),
            ("-1", Some(-1)),
            ("+1", Some(1)),
            ("0b11", Some(3)),
            ("08", None),
            ("1.0", None),
            ("1e3", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("1_000", None),
        ] {
            assert_eq!(parse_integer(text), number, "{text}");
        }
    }
}
