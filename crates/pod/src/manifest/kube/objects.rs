//! The objects of a document, by kind.

use crilet_core::{
    similar,
    yaml::{Node, Value},
};
use crilet_cri::config::Finding;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{decode::decode, lower::Source};
use crate::manifest::{
    check::Check,
    report::{self, Report, Scope},
};

/// An object of a source.
pub(super) enum Object<'a> {
    Workload(Workload<'a>),
    Data(Box<Data<'a>>),
}

/// What pods are made of.
pub(super) struct Workload<'a> {
    pub(super) source: Source<'a>,
    /// Path of the object in its document.
    pub(super) base: String,
    pub(super) kind: Kind,
}

/// What a workload is.
pub(super) enum Kind {
    Pod(Box<Pod>),
    Deployment(Box<Deployment>),
}

/// What pods refer to.
pub(super) struct Data<'a> {
    pub(super) source: Source<'a>,
    pub(super) base: String,
    pub(super) kind: DataKind,
}

/// What is referred to.
pub(super) enum DataKind {
    ConfigMap(ConfigMap),
    Secret(Secret),
    Claim(Box<PersistentVolumeClaim>),
}

/// The kinds that are known, with their versions.
const KINDS: [(&str, &str); 6] = [
    ("Pod", "v1"),
    ("Deployment", "apps/v1"),
    ("ConfigMap", "v1"),
    ("Secret", "v1"),
    ("PersistentVolumeClaim", "v1"),
    ("List", "v1"),
];

/// Reads the objects of a document.
pub(super) fn read<'a>(source: Source<'a>, report: &mut Report) -> Vec<Object<'a>> {
    let mut objects = Vec::new();
    one(source, source.root, String::new(), report, &mut objects);
    objects
}

fn one<'a>(
    source: Source<'a>,
    node: &'a Node,
    base: String,
    report: &mut Report,
    objects: &mut Vec<Object<'a>>,
) {
    let Some(kind) = kind(source, node, &base, report) else { return };
    let file = source.file;
    let object = match kind {
        "List" => return list(source, node, &base, report, objects),
        "Pod" => workload(source, &base, Kind::Pod(Box::new(decode(file, node, &base, report)))),
        "Deployment" => {
            workload(source, &base, Kind::Deployment(Box::new(decode(file, node, &base, report))))
        }
        "ConfigMap" => data(source, &base, DataKind::ConfigMap(decode(file, node, &base, report))),
        "Secret" => data(source, &base, DataKind::Secret(decode(file, node, &base, report))),
        _ => data(source, &base, DataKind::Claim(Box::new(decode(file, node, &base, report)))),
    };
    objects.push(object);
}

fn workload<'a>(source: Source<'a>, base: &str, kind: Kind) -> Object<'a> {
    Object::Workload(Workload { source, base: base.to_owned(), kind })
}

fn data<'a>(source: Source<'a>, base: &str, kind: DataKind) -> Object<'a> {
    Object::Data(Box::new(Data { source, base: base.to_owned(), kind }))
}

fn list<'a>(
    source: Source<'a>,
    node: &'a Node,
    base: &str,
    report: &mut Report,
    objects: &mut Vec<Object<'a>>,
) {
    let scope = Scope { file: source.file, root: source.root, base };
    let mut check = Check { scope, report };
    match node.get("items").map(|items| &items.value) {
        Some(Value::Sequence(items)) => {
            for (index, item) in items.iter().enumerate() {
                let base = report::item(&report::join(base, "items"), index);
                one(source, item, base, check.report, objects);
            }
        }
        Some(_) => check.wrong("items", "expected a list"),
        None => check.missing("items"),
    }
    if let Value::Mapping(entries) = &node.value {
        let known = ["apiVersion", "kind", "items", "metadata"];
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let finding = Finding::new("unknown field").in_file(source.file).at(entry.position);
            let finding = finding.on(report::join(base, &entry.key));
            check.report.push(finding.hint("known here: `items`, `metadata`"));
        }
    }
}

/// Which of the kinds an object is; what is wrong about it is reported.
fn kind(source: Source<'_>, node: &Node, base: &str, report: &mut Report) -> Option<&'static str> {
    let scope = Scope { file: source.file, root: source.root, base };
    let mut check = Check { scope, report };
    if !matches!(node.value, Value::Mapping(_)) {
        check.wrong("", "not an object of Kubernetes");
        return None;
    }
    let (Some(kind), Some(version)) = (text(node, "kind"), text(node, "apiVersion")) else {
        let (field, message) = match (text(node, "kind"), text(node, "apiVersion")) {
            (None, None) => ("", "neither `apiVersion` nor `kind`"),
            (None, Some(_)) => ("kind", "missing"),
            (Some(_), _) => ("apiVersion", "missing"),
        };
        let hint = "all documents of a source are objects of Kubernetes, or all are configurations \
                    of the CRI";
        check.wrong_hint(field, message, hint);
        return None;
    };
    let kinds = KINDS.map(|(kind, _)| kind);
    let Some((kind, wanted)) = KINDS.into_iter().find(|(known, _)| *known == kind) else {
        let known = format!("known here: {}", kinds.join(", "));
        let hint = match similar(kind, kinds) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => instead(kind).map_or(known, ToOwned::to_owned),
        };
        check.wrong_hint("kind", format!("{kind:?} is not kept by crilet"), hint);
        return None;
    };
    if version != wanted {
        let message = format!("{version:?} is not a version of {kind} that is known");
        check.wrong_hint("apiVersion", message, format!("write `{wanted}`"));
        return None;
    }
    Some(kind)
}

/// What to do instead of a kind that needs a cluster.
fn instead(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Service" | "Ingress" => {
            "pods find each other by name; `hostPort` publishes a port of a container"
        }
        "StatefulSet" | "DaemonSet" | "ReplicaSet" => "write a Deployment, or a Pod",
        "Job" => "write a Pod with `restartPolicy: OnFailure`",
        "PersistentVolume" | "StorageClass" => {
            "claims are directories of the node; a `hostPath` names a directory"
        }
        _ => return None,
    })
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.get(key)?.value {
        Value::Scalar(scalar) if !scalar.is_null() => Some(scalar.text.as_str()),
        _ => None,
    }
}

/// Checks the metadata that every object has; gives namespace and name.
pub(super) fn metadata(check: &mut Check<'_>, metadata: &ObjectMeta) -> (String, String) {
    let name = metadata.name.clone().unwrap_or_default();
    check.dns_name("metadata.name", &name);
    let namespace = match metadata.namespace.as_deref() {
        None | Some("") => "default".to_owned(),
        Some(namespace) => {
            check.dns_label("metadata.namespace", namespace);
            namespace.to_owned()
        }
    };
    labels(check, metadata);
    (namespace, name)
}

/// Checks labels and the keys of annotations.
pub(super) fn labels(check: &mut Check<'_>, metadata: &ObjectMeta) {
    check.labels("metadata.labels", metadata.labels.iter().flatten());
    for key in metadata.annotations.iter().flat_map(|annotations| annotations.keys()) {
        let path = report::entry("metadata.annotations", key);
        check.qualified(&path, key);
    }
}
