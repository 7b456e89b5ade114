//! Command lines by the rules of urfave/cli v2, which are those of Go's `flag`: options end at the
//! first argument that is none, `-name` is `--name`, values stand behind `=` or a space. Some commands
//! take `-abc` for `-a -b -c`.

mod help;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use help::{app_help, command_help, help_help};

/// A command, or a command of a command.
#[derive(Debug)]
pub struct Command {
    /// Its names; the first is the one that counts.
    pub names: &'static [&'static str],
    /// What it does, in one line.
    pub usage: &'static str,
    /// Its arguments, as help shows them.
    pub arguments: &'static str,
    /// More about it; may be empty.
    pub about: &'static str,
    /// Its options, without `--help`.
    pub flags: &'static [Flag],
    /// Whether `-abc` stands for `-a -b -c`.
    pub bundles: bool,
    /// Commands of its own.
    pub commands: &'static [Self],
}

/// An option.
#[derive(Debug)]
pub struct Flag {
    /// Its names without dashes; the first is the one that counts.
    pub names: &'static [&'static str],
    /// What value it takes.
    pub kind: Kind,
    /// Its value when it is not given; empty for none.
    pub default: &'static str,
    /// What it does, in one line.
    pub usage: &'static str,
    /// What help calls its value.
    pub value: &'static str,
    /// The variable of the environment that stands in for it; may be empty.
    pub variable: &'static str,
    /// The only values that make sense, where there are such.
    pub values: &'static [&'static str],
}

/// What value an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None, or `=true` and `=false`.
    Bool,
    /// A text.
    Text,
    /// Texts, by repeating it or with commas.
    List,
    /// A whole number.
    Int,
    /// A time such as `2s`.
    Duration,
}

impl Command {
    /// The name that counts.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// One of its own commands.
    pub fn command(&self, name: &str) -> Option<&'static Self> {
        self.commands.iter().find(|command| command.names.contains(&name))
    }
}

impl Flag {
    /// The name that counts.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// `--help`, which every command has.
pub(crate) static HELP: Flag = Flag {
    names: &["help", "h"],
    kind: Kind::Bool,
    default: "",
    usage: "show help",
    value: "",
    variable: "",
    values: &[],
};

/// A command line that was read.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    defaults: BTreeMap<&'static str, &'static str>,
    /// What is no option.
    pub arguments: Vec<String>,
}

impl Parsed {
    /// Whether an option was given, on the line or by its variable.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A yes or no.
    pub fn bool(&self, name: &str) -> bool {
        boolean(self.text(name)).unwrap_or_default()
    }

    /// A text; the last one if there are several.
    pub fn text(&self, name: &str) -> &str {
        let given = self.values.get(name).and_then(|values| values.last()).map(String::as_str);
        given.or_else(|| self.defaults.get(name).copied()).unwrap_or_default()
    }

    /// All texts of a list.
    pub fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> i64 {
        integer(self.text(name)).unwrap_or_default()
    }

    /// A time in nanoseconds.
    pub fn duration(&self, name: &str) -> i64 {
        duration(self.text(name)).unwrap_or_default()
    }

    /// Whether help was asked for.
    pub fn wants_help(&self) -> bool {
        self.bool("help")
    }
}

/// Reads the options in front of a command line; what is behind them stays as it is.
///
/// `variable` gives the values of the environment.
///
/// # Errors
/// What is wrong, in Go's words, which scripts look for.
pub fn parse(
    flags: &'static [Flag],
    bundles: bool,
    line: &[String],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    for flag in flags {
        parsed.defaults.insert(flag.name(), flag.default);
        if let Some(value) = from_variable(flag, variable)? {
            parsed.values.insert(flag.name(), vec![value]);
        }
    }
    let mut rest: Vec<String> = line.to_vec();
    rest.reverse();
    let mut given: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut spelt: Vec<(&'static str, &'static str)> = Vec::new();
    while let Some(word) = rest.pop() {
        if word.len() < 2 || !word.starts_with('-') {
            rest.push(word);
            break;
        }
        if word == "--" {
            break;
        }
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(&word);
        if name.is_empty() || name.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {word}"));
        }
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let Some((flag, spelling)) = find(flags, name) else {
            let Some(letters) = split(flags, &word).filter(|_| bundles) else {
                return Err(format!("flag provided but not defined: -{name}"));
            };
            rest.extend(letters.into_iter().rev());
            continue;
        };
        spelt.push((flag.name(), spelling));
        let value = value_of(flag, spelling, value, &mut rest)?;
        let values = given.entry(flag.name()).or_default();
        match flag.kind {
            Kind::List => values.extend(value.split(',').map(|part| part.trim().to_owned())),
            _ => values.push(value),
        }
    }
    one_spelling_each(flags, &spelt)?;
    parsed.values.extend(given);
    rest.reverse();
    parsed.arguments = rest;
    Ok(parsed)
}

