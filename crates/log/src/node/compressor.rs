//! One thread that compresses when nobody else wants the processor.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    LogError,
    files::{Compression, Stamp, lower_priority},
    read::LogFile,
    rotate::{CompressError, Hook, Lock, Locks, Point, Step, compress, remove, settle},
};

/// A file to compress; `key` is what the rotator calls the log.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) key: (u64, u64, std::ffi::OsString),
    pub(crate) log: LogFile,
    pub(crate) directory: (u64, u64),
    pub(crate) stamp: Stamp,
    pub(crate) compression: Compression,
    /// There is an archive already; the better one is to stay.
    pub(crate) settle: bool,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Done {
    /// It is done, or failed.
    Over(Job, Result<(), CompressError>),
    /// Another rotator compresses in this directory.
    Busy(Job),
    /// The locks cannot be used.
    Lock(Job, LogError),
}

/// The thread, and what it has to do.
#[derive(Debug)]
pub(crate) struct Compressor {
    jobs: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    queued: BTreeSet<(u64, u64, std::ffi::OsString, Stamp)>,
}

/// Lets a job be interrupted between two blocks.
struct Interrupt(Arc<AtomicBool>);

impl Hook for Interrupt {
    fn dies(&self, point: Point) -> bool {
        // Past this, little is left to do, and cleaning up would be more.
        let over = matches!(point, Point::Archived | Point::Synced | Point::Removed);
        !over && self.0.load(Ordering::Relaxed)
    }
}

impl Compressor {
    pub(crate) fn start(locks: Locks, done: UnboundedSender<Done>) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let stop = Arc::new(AtomicBool::new(false));
        let interrupt = Interrupt(Arc::clone(&stop));
        let thread =
            std::thread::Builder::new().name("log compress".to_owned()).spawn(move || {
                lower_priority();
                for job in queue {
                    if interrupt.0.load(Ordering::Relaxed) {
                        return;
                    }
                    // A rotator that has ended needs to know nothing.
                    drop(done.send(work(job, &locks, &interrupt)));
                }
            })?;
        Ok(Self { jobs: Some(jobs), stop, thread: Some(thread), queued: BTreeSet::new() })
    }

    /// Adds a job, unless it is there already.
    pub(crate) fn add(&mut self, job: Job) {
        let (device, inode, name) = job.key.clone();
        if self.queued.insert((device, inode, name, job.stamp))
            && let Some(jobs) = &self.jobs
        {
            // The thread ends with this sender only.
            drop(jobs.send(job));
        }
    }

    pub(crate) fn finished(&mut self, job: &Job) {
        let (device, inode, name) = job.key.clone();
        self.queued.remove(&(device, inode, name, job.stamp));
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queued.is_empty()
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.jobs.take());
        // A thread that panicked has told so.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn work(job: Job, locks: &Locks, interrupt: &Interrupt) -> Done {
    let held = match locks.take(Lock::Archives, job.directory) {
        Ok(Some(held)) => held,
        Ok(None) => return Done::Busy(job),
        Err(error) => return Done::Lock(job, error),
    };
    let act = if job.settle { settle } else { compress };
    let result = act(&job.log, job.stamp, job.compression, interrupt);
    if matches!(result, Err(CompressError::Interrupted)) && !job.settle {
        // What stays here is found by the next one.
        remove(&job.log, Step::RemoveUnfinished(job.stamp)).unwrap_or_default();
    }
    drop(held);
    Done::Over(job, result)
}
