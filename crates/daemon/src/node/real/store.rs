//! Wishes that last, as files.
//!
//! ```text
//! DATA/applied/NAMESPACE/NAME.json    a pod that was given to the API, with the texts it is in
//! DATA/stopped/NAMESPACE/NAME         a person stopped this pod
//! DATA/good/HASH.json                 the last usable texts of a source of the pods' directory
//! DATA/logs/UID.json                  where the logs of a pod are, and since when it is gone
//! ```
//!
//! Each file is replaced whole. What the API is asked is flushed before anybody is told that it is
//! done; what was only noted (`good`, `logs`) is written beside the work ([`Later`]), so that no pod
//! waits for the disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crilet_api::{ManifestFile, PodRef};
use crilet_core::fs::write_durably;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::later::Later;

/// Grows when the form of the files does.
const VERSION: u32 = 1;

/// A pod that was given to the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Applied {
    version: u32,
    /// Which pod.
    pub(super) pod: PodRef,
    /// The texts that it is in, with what else is in them.
    pub(super) files: Vec<ManifestFile>,
    /// The set that it belongs to.
    pub(super) set: Option<String>,
}

impl Applied {
    pub(super) fn new(pod: PodRef, files: Vec<ManifestFile>, set: Option<String>) -> Self {
        Self { version: VERSION, pod, files, set }
    }
}

/// The last usable texts of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Good {
    version: u32,
    /// The source.
    pub(super) source: PathBuf,
    /// Its texts.
    pub(super) files: Vec<ManifestFile>,
}

impl Good {
    pub(super) fn new(source: PathBuf, files: Vec<ManifestFile>) -> Self {
        Self { version: VERSION, source, files }
    }
}

/// Where the logs of a pod are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogsOf {
    version: u32,
    /// The pod.
    pub(super) uid: String,
    /// The directory.
    pub(super) directory: PathBuf,
    /// Since when the pod is gone, if it is.
    pub(super) gone_since: Option<Timestamp>,
}

impl LogsOf {
    pub(super) fn new(uid: String, directory: PathBuf) -> Self {
        Self { version: VERSION, uid, directory, gone_since: None }
    }
}

/// What was read of one kind of wish.
#[derive(Debug)]
pub(super) struct Stored<T> {
    pub(super) all: Vec<T>,
    /// Files that cannot be used, each with the reason: there was a wish that is not known now.
    pub(super) damaged: Vec<String>,
}

/// The files.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    later: Later,
}

impl Store {
    /// Uses the files below `root`.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        for directory in ["applied", "stopped", "good", "logs"] {
            fs::create_dir_all(root.join(directory))?;
        }
        Ok(Self { root: root.to_owned(), later: Later::default() })
    }

    pub(super) fn applied(&self) -> io::Result<Stored<Applied>> {
        read_all(&nested(&self.root.join("applied"))?)
    }

    pub(super) fn save_applied(&self, applied: &Applied) -> io::Result<()> {
        let path = self.of_pod("applied", &applied.pod, ".json");
        save(&path, &serde_json::to_vec(applied).map_err(io::Error::from)?)
    }

    pub(super) fn forget_applied(&self, pod: &PodRef) -> io::Result<()> {
        forget(&self.of_pod("applied", pod, ".json"))
    }

    pub(super) fn is_stopped(&self, pod: &PodRef) -> bool {
        self.of_pod("stopped", pod, "").exists()
    }

    pub(super) fn set_stopped(&self, pod: &PodRef, stopped: bool) -> io::Result<()> {
        let path = self.of_pod("stopped", pod, "");
        if stopped { save(&path, b"") } else { forget(&path) }
    }

    pub(super) fn good(&self) -> io::Result<Stored<Good>> {
        read_all(&files(&self.root.join("good"))?)
    }

    pub(super) fn save_good(&self, good: &Good) -> io::Result<()> {
        let content = serde_json::to_vec(good).map_err(io::Error::from)?;
        self.later.write(self.of_source(&good.source), content);
        Ok(())
    }

    pub(super) fn forget_good(&self, source: &Path) {
        self.later.remove(self.of_source(source));
    }

    pub(super) fn logs(&self) -> io::Result<Stored<LogsOf>> {
        read_all(&files(&self.root.join("logs"))?)
    }

    pub(super) fn save_logs(&self, logs: &LogsOf) -> io::Result<()> {
        let content = serde_json::to_vec(logs).map_err(io::Error::from)?;
        self.later.write(self.of_logs(&logs.uid)?, content);
        Ok(())
    }

    pub(super) fn forget_logs(&self, uid: &str) -> io::Result<()> {
        self.later.remove(self.of_logs(uid)?);
        Ok(())
    }

    /// Uids are whatever a manifest says.
    fn of_logs(&self, uid: &str) -> io::Result<PathBuf> {
        let is_name = !uid.is_empty() && !uid.starts_with('.') && !uid.contains('/');
        let name = is_name.then(|| self.root.join("logs").join(format!("{uid}.json")));
        name.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the uid is no name of a file")
        })
    }

    /// Namespaces and names are words of DNS: neither holds a slash nor is a dot.
    fn of_pod(&self, kind: &str, pod: &PodRef, ending: &str) -> PathBuf {
        self.root.join(kind).join(&pod.namespace).join(format!("{}{ending}", pod.name))
    }

    fn of_source(&self, source: &Path) -> PathBuf {
        let digest = Sha256::digest(source.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.root.join("good").join(format!("{name}.json"))
    }
}

