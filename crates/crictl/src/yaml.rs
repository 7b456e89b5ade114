//! YAML as sigs.k8s.io/yaml writes it: keys in natural order, lists not indented in mappings, texts
//! quoted where YAML 1.1 would read something else, lines broken after 80 columns.

use std::fmt::Write as _;
use std::{cmp::Ordering, sync::LazyLock};

use regex::Regex;

use crate::json::Json;

/// The column after which a text is broken at its next space.
const WIDTH: usize = 80;
/// Spaces of a level.
const INDENT: usize = 2;

/// A value as a document, with the line break that ends it.
pub fn document(value: &Json) -> String {
    let mut out = Emitter::default();
    match value {
        Json::Object(entries) if !entries.is_empty() => out.mapping(entries, 0, true),
        Json::Array(values) if !values.is_empty() => out.list(values, 0, true),
        scalar => out.scalar(scalar, 0),
    }
    if out.text.ends_with('\n') { out.text } else { out.text + "\n" }
}

/// A text as a value, on one line.
pub fn text(text: &str) -> String {
    let mut out = Emitter::default();
    out.string(text, 0, true);
    out.text
}

#[derive(Default)]
struct Emitter {
    text: String,
}

impl Emitter {
    fn column(&self) -> usize {
        self.text.rsplit('\n').next().unwrap_or_default().chars().count()
    }

    fn begin(&mut self, indent: usize, first: bool) {
        if !first {
            self.new_line(indent);
        }
    }

    fn new_line(&mut self, indent: usize) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    /// Writes the entries of a mapping, the first where the last line ends.
    fn mapping(&mut self, entries: &[(String, Json)], indent: usize, mut first: bool) {
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| natural(a, b));
        for (key, value) in sorted {
            self.begin(indent, first);
            first = false;
            self.string(key, indent, true);
            self.text.push(':');
            match value {
                Json::Object(entries) if !entries.is_empty() => {
                    self.mapping(entries, indent + INDENT, false);
                }
                Json::Array(values) if !values.is_empty() => self.list(values, indent, false),
                scalar => {
                    self.text.push(' ');
                    self.scalar(scalar, indent + INDENT);
                }
            }
        }
    }

    fn list(&mut self, values: &[Json], indent: usize, mut first: bool) {
        for value in values {
            self.begin(indent, first);
            first = false;
            self.text.push_str("- ");
            match value {
                Json::Object(entries) if !entries.is_empty() => {
                    self.mapping(entries, indent + INDENT, true);
                }
                Json::Array(values) if !values.is_empty() => {
                    self.list(values, indent + INDENT, true)
                }
                scalar => self.scalar(scalar, indent + INDENT),
            }
        }
    }

    fn scalar(&mut self, value: &Json, indent: usize) {
        match value {
            Json::Null => self.text.push_str("null"),
            Json::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => self.text.push_str(number),
            Json::String(text) => self.string(text, indent, false),
            Json::Array(_) => self.text.push_str("[]"),
            Json::Object(_) => self.text.push_str("{}"),
        }
    }

    /// Writes a text in the simplest style that keeps it.
    fn string(&mut self, text: &str, indent: usize, is_key: bool) {
        let shape = Shape::of(text);
        if text.contains('\n') && shape.block && !is_key {
            return self.literal(text, indent);
        }
        let other = means_something_else(text);
        if !other && shape.plain && !text.contains('\n') {
            self.broken(text, indent, is_key, |out, letter| out.push(letter));
        } else if !other && shape.single && !text.contains('\n') {
            self.text.push('\'');
            self.broken(text, indent, is_key, |out, letter| match letter {
                '\'' => out.push_str("''"),
                letter => out.push(letter),
            });
            self.text.push('\'');
        } else {
            self.double(text, indent, is_key);
        }
    }

    /// Writes letters, with a line break in the place of a single space where lines are long.
    fn broken(
        &mut self,
        text: &str,
        indent: usize,
        is_key: bool,
        write: impl Fn(&mut String, char),
    ) {
        let letters: Vec<char> = text.chars().collect();
        let mut column = self.column();
        for (at, letter) in letters.iter().copied().enumerate() {
            let beside = |other: usize| letters.get(other) == Some(&' ');
            let alone = letter == ' ' && !beside(at + 1) && !(at > 0 && beside(at - 1));
            let inside = at > 0 && at + 1 < letters.len();
            if alone && inside && column > WIDTH && !is_key {
                self.new_line(indent);
                column = indent;
            } else {
                write(&mut self.text, letter);
                column += 1;
            }
        }
    }

    fn double(&mut self, text: &str, indent: usize, is_key: bool) {
        self.text.push('"');
        let letters: Vec<char> = text.chars().collect();
        let (mut column, mut after_space) = (self.column(), false);
        for (at, letter) in letters.iter().copied().enumerate() {
            let inside = at > 0 && at + 1 < letters.len();
            if letter == ' ' && inside && !after_space && column > WIDTH && !is_key {
                self.new_line(indent);
                if letters.get(at + 1) == Some(&' ') {
                    self.text.push('\\');
                }
                column = indent;
                after_space = true;
                continue;
            }
            let before = self.text.len();
            escape(letter, &mut self.text);
            column += self.text.len() - before;
            after_space = letter == ' ';
        }
        self.text.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.text.push('|');
        if text.starts_with([' ', '\n']) {
            self.text.push_str(&INDENT.to_string());
        }
        match text.strip_suffix('\n') {
            None => self.text.push('-'),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.text.push('+'),
            Some(_) => {}
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.text.push('\n');
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n(' ', indent));
                self.text.push_str(line);
            }
        }
        if text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

