//! From a tree to an encoded message of the CRI, along its schema, collecting all that does not fit.

mod scalar;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet};

use crilet_core::{
    similar,
    yaml::{Entry, Node, Position, Value as Tree},
};

use self::wire::Value;
use super::{
    finding::{Finding, Report},
    places::{self, Places},
    schema::{Kind, find_field},
};
use crate::schema::{Count, Field, Kind as FieldKind, Message};

/// Reads a document as a config of this kind; what cannot be read is reported and left out.
pub(super) fn decode(kind: Kind, document: &Node, report: &mut Report) -> (Vec<u8>, Places) {
    let mut decoder = Decoder { kind, report, places: Places::new(document.position) };
    let message = decoder.message(kind.message(), document, "");
    (message, decoder.places)
}

struct Decoder<'a> {
    kind: Kind,
    report: &'a mut Report,
    places: Places,
}

impl Decoder<'_> {
    fn message(&mut self, schema: &'static Message, node: &Node, path: &str) -> Vec<u8> {
        let Tree::Mapping(entries) = &node.value else {
            let hint = message_hint(schema, node);
            self.report.error(wrong_type("a mapping", node, path).hint(hint));
            return Vec::new();
        };
        let mut seen = HashMap::new();
        // By number: of a field that is given twice the last one counts.
        let mut fields: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
        for entry in entries {
            let Some(field) = find_field(schema, &entry.key) else {
                self.unknown(schema, entry, path);
                continue;
            };
            let path = places::field(path, field.name);
            if let Some(first) = seen.insert(field.number, entry.position) {
                self.repeated(entry, first, &path);
            }
            self.places.insert(&path, entry.position, entry.value.position);
            if !entry.value.is_null() {
                fields.insert(field.number, self.field(field, &entry.value, &path));
            }
        }
        let mut message = Vec::new();
        for (number, values) in &fields {
            values.iter().for_each(|value| value.write(*number, &mut message));
        }
        message
    }

    /// The values of a field; none if they cannot be read.
    fn field(&mut self, field: &Field, node: &Node, path: &str) -> Vec<Value> {
        let (kind, count) = (field.kind, field.count);
        match (count, &node.value) {
            (Count::Map, Tree::Mapping(entries)) => self.map(kind, entries, path),
            (Count::Map, _) => {
                let hint = "write `key: value` pairs";
                self.report.error(wrong_type("a mapping", node, path).hint(hint));
                Vec::new()
            }
            (Count::Many, Tree::Sequence(items)) => self.list(kind, items, path),
            (Count::Many, _) => {
                self.report.error(wrong_type("a list", node, path).hint(list_hint(kind, node)));
                Vec::new()
            }
            (Count::One, _) => self.value(kind, node, path).into_iter().collect(),
        }
    }

    fn list(&mut self, kind: FieldKind, items: &[Node], path: &str) -> Vec<Value> {
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = places::item(path, index);
            self.places.insert(&path, item.position, item.position);
            if item.is_null() {
                self.report.error(Finding::new("nothing given").at(item.position).on(path));
                continue;
            }
            // A place is kept for what cannot be read, so that later items keep their index.
            values.push(self.value(kind, item, &path).unwrap_or_else(|| nothing(kind)));
        }
        values
    }

    /// Reads a map; as in crictl, a key without a value has an empty one.
    fn map(&mut self, kind: FieldKind, entries: &[Entry], path: &str) -> Vec<Value> {
        let mut values = Vec::new();
        for Entry { key, position, value: node } in entries {
            let path = places::entry(path, key);
            self.places.insert(&path, *position, node.position);
            let given = if node.is_null() { None } else { self.value(kind, node, &path) };
            values.push(Value::entry(key, &given.unwrap_or_else(|| nothing(kind))));
        }
        values
    }

    fn value(&mut self, kind: FieldKind, node: &Node, path: &str) -> Option<Value> {
        if let FieldKind::Message(schema) = kind {
            return Some(Value::Bytes(self.message(schema, node, path)));
        }
        let Tree::Scalar(scalar) = &node.value else {
            self.report.error(wrong_type(scalar::noun(kind), node, path));
            return None;
        };
        let finding = match scalar::read(kind, scalar) {
            Ok(value) => return Some(value),
            Err(finding) => finding.at(node.position).on(path),
        };
        let meant = scalar::by_yaml_1_1(kind, scalar).filter(|_| self.report.is_lenient());
        match meant {
            Some(_) => self.report.stricter(finding),
            None => self.report.error(finding),
        }
        meant
    }

    fn unknown(&mut self, schema: &Message, entry: &Entry, parent: &str) {
        let path = places::field(parent, &entry.key);
        let finding = Finding::new("unknown field").at(entry.position).on(path);
        let other = self.kind.other();
        if let Some(meant) = similar(&entry.key, schema.fields.iter().map(|field| field.name)) {
            self.report.stricter(finding.hint(format!("did you mean `{meant}`?")));
            // It is not missing, it is misspelt.
            self.report.misspelt(&places::field(parent, meant));
        } else if parent.is_empty() && find_field(other.message(), &entry.key).is_some() {
            let hint = format!("`{}` belongs in a {}", entry.key, other.noun());
            self.report.stricter(finding.hint(hint));
        } else {
            self.report.stricter(finding.hint(fields_hint(schema)));
        }
    }

    fn repeated(&mut self, entry: &Entry, first: Position, path: &str) {
        let message = format!("already given in line {}", first.line);
        self.report.stricter(Finding::new(message).at(entry.position).on(path));
    }
}

/// What stands for a value that is not there.
fn nothing(kind: FieldKind) -> Value {
    match kind {
        FieldKind::String | FieldKind::Bytes | FieldKind::Message(_) => Value::Bytes(Vec::new()),
        _ => Value::Number(0),
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
fn list_hint(kind: FieldKind, node: &Node) -> String {
    let key_values = matches!(kind, FieldKind::Message(schema) if schema.name == "KeyValue");
    match &node.value {
        Tree::Scalar(scalar) => format!("write `[{}]`", scalar::quote(scalar).replace('`', "")),
        _ if key_values => "write one `{key: NAME, value: TEXT}` per variable".to_owned(),
        _ => "write one list item, even if there is one only".to_owned(),
    }
}

/// Shows how a single value is put into a message: most have one field that it can only mean.
fn message_hint(schema: &Message, node: &Node) -> String {
    let main = ["value", "image", "name"].into_iter().find(|name| schema.field(name).is_some());
    match (&node.value, main) {
        (Tree::Scalar(scalar), Some(main)) => {
            format!("write `{{{main}: {}}}`", scalar::quote(scalar).replace('`', ""))
        }
        _ => fields_hint(schema),
    }
}

fn fields_hint(schema: &Message) -> String {
    let names: Vec<_> = schema.fields.iter().map(|field| format!("`{}`", field.name)).collect();
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
