//! Doing what a plan says.

use std::time::Duration;

use crilet_cri::Client;
use tokio::time::Instant;

use super::{Key, LONGEST_RETRY, RETRY, Rotator, State, UNWATCHED, Writers};
use crate::{
    files::{Family, Rotated, Stamp},
    node::compressor::{Done, Job},
    node::event::{Event, Problem},
    rotate::{
        CompressError, Lock, NoHook, Reopen as _, RotateError, Step, put_back, remove, rotate,
    },
};

impl Rotator {
    /// Does one step; tells whether the names of files changed by it.
    pub(super) async fn step(&mut self, key: &Key, family: &Family, step: Step) -> bool {
        let Some(state) = self.logs.get(key) else { return false };
        let log = state.found.log.clone();
        let directory = (key.0, key.1);
        let job = |stamp, compression, settle| Job {
            key: key.clone(),
            log: log.clone(),
            directory,
            stamp,
            compression,
            settle,
        };
        match step {
            Step::Rotate(stamp) => {
                let size = family.live.map_or(0, |live| live.size);
                self.rotate(key, stamp, size).await
            }
            Step::Reopen => self.reopen(key).await,
            Step::PutBack(stamp) => self.put_back(&log, stamp),
            Step::Compress(..) if self.is_pressed(key) => false,
            Step::Compress(stamp, compression) => {
                self.compressor.add(job(stamp, compression, false));
                false
            }
            Step::Settle(stamp) => {
                let rotated = family.rotated.iter().find(|rotated| rotated.stamp == stamp);
                if let Some((compression, _)) = rotated.and_then(Rotated::archive) {
                    self.compressor.add(job(stamp, compression, true));
                }
                false
            }
            Step::RemoveUnfinished(stamp) => {
                // Unless somebody is at it.
                match self.locks.take(Lock::Archives, directory) {
                    Ok(Some(lock)) => {
                        self.remove(&log, step, stamp, 0);
                        drop(lock);
                    }
                    Ok(None) => self.busy(key),
                    Err(error) => self.tell_once(None, Problem::Lock(error)),
                }
                true
            }
            Step::Remove(stamp, _) => {
                let rotated = family.rotated.iter().find(|rotated| rotated.stamp == stamp);
                self.remove(&log, step, stamp, rotated.map_or(0, Rotated::size));
                true
            }
        }
    }

    /// Whether there is no room for an archive beside its original.
    fn is_pressed(&self, key: &Key) -> bool {
        self.pressed.as_ref().is_some_and(|need| need.is_short_on(key.0))
    }

    fn put_back(&mut self, log: &crate::LogFile, stamp: Stamp) -> bool {
        match put_back(log, stamp) {
            Ok(()) => self.tell(Event::Recovered { log: log.path(), stamp }),
            Err(cause) => {
                let problem = Problem::PutBack(cause);
                self.tell_once(Some(log.path()), problem);
            }
        }
        true
    }

    pub(super) fn remove(&mut self, log: &crate::LogFile, step: Step, stamp: Stamp, size: u64) {
        let log_path = log.path();
        let event = match (remove(log, step), step) {
            (Err(cause), _) => {
                return self.tell_once(Some(log_path), Problem::Remove(cause));
            }
            (Ok(()), Step::Remove(_, why)) => Event::Removed { log: log_path, stamp, size, why },
            (Ok(()), _) => Event::Recovered { log: log_path, stamp },
        };
        self.tell(event);
    }

    pub(super) async fn rotate(&mut self, key: &Key, stamp: Stamp, size: u64) -> bool {
        let Some(state) = self.logs.get(key) else { return false };
        let log = state.found.log.clone();
        let began = Instant::now();
        let result = rotate(&log, stamp, &writers(&self.reopening, state), &NoHook).await;
        let took = began.elapsed();
        match result {
            Ok(()) => {
                self.succeeded(key);
                self.tell(Event::Rotated { log: log.path(), stamp, size, took });
                true
            }
            Err(cause) => {
                self.failed(key, cause);
                false
            }
        }
    }

    pub(super) async fn reopen(&mut self, key: &Key) -> bool {
        let Some(state) = self.logs.get(key) else { return false };
        let log = state.found.log.path();
        match writers(&self.reopening, state).reopen().await {
            Ok(()) => {
                self.succeeded(key);
                self.tell(Event::Reopened { log });
                true
            }
            Err(cause) => {
                self.failed(key, RotateError::Reopen(cause));
                false
            }
        }
    }

    pub(super) fn succeeded(&mut self, key: &Key) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let log = &state.found.log;
        if matches!(log.directory().meta(log.name()), Ok(Some(_))) {
            state.failures = 0;
        } else {
            // It was written elsewhere: another directory has the place of this one.
            state.put_off();
            let now = Instant::now();
            (self.next_list, self.next_discovery) = (now, now);
        }
    }

    /// Tries again later, and asks the runtime first: its container may have ended.
    pub(super) fn failed(&mut self, key: &Key, cause: RotateError) {
        self.next_list = Instant::now();
        let Some(state) = self.logs.get_mut(key) else { return };
        let again = state.put_off();
        let log = Some(state.found.log.path());
        self.tell(Event::Problem { log, problem: Problem::Rotate { again, cause } });
    }

    pub(super) fn compressed(&mut self, done: Done) {
        let (job, result) = match done {
            Done::Busy(job) => {
                self.busy(&job.key);
                (job, None)
            }
            Done::Lock(job, error) => {
                self.tell_once(None, Problem::Lock(error));
                (job, None)
            }
            Done::Over(job, result) => (job, Some(result)),
        };
        self.compressor.finished(&job);
        let (log, stamp) = (job.log.path(), job.stamp);
        match result {
            Some(Ok(())) if job.settle => self.tell(Event::Recovered { log, stamp }),
            Some(Ok(())) => self.tell(Event::Compressed { log, stamp }),
            // The next thorough look finds it again, if it is there.
            None | Some(Err(CompressError::Gone | CompressError::Interrupted)) => {}
            Some(Err(CompressError::Written)) => {
                if let Some(state) = self.logs.get_mut(&job.key) {
                    state.next_thorough = Instant::now() + UNWATCHED;
                    state.next = state.next.min(state.next_thorough);
                }
            }
            Some(Err(error)) => {
                let problem = Problem::Compress(error);
                self.tell(Event::Problem { log: Some(log), problem });
            }
        }
        self.refresh(&job.key, false);
    }
}

impl State {
    /// Lets a log alone for a while, twice as long each time; gives how long.
    fn put_off(&mut self) -> Duration {
        let again = RETRY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.retry = Instant::now() + again;
        again
    }
}

fn writers<'a>(client: &'a Client, state: &'a State) -> Writers<'a> {
    let running = state.found.writers.iter().filter(|writer| writer.running);
    Writers { client, ids: running.map(|writer| writer.id.as_str()).collect() }
}
