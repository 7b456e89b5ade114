//! From a tree to the types of Kubernetes, collecting all that does not fit.
//!
//! The types come from `k8s-openapi` and take what they know. This deserializer tells them what the
//! document says and keeps what they would pass over in silence: unknown fields, fields that are
//! ignored or refused on one node ([`super::treatment`]). A value of a wrong type is reported with
//! its place and replaced by an empty one, so that reading goes on and everything wrong is found in
//! one go.
//!
//! Scalars are read as the kubelet reads them, by YAML 1.1: `yes` and `on` are booleans where one is
//! wanted, `0644` is octal. Two decisions are crilet's: what stands where text is wanted is text
//! (`value: 8080` needs no quotes), and a number in quotes is no number.

mod scalar;

use std::{cell::RefCell, collections::HashMap, fmt, path::Path};

use crilet_core::{
    similar,
    yaml::{Entry, Node, Position, Style, Value as Tree},
};
use crilet_cri::config::Finding;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::StrDeserializer};

use super::treatment::{self, Treatment};
use crate::manifest::report::{self, Report};

/// Reads the part of a document at `node`, which stands at `path`; what cannot be read is reported
/// and empty.
pub(super) fn decode<T: DeserializeOwned + Default>(
    file: &Path,
    node: &Node,
    path: &str,
    report: &mut Report,
) -> T {
    let context = Context { file, report: RefCell::new(report) };
    let value = Value { context: &context, node, path: path.to_owned(), place: Place::default() };
    match T::deserialize(value) {
        Ok(value) => value,
        Err(Stop(message)) => {
            // No visitor of these types refuses what the methods below give it; if one ever does,
            // it is said and nothing is used.
            context.report(Finding::new(message).at(node.position).on(path));
            T::default()
        }
    }
}

struct Context<'a> {
    file: &'a Path,
    report: RefCell<&'a mut Report>,
}

impl Context<'_> {
    fn report(&self, finding: Finding) {
        self.report.borrow_mut().push(finding.in_file(self.file));
    }
}

/// Which field of which type a value belongs to.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    owner: &'static str,
    field: &'static str,
    /// The newtype around it, if any.
    newtype: &'static str,
}

impl Place {
    /// Fields whose text is base64: a visitor that fails on it could not go on.
    fn is_base64(self) -> bool {
        matches!((self.owner, self.field), ("Secret", "data") | ("ConfigMap", "binaryData"))
    }
}

struct Value<'a> {
    context: &'a Context<'a>,
    node: &'a Node,
    path: String,
    place: Place,
}

/// What a visitor that refuses says; see [`decode`].
#[derive(Debug)]
struct Stop(String);

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Value<'_> {
    fn wrong_type(&self, expected: &str) {
        self.context.report(scalar::mismatch(expected, self.node).on(&*self.path));
    }

    /// Reads a scalar with `read`; what is wrong is reported and replaced by the default.
    fn scalar<T: Default>(
        &self,
        read: impl FnOnce(&crilet_core::yaml::Scalar) -> Result<T, Finding>,
        expected: &str,
    ) -> T {
        match &self.node.value {
            Tree::Scalar(scalar) => read(scalar).unwrap_or_else(|finding| {
                self.context.report(finding.at(self.node.position).on(&*self.path));
                T::default()
            }),
            _ => {
                self.wrong_type(expected);
                T::default()
            }
        }
    }

    fn text(&self) -> String {
        let mut text: String = self.scalar(scalar::text, "text");
        if self.place.is_base64() {
            // `base64` wraps its lines, and Kubernetes reads them all the same.
            text.retain(|sign| !matches!(sign, '\n' | '\r'));
            if let Err(finding) = scalar::base64(&text) {
                self.context.report(finding.at(self.node.position).on(&*self.path));
                return String::new();
            }
        }
        text
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            let read = |scalar: &_| scalar::integer(scalar, <$type>::MIN, <$type>::MAX);
            visitor.$visit(self.scalar(read, "a whole number"))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Value<'_> {
    type Error = Stop;

    /// A quantity, which is text in the end, or a number or name (`IntOrString`).
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.place.newtype == "Quantity" {
            return visitor.visit_string(self.text());
        }
        match &self.node.value {
            Tree::Scalar(scalar) if scalar::looks_whole(scalar) => self.deserialize_i32(visitor),
            _ => visitor.visit_string(self.text()),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_bool(self.scalar(scalar::boolean, "true or false"))
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_f64(self.scalar(scalar::float, "a number"))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.place.newtype = name;
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let items = match &self.node.value {
            Tree::Sequence(items) => items.as_slice(),
            _ if self.node.is_null() => &[],
            _ => {
                let finding = scalar::mismatch("a list", self.node).on(&*self.path);
                self.context.report(finding.hint(scalar::list_hint(self.node)));
                &[]
            }
        };
        visitor.visit_seq(Items { value: self, items, next: 0 })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let entries = match &self.node.value {
            Tree::Mapping(entries) => entries.as_slice(),
            _ if self.node.is_null() => &[],
            _ => {
                let finding = scalar::mismatch("a mapping", self.node).on(&*self.path);
                self.context.report(finding.hint("write `key: value` pairs"));
                &[]
            }
        };
        visitor.visit_map(MapEntries { value: self, entries, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let entries = match &self.node.value {
            Tree::Mapping(entries) => entries.as_slice(),
            _ if self.node.is_null() => &[],
            _ => {
                let finding = scalar::mismatch("a mapping", self.node).on(&*self.path);
                self.context.report(finding.hint(fields_hint(name, fields)));
                &[]
            }
        };
        visitor.visit_map(Fields {
            value: self,
            name,
            fields,
            entries,
            next: 0,
            seen: HashMap::new(),
        })
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

struct Items<'a> {
    value: Value<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Stop;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let path = report::item(&self.value.path, self.next);
        self.next += 1;
        let context = self.value.context;
        if node.is_null() {
            context.report(Finding::new("nothing given").at(node.position).on(&*path));
        }
        seed.deserialize(Value { context, node, path, place: self.value.place }).map(Some)
    }
}

struct MapEntries<'a> {
    value: Value<'a>,
    entries: &'a [Entry],
    next: usize,
}

impl<'de> de::MapAccess<'de> for MapEntries<'_> {
    type Error = Stop;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Stop> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let entry = self.entries.get(self.next).ok_or_else(|| Stop("no value".to_owned()))?;
        self.next += 1;
        let path = report::entry(&self.value.path, &entry.key);
        let Value { context, place, .. } = self.value;
        seed.deserialize(Value { context, node: &entry.value, path, place })
    }
}

