//! Images: which one is meant, who uses it, and what is written on its sheet.

use std::collections::BTreeMap;

use crilet_cri::{inventory::Pod, v1};
use serde::Deserialize;

use crate::sheet::Sheet;

/// The containers that were made from an image.
pub(super) fn users(pods: &[Pod], image: &v1::Image) -> Vec<String> {
    let is_it = |reference: &str| {
        reference == image.id
            || image.repo_tags.iter().chain(&image.repo_digests).any(|name| name == reference)
    };
    let containers = pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)));
    let using = containers.filter(|(_, container)| is_it(&container.image_ref));
    let mut names: Vec<_> =
        using.map(|(pod, container)| format!("{}/{}", pod.full_name(), container.name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// containerd's verbose status of an image (pkg/cri/server/image_status.go, `verboseImageInfo`) and
/// CRI-O's both have the image's own configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    image_spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    created: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    labels: Option<BTreeMap<String, String>>,
}

pub(super) fn write(sheet: &mut Sheet, answer: &v1::ImageStatusResponse, users: &[String]) {
    let image = answer.image.clone().unwrap_or_default();
    let info = answer.info.get("info").and_then(|text| serde_json::from_str::<Info>(text).ok());
    let spec = info.and_then(|info| info.image_spec).unwrap_or_default();
    let config = spec.config.unwrap_or_default();
    let name = image.repo_tags.first().or_else(|| image.repo_digests.first()).unwrap_or(&image.id);
    sheet.line("image", name);
    sheet.list("other names", image.repo_tags.get(1..).unwrap_or_default());
    sheet.line("size", super::megabytes(image.size));
    sheet.list("used by", users);
    sheet.maybe("pinned", image.pinned.then_some("yes: it is not collected"));
    let words = |words: Option<Vec<String>>| {
        words.filter(|words| !words.is_empty()).map(|words| super::words::command(&words))
    };
    sheet.maybe("entry point", words(config.entrypoint));
    sheet.maybe("command", words(config.cmd));
    sheet.maybe("directory", config.working_dir.filter(|directory| !directory.is_empty()));
    let user = match (&image.uid, image.username.as_str()) {
        (Some(uid), _) => Some(uid.value.to_string()),
        (None, "") => None,
        (None, name) => Some(name.to_owned()),
    };
    sheet.maybe("user", user);
    let ports: Vec<_> = config.exposed_ports.unwrap_or_default().into_keys().collect();
    sheet.maybe("ports", (!ports.is_empty()).then(|| ports.join(", ")));
    let platform = [spec.os, spec.architecture].into_iter().flatten().collect::<Vec<_>>();
    sheet.maybe("platform", (!platform.is_empty()).then(|| platform.join("/")));
    sheet.maybe("made", spec.created);
    sheet.line("id", &image.id);
    sheet.list("digests", &image.repo_digests);
    sheet.pairs("labels", &config.labels.unwrap_or_default());
}
