//! Files that are written beside the work.
//!
//! A disk takes milliseconds to say that something lasts. What nobody has been promised need not
//! be waited for: if the machine loses it, the next start of the daemon finds it out again.

use std::{
    collections::VecDeque,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use crilet_core::fs::write_durably;

/// What is to be done with a file.
#[derive(Debug)]
enum Change {
    Write(PathBuf, Vec<u8>),
    Remove(PathBuf),
}

/// Changes of files, made one after the other in the order they were given. All are made when this
/// is dropped.
#[derive(Debug, Default)]
pub(super) struct Later {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<Change>,
    /// The thread that makes them; it ends when there are no more.
    writer: Option<JoinHandle<()>>,
    is_busy: bool,
}

impl Later {
    /// Writes a file as [`write_durably`] does, readable by its owner only: secrets may be in it.
    pub(super) fn write(&self, path: PathBuf, content: Vec<u8>) {
        self.add(Change::Write(path, content));
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: PathBuf) {
        self.add(Change::Remove(path));
    }

    fn add(&self, change: Change) {
        let mut queue = lock(&self.queue);
        queue.changes.push_back(change);
        if queue.is_busy {
            return;
        }
        let shared = Arc::clone(&self.queue);
        let writer = std::thread::Builder::new().name("files".to_owned());
        match writer.spawn(move || work(&shared)) {
            Ok(writer) => {
                queue.is_busy = true;
                queue.writer = Some(writer);
            }
            // Without a thread it is made by whoever asks.
            Err(_) => {
                drop(queue);
                work(&self.queue);
            }
        }
    }

    /// Waits until all that was given has been done.
    pub(super) fn finish(&self) {
        let writer = lock(&self.queue).writer.take();
        if let Some(Err(_)) = writer.map(JoinHandle::join) {
            tracing::error!("the writer of files ended by itself");
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.finish();
    }
}

fn work(queue: &Mutex<Queue>) {
    loop {
        let change = {
            let mut queue = lock(queue);
            let Some(change) = queue.changes.pop_front() else {
                queue.is_busy = false;
                return;
            };
            change
        };
        if let Err((path, error)) = make(change) {
            tracing::error!(path = %path.display(), %error, "a note of the daemon cannot be kept");
        }
    }
}

fn make(change: Change) -> Result<(), (PathBuf, io::Error)> {
    match change {
        Change::Write(path, content) => match write_durably(&path, &content, 0o600) {
            Ok(()) => Ok(()),
            Err(error) => Err((path, error.cause)),
        },
        Change::Remove(path) => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
            _ => Ok(()),
        },
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing between locking and unlocking leaves it half changed.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_many_changes_stands_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let later = Later::default();
        for round in 0..20 {
            later.write(path("a"), format!("{round}").into_bytes());
            later.write(path("b"), b"b".to_vec());
            later.remove(path("b"));
        }
        later.remove(path("never there"));
        later.write(path("no/directory"), Vec::new());
        later.write(path("c"), b"c".to_vec());
        drop(later);
        assert_eq!(fs::read(path("a")).unwrap(), b"19");
        assert_eq!(fs::read(path("c")).unwrap(), b"c");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn it_goes_on_after_it_had_nothing_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let later = Later::default();
        for name in ["first", "second"] {
            later.write(directory.path().join(name), Vec::new());
            later.finish();
            assert!(directory.path().join(name).exists());
        }
    }
}
