//! `printf` with the verbs that fit texts, numbers and booleans.

use std::fmt::Write as _;

use super::{exec::Value, funcs};

/// How one value is to be written.
#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Writes values by a format, as Go does; mistakes show in the text, as they do there.
pub(super) fn printf(format: &str, arguments: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let spec = read_spec(&mut letters);
        match letters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => write!(out, "%!{verb}(MISSING)").unwrap_or_default(),
                Some(value) => out.push_str(&pad(&spec, one(&spec, verb, value))),
            },
        }
    }
    let rest: Vec<_> =
        arguments.map(|value| format!("{}={}", funcs::type_name(value), plain(value))).collect();
    if !rest.is_empty() {
        write!(out, "%!(EXTRA {})", rest.join(", ")).unwrap_or_default();
    }
    out
}

fn read_spec(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = letters.next_if(|letter| "-0+ #".contains(*letter)) {
        match flag {
            '-' => spec.left = true,
            '0' => spec.zero = true,
            '+' => spec.plus = true,
            _ => {}
        }
    }
    spec.width = digits(letters).unwrap_or_default();
    if letters.next_if_eq(&'.').is_some() {
        spec.precision = Some(digits(letters).unwrap_or_default());
    }
    spec
}

fn digits(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        letters.next();
        let so_far: usize = number.unwrap_or_default();
        number = Some(so_far.saturating_mul(10).saturating_add(digit as usize).min(10_000));
    }
    number
}

fn pad(spec: &Spec, text: String) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.left {
        text + &" ".repeat(missing)
    } else if spec.zero && text.starts_with(['-', '+']) {
        let (sign, digits) = text.split_at(1);
        format!("{sign}{}{digits}", "0".repeat(missing))
    } else {
        let fill = if spec.zero { "0" } else { " " };
        fill.repeat(missing) + &text
    }
}

fn plain(value: &Value<'_>) -> String {
    let mut out = String::new();
    funcs::within(value, &mut out);
    out
}

fn one(spec: &Spec, verb: char, value: &Value<'_>) -> String {
    let precision = spec.precision;
    let text = || {
        let text = plain(value);
        precision.map_or_else(|| text.clone(), |most| text.chars().take(most).collect())
    };
    let is_text = funcs::text_of(value).is_some();
    match (verb, value) {
        ('v', _) => text(),
        ('T', _) => funcs::type_name(value).to_owned(),
        ('s', _) if !matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => text(),
        ('q', _) if is_text => format!("{:?}", text()),
        ('t', _) if funcs::type_name(value) == "bool" => text(),
        ('d', Value::Int(number)) if spec.plus => format!("{number:+}"),
        ('d', Value::Int(number)) => number.to_string(),
        ('x', Value::Int(number)) => signed(*number, |number| format!("{number:x}")),
        ('X', Value::Int(number)) => signed(*number, |number| format!("{number:X}")),
        ('o', Value::Int(number)) => signed(*number, |number| format!("{number:o}")),
        ('b', Value::Int(number)) => signed(*number, |number| format!("{number:b}")),
        ('x', _) if is_text => text().bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', _) if is_text => text().bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('c', Value::Int(number)) => {
            let letter = u32::try_from(*number).ok().and_then(char::from_u32);
            letter.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
        }
        ('e', Value::Float(number)) => exponential(*number, precision.unwrap_or(6)),
        ('f' | 'F', Value::Float(number)) => format!("{number:.*}", precision.unwrap_or(6)),
        ('g', Value::Float(number)) => precision.map_or_else(
            || crate::units::shortest(*number),
            |digits| crate::units::general(*number, digits),
        ),
        _ => format!("%!{verb}({}={})", funcs::type_name(value), plain(value)),
    }
}

fn signed(number: i64, write: impl Fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", write(number.unsigned_abs()))
}

/// As C's `%e`: with a sign and two digits at least in the exponent.
fn exponential(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