/// An option by any of its names, and that name.
pub(crate) fn find(flags: &'static [Flag], name: &str) -> Option<(&'static Flag, &'static str)> {
    flags
        .iter()
        .chain([&HELP])
        .find_map(|flag| Some((flag, *flag.names.iter().find(|known| **known == name)?)))
}

/// `-abc` as `-a`, `-b`, `-c`, if all of them are there.
pub(crate) fn split(flags: &'static [Flag], word: &str) -> Option<Vec<String>> {
    let letters = word.strip_prefix('-').filter(|letters| letters.len() > 1)?;
    let known = |letter: char| find(flags, letter.encode_utf8(&mut [0; 4])).is_some();
    letters.chars().all(known).then(|| letters.chars().map(|letter| format!("-{letter}")).collect())
}

/// The value on the line, checked.
fn value_of(
    flag: &Flag,
    spelling: &str,
    value: Option<String>,
    rest: &mut Vec<String>,
) -> Result<String, String> {
    let invalid =
        |value: &str| format!("invalid value {value:?} for flag -{spelling}: parse error");
    if flag.kind == Kind::Bool {
        let value = value.unwrap_or_else(|| "true".to_owned());
        return match boolean(&value) {
            Some(_) => Ok(value),
            None => Err(format!("invalid boolean value {value:?} for -{spelling}: parse error")),
        };
    }
    let value = value.or_else(|| rest.pop());
    let value = value.ok_or_else(|| format!("flag needs an argument: -{spelling}"))?;
    match flag.kind {
        Kind::Int => match integer(&value) {
            Ok(_) => Ok(value),
            Err(reason) => Err(format!("invalid value {value:?} for flag -{spelling}: {reason}")),
        },
        Kind::Duration if duration(&value).is_none() => Err(invalid(&value)),
        _ => Ok(value),
    }
}

/// A value of the environment. An empty text counts, an empty time does not.
fn from_variable(
    flag: &Flag,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    if flag.variable.is_empty() {
        return Ok(None);
    }
    let value = variable(flag.variable);
    match (flag.kind, value) {
        (Kind::Duration, Some(value)) if value.is_empty() => Ok(None),
        (Kind::Duration, Some(value)) if duration(&value).is_none() => Err(format!(
            "could not parse {value:?} as duration value from environment variable {:?} for flag {}: \
             time: invalid duration {value:?}",
            flag.variable,
            flag.name()
        )),
        (_, value) => Ok(value),
    }
}

/// An option may be given by its short or its long name, but not by both.
fn one_spelling_each(flags: &[Flag], spelt: &[(&'static str, &'static str)]) -> Result<(), String> {
    for flag in flags {
        let used = |name: &&&str| spelt.contains(&(flag.name(), **name));
        let mut used = flag.names.iter().filter(used);
        if let (Some(first), Some(second)) = (used.next(), used.next()) {
            return Err(format!("Cannot use two forms of the same flag: {second} {first}"));
        }
    }
    Ok(())
}

/// As strconv.ParseBool.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// As strconv.ParseInt with base 0: `_` may stand between digits, and between a prefix and its digits.
///
/// # Errors
/// What is wrong, in the words of Go's `flag`.
fn integer(text: &str) -> Result<i64, &'static str> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = prefixed.iter().find_map(|(prefix, radix)| {
        let rest = digits.strip_prefix(prefix)?;
        Some((*radix, rest.strip_prefix('_').unwrap_or(rest)))
    });
    let (radix, digits) = match prefixed {
        Some(prefixed) => prefixed,
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits.as_str()),
        None => (10, digits.as_str()),
    };
    let is_number = |group: &str| !group.is_empty() && group.chars().all(|c| c.is_digit(radix));
    if !digits.split('_').all(is_number) {
        return Err("parse error");
    }
    let digits = digits.replace('_', "");
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|_| "value out of range")
}

/// As time.ParseDuration, in nanoseconds: numbers with units, `1h30m`, `1.5s`; `0` alone.
pub fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, scale)?)?;
        rest = after;
        if rest.is_empty() {
            return Some(sign * total);
        }
    }
}

/// A number with a fraction times a whole number, rounded down.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: String = fraction.chars().take(15).collect();
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let power = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = i64::try_from(part * i128::from(scale) / power).ok()?;
    whole.checked_mul(scale)?.checked_add(part)
}
