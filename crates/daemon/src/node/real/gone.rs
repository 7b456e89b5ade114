//! Which log directories were pods' that are gone.
//!
//! A pod that is gone tells nothing, so where its logs go is written down when it begins. Only
//! directories that crilet has named itself are: one that a manifest names may hold other things,
//! and is left alone. The rotator removes them, by age or for room.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crilet_log::{GonePod, GonePods};
use crilet_pod::model::Pod;
use jiff::Timestamp;

use super::store::{LogsOf, Store};

/// The log directories of all pods that there are and that were.
pub(super) struct Gone {
    /// Where the directories are that crilet names.
    root: PathBuf,
    known: BTreeMap<String, LogsOf>,
    rotator: GonePods,
}

impl Gone {
    pub(super) fn new(root: PathBuf, store: &Store, rotator: GonePods) -> Self {
        let known = store.logs().map(|logs| (logs.all, logs.damaged));
        let (known, damaged) = known.unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
        for what in damaged {
            tracing::error!(what, "it is not known where the logs of a pod are");
        }
        let known = known.into_iter().map(|logs| (logs.uid.clone(), logs)).collect();
        Self { root, known, rotator }
    }

    /// A pod begins.
    pub(super) fn begin(&mut self, pod: &Pod, store: &Store) {
        let directory = Path::new(&pod.sandbox.log_directory);
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours =
            directory.parent() == Some(&self.root) && name.ends_with(&format!("_{}", pod.uid));
        if is_ours && !pod.uid.is_empty() {
            self.keep(LogsOf::new(pod.uid.clone(), directory.to_owned()), store);
        }
    }

    fn keep(&mut self, logs: LogsOf, store: &Store) {
        if self.known.get(&logs.uid) == Some(&logs) {
            return;
        }
        match store.save_logs(&logs) {
            Ok(()) => drop(self.known.insert(logs.uid.clone(), logs)),
            Err(error) => tracing::error!(uid = logs.uid, %error, "cannot note where logs are"),
        }
    }

    /// Takes note of which pods are gone by now; `is_here` tells of a uid.
    pub(super) fn settle(&mut self, is_here: impl Fn(&str) -> bool, now: Timestamp, store: &Store) {
        for mut logs in self.known.values().cloned().collect::<Vec<_>>() {
            if is_here(&logs.uid) {
                logs.gone_since = None;
                self.keep(logs, store);
            } else if !logs.directory.exists() {
                match store.forget_logs(&logs.uid) {
                    Ok(()) => drop(self.known.remove(&logs.uid)),
                    Err(error) => tracing::error!(uid = logs.uid, %error, "cannot forget a pod"),
                }
            } else if logs.gone_since.is_none() {
                logs.gone_since = Some(now);
                self.keep(logs, store);
            }
        }
        let gone = self.known.values().filter_map(|logs| {
            let since = logs.gone_since?.into();
            Some(GonePod { directory: logs.directory.clone(), since })
        });
        self.rotator.set(gone.collect());
    }
}
