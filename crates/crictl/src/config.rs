//! `crictl.yaml`: read, and edited so that comments, order and quoting stay.
//!
//! The file is one mapping of scalars. It is taken line by line; a file in another form, such as one
//! in JSON, can be read but not edited.

use std::fmt::Write as _;
use std::num::{IntErrorKind, ParseIntError};

use crilet_core::yaml;

/// The options that there are, in crictl's order.
pub const KEYS: [&str; 6] = [
    "runtime-endpoint",
    "image-endpoint",
    "timeout",
    "debug",
    "pull-image-on-create",
    "disable-pull-on-run",
];

/// Why a file or a value cannot be used; the words are crictl's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is no YAML, or no mapping of scalars.
    #[error("yaml: {0}")]
    Yaml(String),
    /// The file has an option that is not known.
    #[error("Config option '{0}' is not valid")]
    Unknown(String),
    /// The file has a value that cannot be read.
    #[error("parsing config option '{key}': {reason}")]
    Value {
        /// The option.
        key: String,
        /// Why not.
        reason: String,
    },
    /// An option that is not known was named.
    #[error("no configuration option named {0}")]
    NoSuchOption(String),
    /// A value was given that cannot be read.
    #[error("parse {key} value '{value}': {reason}")]
    Given {
        /// The option.
        key: String,
        /// The value.
        value: String,
        /// Why not.
        reason: String,
    },
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Socket of the runtime; may be empty.
    pub runtime_endpoint: String,
    /// Socket of the image service; may be empty.
    pub image_endpoint: String,
    /// Seconds.
    pub timeout: i64,
    /// Whether to tell what is being done.
    pub debug: bool,
    /// Whether `create` pulls images.
    pub pull_image_on_create: bool,
    /// Whether `run` does not pull images.
    pub disable_pull_on_run: bool,
    lines: Option<Vec<Line>>,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Blank,
    /// A comment, or a mark between documents.
    Other(String),
    Entry {
        key: String,
        value: String,
        quote: Option<char>,
        comment: String,
    },
}

