//! Network configurations as the JSON that they are, keys in any case, as Go reads them.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::snapshot::Snapshot;

/// A network configuration list.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// All of it; a single plugin as the list that runtimes make of it.
    pub whole: Value,
    /// Its plugins.
    pub plugins: Vec<Value>,
}

/// All configurations of a snapshot, by their text: those on disk, and those that attachments were
/// made with.
#[derive(Debug, Default)]
pub struct Lists(HashMap<String, List>);

impl Lists {
    /// Reads them; what is no JSON is left out.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let files = snapshot.configuration.files.iter().filter_map(|file| file.text.as_ref());
        let cached = snapshot.attachments.iter().filter_map(|one| one.config.as_ref());
        let mut all = HashMap::new();
        for text in files.chain(cached) {
            if !all.contains_key(text)
                && let Some(list) = List::parse(text)
            {
                all.insert(text.clone(), list);
            }
        }
        Self(all)
    }

    /// The list of a text.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<&List> {
        self.0.get(text)
    }
}

impl List {
    /// Reads a text; `None` when it is no JSON object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.as_object()?;
        if let Some(plugins) = field(&value, "plugins") {
            let plugins = plugins.as_array().cloned().unwrap_or_default();
            return Some(Self { whole: value, plugins });
        }
        let mut whole = json!({ "plugins": [value] });
        for name in ["name", "cniVersion"] {
            if let Some(found) = field(&value, name) {
                whole[name] = found.clone();
            }
        }
        Some(Self { whole, plugins: vec![value] })
    }

    /// The first plugin of a type.
    #[must_use]
    pub fn plugin(&self, kind: &str) -> Option<&Value> {
        self.plugins.iter().find(|plugin| text(plugin, "type") == Some(kind))
    }

    /// Whether two lists say the same, but for the case of keys and what is null.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        plain(&self.whole) == plain(&other.whole)
    }
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let own = object.iter().filter(|(_, value)| !value.is_null());
            own.map(|(name, value)| (name.to_ascii_lowercase(), plain(value))).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        // libcni writes numbers as Go's floats.
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        other => other.clone(),
    }
}

/// The value of a key, in any case.
#[must_use]
pub fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let mut fields = value.as_object()?.iter();
    let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    found.filter(|value| !value.is_null())
}

/// The text of a key, in any case.
#[must_use]
pub fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    field(value, key)?.as_str()
}

/// Whether a key, in any case, is true.
#[must_use]
pub fn is_true(value: &Value, key: &str) -> bool {
    field(value, key).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_what_they_say() {
        let one = List::parse(r#"{"name":"n","plugins":[{"type":"bridge","mtu":1500}]}"#).unwrap();
        let same =
            List::parse(r#"{"Plugins":[{"MTU":1500.0,"type":"bridge","ipam":null}],"name":"n"}"#);
        assert!(one.says_the_same(&same.unwrap()));
        let single = List::parse(r#"{"name":"n","type":"bridge","mtu":1500}"#).unwrap();
        assert_eq!(single.plugins.len(), 1);
        assert_eq!(text(&single.whole, "NAME"), Some("n"));
        assert!(!one.says_the_same(&List::parse(r#"{"name":"n","plugins":[]}"#).unwrap()));
        assert_eq!(List::parse("[]"), None);
    }
}
