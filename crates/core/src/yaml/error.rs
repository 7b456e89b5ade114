use std::fmt;

use super::{DuplicateKey, Position};

/// Why a source could not be read.
///
/// Displays the place, the reason and the hint on one line; [`ParseError::snippet`] shows the line
/// of the source with a caret below the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}{}", position.line, position.column, Hint(hint.as_deref()))]
#[non_exhaustive]
pub struct ParseError {
    /// Where reading failed.
    pub position: Position,
    /// What is wrong there.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
    /// The line of the source with a caret, two lines joined by a line feed; nothing if the source
    /// has no text there.
    pub snippet: Option<String>,
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(formatter, " ({hint})"))
    }
}

impl ParseError {
    pub(super) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), hint: None, snippet: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn with_snippet(mut self, source: &str) -> Self {
        self.snippet = snippet(source, self.position);
        self
    }
}

impl From<&DuplicateKey> for ParseError {
    fn from(duplicate: &DuplicateKey) -> Self {
        let message =
            format!("key `{}` is already given in line {}", duplicate.key, duplicate.first.line);
        Self::new(duplicate.position, message)
    }
}

/// Columns of source shown; with the line number this stays within half of a usual terminal.
const SHOWN_COLUMNS: usize = 60;
/// Columns shown before the caret when a long line is cut.
const SHOWN_BEFORE: usize = 30;

/// Prints the source line of `position` and a caret below its column.
fn snippet(source: &str, position: Position) -> Option<String> {
    // A carriage return alone ends a line, too.
    let source = source.replace("\r\n", "\n");
    let line = source.split(['\n', '\r']).nth(position.line.checked_sub(1)?)?;
    let offset = position.column.saturating_sub(1);
    let start = if offset > SHOWN_COLUMNS - 10 { offset - SHOWN_BEFORE } else { 0 };
    let lead = if start > 0 { "..." } else { "" };
    let shown: String = line.chars().skip(start).take(SHOWN_COLUMNS).map(printable).collect();
    if shown.trim().is_empty() {
        return None;
    }
    let tail = if line.chars().nth(start + SHOWN_COLUMNS).is_some() { "..." } else { "" };
    let before = line.chars().skip(start).take(offset - start).map(columns).sum::<usize>();
    let number = position.line.to_string();
    let caret = " ".repeat(lead.len() + before);
    let gutter = " ".repeat(number.len());
    Some(format!("{number} | {lead}{shown}{tail}\n{gutter} | {caret}^"))
}

fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        control if control.is_control() => '?',
        other => other,
    }
}

/// Counts the terminal columns of a character: two for the wide scripts of East Asia and emoji.
fn columns(character: char) -> usize {
    let wide = matches!(u32::from(character),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}
