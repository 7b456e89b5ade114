//! The document that is served is the one that table and types make.

use std::{fs, path::Path};

use serde_json::Value;

/// Set this variable to write the document anew, after a change of the API.
const WRITE: &str = "CRILET_WRITE_GOLDEN";

#[test]
fn the_document_is_that_of_the_code() {
    let made = format!("{:#}\n", crilet_api::openapi::document());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == made, "`openapi.json` is not that of the code; {WRITE}=1 writes it anew");
}

/// Every reference leads somewhere, and every schema is used.
#[test]
fn references_and_schemas_fit() {
    let document: Value = serde_json::from_str(crilet_api::OPENAPI).unwrap();
    let mut used = Vec::new();
    collect(&document, &mut used);
    used.sort();
    used.dedup();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    // What events carry is named in words.
    let in_words = ["Event", "Pod", "PodRef"];
    for name in &used {
        assert!(schemas.contains_key(name), "`{name}` is referred to and not defined");
    }
    for name in schemas.keys().filter(|name| !in_words.contains(&name.as_str())) {
        assert!(used.contains(name), "`{name}` is defined and not used");
    }
}

fn collect(value: &Value, used: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            let target = entries.get("$ref").and_then(Value::as_str);
            used.extend(
                target.and_then(|t| t.strip_prefix("#/components/schemas/")).map(Into::into),
            );
            entries.values().for_each(|value| collect(value, used));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, used)),
        _ => {}
    }
}
