//! Manifests of Kubernetes.
//!
//! ```text
//! documents ──▶ decode (types, unknown fields) ──▶ store: ConfigMaps, Secrets, claims by name
//!                                              └─▶ pods, templates ──▶ lower ──▶ model
//! ```

mod container;
mod decode;
mod deployment;
mod env;
mod lower;
mod network;
mod objects;
mod pod;
mod probes;
mod resources;
mod security;
mod store;
mod treatment;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crilet_core::yaml::Node;
use crilet_cri::config::{Finding, Findings};

pub(super) use self::probes::{hook_from_text, probe_from_text};
use self::{lower::Source, objects::Object, store::Store};
use super::{File, Manifests, ReadOptions, conclude, report::Report};
use crate::model::Pod;

/// Reads all documents of a source.
pub(super) fn read(files: &[File], options: &ReadOptions) -> Result<Manifests, Findings> {
    let mut reports: Vec<Report> = Vec::new();
    let mut store = Store::default();
    let mut workloads = Vec::new();
    for file in files {
        for (index, root) in file.documents.iter().enumerate() {
            if root.is_null() {
                continue;
            }
            let mut report = Report::default();
            duplicates(file, root, file.documents.get(index + 1), &mut report);
            let source = Source { file: &file.file, root, number: index + 1 };
            for object in objects::read(source, &mut report) {
                match object {
                    Object::Workload(workload) => workloads.push((reports.len(), workload)),
                    Object::Data(data) => store.take(*data, &mut report),
                }
            }
            reports.push(report);
        }
    }
    let mut pods = Vec::new();
    for (index, workload) in &workloads {
        if let Some(report) = reports.get_mut(*index) {
            pods.extend(lower::workload(workload, &store, options, report));
        }
    }
    let mut findings: Vec<_> = reports.into_iter().flat_map(Report::into_findings).collect();
    findings.extend(together(&pods));
    if let (true, true, Some(file)) = (workloads.is_empty(), findings.is_empty(), files.first()) {
        let finding = Finding::new("no pod in it").in_file(&file.file);
        findings.push(super::report::warning(finding));
    }
    let claims = store.claims();
    conclude(pods, claims, findings)
}

/// Keys given twice, as findings of the document they are in.
fn duplicates(file: &File, root: &Node, next: Option<&Node>, report: &mut Report) {
    let mut places = HashSet::new();
    let within =
        |position| position >= root.position && next.is_none_or(|next| position < next.position);
    for duplicate in file.duplicates.iter().filter(|duplicate| within(duplicate.position)) {
        if places.insert(duplicate.position) {
            let message = format!(
                "key `{}` is already given in line {}",
                duplicate.key, duplicate.first.line
            );
            report.push(Finding::new(message).in_file(&file.file).at(duplicate.position));
        }
    }
}

/// What is wrong with pods beside each other: names, ports of the host.
fn together(pods: &[Pod]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<String, &Pod> = BTreeMap::new();
    let mut ports: Vec<(&Pod, &crilet_cri::v1::PortMapping)> = Vec::new();
    for pod in pods {
        let finding = |message: String| {
            let finding = Finding::new(message).in_file(&pod.origin.file);
            Finding { position: pod.origin.position, ..finding }
        };
        if let Some(first) = names.insert(pod.full_name(), pod) {
            let line = first.origin.position.map_or(0, |position| position.line);
            let message = format!("pod `{}` is already given in line {line}", pod.full_name());
            let elsewhere = first.origin.file != pod.origin.file;
            let hint = format!("that is line {line} of {}", first.origin.file.display());
            let finding = finding(message);
            findings.push(if elsewhere { finding.hint(hint) } else { finding });
            continue;
        }
        for port in &pod.sandbox.port_mappings {
            let taken = ports.iter().find(|(_, other)| network::collide(other, port));
            if let Some((other, _)) = taken.filter(|(other, _)| other.name != pod.name) {
                let message = format!(
                    "pod `{}` would have host port {} that pod `{}` has",
                    pod.full_name(),
                    network::shown(port),
                    other.full_name()
                );
                findings.push(finding(message));
            }
            ports.push((pod, port));
        }
    }
    findings
}