impl Config {
    /// Reads the text of a file. Of several values for an option the last one counts.
    ///
    /// # Errors
    /// [`ConfigError`], at the first thing that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix("---\n").unwrap_or(text);
        let indented = text.lines().filter(|line| !line.trim().is_empty());
        let indent = indented.map(|line| line.len() - line.trim_start().len()).min();
        let level = |line: &str| read_line(line.get(indent.unwrap_or_default()..).unwrap_or(""));
        let lines: Option<Vec<Line>> = text.lines().map(level).collect();
        let lines = lines.filter(|lines| is_one_document(lines));
        let mut config = Self { lines: lines.clone(), ..Self::default() };
        let entries: Vec<(String, String)> = match lines {
            Some(lines) => lines
                .into_iter()
                .filter_map(|line| match line {
                    Line::Entry { key, value, .. } => Some((key, value)),
                    _ => None,
                })
                .collect(),
            None => entries_of_yaml(text)?,
        };
        for (key, value) in entries {
            config.take(&key, &value).map_err(|error| match error {
                ConfigError::NoSuchOption(key) => ConfigError::Unknown(key),
                ConfigError::Given { key, reason, .. } => ConfigError::Value { key, reason },
                other => other,
            })?;
        }
        Ok(config)
    }

    /// The value of an option.
    ///
    /// # Errors
    /// There is no such option.
    pub fn get(&self, key: &str) -> Result<String, ConfigError> {
        Ok(match key {
            "runtime-endpoint" => self.runtime_endpoint.clone(),
            "image-endpoint" => self.image_endpoint.clone(),
            "timeout" => self.timeout.to_string(),
            "debug" => self.debug.to_string(),
            "pull-image-on-create" => self.pull_image_on_create.to_string(),
            "disable-pull-on-run" => self.disable_pull_on_run.to_string(),
            other => return Err(ConfigError::NoSuchOption(other.to_owned())),
        })
    }

    /// Sets an option.
    ///
    /// # Errors
    /// There is no such option, or the value is none for it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.take(key, value)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let given = |reason: String| ConfigError::Given {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        let yes = || {
            let text = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
            crate::flags::boolean(value).ok_or_else(|| given(text))
        };
        match key {
            "runtime-endpoint" => value.clone_into(&mut self.runtime_endpoint),
            "image-endpoint" => value.clone_into(&mut self.image_endpoint),
            "timeout" => {
                self.timeout = value.parse().map_err(|error: ParseIntError| {
                    let reason = match error.kind() {
                        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                            "value out of range"
                        }
                        _ => "invalid syntax",
                    };
                    given(format!("strconv.Atoi: parsing {value:?}: {reason}"))
                })?;
            }
            "debug" => self.debug = yes()?,
            "pull-image-on-create" => self.pull_image_on_create = yes()?,
            "disable-pull-on-run" => self.disable_pull_on_run = yes()?,
            other => return Err(ConfigError::NoSuchOption(other.to_owned())),
        }
        Ok(())
    }

    /// The text of the file with these values: options that it has keep their place, comment and
    /// quotes, the others come behind. Blank lines between options go, as they do with crictl.
    ///
    /// # Errors
    /// The file is in a form that cannot be edited.
    pub fn write(&self) -> Result<String, ConfigError> {
        let form = || {
            let reason = "the file is not one `key: value` on each line, and so cannot be edited";
            ConfigError::Yaml(reason.to_owned())
        };
        let lines = self.lines.clone().ok_or_else(form)?;
        let values: Vec<(&str, String)> =
            KEYS.iter().map(|key| (*key, self.get(key).unwrap_or_default())).collect();
        let new_value = |key: &str| values.iter().find(|(known, _)| *known == key).map(|(_, v)| v);
        let last = lines.iter().rposition(|line| matches!(line, Line::Entry { .. }));
        let foot = last.map_or(0, |last| {
            let below = lines.iter().skip(last + 1);
            last + 1 + below.take_while(|line| matches!(line, Line::Other(_))).count()
        });
        let foot = if last.is_none() { lines.len() } else { foot };
        let mut out = String::new();
        for (at, line) in lines.iter().enumerate() {
            if at == foot {
                out.push_str(&missing(&lines, &values));
            }
            match line {
                Line::Blank if keeps_blank(&lines, at) => out.push('\n'),
                Line::Blank => {}
                Line::Other(text) => writeln!(out, "{text}").unwrap_or_default(),
                Line::Entry { key, value, quote, comment } => {
                    let value = new_value(key).unwrap_or(value);
                    out.push_str(
                        format!("{key}: {}{comment}\n", quoted(value, *quote, key)).as_str(),
                    );
                }
            }
        }
        if foot >= lines.len() {
            out.push_str(&missing(&lines, &values));
        }
        Ok(out)
    }
}

/// Lines for the options that the file does not have.
fn missing(lines: &[Line], values: &[(&str, String)]) -> String {
    let has = |wanted: &str| {
        lines.iter().any(|line| matches!(line, Line::Entry { key, .. } if key == wanted))
    };
    let rest = values.iter().filter(|(key, _)| !has(key));
    rest.map(|(key, value)| format!("{key}: {}\n", quoted(value, None, key))).collect()
}

/// Whether nothing begins a second document, which is none of the configuration's.
fn is_one_document(lines: &[Line]) -> bool {
    let is_entry = |line: &Line| matches!(line, Line::Entry { .. });
    let is_mark = |line: &Line| matches!(line, Line::Other(text) if text == "---");
    !lines.iter().skip_while(|line| !is_entry(line)).any(is_mark)
}

