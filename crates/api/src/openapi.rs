//! The OpenAPI document, made from [`OPERATIONS`] and the wire types.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{Answer, Method, OPERATIONS, Operation};

/// Makes the document: OpenAPI 3.1, whose schemas are those of JSON Schema 2020-12.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    add_schemas(&mut generator);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[method(operation.method)] = describe(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "crilet",
            "description": "The API of `crilet serve`.",
            "version": "v1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

/// Adds every type that the table names, and what these are made of.
fn add_schemas(generator: &mut SchemaGenerator) {
    generator.subschema_for::<crate::Accepted>();
    generator.subschema_for::<crate::ApplyReport>();
    generator.subschema_for::<crate::ApplyRequest>();
    generator.subschema_for::<crate::ApiError>();
    generator.subschema_for::<crate::Event>();
    generator.subschema_for::<crate::EventList>();
    generator.subschema_for::<crate::ImageGcReport>();
    generator.subschema_for::<crate::ImageGcRequest>();
    generator.subschema_for::<crate::NodeInfo>();
    generator.subschema_for::<crate::Pod>();
    generator.subschema_for::<crate::PodList>();
    generator.subschema_for::<crate::PodRef>();
    generator.subschema_for::<crate::RestartRequest>();
    generator.subschema_for::<crate::Stats>();
    generator.subschema_for::<crate::StopRequest>();
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Delete => "delete",
    }
}

fn describe(operation: &Operation) -> Value {
    let id = format!("{:?}", operation.id);
    let mut described = json!({
        "operationId": id,
        "summary": operation.summary,
        "responses": responses(operation.answer),
    });
    let in_path = operation.path_parameters().map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": { "type": parameter.kind },
        })
    });
    let parameters: Vec<_> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        described["parameters"] = Value::from(parameters);
    }
    if let Some(body) = operation.body {
        described["requestBody"] =
            json!({ "content": { "application/json": { "schema": reference(body) } } });
    }
    described
}

fn responses(answer: Answer) -> Value {
    let refused = json!({
        "description": "Refused, or failed.",
        "content": { "application/json": { "schema": reference("ApiError") } },
    });
    match answer {
        Answer::Channels(carry) => {
            let description = format!(
                "A WebSocket, v5.channel.k8s.io or v4.channel.k8s.io. A message is a channel's number in a \
                 byte, and bytes. Channels: {carry}. With v5 the message 255 N ends channel N."
            );
            json!({ "101": { "description": description }, "default": refused })
        }
        answer => json!({
            "200": { "description": "Done.", "content": content(answer) },
            "default": refused,
        }),
    }
}

fn content(answer: Answer) -> Value {
    match answer {
        Answer::Json(name) => json!({ "application/json": { "schema": reference(name) } }),
        Answer::Foreign => json!({ "application/json": {} }),
        Answer::Text(content_type) => json!({ content_type: { "schema": { "type": "string" } } }),
        // Says more than a content type; see `responses`.
        Answer::Channels(_) => json!({}),
        Answer::Events(events) => {
            let lines = events.iter().map(|(name, schema)| format!("- `{name}`: {schema}\n"));
            let description = format!("Events, each with JSON:\n\n{}", lines.collect::<String>());
            let schema = json!({ "type": "string", "description": description });
            json!({ "text/event-stream": { "schema": schema } })
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
