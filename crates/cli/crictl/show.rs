//! Forms of output that several commands share.

use std::collections::BTreeMap;

use crilet_crictl::{
    json::{Escapes, Json},
    protojson::{self, Form, Name},
    template::Template,
    yaml,
};

use super::{Result, print, report::Fail};

/// Writes a message as JSON.
pub(super) fn json(message: &impl Name) -> Result<()> {
    let json = protojson::of(message, Form::Defaults);
    print(&format!("{}\n", json.indented(Escapes::Few)))
}

/// Writes a message as YAML; crictl leaves a blank line behind it.
pub(super) fn yaml(message: &impl Name) -> Result<()> {
    print(&format!("{}\n", yaml::document(&protojson::of(message, Form::Defaults))))
}

/// Writes one or several values: one stands alone, several in a list.
pub(super) fn statuses(mut statuses: Vec<Json>, form: &str, template: &str) -> Result<()> {
    if statuses.is_empty() {
        return Ok(());
    }
    let value = match (statuses.len(), statuses.pop()) {
        (1, Some(only)) => only,
        (_, last) => Json::Array(statuses.into_iter().chain(last).collect()),
    };
    let value = value.sorted();
    match form {
        "json" => print(&format!("{}\n", value.indented(Escapes::Html))),
        "yaml" => print(&format!("{}\n", yaml::document(&value))),
        "go-template" => print(&format!("{}\n", filled(template, &value)?)),
        other => Err(Fail::Fatal(format!("unsupported format: {other:?}"))),
    }
}

/// Executes a template.
pub(super) fn filled(template: &str, value: &Json) -> Result<String> {
    let read = Template::read(template).map_err(|error| {
        Fail::Fatal(format!("execute template: failed to generate go-template: {error}"))
    })?;
    read.execute(value)
        .map_err(|error| Fail::Fatal(format!("execute template: failed to template data: {error}")))
}

/// A status with what the runtime knows besides: texts that hold JSON objects are shown as such.
pub(super) fn with_info(status: Json, info: &BTreeMap<String, String>) -> Result<Json> {
    let mut entries = vec![("status".to_owned(), status)];
    for (key, text) in info {
        let value = match text.starts_with('{') {
            true => Json::read(text)
                .map_err(|error| Fail::Fatal(format!("unmarshal status info JSON: {error}")))?,
            false => Json::String(text.trim_matches('"').to_owned()),
        };
        entries.push((key.clone(), value));
    }
    Ok(Json::Object(entries))
}

/// Adds null for every field that is not there, as crictl does for containers and pods.
pub(super) fn with_nulls<M: Name>(mut json: Json) -> Json {
    for field in crilet_cri::schema::of::<M>().fields {
        if json.get(field.json_name).is_none() {
            json.set(field.json_name, Json::Null);
        }
    }
    json
}

/// Labels or annotations as lines.
pub(super) fn lines(title: &str, entries: &BTreeMap<String, String>) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let lines = entries.iter().map(|(key, value)| format!("\t{key} -> {value}\n"));
    format!("{title}:\n{}", lines.collect::<String>())
}

/// As Go prints a map of texts.
pub(super) fn go_map(entries: &BTreeMap<String, String>) -> String {
    let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", entries.join(" "))
}

/// `3 minutes ago`, from nanoseconds since 1970.
pub(super) fn ago(nanoseconds: i64) -> String {
    let age = crate::values::now().saturating_sub(nanoseconds);
    format!("{} ago", crilet_crictl::units::age(age))
}

/// The first 13 letters, without this prefix.
pub(super) fn short(id: &str, prefix: &str) -> String {
    id.strip_prefix(prefix).unwrap_or(id).chars().take(13).collect()
}
