//! Searching for a pattern in lines, many of them at a time where the pattern allows it.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind, Look},
};

/// Longest program that a pattern may become, in bytes.
const SIZE_LIMIT: usize = 2 << 20;

/// A pattern that lines are searched for; bytes that are no UTF-8 do no harm.
#[derive(Debug, Clone)]
pub struct Grep {
    regex: Regex,
    across_lines: bool,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

impl Grep {
    /// Reads a pattern in the syntax of the regex crate, which is that of RE2 and ripgrep.
    ///
    /// # Errors
    /// What is wrong with it, with a line that shows where.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, InvalidPattern> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| InvalidPattern(error.to_string()))?;
        let parsed =
            ParserBuilder::new().utf8(false).case_insensitive(ignore_case).build().parse(pattern);
        let across_lines = parsed.is_ok_and(|hir| stays_in_a_line(&hir));
        Ok(Self { regex, across_lines })
    }

    /// Whether a line without its end matches.
    #[inline]
    pub fn is_match(&self, content: &[u8]) -> bool {
        self.regex.is_match(content)
    }

    /// The pattern, if searching a block of records for it finds every record whose content matches.
    pub(crate) fn across_lines(&self) -> Option<&Regex> {
        self.across_lines.then_some(&self.regex)
    }
}

/// Whether a pattern matches nothing that contains a line end, and asks nothing of what is around a
/// match that a record's header before it, or its line end behind it, would answer otherwise.
fn stays_in_a_line(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(literal) => !literal.0.contains(&b'\n'),
        HirKind::Class(Class::Unicode(class)) => {
            !class.iter().any(|range| range.start() <= '\n' && '\n' <= range.end())
        }
        HirKind::Class(Class::Bytes(class)) => {
            !class.iter().any(|range| range.start() <= b'\n' && b'\n' <= range.end())
        }
        // A space and a line end are no part of a word, as little as nothing at all.
        HirKind::Look(look) => {
            matches!(
                look,
                Look::WordAscii
                    | Look::WordUnicode
                    | Look::WordStartAscii
                    | Look::WordStartUnicode
                    | Look::WordEndAscii
                    | Look::WordEndUnicode
            )
        }
        HirKind::Repetition(repetition) => stays_in_a_line(&repetition.sub),
        HirKind::Capture(capture) => stays_in_a_line(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(stays_in_a_line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_reach_over_line_ends_are_told_apart() {
        let across = |pattern| Grep::new(pattern, false).unwrap().across_lines().is_some();
        for pattern in ["error", "a.*b", r"\bfoo\b", "(a|b)+c?", "[0-9]{3}", r"\S+x", "é", ""] {
            assert!(across(pattern), "{pattern}");
        }
        for pattern in ["^a", "a$", r"a\sb", "[^a]b", "(?s)a.b", r"\Bx", r"a\nb", r"(x|\W)"] {
            assert!(!across(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_wrong_pattern_says_where() {
        let error = Grep::new("a(b", false).unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
        assert!(Grep::new("HeLLo", true).unwrap().is_match(b"xhello\xff"));
    }
}
