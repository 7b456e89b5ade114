//! One thread and one inotify instance for all that is followed.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, AsRawFd},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

#[cfg(test)]
use std::sync::atomic::AtomicU64;

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};

use super::trail::Trail;

/// How often files are looked at where inotify does not tell, milliseconds.
const POLL: u16 = 100;

/// Wakes somebody; being woken twice before it looks is being woken once.
pub(crate) struct Waker {
    wake: Box<dyn Fn() + Send + Sync>,
    woken: AtomicBool,
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Waker({})", self.is_woken())
    }
}

impl Waker {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { wake: Box::new(wake), woken: AtomicBool::new(false) })
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Whether it was woken since it last looked.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    pub(crate) fn woke(&self) {
        self.woken.store(false, Ordering::Release);
    }
}

/// A log that is watched; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) trail: Mutex<Trail>,
    waker: Arc<Waker>,
}

impl Watched {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for new files; tells as well whether another directory has to be watched.
    fn look(&self) -> (io::Result<()>, bool) {
        let mut trail = self.lock();
        (trail.look(), trail.take_moved())
    }
}

#[derive(Debug, Default)]
struct Table {
    directories: HashMap<WatchDescriptor, Vec<Weak<Watched>>>,
    files: HashMap<WatchDescriptor, Vec<Weak<Waker>>>,
    /// Logs whose directories inotify does not watch.
    polled: Vec<Weak<Watched>>,
}

#[derive(Debug)]
struct Shared {
    inotify: Option<Inotify>,
    table: Mutex<Table>,
    /// How often the thread has looked.
    #[cfg(test)]
    rounds: AtomicU64,
}

impl Shared {
    fn new(inotify: Option<Inotify>) -> Self {
        Self {
            inotify,
            table: Mutex::default(),
            #[cfg(test)]
            rounds: AtomicU64::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the directory of a log; tells whether inotify does. Otherwise it is polled.
    fn watch_directory(&self, watched: &Arc<Watched>) -> bool {
        let directory = watched.lock().log().directory().kernel_path();
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        let weak = Arc::downgrade(watched);
        let mut table = self.table();
        match self.inotify.as_ref().map(|inotify| inotify.add_watch(&directory, flags)) {
            Some(Ok(descriptor)) => {
                table.directories.entry(descriptor).or_default().push(weak);
                true
            }
            _ => {
                table.polled.push(weak);
                false
            }
        }
    }
}

/// Watches logs for any number of followers, from one thread with one inotify instance.
///
/// Where the machine's limit of instances or watches is reached, it looks ten times a second.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// Closing it ends the thread.
    lifeline: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        Self::with(inotify.ok())
    }