/// The fields of a struct: those that it knows and that are not passed over.
struct Fields<'a> {
    value: Value<'a>,
    name: &'static str,
    fields: &'static [&'static str],
    entries: &'a [Entry],
    next: usize,
    seen: HashMap<&'static str, Position>,
}

impl Fields<'_> {
    /// Whether the field is read at all; tells what is to be told about it.
    fn take(&mut self, entry: &Entry) -> Option<&'static str> {
        let path = report::join(&self.value.path, &entry.key);
        let Some(field) = self.fields.iter().find(|field| **field == entry.key) else {
            self.unknown(entry, &path);
            return None;
        };
        if let Some(first) = self.seen.insert(field, entry.position) {
            let message = format!("already given in line {}", first.line);
            self.value.context.report(Finding::new(message).at(entry.position).on(&*path));
            return None;
        }
        let empty = is_empty(&entry.value);
        match treatment::of(self.name, field) {
            Treatment::Honoured => return Some(field),
            Treatment::Ignored(why) if !empty => {
                let finding = Finding::new(format!("ignored: {why}"));
                let finding = report::warning(finding.at(entry.position).on(path));
                self.value.context.report(finding);
            }
            Treatment::Refused(why, hint) if !empty => {
                let finding = Finding::new(why).at(entry.position).on(path);
                let finding = if hint.is_empty() { finding } else { finding.hint(hint) };
                self.value.context.report(finding);
            }
            Treatment::Known
            | Treatment::Silent
            | Treatment::Ignored(_)
            | Treatment::Refused(..) => {}
        }
        None
    }

    fn unknown(&self, entry: &Entry, path: &str) {
        let finding = Finding::new("unknown field").at(entry.position).on(path);
        let context = self.value.context;
        let known = self.fields.iter().copied();
        if let Some(meant) = similar(&entry.key, known) {
            context.report(finding.hint(format!("did you mean `{meant}`?")));
            let meant = report::join(&self.value.path, meant);
            context.report.borrow_mut().misspelt(meant);
        } else if let Some(place) = treatment::belongs(&entry.key) {
            let hint = format!("`{}` belongs in {place}", entry.key);
            context.report(finding.hint(hint));
        } else {
            context.report(finding.hint(fields_hint(self.name, self.fields)));
        }
    }
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Stop;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        while let Some(entry) = self.entries.get(self.next) {
            if let Some(field) = self.take(entry) {
                self.value.place = Place { owner: self.name, field, newtype: "" };
                let key: StrDeserializer<'_, Stop> = field.into_deserializer();
                return seed.deserialize(key).map(Some);
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let entry = self.entries.get(self.next).ok_or_else(|| Stop("no value".to_owned()))?;
        self.next += 1;
        let path = report::join(&self.value.path, &entry.key);
        let Value { context, place, .. } = self.value;
        seed.deserialize(Value { context, node: &entry.value, path, place })
    }
}

/// Whether a value asks for nothing, so that nobody has to be told that it is not honoured.
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Tree::Scalar(scalar) => {
            let is_false = scalar.style == Style::Plain && scalar.text == "false";
            scalar.is_null() || scalar.text.is_empty() || is_false
        }
        Tree::Sequence(items) => items.is_empty(),
        Tree::Mapping(entries) => entries.is_empty(),
    }
}

/// The fields that have a meaning here; a long list would hide what it shows.
fn fields_hint(name: &str, fields: &[&str]) -> String {
    let known = fields.iter().filter(|field| treatment::of(name, field) == Treatment::Honoured);
    let known: Vec<_> = known.map(|field| format!("`{field}`")).collect();
    format!("known here: {}", known.join(", "))
}