fn escape(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\0' => out.push_str("\\0"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\u{1b}' => out.push_str("\\e"),
        '\u{85}' => out.push_str("\\N"),
        '\u{2028}' => out.push_str("\\L"),
        '\u{2029}' => out.push_str("\\P"),
        _ if is_printable(letter) => out.push(letter),
        _ => match u32::from(letter) {
            code @ ..0x100 => write!(out, "\\x{code:02X}").unwrap_or_default(),
            code @ ..0x1_0000 => write!(out, "\\u{code:04X}").unwrap_or_default(),
            code => write!(out, "\\U{code:08X}").unwrap_or_default(),
        },
    }
}

/// Tabs are not, nor what is beyond 16 bits, by this writer's rules.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Which styles keep a text as it is.
struct Shape {
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        // Line ends to YAML 1.1, which every style but the double quotes would lose.
        let special =
            text.chars().any(|c| !is_printable(c) || matches!(c, '\u{2028}' | '\u{2029}'));
        let space_break = text.contains(" \n");
        let break_space = text.contains("\n ");
        let spaced = text.starts_with(' ') || text.ends_with(' ') || text.starts_with('\n');
        Self {
            plain: !text.is_empty() && !special && !spaced && !has_indicator(text),
            single: !special && !space_break && !break_space,
            block: !special && !space_break && !text.ends_with(' '),
        }
    }
}

/// Whether something in it would be YAML and not text.
fn has_indicator(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next().unwrap_or(' ');
    let blank = |letter: Option<char>| letter.is_none_or(|letter| letter == ' ' || letter == '\n');
    let alone = blank(letters.next());
    "#,[]{}&*!|>'\"%@`".contains(first)
        || ("-?:".contains(first) && alone)
        || text.starts_with("---")
        || text.starts_with("...")
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(":\n")
        || text.contains(" #")
        || text.contains("\n#")
}

/// Whether YAML 1.1 would read a plain text as a number, a boolean, a time or nothing.
fn means_something_else(text: &str) -> bool {
    const WORDS: [&str; 39] = [
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE",
        "on", "On", "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off",
        "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
        "-.Inf", "-.INF",
    ];
    static NUMBERS: LazyLock<Regex> = LazyLock::new(|| {
        let numbers = concat!(
            r"^[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)$",
            r"|^[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$",
            r"|^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$",
            r"|^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}",
            r"([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?$",
        );
        Regex::new(numbers).expect("the pattern is a constant")
    });
    text == "<<" || WORDS.contains(&text) || NUMBERS.is_match(text)
}

/// The order of keys: letters after everything else, digits by the number they are.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (Some(x), Some(y)) = (a.get(at), b.get(at)) else { return Ordering::Equal };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => x.cmp(y),
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, false) => {
            let within = (*x == '0' || *y == '0') && within_number(&a, at);
            let (n, m) = (number(&a, at, within), number(&b, at, within));
            n.cmp(&m).then(x.cmp(y))
        }
    }
}

/// Whether the digits just before are a number that does not begin with zeros only.
fn within_number(letters: &[char], at: usize) -> bool {
    let before = letters.get(..at).unwrap_or_default().iter().rev();
    before.take_while(|letter| letter.is_ascii_digit()).any(|letter| *letter != '0')
}

