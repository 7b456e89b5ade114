//! JSON as the reference plugins read it.
//!
//! Go matches the keys of objects with the fields of types in any case, ignores unknown keys, lets
//! the last of several win, and takes null for absent. containerd relies on it: it writes
//! `HostPort` where the plugin's field is `hostPort`. Here serde's types do the same, since a
//! derived type tells its deserializer the names of its fields. Keys of maps are left as they are.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::StringDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::{Code, PluginError};

/// Reads a type from JSON; keys of its fields match in any case.
///
/// # Errors
/// With code 7, the path of the key, and what was expected there.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, PluginError> {
    T::deserialize(Folding(value)).map_err(|problem| problem.named("(the whole)"))
}

/// As [`from_value`], for a part whose key is `key`.
pub(crate) fn from_value_at<T: DeserializeOwned>(
    value: Value,
    key: &str,
) -> Result<T, PluginError> {
    T::deserialize(Folding(value)).map_err(|problem| problem.below(key).named(key))
}

/// The value of an object's key in any case; null is absent, the last of several wins.
pub(crate) fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    let exact = object.get(name);
    let found = exact.or_else(|| {
        object.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

struct Folding(Value);

/// What is wrong, and where.
#[derive(Debug)]
struct Problem {
    path: String,
    text: String,
}

impl Problem {
    fn below(mut self, part: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{part}{separator}{}", self.path);
        self
    }

    fn named(self, whole: &str) -> PluginError {
        let path = if self.path.is_empty() { whole } else { &self.path };
        PluginError::new(Code::InvalidConfig, format!("`{path}`: {}", self.text))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.text)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { path: String::new(), text: text.to_string() }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        de::Error::custom(error)
    }
}

impl<'de> Deserializer<'de> for Folding {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(Elements { list: list.into_iter(), next: 0 }),
            Value::Object(object) => visitor.visit_map(Entries::new(object)),
            Value::Number(number) => Ok(whole(number).deserialize_any(visitor)?),
            other => Ok(other.deserialize_any(visitor)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Object(object) => visitor.visit_map(Entries::new(fold(object, fields))),
            // A derived type would take a list for its fields in order.
            Value::Array(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        Ok(self.0.deserialize_enum(name, variants, visitor)?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The object with only the keys of `fields`, spelt as these, and without nulls. A key spelt
/// exactly wins over others.
fn fold(object: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let (mut folded, mut exact) = (Map::new(), Map::new());
    for (key, value) in object {
        let field = fields.iter().find(|field| field.eq_ignore_ascii_case(&key));
        match field {
            Some(field) if *field == key && !value.is_null() => drop(exact.insert(key, value)),
            Some(field) if !value.is_null() => drop(folded.insert((*field).to_owned(), value)),
            _ => {}
        }
    }
    folded.append(&mut exact);
    folded
}

/// libcni passes numbers through floating point, so that a whole one may come as `1.5e3`.
fn whole(number: serde_json::Number) -> serde_json::Number {
    let text = number.to_string();
    if !number.is_f64() {
        return number;
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 2f64.powi(53));
    let whole = value.and_then(|value| format!("{value:.0}").parse::<i64>().ok());
    whole.map_or_else(|| text.parse().unwrap_or(number), Into::into)
}

struct Elements {
    list: std::vec::IntoIter<Value>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some(value) = self.list.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        let part = format!("[{index}]");
        seed.deserialize(Folding(value)).map(Some).map_err(|problem| problem.below(&part))
    }
}

struct Entries {
    entries: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl Entries {
    fn new(object: Map<String, Value>) -> Self {
        Self { entries: object.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key.clone(), value));
        let key: StringDeserializer<Problem> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(Folding(value)).map_err(|problem| problem.below(&key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Port {
        host_port: i64,
        protocol: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        port_mappings: Vec<Port>,
        sysctl: BTreeMap<String, String>,
        mtu: u32,
    }

    #[test]
    fn keys_of_types_match_in_any_case_and_keys_of_maps_do_not_change() {
        let config: Config = from_value(json!({
            "PORTMAPPINGS": [{"HostPort": 80, "PROTOCOL": "tcp"}, {"hostport": 81, "x": 1}],
            "sysctl": {"Net.IFNAME": "1"},
        }))
        .unwrap();
        let port = |host_port, protocol: Option<&str>| Port {
            host_port,
            protocol: protocol.map(str::to_owned),
        };
        assert_eq!(config.port_mappings, [port(80, Some("tcp")), port(81, None)]);
        assert_eq!(config.sysctl["Net.IFNAME"], "1");
    }

    #[test]
    fn null_is_absent_and_whole_numbers_may_be_floating() {
        let config: Config = from_value(json!({"mtu": null, "sysctl": null})).unwrap();
        assert_eq!(config, Config::default());
        let config: Config =
            serde_json::from_str::<Value>(r#"{"mtu": 1.5e3}"#).map(from_value).unwrap().unwrap();
        assert_eq!(config.mtu, 1500);
    }

    #[test]
    fn of_several_spellings_the_exact_one_wins() {
        let text = r#"{"MTU": 1, "mtu": 2, "Mtu": 3}"#;
        let config: Config = from_value(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(config.mtu, 2);
    }

    #[test]
    fn a_mistake_is_named_with_its_path() {
        let problem = |value: Value| from_value::<Config>(value).unwrap_err().message;
        assert_eq!(
            problem(json!({"portMappings": [{}, {"HostPort": "80"}]})),
            "`portMappings[1].hostPort`: invalid type: string \"80\", expected i64"
        );
        assert!(problem(json!({"mtu": -1})).starts_with("`mtu`: invalid value: integer `-1`"));
        assert!(problem(json!([1])).starts_with("`(the whole)`: invalid type: sequence"));
        assert!(problem(json!(7)).starts_with("`(the whole)`: invalid type: integer `7`"));
    }
}
