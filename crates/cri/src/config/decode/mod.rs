//! From a tree to a message of the CRI, by reflection, collecting all that does not fit.

mod scalar;

use std::collections::{HashMap, HashSet};

use crilet_core::{
    similar,
    yaml::{Entry, Node, Position, Value as Tree},
};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as FieldKind, MapKey, MessageDescriptor, Value,
};

use super::{
    finding::{Finding, Report},
    places::{self, Places},
    schema::{Kind, find_field},
};

/// Reads a document as a config of this kind; what cannot be read is reported and left out.
pub(super) fn decode(kind: Kind, document: &Node, report: &mut Report) -> (DynamicMessage, Places) {
    let mut decoder = Decoder { kind, report, places: Places::new(document.position) };
    let message = decoder.message(&kind.message(), document, "");
    (message, decoder.places)
}

struct Decoder<'a> {
    kind: Kind,
    report: &'a mut Report,
    places: Places,
}

impl Decoder<'_> {
    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &str,
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let Tree::Mapping(entries) = &node.value else {
            let hint = message_hint(descriptor, node);
            self.report.error(wrong_type("a mapping", node, path).hint(hint));
            return message;
        };
        let mut seen = HashMap::new();
        for entry in entries {
            let Some(field) = find_field(descriptor, &entry.key) else {
                self.unknown(descriptor, entry, path);
                continue;
            };
            let path = places::field(path, field.name());
            if let Some(first) = seen.insert(field.number(), entry.position) {
                self.repeated(entry, first, &path);
            }
            self.places.insert(&path, entry.position, entry.value.position);
            if entry.value.is_null() {
                continue;
            }
            if let Some(value) = self.field(&field, &entry.value, &path) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, node: &Node, path: &str) -> Option<Value> {
        match (field.kind(), &node.value) {
            (FieldKind::Message(entry), Tree::Mapping(entries)) if field.is_map() => {
                Some(self.map(&entry, entries, path))
            }
            (_, _) if field.is_map() => {
                let hint = "write `key: value` pairs";
                self.report.error(wrong_type("a mapping", node, path).hint(hint));
                None
            }
            (kind, Tree::Sequence(items)) if field.is_list() => Some(self.list(&kind, items, path)),
            (kind, _) if field.is_list() => {
                self.report.error(wrong_type("a list", node, path).hint(list_hint(&kind, node)));
                None
            }
            (kind, _) => self.value(&kind, node, path),
        }
    }

    fn list(&mut self, kind: &FieldKind, items: &[Node], path: &str) -> Value {
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = places::item(path, index);
            self.places.insert(&path, item.position, item.position);
            if item.is_null() {
                self.report.error(Finding::new("nothing given").at(item.position).on(path));
                continue;
            }
            // A place is kept for what cannot be read, so that later items keep their index.
            let value = self.value(kind, item, &path);
            values.push(value.unwrap_or_else(|| Value::default_value(kind)));
        }
        Value::List(values)
    }

    /// Reads a map; as in crictl, a key without a value has an empty one.
    fn map(&mut self, entry: &MessageDescriptor, entries: &[Entry], path: &str) -> Value {
        let kind = entry.map_entry_value_field().kind();
        let mut map = HashMap::new();
        for Entry { key, position, value: node } in entries {
            let path = places::entry(path, key);
            self.places.insert(&path, *position, node.position);
            let value = match node.is_null() {
                true => Some(Value::default_value(&kind)),
                false => self.value(&kind, node, &path),
            };
            let value = value.unwrap_or_else(|| Value::default_value(&kind));
            map.insert(MapKey::String(key.clone()), value);
        }
        Value::Map(map)
    }

    fn value(&mut self, kind: &FieldKind, node: &Node, path: &str) -> Option<Value> {
        if let FieldKind::Message(descriptor) = kind {
            return Some(Value::Message(self.message(descriptor, node, path)));
        }
        let read = match &node.value {
            Tree::Scalar(scalar) => scalar::read(kind, scalar),
            _ => Err(wrong_type(scalar::noun(kind), node, path)),
        };
        match read {
            Ok(value) => Some(value),
            Err(finding) => {
                self.report.error(finding.at(node.position).on(path));
                None
            }
        }
    }

    fn unknown(&mut self, descriptor: &MessageDescriptor, entry: &Entry, parent: &str) {
        let path = places::field(parent, &entry.key);
        let finding = Finding::new("unknown field").at(entry.position).on(path);
        let fields: Vec<_> = descriptor.fields().collect();
        let names = || fields.iter().map(FieldDescriptor::name);
        let other = self.kind.other();
        if let Some(meant) = similar(&entry.key, names()) {
            self.report.stricter(finding.hint(format!("did you mean `{meant}`?")));
            // It is not missing, it is misspelt.
            self.report.misspelt(&places::field(parent, meant));
        } else if parent.is_empty() && find_field(&other.message(), &entry.key).is_some() {
            let hint = format!("`{}` belongs in a {}", entry.key, other.noun());
            self.report.stricter(finding.hint(hint));
        } else {
            self.report.stricter(finding.hint(fields_hint(descriptor)));
        }
    }

    fn repeated(&mut self, entry: &Entry, first: Position, path: &str) {
        let message = format!("already given in line {}", first.line);
        self.report.stricter(Finding::new(message).at(entry.position).on(path));
    }
}

/// Says what was expected and what was found.
fn wrong_type(expected: &str, node: &Node, path: &str) -> Finding {
    let found = match &node.value {
        Tree::Scalar(scalar) => scalar::quote(scalar),
        Tree::Sequence(_) => "a list".to_owned(),
        Tree::Mapping(_) => "a mapping".to_owned(),
    };
    Finding::new(format!("expected {expected}, found {found}")).at(node.position).on(path)
}

/// Shows how a value is put into a list.
fn list_hint(kind: &FieldKind, node: &Node) -> String {
    let key_values = match kind {
        FieldKind::Message(descriptor) => descriptor.full_name() == "runtime.v1.KeyValue",
        _ => false,
    };
    match &node.value {
        Tree::Scalar(scalar) => format!("write `[{}]`", scalar::quote(scalar).replace('`', "")),
        _ if key_values => "write one `{key: NAME, value: TEXT}` per variable".to_owned(),
        _ => "write one list item, even if there is one only".to_owned(),
    }
}

/// Shows how a single value is put into a message: most have one field that it can only mean.
fn message_hint(descriptor: &MessageDescriptor, node: &Node) -> String {
    let main = ["value", "image", "name"]
        .into_iter()
        .find(|name| descriptor.get_field_by_name(name).is_some());
    match (&node.value, main) {
        (Tree::Scalar(scalar), Some(main)) => {
            format!("write `{{{main}: {}}}`", scalar::quote(scalar).replace('`', ""))
        }
        _ => fields_hint(descriptor),
    }
}

fn fields_hint(descriptor: &MessageDescriptor) -> String {
    let names: Vec<_> = descriptor.fields().map(|field| format!("`{}`", field.name())).collect();
    format!("known here: {}", names.join(", "))
}

/// Gives every duplicate key of the source once, as a finding.
pub(super) fn duplicates(found: &[crilet_core::yaml::DuplicateKey], report: &mut Report) {
    let mut places = HashSet::new();
    for duplicate in found.iter().filter(|duplicate| places.insert(duplicate.position)) {
        let message =
            format!("key `{}` is already given in line {}", duplicate.key, duplicate.first.line);
        report.stricter(Finding::new(message).at(duplicate.position));
    }
}
