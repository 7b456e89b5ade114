//! Everything that a runtime tells of a thing, as one value.

use std::collections::BTreeMap;

use crilet_crictl::{
    json::Json,
    protojson::{self, Form},
};

use super::{Thing, Told};

/// `kind`, `name` and `status` by the CRI's own field names, then what the runtime tells besides, of a
/// pod its containers likewise.
pub(super) fn of(thing: &Thing) -> Json {
    match thing {
        Thing::Pod { pod, answer, containers } => {
            let status = answer.status.clone().unwrap_or_default();
            let status = protojson::of(&status, Form::Defaults);
            let mut json = described("pod", pod.full_name(), status, &answer.info);
            let name = pod.full_name();
            let containers = containers.iter().map(|told| container(&name, told)).collect();
            json.set("containers", Json::Array(containers));
            json
        }
        Thing::Container { pod, container: told } => container(&pod.full_name(), told),
        Thing::Image { answer, users } => {
            let image = answer.image.clone().unwrap_or_default();
            let name = image.repo_tags.first().unwrap_or(&image.id).clone();
            let status = protojson::of(&image, Form::Defaults);
            let mut json = described("image", name, status, &answer.info);
            let users = users.iter().cloned().map(Json::String).collect();
            json.set("usedBy", Json::Array(users));
            json
        }
    }
}

fn container(pod: &str, told: &Told) -> Json {
    let status = told.answer.status.clone().unwrap_or_default();
    let status = protojson::of(&status, Form::Defaults);
    let name = format!("{pod}/{}", told.listed.name);
    let mut json = described("container", name, status, &told.answer.info);
    json.set("pod", Json::String(pod.to_owned()));
    json
}

fn described(kind: &str, name: String, status: Json, info: &BTreeMap<String, String>) -> Json {
    let mut json = Json::Object(vec![
        ("kind".to_owned(), Json::String(kind.to_owned())),
        ("name".to_owned(), Json::String(name)),
        ("status".to_owned(), status),
    ]);
    for (key, text) in info {
        // Texts that hold JSON are shown as such; what is none is a text.
        let value = Json::read(text).unwrap_or_else(|_| Json::String(text.clone()));
        json.set(key, value);
    }
    json
}
