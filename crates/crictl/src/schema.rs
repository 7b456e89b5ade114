//! JSON schemas of the CRI's messages, as crictl makes them of the generated Go types.

use std::collections::BTreeMap;

use crilet_cri::schema::{Count, Field, Kind, Message};

use crate::json::Json;

/// The package of the types, which identifies the schema.
const ID: &str = "https://k8s.io/cri-api/pkg/apis/runtime/v1/";

/// The schema of a message and of all that it is made of.
pub fn of(message: &'static Message) -> Json {
    let (mut waiting, mut definitions) = (vec![message], BTreeMap::new());
    while let Some(message) = waiting.pop() {
        if definitions.contains_key(message.name) {
            continue;
        }
        definitions.insert(message.name.to_owned(), definition(message));
        waiting.extend(message.fields.iter().filter_map(|field| match field.kind {
            Kind::Message(inner) => Some(inner),
            _ => None,
        }));
    }
    object([
        ("$schema", text("https://json-schema.org/draft/2020-12/schema")),
        ("$id", text(&format!("{ID}{}", kebab(message.name)))),
        ("$ref", reference(message)),
        ("$defs", Json::Object(definitions.into_iter().collect())),
    ])
}

fn definition(message: &Message) -> Json {
    let fields = message.fields.iter().map(|field| (field.name.to_owned(), property(field)));
    object([
        ("properties", Json::Object(fields.collect())),
        ("additionalProperties", Json::Bool(false)),
        ("type", text("object")),
    ])
}

fn property(field: &Field) -> Json {
    let value = match field.kind {
        Kind::Message(message) => object([("$ref", reference(message))]),
        // Names are taken as well as numbers.
        Kind::Enum(_) => {
            let kinds = ["string", "integer"].map(|kind| object([("type", text(kind))]));
            object([("oneOf", Json::Array(kinds.into()))])
        }
        Kind::String | Kind::Bytes => object([("type", text("string"))]),
        Kind::Bool => object([("type", text("boolean"))]),
        Kind::Double => object([("type", text("number"))]),
        Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Uint64 => {
            object([("type", text("integer"))])
        }
    };
    match field.count {
        Count::One => value,
        Count::Many => object([("items", value), ("type", text("array"))]),
        Count::Map => object([("additionalProperties", value), ("type", text("object"))]),
    }
}

fn reference(message: &Message) -> Json {
    text(&format!("#/$defs/{}", message.name))
}

fn text(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Object(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// `PodSandboxConfig` as `pod-sandbox-config`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use crilet_cri::{schema, v1};

    use super::*;
    use crate::json::Escapes;

    #[test]
    fn a_schema_holds_all_that_a_config_is_made_of() {
        let schema = of(schema::of::<v1::PodSandboxConfig>());
        assert_eq!(schema.get("$id").unwrap(), &text(&format!("{ID}pod-sandbox-config")));
        let definitions = schema.get("$defs").unwrap();
        for name in ["PodSandboxConfig", "DNSConfig", "PortMapping", "IDMapping"] {
            assert!(definitions.get(name).is_some(), "{name}");
        }
        let port = definitions.get("PortMapping").unwrap().compact(Escapes::Few);
        assert_eq!(
            port,
            r#"{"properties":{"protocol":{"oneOf":[{"type":"string"},{"type":"integer"}]},"container_port":{"type":"integer"},"host_port":{"type":"integer"},"host_ip":{"type":"string"}},"additionalProperties":false,"type":"object"}"#
        );
    }
}