/// A blank line stays behind a comment that belongs to what is before it, or to the file.
fn keeps_blank(lines: &[Line], at: usize) -> bool {
    let before = lines.get(..at).unwrap_or_default();
    let after = lines.get(at + 1..).unwrap_or_default();
    let is_comment = |line: Option<&Line>| matches!(line, Some(Line::Other(_)));
    let block = before.iter().rev().take_while(|line| is_comment(Some(*line))).count();
    let above = before.len().checked_sub(block + 1).and_then(|above| before.get(above));
    let last_block =
        after.iter().all(|line| !matches!(line, Line::Entry { .. })) && is_comment(after.first());
    let foot = block > 0 && !matches!(above, Some(Line::Blank));
    (foot || block > 0 && is_comment(after.first()) || last_block && !before.is_empty())
        && !after.is_empty()
}

/// Reads a line; nothing for one that is more than `key: value`.
fn read_line(line: &str) -> Option<Line> {
    let trimmed = line.trim_end();
    if trimmed.is_empty() {
        return Some(Line::Blank);
    }
    if trimmed.starts_with('#') || trimmed == "---" {
        return Some(Line::Other(trimmed.to_owned()));
    }
    let (key, rest) = trimmed.split_once(':')?;
    let plain = !key.is_empty()
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if !plain || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
    let (value, after) = match quote {
        Some(mark) => unquoted(rest, mark)?,
        None => {
            let end = if rest.starts_with('#') { Some(0) } else { rest.find(" #") };
            let (value, comment) = rest.split_at(end.unwrap_or(rest.len()));
            let value = value.trim_end();
            let is_more = value.contains(": ") || value.ends_with(':');
            if is_more || value.starts_with(['{', '[', '&', '*', '!', '|', '>', '%', '@', '`']) {
                return None;
            }
            (value.to_owned(), comment)
        }
    };
    let comment = after.trim();
    if !comment.is_empty() && !comment.starts_with('#') {
        return None;
    }
    let comment = if comment.is_empty() { String::new() } else { format!(" {comment}") };
    let nothing = quote.is_none() && matches!(value.as_str(), "~" | "null");
    let value = if nothing { String::new() } else { value };
    Some(Line::Entry { key: key.to_owned(), value, quote, comment })
}

/// The text in quotes, and what is behind them.
fn unquoted(text: &str, mark: char) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if mark == '\'' && text.get(at + 1..)?.starts_with('\'') => {
                letters.next();
                value.push('\'');
            }
            '\\' if mark == '"' => match letters.next()?.1 {
                letter @ ('"' | '\\' | '/') => value.push(letter),
                _ => return None,
            },
            _ if letter == mark => return Some((value, text.get(at + 1..)?)),
            _ => value.push(letter),
        }
    }
    None
}

/// A value in its quotes, or in those that it needs.
fn quoted(value: &str, quote: Option<char>, key: &str) -> String {
    match quote {
        Some('\'') => format!("'{}'", value.replace('\'', "''")),
        Some(_) => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        None if matches!(key, "runtime-endpoint" | "image-endpoint") => crate::yaml::text(value),
        None => value.to_owned(),
    }
}

