//! Manifests: from what people write to pods ([`crate::model`]).
//!
//! [`read`] is pure: texts in, pods out, or everything that is wrong with them at once, each with
//! file, line, column, path and what was expected. [`sources`] finds the texts on disk.
//!
//! Three formats, told apart by their fields:
//! - The CRI's own configurations, as crictl and `crilet run` take them: all of a source is one
//!   pod. What the CRI has no word for is said by annotations ([`policy`]).
//! - Kubernetes: Pod, Deployment, ConfigMap, Secret and PersistentVolumeClaim, in streams and in
//!   `v1` Lists. A ConfigMap or Secret is for the pods of its own source.
//! - JSON is read as YAML.
//!
//! `docs/manifests.md` tells what is done with each field.

mod check;
mod cri;
mod kube;
pub mod policy;
mod quantity;
mod report;
pub mod sources;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crilet_core::yaml::{self, DuplicateKey, Node};
use crilet_cri::config::{Finding, Findings, Severity};

use crate::model::Pod;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The name that findings give.
    pub file: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// What the machine adds to what people write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Where logs of pods go that name no place of their own; `/var/log/pods`, as the kubelet's.
    pub log_root: PathBuf,
    /// Where seccomp profiles are that are named by a relative path.
    pub seccomp_root: PathBuf,
    /// The end of a pod's full name, behind `hostname.subdomain.namespace.svc`.
    pub cluster_domain: String,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            log_root: "/var/log/pods".into(),
            seccomp_root: "/var/lib/crilet/seccomp".into(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// What one source holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifests {
    /// Its pods; no two have the same name in the same namespace.
    pub pods: Vec<Pod>,
    /// `(namespace, name)` of the claims in it, used or not.
    pub claims: Vec<(String, String)>,
    /// What is probably not meant so, or means nothing on one node.
    pub warnings: Vec<Finding>,
}

/// Reads the files of one source.
///
/// # Errors
/// Everything that is wrong with them, warnings among it; then none of it is to be used.
pub fn read(texts: &[Text], options: &ReadOptions) -> Result<Manifests, Findings> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for text in texts {
        match yaml::parse(&text.content) {
            Ok(stream) => files.push(File {
                file: text.file.clone(),
                documents: stream.documents,
                duplicates: stream.duplicates,
            }),
            Err(error) => findings.push(Finding::from(error).in_file(&text.file)),
        }
    }
    if !findings.is_empty() {
        return Err(Findings(findings));
    }
    if files.iter().all(|file| file.documents.iter().all(Node::is_null)) {
        let finding = Finding::new("nothing in it");
        let first = texts.first().map(|text| finding.clone().in_file(&text.file));
        return Err(Findings(vec![first.unwrap_or(finding)]));
    }
    let kube = |node: &Node| node.get("apiVersion").is_some() || node.get("kind").is_some();
    if files.iter().flat_map(|file| &file.documents).any(kube) {
        kube::read(&files, options)
    } else {
        cri::read(texts, options)
    }
}

/// Reads a hook that was written as JSON into an annotation.
pub(crate) fn hook_from_json(json: &str) -> Option<crate::model::Hook> {
    kube::hook_from_text(json).ok()
}

/// A file as documents.
struct File {
    file: PathBuf,
    documents: Vec<Node>,
    duplicates: Vec<DuplicateKey>,
}

/// Gives what was read with its warnings, or all findings if one is an error.
fn conclude(
    pods: Vec<Pod>,
    claims: Vec<(String, String)>,
    findings: Vec<Finding>,
) -> Result<Manifests, Findings> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Findings(findings));
    }
    Ok(Manifests { pods, claims, warnings: findings })
}
