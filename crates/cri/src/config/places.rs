//! Where in a file each field stands.

use std::collections::BTreeMap;

use crilet_core::yaml::Position;

/// The places of all fields that a file gives, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    root: Position,
    fields: BTreeMap<String, Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    key: Position,
    value: Position,
}

impl Places {
    pub(super) fn new(root: Position) -> Self {
        Self { root, fields: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, path: &str, key: Position, value: Position) {
        self.fields.insert(path.to_owned(), Place { key, value });
    }

    /// Tells whether the file gives this field.
    pub(super) fn has(&self, path: &str) -> bool {
        self.fields.contains_key(path)
    }

    /// Gives the place of a field's value; of the nearest field around it if it is not given.
    pub(super) fn value(&self, path: &str) -> Position {
        self.place(path).map_or(self.root, |place| place.value)
    }

    /// Gives the place of a field's key; of the nearest field around it if it is not given.
    pub(super) fn key(&self, path: &str) -> Position {
        self.place(path).map_or(self.root, |place| place.key)
    }

    fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.fields.get(path) {
                return Some(*place);
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end))?;
        }
    }
}

/// Gives the path of a field inside the message at `parent`.
pub(super) fn field(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// Gives the path of an item of the list at `parent`.
pub(super) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// Gives the path of an entry of the map at `parent`.
pub(super) fn entry(parent: &str, key: &str) -> String {
    format!("{parent}[{key:?}]")
}
