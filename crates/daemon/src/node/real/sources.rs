//! The directory of manifests: watched, read, and remembered as it last was usable.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crilet_api::ManifestFile;
use crilet_cri::config::Findings;
use crilet_pod::manifest::{
    self, Manifests, ReadOptions, Text,
    sources::{self, Reading, Source},
};
use jiff::Timestamp;
use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use super::store::{Good, Store};

/// How long a file that is written in place is left alone after each write, unless it is closed:
/// half of it may be a manifest, too.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// The sources and what is known of them.
#[derive(Debug)]
pub(super) struct Sources {
    root: PathBuf,
    options: ReadOptions,
    known: BTreeMap<PathBuf, Known>,
    /// Why the directory itself cannot be used.
    pub(super) unusable: Option<Findings>,
    /// Whether the last look saw every source whole.
    is_settled: bool,
}

/// What is known of a source.
#[derive(Debug, Default)]
pub(super) struct Known {
    stamp: Vec<Stamp>,
    /// What was read from it when it last was usable.
    pub(super) good: Option<Manifests>,
    /// What is wrong with it now, and since when.
    pub(super) wrong: Option<(Findings, Timestamp)>,
}

/// What changes when a file does.
type Stamp = (PathBuf, u64, u64, i64, i64);

impl Sources {
    /// The sources of a directory; those that are unusable now are as they were when they last
    /// were not.
    pub(super) fn new(root: PathBuf, options: ReadOptions, good: Vec<Good>) -> Self {
        let remembered = good.into_iter().filter_map(|good| {
            let manifests = manifest::read(&texts(&good.files), &options).ok()?;
            Some((good.source, Known { good: Some(manifests), ..Known::default() }))
        });
        let known = remembered.collect();
        Self { root, options, known, unusable: None, is_settled: false }
    }

    /// Whether it is known of every source which pods it wants: all have been read, none is being
    /// written, and none is wrong without a former text to go by.
    pub(super) fn are_known(&self) -> bool {
        self.is_settled
            && self.known.values().all(|known| known.good.is_some() || known.wrong.is_none())
    }

    /// Every source by its path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Known)> {
        self.known.iter()
    }

    pub(super) fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// Reads what changed since the last time. Tells when to look again, if a source is just being
    /// written.
    pub(super) fn scan(&mut self, store: &Store) -> Option<Duration> {
        let listed = match sources::list(&self.root) {
            Ok(listed) => listed,
            Err(findings) => {
                // Not to know what should run is no reason to end what does.
                self.unusable = Some(findings);
                self.is_settled = false;
                return None;
            }
        };
        self.unusable = None;
        let gone = |path: &PathBuf| !listed.iter().any(|source| source.path == *path);
        let lost: Vec<_> = self.known.keys().filter(|path| gone(path)).cloned().collect();
        for path in lost {
            self.forget(&path, store);
        }
        let waits = listed.iter().filter_map(|source| self.look(source, store));
        let again = waits.collect::<Vec<_>>().into_iter().min();
        self.is_settled = again.is_none();
        again
    }

    fn look(&mut self, source: &Source, store: &Store) -> Option<Duration> {
        let stamp = stamp(source);
        if self.known.get(&source.path).is_some_and(|known| known.stamp == stamp) {
            return None;
        }
        match sources::read(source, &self.options, SystemTime::now()) {
            Reading::Read { manifests, texts } => {
                let files = texts.iter().map(file).collect();
                if let Err(error) = store.save_good(&Good::new(source.path.clone(), files)) {
                    tracing::error!(source = %source.path.display(), %error, "cannot be remembered");
                }
                let known = Known { stamp, good: Some(manifests), wrong: None };
                self.known.insert(source.path.clone(), known);
                None
            }
            Reading::Wrong(findings) => {
                let known = self.known.entry(source.path.clone()).or_default();
                known.stamp = stamp;
                known.wrong = Some((findings, Timestamp::now()));
                None
            }
            Reading::Settling(wait) => Some(wait),
            Reading::Gone => {
                self.forget(&source.path, store);
                None
            }
        }
    }

    fn forget(&mut self, path: &Path, store: &Store) {
        self.known.remove(path);
        store.forget_good(path);
    }
}

fn stamp(source: &Source) -> Vec<Stamp> {
    let paths = match source.directory {
        false => vec![source.path.clone()],
        true => {
            let entries = fs::read_dir(&source.path).into_iter().flatten().flatten();
            let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            paths
        }
    };
    let one = |path: PathBuf| {
        let meta = fs::metadata(&path).ok()?;
        Some((path, meta.ino(), meta.size(), meta.mtime_nsec(), meta.ctime_nsec()))
    };
    paths.into_iter().filter_map(one).collect()
}

pub(super) fn texts(files: &[ManifestFile]) -> Vec<Text> {
    let text = |file: &ManifestFile| Text {
        file: PathBuf::from(&file.name),
        content: file.text.clone().into_bytes(),
    };
    files.iter().map(text).collect()
}

fn file(text: &Text) -> ManifestFile {
    ManifestFile {
        name: text.file.display().to_string(),
        text: String::from_utf8_lossy(&text.content).into_owned(),
    }
}

/// Something changed below the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Something is there whole, or gone.
    Done,
    /// Something is being written.
    UnderWay,
}

/// Watches a directory and those in it. Without a watch, which the kernel may refuse, the regular
/// look at everything is all there is.
pub(super) fn watch(root: &Path) -> (Option<RecommendedWatcher>, mpsc::UnboundedReceiver<Change>) {
    let (sender, changes) = mpsc::unbounded_channel();
    let hear = move |event: notify::Result<notify::Event>| {
        let change = match event {
            Ok(event) if !event.paths.iter().any(|path| sources::concerns(path)) => return,
            Ok(event) => kind(event.kind),
            // Events were lost.
            Err(_) => Some(Change::Done),
        };
        if let Some(change) = change {
            // Nobody listens any more: the daemon ends.
            let _ended = sender.send(change).is_err();
        }
    };
    let watcher = notify::recommended_watcher(hear)
        .and_then(|mut watcher| watcher.watch(root, RecursiveMode::Recursive).map(|()| watcher));
    match watcher {
        Ok(watcher) => (Some(watcher), changes),
        Err(error) => {
            tracing::warn!(root = %root.display(), %error, "manifests are not watched, only looked at now and then");
            (None, changes)
        }
    }
}

fn kind(kind: EventKind) -> Option<Change> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Change::Done),
        EventKind::Access(_) => None,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(Change::UnderWay),
        _ => Some(Change::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n\
                       spec: {containers: [{name: a, image: busybox}]}\n";

    /// Writes a file as careful people do it: whole, and its time long ago.
    fn put(root: &Path, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = root.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn what_is_wanted_is_known_only_when_every_source_is() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("pods");
        let store = Store::open(&directory.path().join("data")).unwrap();
        let mut sources = Sources::new(root.clone(), ReadOptions::default(), Vec::new());
        assert!(!sources.are_known(), "nothing was read yet");
        fs::create_dir(&root).unwrap();
        assert_eq!(sources.scan(&store), None);
        assert!(sources.are_known());
        put(&root, "web.yaml", &POD.replace("image", "imgae"));
        assert_eq!(sources.scan(&store), None);
        assert!(!sources.are_known(), "which pods does it want?");
        put(&root, "web.yaml", POD);
        assert_eq!(sources.scan(&store), None);
        assert!(sources.are_known());
        put(&root, "web.yaml", "kind: ");
        assert_eq!(sources.scan(&store), None);
        assert!(sources.are_known(), "it was good before");
    }
}