/// The number that begins there, and how many digits it has.
fn number(letters: &[char], at: usize, within: bool) -> (u128, usize) {
    let digits =
        letters.get(at..).unwrap_or_default().iter().map_while(|letter| letter.to_digit(10));
    digits.fold((u128::from(within), 0), |(number, count), digit| {
        (number.saturating_mul(10).saturating_add(digit.into()), count + 1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(json: &str) -> String {
        document(&Json::read(json).unwrap())
    }

    #[test]
    fn lists_stand_under_their_keys_and_keys_are_in_natural_order() {
        let json = r#"{"b":{"x10":1,"x9":[],"X":{}},"a":[{"k":1,"l":[2,[3]]},"t"],"0":null}"#;
        let expected =
            "\"0\": null\na:\n- k: 1\n  l:\n  - 2\n  - - 3\n- t\nb:\n  X: {}\n  x9: []\n  x10: 1\n";
        assert_eq!(written(json), expected);
        assert_eq!(written("[]"), "[]\n");
        assert_eq!(written(r#""a""#), "a\n");
    }

    #[test]
    fn texts_stay_texts() {
        let style = |text: &str| document(&Json::String(text.to_owned()));
        for quoted in
            ["", "yes", "12", "1e3", "0x1f", "1:30", "2026-01-02T03:04:05.5Z", "null", "~"]
        {
            assert_eq!(style(quoted), format!("\"{quoted}\"\n"));
        }
        for single in ["- a", "a: b", "#a", "[a]", " a", "a ", "@a", "a #b", "a:"] {
            assert_eq!(style(single), format!("'{single}'\n"));
        }
        for plain in ["a", "sha256:1", "-a", "a#b", "/x y", "it's", "é", "1.2.3"] {
            assert_eq!(style(plain), format!("{plain}\n"));
        }
        assert_eq!(style("a\tb"), "\"a\\tb\"\n");
        assert_eq!(style("a\u{2028}b"), "\"a\\Lb\"\n");
        assert_eq!(style("\u{1f600}"), "\"\\U0001F600\"\n");
    }

    #[test]
    fn several_lines_are_a_block() {
        let style =
            |text: &str| written(&format!("{{\"k\":{}}}", serde_json::to_string(text).unwrap()));
        assert_eq!(style("a\nb"), "k: |-\n  a\n  b\n");
        assert_eq!(style("a\n\nb\n"), "k: |\n  a\n\n  b\n");
        assert_eq!(style("a\n\n"), "k: |+\n  a\n\n");
        assert_eq!(style("a \nb"), "k: \"a \\nb\"\n");
    }

    #[test]
    fn long_lines_are_broken_after_eighty_columns() {
        let words = "word ".repeat(20);
        let text = written(&format!("{{\"k\":\"{}\"}}", words.trim()));
        assert_eq!(
            text,
            format!("k: {}\n  {}\n", "word ".repeat(16).trim(), "word ".repeat(4).trim())
        );
        // What was broken is one text again.
        let read = crilet_core::yaml::parse(text.as_bytes()).unwrap();
        let value = read.documents.first().unwrap().get("k").unwrap();
        assert!(format!("{value:?}").contains(words.trim()), "{value:?}");
    }

    fn json() -> impl Strategy<Value = Json> {
        let words =
            ["- ", ": ", " #", "\n", " ", "'", "\"", "a", "é", "1", "{", "?", "\t", "\\", "|"];
        let text = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..8);
        let long = "[a-z]{1,30}( [a-z]{1,30}){0,8}";
        let leaf = prop_oneof![
            text.prop_map(|words| Json::String(words.concat())),
            long.prop_map(Json::String),
            any::<i32>().prop_map(|number| Json::Number(number.to_string())),
            any::<bool>().prop_map(Json::Bool),
            Just(Json::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let key = "[a-z0-9. -]{1,6}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                proptest::collection::btree_map(key, inner, 0..4)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// What a reader of YAML makes of it: texts stay texts, the rest is what it was.
    fn same(json: &Json, node: &crilet_core::yaml::Node) -> bool {
        use crilet_core::yaml::{Style, Value};
        match (json, &node.value) {
            (Json::Array(values), Value::Sequence(nodes)) => {
                values.len() == nodes.len() && values.iter().zip(nodes).all(|(a, b)| same(a, b))
            }
            (Json::Object(entries), Value::Mapping(found)) => {
                entries.len() == found.len()
                    && entries
                        .iter()
                        .all(|(key, value)| node.get(key).is_some_and(|found| same(value, found)))
            }
            (Json::String(text), Value::Scalar(scalar)) => *text == scalar.text,
            (Json::Null, Value::Scalar(scalar)) => scalar.is_null(),
            (Json::Bool(value), Value::Scalar(scalar)) => scalar.text == value.to_string(),
            (Json::Number(number), Value::Scalar(scalar)) => {
                *number == scalar.text && scalar.style == Style::Plain
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in json()) {
            let text = document(&Json::Object(vec![("k".to_owned(), value.clone())]));
            let read = crilet_core::yaml::parse(text.as_bytes());
            let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            let node = read.documents.first().and_then(|document| document.get("k"));
            prop_assert!(node.is_some_and(|node| same(&value, node)), "{}\n{:?}", text, read.documents);
        }
    }
}
