//! Logs of pods that are gone: kept for a while, and the first to go where room is short.
//!
//! No inventory has them. Who has kept the pods says which directories are theirs, and the rotator
//! removes these whole.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

/// The log directory of a pod that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GonePod {
    /// Its directory, with nothing in it but logs of this pod.
    pub directory: PathBuf,
    /// Since when nobody writes there.
    pub since: SystemTime,
}

/// Tells a rotator which pods are gone.
#[derive(Debug, Clone)]
pub struct GonePods {
    pods: Arc<Mutex<Vec<GonePod>>>,
    changed: Arc<Notify>,
}

/// A directory with what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) pod: GonePod,
    pub(crate) device: u64,
    /// Bytes on disk.
    pub(crate) size: u64,
}

impl GonePods {
    pub(crate) fn new(changed: Arc<Notify>) -> Self {
        Self { pods: Arc::default(), changed }
    }

    /// Says which pods are gone, all of them each time.
    pub fn set(&self, pods: Vec<GonePod>) {
        let mut known = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != pods {
            *known = pods;
            drop(known);
            self.changed.notify_one();
        }
    }

    /// What they have left, the oldest first; `before` is what was found the last time, for nothing
    /// in it changes any more.
    pub(crate) fn leftovers(&self, before: &[Leftover]) -> Vec<Leftover> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = pods.into_iter().filter_map(|pod| {
            if let Some(known) = before.iter().find(|known| known.pod == pod) {
                return Some(known.clone());
            }
            let meta = fs::symlink_metadata(&pod.directory).ok().filter(fs::Metadata::is_dir)?;
            let size = size_of(&pod.directory).unwrap_or_default();
            Some(Leftover { device: meta.dev(), size, pod })
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by(|a, b| (a.pod.since, &a.pod.directory).cmp(&(b.pod.since, &b.pod.directory)));
        found
    }
}

impl Leftover {
    /// Whether it was kept for as long as is wanted.
    pub(crate) fn is_over(&self, keep: Option<Duration>, now: SystemTime) -> bool {
        // A clock that went back makes it last longer.
        keep.is_some_and(|keep| now.duration_since(self.pod.since).is_ok_and(|age| age >= keep))
    }

    /// Removes it; what is not there is fine. No link in it is followed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.pod.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Bytes on disk of all that is in a directory; links are what they are themselves.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += meta.blocks() * 512;
        if meta.is_dir() {
            size += size_of(&entry.path())?;
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn leftovers_are_found_once_and_removed_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        let pod = |name: &str, since: u64| {
            let directory = scratch.path().join(name);
            GonePod { directory, since: SystemTime::UNIX_EPOCH + Duration::from_secs(since) }
        };
        for name in ["a", "b"] {
            fs::create_dir_all(scratch.path().join(name).join("app")).unwrap();
            fs::write(scratch.path().join(name).join("app/0.log"), vec![1; 100_000]).unwrap();
            symlink(&outside, scratch.path().join(name).join("app/link")).unwrap();
        }
        symlink(&outside, scratch.path().join("planted")).unwrap();
        let gone = GonePods::new(Arc::default());
        gone.set(vec![pod("b", 20), pod("absent", 1), pod("a", 10), pod("planted", 5)]);
        let found = gone.leftovers(&[]);
        let names: Vec<_> =
            found.iter().map(|left| left.pod.directory.file_name().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(found[0].size >= 100_000, "{found:?}");
        assert_eq!(gone.leftovers(&found), found);

        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let keep = Some(Duration::from_secs(5));
        assert!(found[0].is_over(keep, at(15)) && !found[0].is_over(keep, at(14)));
        assert!(!found[0].is_over(keep, at(0)) && !found[0].is_over(None, at(1000)));
        found[0].remove().unwrap();
        found[0].remove().unwrap();
        assert!(!scratch.path().join("a").exists() && outside.join("kept").exists());
    }
}
