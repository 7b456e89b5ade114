//! Which kind of configuration a document is, told from its fields.

use crilet_core::{
    similar,
    yaml::{Entry, Node, Value},
};

use super::{
    finding::Finding,
    schema::{Kind, find_field},
};
use crate::schema::{Kind as FieldKind, Message};

const EXPECTED: &str = "expected a CRI pod config (metadata with name and namespace, \
    port_mappings, log_directory, ...) or container config (metadata with name, image, command, \
    mounts, ...)";

/// Tells a pod config from a container config, also when some fields are wrong.
pub(super) fn classify(document: &Node) -> Result<Kind, Finding> {
    let refuse = |message: String| Err(Finding::new(message).at(document.position).hint(EXPECTED));
    let Value::Mapping(entries) = &document.value else {
        let found = match &document.value {
            Value::Sequence(_) => "a list",
            _ => "a single value",
        };
        return refuse(format!("{found}, not a config"));
    };
    if let Some(name) = foreign(document) {
        return refuse(format!("{name}, not a config of the CRI"));
    }
    let (pod, container) = (Kind::Pod.message(), Kind::Container.message());
    let pod_score = score(entries, pod, container);
    let container_score = score(entries, container, pod);
    match pod_score.cmp(&container_score) {
        std::cmp::Ordering::Greater => Ok(Kind::Pod),
        std::cmp::Ordering::Less => Ok(Kind::Container),
        std::cmp::Ordering::Equal if pod_score > 0 => {
            refuse("fields of a pod config and of a container config mixed".to_owned())
        }
        std::cmp::Ordering::Equal => {
            refuse("neither a pod config nor a container config".to_owned())
        }
    }
}

/// Counts what speaks for `message` and against `other`: fields that only it has, twice as much as
/// words that only resemble one; fields that both have are looked into.
fn score(entries: &[Entry], message: &Message, other: &Message) -> usize {
    let names = message.fields.iter().map(|field| field.name);
    let own: Vec<&str> = names.filter(|name| other.field(name).is_none()).collect();
    let score_of =
        |entry: &Entry| match (find_field(message, &entry.key), find_field(other, &entry.key)) {
            (Some(_), None) => 2,
            (Some(here), Some(there)) => match (here.kind, there.kind, &entry.value.value) {
                (FieldKind::Message(here), FieldKind::Message(there), Value::Mapping(entries))
                    if here != there =>
                {
                    score(entries, here, there)
                }
                _ => 0,
            },
            (None, None) => usize::from(similar(&entry.key, own.iter().copied()).is_some()),
            (None, Some(_)) => 0,
        };
    entries.iter().map(score_of).sum()
}

/// Names the documents of other programs that come up where CRI configs are expected.
fn foreign(document: &Node) -> Option<String> {
    let text = |key: &str| match &document.get(key)?.value {
        Value::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    };
    if let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) {
        return Some(format!("a Kubernetes manifest ({kind}, {version})"));
    }
    if let Some(Value::Mapping(_)) = document.get("services").map(|services| &services.value) {
        return Some("a compose file".to_owned());
    }
    let known = [
        ("cniVersion", "a CNI network configuration"),
        ("ociVersion", "an OCI runtime specification"),
        ("runtime-endpoint", "crictl's own settings"),
    ];
    let found = known.into_iter().find(|(key, _)| document.get(key).is_some());
    found.map(|(_, name)| name.to_owned())
}
