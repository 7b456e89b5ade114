//! A template as texts and actions, and actions as words.
#![expect(clippy::string_slice, reason = "every place was found in the text itself")]

use super::TemplateError;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// The words between `{{` and `}}`, and the line of the first.
    Action(usize, Vec<Word>),
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A name of a function or a keyword.
    Name(String),
    /// `.a.b`, possibly behind something that is no space: then `joined`.
    Field {
        names: Vec<String>,
        joined: bool,
    },
    Dot,
    /// `$` or `$name`.
    Variable(String),
    Text(String),
    /// A number as it is written.
    Number(String),
    Char(char),
    Open,
    Close,
    Pipe,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
}

/// Takes a template apart.
pub(super) fn parts(template: &str) -> Result<Vec<Part>, TemplateError> {
    let (mut parts, mut rest, mut line, mut trim) = (Vec::new(), template, 1, false);
    while let Some((before, after)) = rest.split_once("{{") {
        let trim_before = after.starts_with('-') && after[1..].starts_with(char::is_whitespace);
        let mut text = if trim { before.trim_start() } else { before };
        if trim_before {
            text = text.trim_end();
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        line += before.matches('\n').count();
        let inside = if trim_before { &after[1..] } else { after };
        let length = action_length(inside)
            .ok_or_else(|| TemplateError::new(line, "an action is not closed by `}}`"))?;
        let (inside, end) = inside.split_at(length);
        rest = &end[2..];
        trim = inside.ends_with('-')
            && (inside.len() == 1 || inside[..inside.len() - 1].ends_with(char::is_whitespace));
        let inside = if trim { &inside[..inside.len() - 1] } else { inside };
        if !inside.trim_start().starts_with("/*") {
            parts.push(Part::Action(line, words(inside, line)?));
        }
        line += inside.matches('\n').count();
    }
    let rest = if trim { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// The bytes before the `}}` that ends an action; those in comments and quotes do not.
fn action_length(inside: &str) -> Option<usize> {
    if inside.trim_start().starts_with("/*") {
        let end = inside.find("*/")? + 2;
        return inside[end..].find("}}").map(|at| end + at);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, letter) in inside.char_indices() {
        match quote {
            Some(mark) => {
                if letter == mark && !escaped {
                    quote = None;
                }
                escaped = letter == '\\' && !escaped && mark != '`';
            }
            None if matches!(letter, '"' | '`' | '\'') => quote = Some(letter),
            None if inside[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// Takes the inside of an action apart.
fn words(inside: &str, line: usize) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut rest = inside;
    let mut spaced = true;
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            letter if letter.is_whitespace() => {
                rest = rest.trim_start();
                spaced = true;
                continue;
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
            '.' => field(rest, !spaced),
            '$' => {
                let length = 1 + name_length(&rest[1..]);
                (Word::Variable(rest[..length].to_owned()), length)
            }
            '"' | '`' | '\'' => quoted(rest, line)?,
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '|' => (Word::Pipe, 1),
            ',' => (Word::Comma, 1),
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            '=' => (Word::Assign, 1),
            '-' | '+' | '0'..='9' => number(rest),
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = name_length(rest);
                (Word::Name(rest[..length].to_owned()), length)
            }
            other => return Err(TemplateError::new(line, format!("unexpected `{other}`"))),
        };
        words.push(word);
        rest = &rest[length..];
        spaced = false;
    }
    Ok(words)
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// `.`, or `.a.b`.
fn field(text: &str, joined: bool) -> (Word, usize) {
    let (mut names, mut length) = (Vec::new(), 0);
    while let Some(after) = text[length..].strip_prefix('.') {
        let name = name_length(after);
        if name == 0 {
            break;
        }
        names.push(after[..name].to_owned());
        length += 1 + name;
    }
    if names.is_empty() { (Word::Dot, 1) } else { (Word::Field { names, joined }, length) }
}

fn number(text: &str) -> (Word, usize) {
    let sign = usize::from(text.starts_with(['-', '+']));
    let within = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
    let mut length = sign + text[sign..].find(|c| !within(c)).unwrap_or(text.len() - sign);
    // The sign of an exponent.
    if text[..length].ends_with(['e', 'E']) && text[length..].starts_with(['-', '+']) {
        let more = text[length + 1..].find(|c: char| !c.is_ascii_digit());
        length = more.map_or(text.len(), |more| length + 1 + more);
    }
    let length = length.max(1);
    (Word::Number(text[..length].to_owned()), length)
}

fn quoted(text: &str, line: usize) -> Result<(Word, usize), TemplateError> {
    let unclosed = || TemplateError::new(line, "a quoted text is not closed");
    let mark = text.chars().next().ok_or_else(unclosed)?;
    let (mut value, mut letters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == mark => {
                let length = at + 1;
                let mut only = value.chars();
                return match (mark, only.next(), only.next()) {
                    ('\'', Some(letter), None) => Ok((Word::Char(letter), length)),
                    ('\'', ..) => Err(TemplateError::new(line, "one letter stands in `'`")),
                    _ => Ok((Word::Text(value), length)),
                };
            }
            '\\' if mark != '`' => {
                let (_, escape) = letters.next().ok_or_else(unclosed)?;
                value.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' | '"' | '\'' => escape,
                    other => {
                        let message = format!("`\\{other}` is no escape that is known here");
                        return Err(TemplateError::new(line, message));
                    }
                });
            }
            letter => value.push(letter),
        }
    }
    Err(unclosed())
}
