//! From scalars to values, and back.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use crilet_core::{
    similar,
    yaml::{Scalar, Style},
};

/// The most characters of a value that are repeated in a message.
const SHOWN: usize = 40;
/// Longest path of a socket, in bytes.
const LONGEST_SOCKET: usize = 100;
/// Units of times with their milliseconds, largest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn found(expected: impl Display, scalar: &Scalar) -> String {
    let mut shown: String = scalar.text.chars().take(SHOWN).collect();
    if shown.len() < scalar.text.len() {
        shown.push_str("...");
    }
    match scalar.style {
        Style::Plain => format!("expected {expected}, found `{shown}`"),
        Style::Text => format!("expected {expected}, found {shown:?}"),
    }
}

pub(super) fn text(scalar: &Scalar) -> Result<String, String> {
    let blank = scalar.text.trim().is_empty() || scalar.text.chars().any(char::is_control);
    if blank { Err(found("text", scalar)) } else { Ok(scalar.text.clone()) }
}

pub(super) fn absolute_path(scalar: &Scalar) -> Result<PathBuf, String> {
    let path = PathBuf::from(&scalar.text);
    let usable = path.is_absolute() && !scalar.text.contains('\0');
    if usable { Ok(path) } else { Err(found("an absolute path", scalar)) }
}

pub(super) fn socket(scalar: &Scalar) -> Result<PathBuf, String> {
    let path = absolute_path(scalar)?;
    if scalar.text.len() > LONGEST_SOCKET {
        return Err(format!("the path of a socket has at most {LONGEST_SOCKET} bytes"));
    }
    Ok(path)
}

pub(super) fn endpoint(scalar: &Scalar) -> Result<String, String> {
    let path = scalar.text.strip_prefix("unix://").unwrap_or(&scalar.text);
    if path.starts_with('/') {
        return Ok(scalar.text.clone());
    }
    Err(found("a socket such as `unix:///run/containerd/containerd.sock`", scalar))
}

pub(super) fn parsed<T: FromStr>(scalar: &Scalar, expected: &str) -> Result<T, String> {
    scalar.text.parse().map_err(|_| found(format!("an address and a port {expected}"), scalar))
}

pub(super) fn count(scalar: &Scalar, least: u32, most: u32) -> Result<u32, String> {
    let number = scalar.text.parse().ok().filter(|number| (least..=most).contains(number));
    let plain = number.filter(|_| scalar.style == Style::Plain);
    plain.ok_or_else(|| found(format!("a whole number from {least} to {most}"), scalar))
}

/// A setting of the logs, in their own words.
pub(super) fn log_setting(name: &str, scalar: &Scalar) -> Result<String, String> {
    match crilet_log::Settings::default().set(name, &scalar.text) {
        Ok(_) => Ok(scalar.text.clone()),
        Err(invalid) => Err(invalid.expected.to_owned()),
    }
}

/// A size in bytes, in the words of the logs.
pub(super) fn size(scalar: &Scalar) -> Result<String, String> {
    let read = crilet_core::read_size(&scalar.text).filter(|size| *size > 0);
    read.map(|_| scalar.text.clone()).ok_or_else(|| "a size such as 256Mi".to_owned())
}

pub(super) fn percent(scalar: &Scalar) -> Result<u8, String> {
    let text = scalar.text.strip_suffix('%').unwrap_or(&scalar.text);
    let number = text.parse().ok().filter(|number| (0..=100).contains(number));
    number.ok_or_else(|| found("a percentage from 0 to 100", scalar))
}

pub(super) fn choice<T: Copy>(scalar: &Scalar, choices: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == scalar.text) {
        return Ok(*value);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let message = found(names.join(" or "), scalar);
    Err(match similar(&scalar.text, choices.iter().map(|(name, _)| *name)) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message,
    })
}

pub(super) fn log_level(scalar: &Scalar) -> Result<String, String> {
    let filter = tracing_subscriber::EnvFilter::builder().parse(&scalar.text);
    match filter {
        Ok(_) if !scalar.text.trim().is_empty() => Ok(scalar.text.clone()),
        _ => Err(found("a level such as `info`, or a filter such as `crilet=debug,warn`", scalar)),
    }
}

/// Reads `250ms`, `30s`, `5m`, `1h`, `7d`, and `0`.
pub(super) fn duration(scalar: &Scalar) -> Result<Duration, String> {
    let expected = || found("a time such as `500ms`, `30s`, `5m`, `1h` or `7d`", scalar);
    let text = scalar.text.as_str();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let split = text.find(|sign: char| !sign.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(*scale).map(Duration::from_millis).ok_or_else(expected)
}

pub(super) fn positive_duration(scalar: &Scalar) -> Result<Duration, String> {
    match duration(scalar)? {
        Duration::ZERO => Err(found("a time of more than nothing", scalar)),
        time => Ok(time),
    }
}

/// Writes a duration as [`duration`] reads it, in the largest unit that fits.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, scale): &&(&str, u64)| milliseconds > 0 && milliseconds % scale == 0;
    UNITS
        .iter()
        .find(fits)
        .map_or_else(|| "0".to_owned(), |(unit, scale)| format!("{}{unit}", milliseconds / scale))
}
