//! Which pods there should be, from all sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crilet_api::{PodRef, Problem, Source};
use crilet_cri::{
    config::{Finding, Findings},
    inventory::PortMapping,
};
use crilet_pod::{
    manifest::Manifests,
    model::{Backoff, Pod},
};
use jiff::Timestamp;

use super::{convert, sources::Sources, store::Applied};

/// A pod that should be there.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) pod: Arc<Pod>,
    pub(super) source: Source,
    pub(super) problems: Vec<Problem>,
}

/// All pods that should be there, and what is wrong with what says so.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) pods: BTreeMap<PodRef, Entry>,
    pub(super) problems: Vec<Problem>,
    /// Which ports of the host have which pod.
    ports: Vec<(PodRef, PortMapping)>,
}

/// A pod that was given to the API, read.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) applied: Applied,
    pub(super) pod: Arc<Pod>,
}

/// Puts all sources together: files by their paths, then what was applied by its name. Of two pods
/// with one name, or one port of the host, the first has it.
pub(super) fn merge(
    sources: &Sources,
    applied: &BTreeMap<PodRef, Kept>,
    backoff: Backoff,
) -> Desired {
    let mut desired = Desired::default();
    if let Some(findings) = &sources.unusable {
        desired.problems.push(invalid(findings, Timestamp::now(), true));
    }
    for (path, known) in sources.iter() {
        let wrong = known.wrong.iter();
        let problems: Vec<_> = wrong
            .map(|(findings, since)| invalid(findings, *since, known.good.is_some()))
            .collect();
        let pods = known.good.iter().flat_map(|manifests: &Manifests| &manifests.pods);
        if pods.clone().next().is_none() {
            desired.problems.extend(problems.clone());
        }
        for pod in pods {
            let source = Source::File {
                file: pod.origin.file.display().to_string(),
                line: pod.origin.position.map(|position| position.line),
            };
            desired.add(with_backoff(pod, backoff), source, problems.clone());
        }
        tracing::trace!(source = %path.display(), "merged");
    }
    for kept in applied.values() {
        let source = Source::Applied {
            file: kept.pod.origin.file.display().to_string(),
            line: kept.pod.origin.position.map(|position| position.line),
            set: kept.applied.set.clone(),
        };
        desired.add(with_backoff(&kept.pod, backoff), source, Vec::new());
    }
    desired
}

/// A pod that says nothing of how its restarts wait does as the node does.
fn with_backoff(pod: &Pod, backoff: Backoff) -> Arc<Pod> {
    let says = |key: &String| key.starts_with("crilet.dev/restart-backoff");
    let backoff = if pod.annotations.keys().any(says) { pod.backoff } else { backoff };
    Arc::new(Pod { backoff, ..pod.clone() })
}

impl Desired {
    fn add(&mut self, pod: Arc<Pod>, source: Source, problems: Vec<Problem>) {
        let key = PodRef::new(&pod.namespace, &pod.name);
        if let Some(first) = self.pods.get(&key) {
            let message =
                format!("pod `{key}` in {} is in {} already", source.place(), first.source.place());
            return self.problems.push(problem("DuplicatePod", message));
        }
        let ports: Vec<_> =
            pod.sandbox.port_mappings.iter().filter_map(PortMapping::published).collect();
        let taken = ports.iter().find_map(|port| {
            let (owner, other) = self.ports.iter().find(|(_, other)| port.overlaps(other))?;
            Some(format!("pod `{key}` wants {port}, but pod `{owner}` has {other}"))
        });
        if let Some(message) = taken {
            return self.problems.push(problem("HostPortConflict", message));
        }
        self.ports.extend(ports.into_iter().map(|port| (key.clone(), port)));
        self.pods.insert(key, Entry { pod, source, problems });
    }

    /// The uids of all pods that should be there.
    pub(super) fn uids(&self) -> BTreeSet<&str> {
        self.pods.values().map(|entry| entry.pod.uid.as_str()).collect()
    }
}

/// A problem since now.
pub(super) fn problem(reason: &str, message: String) -> Problem {
    Problem { reason: reason.to_owned(), message, since: Timestamp::now(), findings: Vec::new() }
}

/// Has the log tell problems that were not there before, by their reason and message: each merge finds
/// anew those that last.
pub(super) fn tell_new(problems: &[Problem], known: &[Problem]) {
    let is_known = |problem: &Problem| {
        known.iter().any(|one| (&one.reason, &one.message) == (&problem.reason, &problem.message))
    };
    for problem in problems.iter().filter(|problem| !is_known(problem)) {
        let Problem { reason, message, .. } = problem;
        tracing::warn!(reason, problem = message, "something is wrong with manifests");
    }
}

/// `had_good` is whether there is a former text by which pods go on.
fn invalid(findings: &Findings, since: Timestamp, had_good: bool) -> Problem {
    let first = findings.0.first().map_or_else(String::new, Finding::to_string);
    let first = first.lines().next().unwrap_or_default();
    let former = if had_good { ", what was read before goes on" } else { "" };
    Problem {
        reason: "InvalidManifest".to_owned(),
        message: format!("the manifest cannot be used{former}: {first}"),
        since,
        findings: findings.0.iter().map(convert::finding).collect(),
    }
}