/// Secrets may be in it.
fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    write_durably(path, content, 0o600).map_err(|error| error.cause)
}

fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn nested(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads what can be read. A file that cannot is left as it is and told: somebody else wrote it,
/// for this side replaces files whole.
fn read_all<T: DeserializeOwned>(paths: &[PathBuf]) -> io::Result<Stored<T>> {
    let mut stored = Stored { all: Vec::new(), damaged: Vec::new() };
    for path in paths {
        match serde_json::from_slice(&fs::read(path)?) {
            Ok(one) => stored.all.push(one),
            Err(error) => stored.damaged.push(format!("`{}`: {error}", path.display())),
        }
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let pod = PodRef::new("default", "web");
        let file = ManifestFile { name: "web.yaml".into(), text: "kind: Pod".into() };
        let applied = Applied::new(pod.clone(), vec![file.clone()], Some("shop".into()));
        let good = Good::new("/etc/crilet/pods/web.yaml".into(), vec![file]);
        let store = Store::open(directory.path()).unwrap();
        store.save_applied(&applied).unwrap();
        store.set_stopped(&pod, true).unwrap();
        store.save_good(&good).unwrap();
        let logs = LogsOf {
            gone_since: Some(Timestamp::UNIX_EPOCH),
            ..LogsOf::new("u".into(), "/l".into())
        };
        store.save_logs(&logs).unwrap();
        assert!(store.save_logs(&LogsOf::new("../u".into(), "/l".into())).is_err());
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.applied().unwrap().all, [applied]);
        assert_eq!(store.good().unwrap().all, std::slice::from_ref(&good));
        assert_eq!(store.logs().unwrap().all, [logs]);
        assert!(store.is_stopped(&pod));
        for _ in 0..2 {
            store.forget_applied(&pod).unwrap();
            store.set_stopped(&pod, false).unwrap();
            store.forget_good(&good.source);
            store.forget_logs("u").unwrap();
        }
        store.later.finish();
        assert!(store.applied().unwrap().all.is_empty() && store.good().unwrap().all.is_empty());
        assert_eq!(store.logs().unwrap().all, []);
        assert!(!store.is_stopped(&pod));
    }

    #[test]
    fn a_damaged_file_holds_up_nothing_and_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        fs::create_dir_all(directory.path().join("applied/default")).unwrap();
        let path = directory.path().join("applied/default/x.json");
        fs::write(&path, "{").unwrap();
        let stored = store.applied().unwrap();
        assert!(stored.all.is_empty());
        assert!(stored.damaged[0].contains(&path.display().to_string()), "{:?}", stored.damaged);
    }
}
