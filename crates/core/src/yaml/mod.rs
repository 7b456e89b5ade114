//! YAML and JSON documents as trees whose every node knows its line and column.
//!
//! [`parse`] reads a whole stream. JSON needs no parser of its own: it is read as YAML, so `#`
//! comments, trailing commas and unquoted keys are fine in it. Scalars keep their source text and
//! are not resolved to numbers or booleans, because only the field that takes one knows what it
//! wants. Anchors, aliases and merge keys (`<<`) are resolved here, within a budget, so that a
//! small file cannot grow into a large tree.

mod build;
mod error;
mod slashes;

#[cfg(test)]
mod tests;

use std::fmt;

pub use build::parse;
pub use error::ParseError;

/// The largest source that is read, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// The deepest nesting of lists and mappings, counting what aliases bring in.
pub const MAX_DEPTH: usize = 100;

/// A place in a source; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "duplicate keys are found here"]
pub struct Stream {
    /// The documents in order. A document of comments only is a null scalar; a source of nothing
    /// but blanks and comments has no document.
    pub documents: Vec<Node>,
    /// Keys that a mapping gives more than once; its last value is the one kept.
    pub duplicates: Vec<DuplicateKey>,
}

/// A key given a second time in one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// The key.
    pub key: String,
    /// Where it is given again.
    pub position: Position,
    /// Where it was given first.
    pub first: Position,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where the value begins. A value that came through an alias or a merge key has the place
    /// where it is written out.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// A scalar, a list or a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, a number, a boolean or null, as written.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the source; no key occurs twice.
    Mapping(Vec<Entry>),
}

/// A scalar as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, escapes resolved.
    pub text: String,
    /// Whether the text was quoted.
    pub style: Style,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may mean a number, a boolean or null.
    Plain,
    /// In quotes, as a block (`|`, `>`), or tagged `!!str`: text and nothing else.
    Text,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key begins.
    pub position: Position,
    /// The value.
    pub value: Node,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

impl Stream {
    /// Gives the documents, unless a key occurs twice in one mapping.
    ///
    /// # Errors
    /// The first duplicate key, with its place.
    pub fn without_duplicates(self) -> Result<Vec<Node>, ParseError> {
        self.duplicates.first().map_or(Ok(self.documents), |duplicate| Err(duplicate.into()))
    }
}

impl Node {
    /// Gives the value of `key` if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Tells whether this is null: nothing at all, `~` or `null`, unquoted.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }
}

impl Scalar {
    /// Tells whether this is null: nothing at all, `~` or `null`, unquoted.
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}
