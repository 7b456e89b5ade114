//! What was called.

use std::time::Duration;

use prost::{DecodeError, Message, bytes::Bytes};
use prost_reflect::{DynamicMessage, Value};

use crate::{ApiVersion, Code, schema::descriptor_pool};

/// A call that a fake runtime received.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The method, such as `RunPodSandbox`.
    pub method: String,
    /// The version of the CRI it was called in.
    pub version: ApiVersion,
    /// What it concerned, as far as the request says: ids, names, images; in the order of the
    /// request's fields.
    pub objects: Vec<String>,
    /// When it came, after the start of the fake.
    pub began: Duration,
    /// What became of it.
    pub outcome: Outcome,
    request: Bytes,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No answer yet.
    Pending,
    /// It was answered, this long after the start of the fake.
    Answered(Duration),
    /// It was answered with an error.
    Failed(Code),
    /// The caller gave up, or the connection was lost, before there was an answer.
    Cancelled,
}

impl CallRecord {
    pub(super) fn new(
        service: &str,
        method: &str,
        version: ApiVersion,
        began: Duration,
        request: Bytes,
    ) -> Self {
        let objects = objects(service, method, &request);
        let method = method.to_owned();
        Self { method, version, objects, began, outcome: Outcome::Pending, request }
    }

    /// Decodes the request.
    ///
    /// # Errors
    /// It is not a message of this type.
    pub fn request<T: Message + Default>(&self) -> Result<T, DecodeError> {
        T::decode(self.request.clone())
    }
}

/// Finds the names in a request: its strings called `*_id`, images, and names of configs.
fn objects(service: &str, method: &str, request: &Bytes) -> Vec<String> {
    let service = descriptor_pool().get_service_by_name(&format!("runtime.v1.{service}"));
    let method =
        service.and_then(|service| service.methods().find(|candidate| candidate.name() == method));
    let Some(method) = method else { return Vec::new() };
    let Ok(message) = DynamicMessage::decode(method.input(), request.clone()) else {
        return Vec::new();
    };
    let fields: Vec<_> = message.fields().collect();
    fields.iter().filter_map(|(field, value)| object(field.name(), value)).collect()
}

fn object(field: &str, value: &Value) -> Option<String> {
    let text = match (field, value) {
        ("container_id" | "pod_sandbox_id", Value::String(id)) => id.clone(),
        ("image", Value::Message(image)) => image.get_field_by_name("image")?.as_str()?.to_owned(),
        ("config", Value::Message(config)) => {
            let metadata = config.get_field_by_name("metadata")?;
            metadata.as_message()?.get_field_by_name("name")?.as_str()?.to_owned()
        }
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}
