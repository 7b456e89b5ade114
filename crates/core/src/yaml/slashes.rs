//! Comments in the style of JavaScript. YAML knows `#` alone, and reads `// note` as text.

use super::{ParseError, Position};

/// Tells whether an unquoted scalar reads as the beginning of a `//` or `/*` comment.
pub(super) fn opens_comment(text: &str) -> bool {
    let rest = text.strip_prefix("//").or_else(|| text.strip_prefix("/*"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

pub(super) fn error(position: Position, found: &str) -> ParseError {
    let mark = if found.starts_with("/*") { "/*" } else { "//" };
    ParseError::new(position, format!("`{mark}` does not begin a comment"))
        .with_hint("write comments as `# ...`")
}

/// Finds the last comment of that style at or before the line where reading failed.
///
/// Quotes are only tracked within a line: this runs on sources that are known to be broken, and
/// its one purpose is to name the likely cause.
pub(super) fn find_before(source: &str, failed: Position) -> Option<ParseError> {
    let nearby = source.lines().enumerate().take(failed.line).collect::<Vec<_>>();
    nearby.into_iter().rev().take(3).find_map(|(index, line)| {
        let (column, mark) = find_in_line(line)?;
        Some(error(Position { line: index + 1, column }, mark))
    })
}

fn find_in_line(line: &str) -> Option<(usize, &'static str)> {
    let mut quoted = false;
    let mut before = ' ';
    let mut characters = line.chars().enumerate().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' if before != '\\' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return None,
            '/' if !quoted && (before.is_whitespace() || ",{[]}\"".contains(before)) => {
                match characters.peek() {
                    Some((_, '/')) => return Some((index + 1, "//")),
                    Some((_, '*')) => return Some((index + 1, "/*")),
                    _ => {}
                }
            }
            _ => {}
        }
        before = character;
    }
    None
}