fn entries_of_yaml(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let wrong = |message: String| ConfigError::Yaml(message);
    let stream = yaml::parse(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let Some(document) = stream.documents.first() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let yaml::Value::Mapping(entries) = &document.value else {
        return Err(wrong(format!("line {}: expected a mapping", document.position.line)));
    };
    for entry in entries {
        let yaml::Value::Scalar(scalar) = &entry.value.value else {
            let line = entry.value.position.line;
            return Err(wrong(format!("line {line}: {} must be a single value", entry.key)));
        };
        let text = if scalar.is_null() { "" } else { scalar.text.as_str() };
        found.push((entry.key.clone(), text.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, settings: &[(&str, &str)]) -> String {
        let mut config = Config::read(text).unwrap();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        config.write().unwrap()
    }

    const REST: &str = "pull-image-on-create: false\ndisable-pull-on-run: false\n";

    #[test]
    fn comments_order_and_quotes_stay() {
        let text = "\nruntime-endpoint: \"foo\"\nimage-endpoint: 'bar' # inline\ntimeout: 5\n\n# below\ndebug: true\n";
        let settings =
            [("runtime-endpoint", "bar"), ("image-endpoint", "it's"), ("debug", "false")];
        let expected = format!(
            "runtime-endpoint: \"bar\"\nimage-endpoint: 'it''s' # inline\ntimeout: 5\n# below\ndebug: false\n{REST}"
        );
        assert_eq!(edited(text, &settings), expected);
    }

    /// As crictl 1.36 leaves the same file.
    #[test]
    fn comments_of_the_file_stay_apart() {
        let text = "# header\n\n# second\nruntime-endpoint: foo # in\n# foot\n\n\n# head\n\ndebug: true\n\n# end\n";
        let expected = format!(
            "# header\n\n# second\nruntime-endpoint: foo # in\n# foot\n\n# head\ndebug: true\nimage-endpoint: \"\"\ntimeout: 3\n{REST}\n# end\n"
        );
        assert_eq!(edited(text, &[("timeout", "3")]), expected);
    }

    #[test]
    fn every_value_of_a_repeated_option_is_set_and_the_last_counts() {
        let text = "timeout: 20\ntimeout: 5\ntimeout: 10\n";
        assert_eq!(Config::read(text).unwrap().get("timeout").unwrap(), "10");
        let expected = format!(
            "timeout: 30\ntimeout: 30\ntimeout: 30\nruntime-endpoint: \"\"\nimage-endpoint: \"\"\ndebug: false\n{REST}"
        );
        assert_eq!(edited(text, &[("timeout", "30")]), expected);
    }

    #[test]
    fn values_get_the_quotes_they_need() {
        let text = edited("image-endpoint:\n", &[("runtime-endpoint", "a b: c")]);
        assert!(text.starts_with("image-endpoint: \"\"\nruntime-endpoint: 'a b: c'\n"), "{text}");
        let text = edited("", &[("runtime-endpoint", "unix:///run/x.sock")]);
        assert!(text.starts_with("runtime-endpoint: unix:///run/x.sock\n"), "{text}");
    }

    #[test]
    fn a_mapping_may_stand_further_in() {
        let text = edited("---\n  timeout: 5\n\n  debug: true # x\n", &[("timeout", "6")]);
        let expected =
            "timeout: 6\ndebug: true # x\nruntime-endpoint: \"\"\nimage-endpoint: \"\"\n";
        assert_eq!(text, format!("{expected}{REST}"));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let wrong = |text: &str| Config::read(text).unwrap_err().to_string();
        assert_eq!(wrong("foo: bar\n"), "Config option 'foo' is not valid");
        assert_eq!(
            wrong("timeout: 2s\n"),
            "parsing config option 'timeout': strconv.Atoi: parsing \"2s\": invalid syntax"
        );
        assert!(wrong("timeout: 99999999999999999999\n").ends_with("value out of range"));
        assert!(wrong("debug: [true]\n").contains("must be a single value"));
        assert!(wrong("- a\n").contains("expected a mapping"));
        let json = Config::read("{\"timeout\": 7, \"debug\": true}").unwrap();
        assert_eq!((json.timeout, json.debug), (7, true));
        assert!(json.write().is_err());
        // The second document is nobody's; what YAML refuses is refused.
        let first = Config::read("timeout: 3\n---\ntimeout: 4\n").unwrap();
        assert_eq!((first.timeout, first.write().is_err()), (3, true));
        for text in ["runtime-endpoint: a: b\n", "timeout: 5 debug: true\n"] {
            assert!(matches!(Config::read(text), Err(ConfigError::Yaml(_))), "{text}");
        }
        let mut config = Config::default();
        assert_eq!(config.get("x").unwrap_err().to_string(), "no configuration option named x");
        let error = config.set("debug", "maybe").unwrap_err().to_string();
        assert_eq!(
            error,
            "parse debug value 'maybe': strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }
}