    /// Starts without inotify, as on a machine whose limit is reached.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub fn polling() -> io::Result<Self> {
        Self::with(None)
    }

    fn with(inotify: Option<Inotify>) -> io::Result<Self> {
        let (end, lifeline) = io::pipe()?;
        let shared = Arc::new(Shared::new(inotify));
        let watching = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("log watch".to_owned())
            .stack_size(256 << 10)
            .spawn(move || run(&watching, &end))?;
        Ok(Self { shared, lifeline: Some(lifeline), thread: Some(thread) })
    }

    /// Watches a log: its new files are opened as they come.
    pub(crate) fn add(&self, trail: Trail, waker: Arc<Waker>) -> Arc<Watched> {
        let watched = Arc::new(Watched { trail: Mutex::new(trail), waker });
        self.follow_directory(&watched);
        watched
    }

    /// Opens what is new of a log, wherever its directory is by now.
    pub(crate) fn look(&self, watched: &Arc<Watched>) -> io::Result<()> {
        let (looked, moved) = watched.look();
        if moved {
            self.follow_directory(watched);
        }
        looked
    }

    fn follow_directory(&self, watched: &Arc<Watched>) {
        if !self.shared.watch_directory(watched) {
            self.nudge();
        }
    }

    /// Makes the thread take note of what was added.
    fn nudge(&self) {
        if let Some(mut lifeline) = self.lifeline.as_ref() {
            // A thread that has ended takes note of nothing.
            drop(lifeline.write_all(&[0]));
        }
    }

    /// Waits until the thread has seen what was done to files until now: a round that ends after the first
    /// nudge may have begun before it, but the next may not.
    #[cfg(test)]
    pub(super) fn catch_up(&self) {
        for _ in 0..2 {
            let before = self.shared.rounds.load(Ordering::SeqCst);
            self.nudge();
            while self.shared.rounds.load(Ordering::SeqCst) == before {
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
        }
    }

    /// Wakes a follower once when a file is written; tells whether it will.
    pub(crate) fn arm(&self, file: &File, waker: &Arc<Waker>) -> bool {
        let Some(inotify) = &self.shared.inotify else { return false };
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONESHOT;
        let mut table = self.shared.table();
        match inotify.add_watch(Path::new(&path), flags) {
            Ok(descriptor) => {
                let wakers = table.files.entry(descriptor).or_default();
                let known = |weak: &Weak<Waker>| weak.as_ptr() == Arc::as_ptr(waker);
                if !wakers.iter().any(known) {
                    wakers.push(Arc::downgrade(waker));
                }
                true
            }
            Err(_) => false,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // A thread that panicked has told so.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn run(shared: &Shared, end: &PipeReader) {
    loop {
        // Without inotify nothing tells when a log is added, either.
        let polls = shared.inotify.is_none() || !shared.table().polled.is_empty();
        let timeout = if polls { PollTimeout::from(POLL) } else { PollTimeout::NONE };
        let mut waits = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        let inotify = shared.inotify.iter();
        waits.extend(inotify.map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let is_told = waits.first().and_then(PollFd::any).unwrap_or(true);
        // Nothing to read is the end: the other side was closed.
        if is_told && !matches!((&mut &*end).read(&mut [0]), Ok(1..)) {
            return;
        }
        events(shared);
        look_at_polled(shared);
        #[cfg(test)]
        shared.rounds.fetch_add(1, Ordering::SeqCst);
    }
}

/// Takes all events there are.
fn events(shared: &Shared) {
    let Some(inotify) = &shared.inotify else { return };
    while let Ok(events) = inotify.read_events() {
        take(shared, inotify, events);
    }
}

fn take(shared: &Shared, inotify: &Inotify, events: Vec<InotifyEvent>) {
    let mut changed: Vec<Arc<Watched>> = Vec::new();
    let mut renamed: Vec<(Arc<Watched>, bool, OsString)> = Vec::new();
    let mut table = shared.table();
    for event in events {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            let all = table.directories.values().flatten();
            changed.extend(all.filter_map(Weak::upgrade));
            // Whose event was among those that are lost has no watch any more.
            let files = std::mem::take(&mut table.files).into_values().flatten();
            files.filter_map(|waker| waker.upgrade()).for_each(|waker| waker.wake());
        } else if let Some(watched) = table.directories.get_mut(&event.wd) {
            watched.retain(|weak| weak.strong_count() > 0);
            changed.extend(watched.iter().filter_map(Weak::upgrade));
            let from = event.mask.contains(AddWatchFlags::IN_MOVED_FROM);
            if let Some(name) = event.name
                && (from || event.mask.contains(AddWatchFlags::IN_MOVED_TO))
            {
                let told = watched.iter().filter_map(Weak::upgrade);
                renamed.extend(told.map(|watched| (watched, from, name.clone())));
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                table.directories.remove(&event.wd);
            } else if watched.is_empty() {
                table.directories.remove(&event.wd);
                inotify.rm_watch(event.wd).unwrap_or_default();
            }
        } else if let Some(wakers) = table.files.remove(&event.wd) {
            wakers.iter().filter_map(Weak::upgrade).for_each(|waker| waker.wake());
        }
    }
    drop(table);
    for (watched, from, name) in renamed {
        watched.lock().hear(from, &name);
    }
    changed.sort_by_key(Arc::as_ptr);
    changed.dedup_by_key(|watched| Arc::as_ptr(watched));
    changed.iter().for_each(|watched| look(shared, watched));
}

fn look_at_polled(shared: &Shared) {
    let polled: Vec<_> = {
        let mut table = shared.table();
        table.polled.retain(|weak| weak.strong_count() > 0);
        table.polled.iter().filter_map(Weak::upgrade).collect()
    };
    polled.iter().for_each(|watched| look(shared, watched));
}

fn look(shared: &Shared, watched: &Arc<Watched>) {
    // What fails here is tried again by the reader, which can tell somebody.
    let (_, moved) = watched.look();
    if moved {
        shared.watch_directory(watched);
    }
    watched.waker.wake();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events that the kernel has dropped may have been anybody's.
    #[test]
    fn a_queue_that_ran_over_wakes_all() {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let wd = inotify.add_watch(file.path(), AddWatchFlags::IN_MODIFY).unwrap();
        let shared = Shared::new(None);
        let wakers = [Waker::new(|| ()), Waker::new(|| ())];
        shared.table().files.insert(wd, wakers.iter().map(Arc::downgrade).collect());
        let mask = AddWatchFlags::IN_Q_OVERFLOW;
        take(&shared, &inotify, vec![InotifyEvent { wd, mask, cookie: 0, name: None }]);
        assert!(wakers.iter().all(|waker| waker.is_woken()));
        assert!(shared.table().files.is_empty(), "they are armed anew when they have looked");
    }
}
