//! Taking manifests from the API: all of them or none.

use std::sync::Arc;

use crilet_api::{
    Action, ApiError, AppliedPod, ApplyReport, ApplyRequest, ContainerAction, ContainerChange,
    ErrorCode, ManifestFile, PodRef,
};
use crilet_cri::config::Findings;
use crilet_pod::{manifest, model::Pod};
use sha2::{Digest, Sha256};
use similar::TextDiff;

use super::{
    commands::written,
    convert,
    desired::Kept,
    manager::{Manager, leave},
    sources,
    store::Applied,
};

/// A pod that is to be applied.
struct New {
    key: PodRef,
    pod: Arc<Pod>,
    files: Vec<ManifestFile>,
}

impl Manager {
    pub(super) fn apply(&mut self, request: ApplyRequest) -> Result<ApplyReport, ApiError> {
        let mut report = ApplyReport { dry_run: request.dry_run, ..ApplyReport::default() };
        let new = self.read(&request, &mut report)?;
        for new in &new {
            report.pods.push(self.compare(new));
        }
        let pruned = self.pruned(&request, &new);
        report.pods.extend(pruned.iter().map(|key| AppliedPod {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            action: Action::Pruned,
            ..AppliedPod::default()
        }));
        if !request.dry_run {
            self.take(new, request.set.as_deref())?;
            self.find_lost_again();
            self.prune(&pruned)?;
            self.reconcile();
        }
        Ok(report)
    }

    /// Reads all of it, and finds everything that is wrong with any of it.
    fn read(&self, request: &ApplyRequest, report: &mut ApplyReport) -> Result<Vec<New>, ApiError> {
        let mut new: Vec<New> = Vec::new();
        let mut findings = Vec::new();
        for source in &request.sources {
            match manifest::read(&sources::texts(&source.files), self.sources.options()) {
                Ok(manifests) => {
                    report.warnings.extend(manifests.warnings.iter().map(convert::finding));
                    new.extend(manifests.pods.into_iter().map(|pod| New {
                        key: PodRef::new(&pod.namespace, &pod.name),
                        pod: Arc::new(pod),
                        files: source.files.clone(),
                    }));
                }
                Err(Findings(found)) => findings.extend(found.iter().map(convert::finding)),
            }
        }
        if !findings.is_empty() {
            let message = "the manifests cannot be used";
            return Err(ApiError::new(ErrorCode::InvalidManifest, message).details(findings));
        }
        let twice = new
            .iter()
            .enumerate()
            .find(|(index, one)| new.iter().take(*index).any(|earlier| earlier.key == one.key));
        if let Some((_, twice)) = twice {
            let message = format!("pod `{}` is given twice", twice.key);
            return Err(ApiError::new(ErrorCode::InvalidManifest, message));
        }
        let theirs = |key: &PodRef| {
            self.workers.contains_key(key)
                && !self.applied.contains_key(key)
                && self.view.get(key).is_some_and(|pod| !pod.source.is_applied())
        };
        match new.iter().find(|new| theirs(&new.key)) {
            Some(owned) => Err(self.owned_by_file(&owned.key)),
            None => Ok(new),
        }
    }

    fn compare(&self, new: &New) -> AppliedPod {
        let former = self.applied.get(&new.key);
        let before = former.map(|former| shown(&former.applied.files)).unwrap_or_default();
        let after = shown(&new.files);
        let diff = TextDiff::from_lines(&before, &after).unified_diff().to_string();
        let mut applied = AppliedPod {
            namespace: new.key.namespace.clone(),
            name: new.key.name.clone(),
            action: Action::Created,
            diff,
            ..AppliedPod::default()
        };
        if let Some(former) = former {
            let same = *former.pod == *new.pod && former.applied.files == new.files;
            applied.action = if same { Action::Unchanged } else { Action::Changed };
            applied.recreates_sandbox = former.pod.sandbox_hash != new.pod.sandbox_hash;
            applied.containers = changes(&former.pod, &new.pod, applied.recreates_sandbox);
        }
        applied
    }

    fn pruned(&self, request: &ApplyRequest, new: &[New]) -> Vec<PodRef> {
        let Some(set) = request.set.as_ref().filter(|_| request.prune) else { return Vec::new() };
        let in_set = |kept: &Kept| kept.applied.set.as_ref() == Some(set);
        let stays = |key: &PodRef| new.iter().any(|new| new.key == *key);
        let all = self.applied.iter().filter(|(key, kept)| in_set(kept) && !stays(key));
        all.map(|(key, _)| key.clone()).collect()
    }

    /// Writes all down; what was written is what is known, even if the rest fails.
    fn take(&mut self, new: Vec<New>, set: Option<&str>) -> Result<(), ApiError> {
        for New { key, pod, files } in new {
            let former = self.applied.get(&key).and_then(|kept| kept.applied.set.clone());
            let set = set.map(ToOwned::to_owned).or(former);
            let applied = Applied::new(key.clone(), files, set);
            self.store.save_applied(&applied).map_err(|error| written(&key, &error))?;
            self.applied.insert(key, Kept { applied, pod });
        }
        Ok(())
    }

    fn prune(&mut self, pruned: &[PodRef]) -> Result<(), ApiError> {
        for key in pruned {
            self.store.forget_applied(key).map_err(|error| written(key, &error))?;
            self.applied.remove(key);
            if let Some(worked) = self.workers.get_mut(key) {
                leave(worked, None);
            }
        }
        Ok(())
    }
}

fn changes(former: &Pod, new: &Pod, all: bool) -> Vec<ContainerChange> {
    let change = |name: &str, action| ContainerChange { name: name.to_owned(), action };
    let mut changes = Vec::new();
    for container in new.all_containers() {
        match former.container(&container.name) {
            None => changes.push(change(&container.name, ContainerAction::Added)),
            Some(old) if all || old.hash != container.hash => {
                changes.push(change(&container.name, ContainerAction::Recreated));
            }
            Some(_) => {}
        }
    }
    let gone = former.all_containers().filter(|old| new.container(&old.name).is_none());
    changes.extend(gone.map(|old| change(&old.name, ContainerAction::Removed)));
    changes
}

/// The texts as they may be shown: whatever may hold a Secret is a hash.
fn shown(files: &[ManifestFile]) -> String {
    let documents = files.iter().flat_map(|file| file.text.split_inclusive("\n---"));
    documents
        .map(|document| {
            if !document.contains("Secret") {
                return document.to_owned();
            }
            let digest = Sha256::digest(document);
            let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("\n# a document with a Secret: sha256 {hash}\n")
        })
        .collect()
}
