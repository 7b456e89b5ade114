//! Walking a file's tree as Go reads JSON: keys in any case, the last one wins.

use crilet_core::yaml::{Entry, Node, Position, Value};

/// The entries of a mapping; none of anything else.
pub(super) fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

/// The items of a list; none of anything else.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items,
        _ => &[],
    }
}

/// The entry of a key, in any case.
pub(super) fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    let mut found = entries(node).iter().filter(|entry| entry.key.eq_ignore_ascii_case(key));
    found.next_back().filter(|entry| !entry.value.is_null())
}

/// The value of a key, in any case.
pub(super) fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entry(node, key).map(|entry| &entry.value)
}

/// The scalar of a key as text.
pub(super) fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    scalar(get(node, key)?)
}

/// A scalar as text.
pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// Whether the value of a key is true.
pub(super) fn is_true(node: &Node, key: &str) -> bool {
    text(node, key) == Some("true")
}

/// Where a key stands, or else where its mapping does.
pub(super) fn place(node: &Node, key: &str) -> Position {
    get(node, key).map_or(node.position, |value| value.position)
}
