//! Findings about one document, each field once.

use std::{collections::HashSet, path::Path};

use crilet_core::yaml::{Node, Position, Value};
use crilet_cri::config::{Finding, Severity};

/// A part of a document that is looked at as a whole: a pod, or the template of one.
///
/// Fields are named relative to it; findings name them from the document's root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) file: &'a Path,
    /// Root of the document.
    pub(super) root: &'a Node,
    /// Path from the root to the scope; empty for the root itself.
    pub(super) base: &'a str,
}

impl Scope<'_> {
    /// The path of a field as findings show it.
    pub(super) fn full(&self, path: &str) -> String {
        join(self.base, path)
    }

    /// Where a field's value begins; of what is around it if it is not given.
    pub(super) fn value(&self, path: &str) -> Position {
        locate(self.root, &self.full(path)).value
    }

    /// Where a field's key begins; of what is around it if it is not given.
    pub(super) fn key(&self, path: &str) -> Position {
        locate(self.root, &self.full(path)).key
    }

    /// Whether the field is given, and not as null.
    pub(super) fn has(&self, path: &str) -> bool {
        let found = locate(self.root, &self.full(path));
        found.whole && !found.node.is_null()
    }

    /// A finding about a field.
    pub(super) fn finding(&self, path: &str, message: impl Into<String>) -> Finding {
        Finding::new(message).in_file(self.file).at(self.value(path)).on(self.full(path))
    }
}

/// Collects findings about one document.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    settled: HashSet<String>,
}

impl Report {
    /// Takes a finding. A second error about the same field, or about one below it, is dropped:
    /// what could not be read is not missing.
    pub(super) fn push(&mut self, finding: Finding) {
        if finding.severity == Severity::Error {
            if self.is_settled(&finding.path) {
                return;
            }
            if !finding.path.is_empty() {
                self.settled.insert(finding.path.clone());
            }
        }
        self.findings.push(finding);
    }

    /// Says that a field is given under a wrong name, so that it is not reported as missing, too.
    pub(super) fn misspelt(&mut self, path: String) {
        self.settled.insert(path);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All of them in the order of their places.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by(|left, right| {
            (&left.file, left.position, &left.path).cmp(&(&right.file, right.position, &right.path))
        });
        self.findings
    }

    fn is_settled(&self, path: &str) -> bool {
        self.settled.contains(path)
            || path
                .match_indices(['.', '['])
                .filter_map(|(end, _)| path.get(..end))
                .any(|parent| self.settled.contains(parent))
    }
}

/// Makes a warning of a finding.
pub(super) fn warning(finding: Finding) -> Finding {
    Finding { severity: Severity::Warning, ..finding }
}

/// The path of a field inside the one at `parent`.
pub(super) fn join(parent: &str, name: &str) -> String {
    match (parent.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => parent.to_owned(),
        _ => format!("{parent}.{name}"),
    }
}

/// The path of an item of the list at `parent`.
pub(super) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The path of an entry of the map at `parent`.
pub(super) fn entry(parent: &str, key: &str) -> String {
    format!("{parent}[{key:?}]")
}

struct Located<'a> {
    node: &'a Node,
    key: Position,
    value: Position,
    /// Whether the path was followed to its end.
    whole: bool,
}

fn locate<'a>(root: &'a Node, path: &str) -> Located<'a> {
    let mut found = Located { node: root, key: root.position, value: root.position, whole: true };
    for segment in segments(path) {
        let next = match (&found.node.value, segment) {
            (Value::Mapping(entries), Segment::Key(key)) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| (entry.position, &entry.value)),
            (Value::Sequence(items), Segment::Index(index)) => {
                items.get(index).map(|item| (item.position, item))
            }
            _ => None,
        };
        let Some((key, node)) = next else { return Located { whole: false, ..found } };
        found = Located { node, key, value: node.position, whole: true };
    }
    found
}

enum Segment {
    Key(String),
    Index(usize),
}

/// Splits what [`join`], [`item`] and [`entry`] made.
fn segments(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, after) = first_segment(rest);
        segments.extend(segment);
        rest = after;
    }
    segments
}

fn first_segment(path: &str) -> (Option<Segment>, &str) {
    if let Some(inner) = path.strip_prefix("[\"") {
        let Some((_, quoted, after)) = quoted(inner) else { return (None, "") };
        return (Some(Segment::Key(quoted)), after);
    }
    if let Some(inner) = path.strip_prefix('[') {
        let (index, after) = inner.split_once(']').unwrap_or((inner, ""));
        return (index.parse().ok().map(Segment::Index), after);
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, after) = path.split_at(end);
    (Some(Segment::Key(name.to_owned())), after)
}

/// A quoted key up to its `"]`, escapes resolved.
fn quoted(text: &str) -> Option<(&str, String, &str)> {
    let mut key = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => key.push(signs.next()?.1),
            '"' => return Some(("", key, text.get(at + 2..)?)),
            other => key.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn places_are_found_by_path_or_around_it() {
        let text = "a:\n- b: 1\n  \"x.y/z\": {c: 2}\nn:\n";
        let root = crilet_core::yaml::parse(text.as_bytes()).unwrap().documents.remove(0);
        let scope = Scope { file: Path::new("f"), root: &root, base: "" };
        let at = |path: &str| scope.value(path).to_string();
        assert_eq!(at("a[0].b"), "2:6");
        assert_eq!(at(&format!("{}.c", entry("a[0]", "x.y/z"))), "3:16");
        assert_eq!(at("a[0].missing.deeper"), "2:3");
        assert_eq!(scope.key("a[0].b").to_string(), "2:3");
        assert!(scope.has("a[0].b") && !scope.has("a[1]") && !scope.has("n"));
        let below = Scope { base: "a[0]", ..scope };
        assert_eq!(below.finding("b", "wrong").to_string(), "f:2:6: a[0].b: wrong");
    }
}
