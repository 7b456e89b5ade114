//! From a workload to pods of the model.

use std::{collections::BTreeMap, path::Path};

use crilet_core::yaml::Node;
use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    deployment,
    objects::{self, Kind, Workload},
    pod,
    store::Store,
};
use crate::{
    manifest::{
        ReadOptions,
        check::Check,
        report::{Report, Scope, join},
    },
    model::{self, Format, Origin},
};

/// A document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) root: &'a Node,
    /// From 1.
    pub(super) number: usize,
}

/// What a pod's fields can refer to.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) service_account: String,
}

/// A pod while it is lowered.
pub(super) struct Lower<'a> {
    pub(super) check: Check<'a>,
    pub(super) store: &'a Store,
    pub(super) options: &'a ReadOptions,
    pub(super) identity: Identity,
    pub(super) spec: &'a PodSpec,
}

impl Lower<'_> {
    pub(super) fn host_network(&self) -> bool {
        self.spec.host_network.unwrap_or_default()
    }
}

/// Gives the pods of a workload; if something is wrong with them, they are not to be used.
pub(super) fn workload(
    workload: &Workload<'_>,
    store: &Store,
    options: &ReadOptions,
    report: &mut Report,
) -> Vec<model::Pod> {
    match &workload.kind {
        Kind::Pod(pod) => {
            let scope = scope(workload, &workload.base);
            let mut check = Check { scope, report };
            let (namespace, name) = objects::metadata(&mut check, &pod.metadata);
            let Some(spec) = &pod.spec else {
                check.missing("spec");
                return Vec::new();
            };
            let identity = identity(&mut check, namespace, name, &pod.metadata);
            let origin = origin(workload, &check, Format::Pod);
            let lower = Lower { check, store, options, identity, spec };
            vec![pod::lower(lower, origin)]
        }
        Kind::Deployment(deployment) => {
            let scope = scope(workload, &workload.base);
            let mut check = Check { scope, report };
            let (namespace, name) = objects::metadata(&mut check, &deployment.metadata);
            let Some(spec) = &deployment.spec else {
                check.missing("spec");
                return Vec::new();
            };
            let replicas = deployment::check(&mut check, spec);
            let Check { report, .. } = check;
            (0..replicas)
                .filter_map(|index| {
                    let replica = Replica { workload, namespace: &namespace, name: &name, index };
                    // All replicas are alike: what is wrong with them is said once.
                    let mut scratch = Report::default();
                    let report = if index == 0 { &mut *report } else { &mut scratch };
                    replica.lower(&spec.template, store, options, report)
                })
                .collect()
        }
    }
}

/// One of the pods of a Deployment.
struct Replica<'a> {
    workload: &'a Workload<'a>,
    namespace: &'a str,
    name: &'a str,
    index: u32,
}

impl Replica<'_> {
    fn lower(
        &self,
        template: &PodTemplateSpec,
        store: &Store,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Option<model::Pod> {
        let base = join(&self.workload.base, "spec.template");
        let mut check = Check { scope: scope(self.workload, &base), report };
        let Some(spec) = &template.spec else {
            check.missing("spec");
            return None;
        };
        let metadata = template.metadata.clone().unwrap_or_default();
        objects::labels(&mut check, &metadata);
        for (field, given) in [("name", &metadata.name), ("namespace", &metadata.namespace)] {
            if given.is_some() {
                let message = "ignored: pods of a Deployment have its name and namespace";
                check.warn(&format!("metadata.{field}"), message);
            }
        }
        let metadata = ObjectMeta { uid: None, ..metadata };
        let name = format!("{}-{}", self.name, self.index);
        let identity = identity(&mut check, self.namespace.to_owned(), name, &metadata);
        let format = Format::Deployment { name: self.name.to_owned(), index: self.index };
        let origin = origin(self.workload, &check, format);
        Some(pod::lower(Lower { check, store, options, identity, spec }, origin))
    }
}

fn scope<'a>(workload: &'a Workload<'_>, base: &'a str) -> Scope<'a> {
    Scope { file: workload.source.file, root: workload.source.root, base }
}

fn origin(workload: &Workload<'_>, check: &Check<'_>, format: Format) -> Origin {
    let position = check.scope.value("");
    Origin {
        file: workload.source.file.to_owned(),
        position: Some(position),
        document: workload.source.number,
        format,
    }
}

fn identity(
    check: &mut Check<'_>,
    namespace: String,
    name: String,
    metadata: &ObjectMeta,
) -> Identity {
    let uid = match metadata.uid.as_deref() {
        None | Some("") => model::derive_uid(&namespace, &name),
        Some(uid) => {
            // It becomes part of paths.
            let fits = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
            if !uid.chars().all(fits) || uid.len() > 63 {
                check.wrong("metadata.uid", format!("{uid:?} is not made of letters, digits, `-`"));
            }
            uid.to_owned()
        }
    };
    Identity {
        namespace,
        name,
        uid,
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        service_account: String::new(),
    }
}
