//! The chains of a table.

use std::{collections::HashMap, ops::Deref};

use super::Chain;

/// Chains in the order of the tool's list, found by name at once: a node has one for each published
/// port, and every rule that leads on asks for one.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    all: Vec<Chain>,
    places: HashMap<String, usize>,
}

impl Chains {
    /// Adds a chain; of several with one name the first is found.
    pub(super) fn push(&mut self, chain: Chain) {
        self.places.entry(chain.name.clone()).or_insert(self.all.len());
        self.all.push(chain);
    }

    /// A chain by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Chain> {
        self.all.get(*self.places.get(name)?)
    }

    /// A chain by its name, to add rules to.
    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut Chain> {
        self.all.get_mut(*self.places.get(name)?)
    }
}

impl Deref for Chains {
    type Target = [Chain];

    fn deref(&self) -> &[Chain] {
        &self.all
    }
}

impl<'a> IntoIterator for &'a Chains {
    type Item = &'a Chain;
    type IntoIter = std::slice::Iter<'a, Chain>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}
