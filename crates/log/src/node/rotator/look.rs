//! Looking at one log, and when to do so again.

use std::{time::Duration, time::SystemTime};

use tokio::time::Instant;

use super::{COMING, Key, Rotator, State, THOROUGH, TURN, UNWATCHED};
use crate::{
    error::LogError,
    files::Family,
    follow::Watch,
    node::event::Problem,
    node::growth::{Growth, first_time},
    rotate::{Lock, Situation, plan},
};

impl Rotator {
    /// Looks at one log, does what is to be done, and sets when to look again.
    pub(super) async fn look(&mut self, key: &Key) {
        let Some(state) = self.logs.get_mut(key) else { return };
        state.waker.woke();
        let now = Instant::now();
        let log = state.found.log.clone();
        let live = match log.directory().meta(log.name()) {
            Ok(live) => live,
            Err(cause) => {
                state.next = now + UNWATCHED;
                return self.tell_once(Some(log.path()), Problem::Look(cause));
            }
        };
        if live.is_none() && state.is_written() {
            // Where somebody has put another directory into the place of this one, the runtime writes
            // there from the next reopening on.
            (self.next_list, self.next_discovery) = (now, now);
            state.missing.get_or_insert(now);
        } else {
            state.missing = None;
        }
        let size = live.map_or(0, |live| live.size);
        match &mut state.growth {
            Some(growth) => growth.look(size, now),
            none => *none = Some(Growth::new(size, now)),
        }
        let is_other = live.map(|live| live.id) != state.live;
        let is_full = state.found.policy.max_size.is_some_and(|limit| size >= limit);
        let retried = now >= state.retry;
        let due = now >= state.next_thorough || is_other || live.is_none();
        if (due || is_full) && retried {
            self.act(key, false).await;
        }
        self.schedule(key);
    }

    /// Sets when to look at a log again.
    pub(super) fn schedule(&mut self, key: &Key) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let now = Instant::now();
        let limit = state.found.policy.max_size.unwrap_or(u64::MAX / 4);
        let wait = match &state.growth {
            _ if !state.is_written() => THOROUGH,
            // What comes into its place may grow fast.
            _ if state.missing.is_some() => TURN,
            Some(growth) if growth.is_silent() && silent(&self.watch, state) => THOROUGH,
            // Without inotify nobody tells when it begins to grow again.
            Some(growth) => growth.next_look(limit),
            None => TURN,
        };
        // While it cannot be rotated, looking more often helps nobody.
        let retry = if state.failures > 0 { state.retry } else { now };
        state.next = (now + wait).min(state.next_thorough.max(now + TURN)).max(retry);
    }

    /// Does what is to be done with a log.
    pub(super) async fn act(&mut self, key: &Key, pressed: bool) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let log = state.found.log.clone();
        let directory = (key.0, key.1);
        let lock = match self.locks.take(Lock::Names, directory) {
            Ok(Some(lock)) => lock,
            Ok(None) => return self.busy(key),
            Err(error) => return self.tell_once(None, Problem::Lock(error)),
        };
        let family = match log.family() {
            Ok(family) => family,
            Err(LogError::Read { cause, .. }) => {
                return self.tell_once(Some(log.path()), Problem::Look(cause));
            }
            Err(_) => return,
        };
        state.next_thorough = Instant::now() + THOROUGH;
        self.notice(key, &family);
        let Some(state) = self.logs.get(key) else { return };
        let situation = situation(state, pressed);
        if state.missing.is_some_and(|since| since.elapsed() < COMING) {
            self.busy.insert(key.clone());
        }
        let steps = plan(&family, &state.found.policy, &situation);
        let mut moved = false;
        for step in steps {
            moved |= self.step(key, &family, step).await;
        }
        drop(lock);
        self.refresh(key, moved);
    }

    /// Somebody else is at work in a log's directory: it is looked at again soon.
    pub(super) fn busy(&mut self, key: &Key) {
        self.busy.insert(key.clone());
        if let Some(state) = self.logs.get_mut(key) {
            state.next_thorough = Instant::now() + UNWATCHED;
        }
    }

    /// Takes note of what others did, and of what is not touched.
    pub(super) fn notice(&mut self, key: &Key, family: &Family) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let path = state.found.log.path();
        let live = family.live.map(|live| live.id);
        let newest = family.rotated.last().map(|rotated| rotated.stamp);
        let foreign = state.live.is_some() && newest > state.newest && live != state.live;
        (state.live, state.newest) = (live, newest);
        for strange in &family.strange {
            let name = strange.name.to_string_lossy().into_owned();
            let why = strange.why;
            self.tell_once(Some(path.clone()), Problem::Strange { name, why });
        }
        if foreign {
            self.tell_once(Some(path), Problem::Foreign);
        }
    }

    /// After names have changed: what is there now.
    pub(super) fn refresh(&mut self, key: &Key, moved: bool) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let Ok(family) = state.found.log.family() else { return };
        state.rotated = family.size() - family.live.map_or(0, |live| live.size);
        if moved {
            state.live = family.live.map(|live| live.id);
            state.newest = family.rotated.last().map(|rotated| rotated.stamp);
            if let (Some(growth), Some(live)) = (&mut state.growth, family.live) {
                growth.look(live.size, Instant::now());
            }
        }
    }
}

impl State {
    /// Whether a container that runs writes it.
    fn is_written(&self) -> bool {
        self.found.writers.iter().any(|writer| writer.running)
    }

    /// Whether nobody is about to bring its live file. A rotator that was killed may have asked for it
    /// just before.
    fn is_deserted(&self) -> bool {
        let long = self.missing.is_some_and(|since| since.elapsed() >= COMING);
        long && self.found.log.directory().successor().is_none()
    }
}

fn situation(state: &State, pressed: bool) -> Situation {
    let aged = state.found.policy.max_age.is_some();
    let oldest = aged.then(|| first_time(&state.found.log)).flatten();
    let since =
        |nanoseconds: i64| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
    Situation {
        now: SystemTime::now(),
        wall: jiff::Zoned::now().datetime(),
        running: state.is_written(),
        deserted: state.is_deserted(),
        oldest: oldest.map(|oldest| SystemTime::UNIX_EPOCH + since(oldest)),
        pressed,
    }
}

/// Whether the next write to a silent log will wake the rotator.
fn silent(watch: &Watch, state: &State) -> bool {
    let log = &state.found.log;
    let Ok(file) = log.directory().open_file(log.name()) else { return false };
    let size = state.growth.map_or(0, |growth| growth.size());
    // What was written before the watch was set wakes nobody.
    watch.arm(&file, &state.waker) && file.metadata().is_ok_and(|meta| meta.len() == size)
}
