use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret},
};
use serde::de::{
    self, Deserialize, IntoDeserializer, Visitor,
    value::{Error, StrDeserializer},
};

use super::treatment::{self, Treatment};

/// Walks types by deserializing them from a document that gives every honoured field once.
#[derive(Debug, Clone, Copy)]
struct Walk<'a> {
    types: &'a RefCell<BTreeMap<&'static str, &'static [&'static str]>>,
}

impl<'de> de::Deserializer<'de> for Walk<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("0")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Keys { walk: self, keys: vec!["item"] })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Keys { walk: self, keys: vec!["key"] })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let known = self.types.borrow_mut().insert(name, fields).is_some();
        let honoured = |field: &&&str| !known && treatment::of(name, field) == Treatment::Honoured;
        let keys = fields.iter().filter(honoured).copied().collect();
        visitor.visit_map(Keys { walk: self, keys })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 u8 u16 u32 u64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

struct Keys<'a> {
    walk: Walk<'a>,
    keys: Vec<&'static str>,
}

impl<'de> de::SeqAccess<'de> for Keys<'_> {
    type Error = Error;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.keys.pop().map(|_| seed.deserialize(self.walk)).transpose()
    }
}

impl<'de> de::MapAccess<'de> for Keys<'_> {
    type Error = Error;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(key) = self.keys.pop() else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.walk)
    }
}

/// Every type that is read, with all fields that the schema knows.
fn types() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let types = RefCell::default();
    let walk = Walk { types: &types };
    Pod::deserialize(walk).unwrap();
    Deployment::deserialize(walk).unwrap();
    ConfigMap::deserialize(walk).unwrap();
    Secret::deserialize(walk).unwrap();
    PersistentVolumeClaim::deserialize(walk).unwrap();
    let types = types.into_inner();
    types.into_iter().map(|(name, fields)| (name, fields.iter().copied().collect())).collect()
}

#[test]
fn every_field_of_the_schema_has_its_treatment() {
    let types = types();
    assert!(types.len() > 50, "the walk saw only {:?}", types.keys());
    let table: BTreeMap<_, BTreeSet<_>> = treatment::types()
        .map(|of| (of.name, of.fields.iter().map(|(field, ..)| *field).collect()))
        .collect();
    assert_eq!(table.len(), treatment::types().count(), "a type is in the table twice");
    for (name, fields) in &types {
        let of_table = table.get(name).cloned().unwrap_or_default();
        let missing: Vec<_> = fields.difference(&of_table).collect();
        let unknown: Vec<_> = of_table.difference(fields).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "{name}: {missing:?} {unknown:?}");
    }
    let unused: Vec<_> = table.keys().filter(|name| !types.contains_key(*name)).collect();
    assert!(unused.is_empty(), "types that nothing reads: {unused:?}");
}

/// The table as `docs/manifests.md` has it.
fn markdown() -> String {
    let mut text = String::new();
    for of in treatment::types() {
        writeln!(text, "### {}\n\n| field | | |\n| --- | --- | --- |", of.title).unwrap();
        for (field, treatment, note) in of.fields {
            let (word, note) = match treatment {
                Treatment::Honoured | Treatment::Known => ("honoured", (*note).to_owned()),
                Treatment::Ignored(why) => ("ignored with a warning", (*why).to_owned()),
                Treatment::Silent => ("ignored", (*note).to_owned()),
                Treatment::Refused(why, "") => ("refused", (*why).to_owned()),
                Treatment::Refused(why, instead) => ("refused", format!("{why}; {instead}")),
            };
            writeln!(text, "| `{field}` | {word} | {note} |").unwrap();
        }
        text += "\n";
    }
    text
}

#[test]
fn the_documentation_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifests.md");
    let page = fs::read_to_string(&path).unwrap();
    let (_, shown) = page.split_once("<!-- table -->\n\n").expect("a mark before the table");
    let wanted = markdown();
    if shown != wanted {
        let file = std::env::temp_dir().join("manifests-table.md");
        fs::write(&file, wanted).unwrap();
        panic!("the table behind the mark is out of date; put {} there", file.display());
    }
}
