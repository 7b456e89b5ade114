//! Keeps all logs of a node within their limits, for as long as it runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crilet_cri::{
    Client, CriError,
    inventory::{self, Container, ContainerState, Detail, Pod},
};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    compressor::{Compressor, Done, Job},
    discover::{ContainerLog, Skipped, discover},
    event::{Event, Problem},
    growth::{Growth, first_time},
};
use crate::{
    error::LogError,
    files::{Family, Rotated, Stamp},
    follow::{Waker, Watch},
    rotate::{
        Candidate, CompressError, Lock, Locks, Need, NoHook, Policy, Reopen, Room, RotateError,
        Situation, Step, choose, plan, remove, rotate,
    },
};

/// Between two looks at what a plan depends on besides the live file: ages, leftovers.
const THOROUGH: Duration = Duration::from_secs(60);
/// Until somebody else is done with a directory.
const TURN: Duration = Duration::from_millis(50);
/// Between two looks at a silent log where inotify does not tell.
const UNWATCHED: Duration = Duration::from_secs(1);
/// Between two looks at free space.
const SPACE: Duration = Duration::from_millis(50);
/// After a failed rotation, doubled up to the other one.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Between two complaints that nothing is left to remove.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Which pods' logs are rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All.
    #[default]
    All,
    /// Those of these sandbox ids or `namespace/name`s.
    Pods(BTreeSet<String>),
}

/// What a rotator does.
#[derive(Debug, Clone)]
pub struct Config {
    /// What counts where no annotation says otherwise.
    pub policy: Policy,
    /// Bytes that all logs of the node may take together.
    pub budget: Option<u64>,
    /// Bytes that stay free on every file system that has logs; by default 2 % of it, and at most
    /// 256 MiB.
    pub min_free: Option<u64>,
    /// Whether logs of a kubelet's pods are rotated as well.
    pub kubelets: bool,
    /// Whose logs.
    pub selection: Selection,
    /// The file by which rotators of one machine take turns; its directory is made.
    pub lock_file: PathBuf,
    /// How often the runtime is asked whether containers came or went.
    pub relist: Duration,
}

impl Config {
    /// The defaults, with this file to take turns by.
    pub fn new(lock_file: PathBuf) -> Self {
        Self {
            policy: Policy::default(),
            budget: None,
            min_free: None,
            kubelets: false,
            selection: Selection::All,
            lock_file,
            relist: Duration::from_secs(1),
        }
    }
}

/// Which log: its directory and its name.
type Key = (u64, u64, OsString);

/// Takes events as they come.
type Observer = Box<dyn FnMut(Event) + Send>;

/// Keeps logs within their limits. Killed at any instruction, it loses nothing, and the next one
/// goes on.
pub struct Rotator {
    client: Client,
    config: Config,
    watch: Arc<Watch>,
    observer: Observer,
    locks: Locks,
    compressor: Compressor,
    done: UnboundedReceiver<Done>,
    logs: BTreeMap<Key, State>,
    /// What the lists said of each sandbox, and what its statuses did.
    pods: HashMap<String, (Vec<(String, ContainerState)>, Pod)>,
    next_list: Instant,
    next_space: Instant,
    next_complaint: Instant,
    pressed: bool,
    listed: bool,
    told: BTreeSet<String>,
    poked: Arc<Notify>,
    problems: usize,
}

impl std::fmt::Debug for Rotator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rotator").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A log that is looked after.
#[derive(Debug)]
struct State {
    found: ContainerLog,
    growth: Option<Growth>,
    live: Option<(u64, u64)>,
    newest: Option<Stamp>,
    /// Bytes of the rotated files.
    rotated: u64,
    next: Instant,
    next_thorough: Instant,
    failures: u32,
    retry: Instant,
    waker: Arc<Waker>,
}

/// The containers that write one log.
struct Writers<'a> {
    client: &'a Client,
    ids: Vec<&'a str>,
}

impl Reopen for Writers<'_> {
    async fn reopen(&self) -> Result<(), CriError> {
        for id in &self.ids {
            self.client.reopen_container_log(id).await?;
        }
        Ok(())
    }
}

impl Rotator {
    /// A rotator that asks this runtime, shares inotify with followers through `watch`, and tells
    /// `observer` what happens.
    ///
    /// # Errors
    /// When the lock file cannot be opened, or no thread be started.
    pub fn try_new(
        client: Client,
        config: Config,
        watch: Arc<Watch>,
        observer: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, LogError> {
        let locks = Locks::open(&config.lock_file)?;
        let (sender, done) = unbounded_channel();
        // An opening of its own: the two threads exclude each other like two processes.
        let compressor = Compressor::start(Locks::open(&config.lock_file)?, sender)
            .map_err(|cause| LogError::Lock { path: config.lock_file.clone(), cause })?;
        let now = Instant::now();
        Ok(Self {
            client,
            config,
            watch,
            observer: Box::new(observer),
            locks,
            compressor,
            done,
            logs: BTreeMap::new(),
            pods: HashMap::new(),
            next_list: now,
            next_space: now,
            next_complaint: now,
            pressed: false,
            listed: false,
            told: BTreeSet::new(),
            poked: Arc::default(),
            problems: 0,
        })
    }

    /// Wakes the rotator to ask the runtime at once, as after a container was started.
    pub fn poke(&self) -> Arc<Notify> {
        Arc::clone(&self.poked)
    }

    /// Runs until it is cancelled. A runtime that is away is waited for.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            self.turn().await;
            let next = self.logs.values().map(|state| state.next).min();
            let next = next.unwrap_or(self.next_list).min(self.next_list);
            // Every arm only waits: what is not taken now is there the next time.
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(done) = self.done.recv() => self.compressed(done),
                () = self.poked.notified() => self.wake_up(),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Looks at every log once, and waits for what is compressed; gives how many things were wrong.
    pub async fn once(mut self) -> usize {
        self.turn().await;
        while !self.compressor.is_idle() {
            let Some(done) = self.done.recv().await else { break };
            self.compressed(done);
        }
        self.problems
    }

    /// Does what is due.
    async fn turn(&mut self) {
        let now = Instant::now();
        if now >= self.next_list {
            self.list().await;
            self.next_list = Instant::now() + self.config.relist;
        }
        let due = self.logs.iter().filter(|(_, state)| state.next <= now || state.waker.is_woken());
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.look(key).await;
        }
        if !due.is_empty() {
            self.make_room().await;
        }
    }

    /// Somebody wrote a silent log, or said that there are new ones.
    fn wake_up(&mut self) {
        if !self.logs.values().any(|state| state.waker.is_woken()) {
            self.next_list = Instant::now();
        }
    }

    fn tell(&mut self, event: Event) {
        self.problems += usize::from(event.is_problem());
        (self.observer)(event);
    }

    /// Tells a problem that stays, once.
    fn tell_once(&mut self, log: Option<PathBuf>, problem: Problem) {
        let text = Event::Problem { log: log.clone(), problem: Problem::Foreign }.to_string();
        if self.told.insert(format!("{text} {problem:?}")) {
            self.tell(Event::Problem { log, problem });
        }
    }

    /// Asks the runtime for its containers: lists every time, statuses of what changed.
    async fn list(&mut self) {
        match self.read_pods().await {
            Ok(pods) => {
                self.listed = true;
                self.told.retain(|told| !told.contains("Runtime("));
                let (logs, skipped) = discover(&pods, self.config.policy);
                self.take_logs(logs);
                for Skipped { path, cause } in skipped {
                    self.tell_once(Some(path), Problem::Look(cause));
                }
            }
            Err(error) => self.tell_once(None, Problem::Runtime(error)),
        }
    }

    async fn read_pods(&mut self) -> Result<Vec<Pod>, CriError> {
        let listed = inventory::read(&self.client, Detail::Lists).await?;
        let signature = |pod: &Pod| -> Vec<(String, ContainerState)> {
            pod.containers.iter().map(|Container { id, state, .. }| (id.clone(), *state)).collect()
        };
        let selected: Vec<Pod> = listed.into_iter().filter(|pod| self.selects(pod)).collect();
        let changed = selected
            .iter()
            .filter(|pod| self.pods.get(&pod.id).is_none_or(|(known, _)| *known != signature(pod)));
        let changed: Vec<Pod> = changed.cloned().collect();
        self.pods.retain(|id, _| selected.iter().any(|pod| pod.id == *id));
        for pod in inventory::describe(&self.client, changed, Detail::Full).await? {
            self.pods.insert(pod.id.clone(), (signature(&pod), pod));
        }
        Ok(self.pods.values().map(|(_, pod)| pod.clone()).collect())
    }

    fn selects(&self, pod: &Pod) -> bool {
        match &self.config.selection {
            Selection::All => true,
            Selection::Pods(pods) => pods.contains(&pod.id) || pods.contains(&pod.full_name()),
        }
    }

    /// Looks after new logs, and no longer after those that are gone.
    fn take_logs(&mut self, found: Vec<ContainerLog>) {
        let mut kept = BTreeSet::new();
        for mut log in found {
            if log.kubelets && !self.config.kubelets {
                continue;
            }
            for setting in std::mem::take(&mut log.invalid) {
                self.tell_once(Some(log.log.path()), Problem::Setting(setting));
            }
            let Ok((device, inode)) = log.log.directory().id() else { continue };
            let key = (device, inode, log.log.name().to_owned());
            kept.insert(key.clone());
            if let Some(state) = self.logs.get_mut(&key) {
                if state.found.writers != log.writers {
                    state.next = Instant::now();
                }
                state.found = log;
                continue;
            }
            let poked = Arc::clone(&self.poked);
            let now = Instant::now();
            let waker = Waker::new(move || poked.notify_one());
            let (growth, live, newest) = (None, None, None);
            let state = State {
                found: log,
                growth,
                live,
                newest,
                rotated: 0,
                next: now,
                next_thorough: now,
                failures: 0,
                retry: now,
                waker,
            };
            self.logs.insert(key, state);
        }
        self.logs.retain(|key, _| kept.contains(key));
    }

    /// Looks at one log, does what is to be done, and sets when to look again.
    async fn look(&mut self, key: &Key) {
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
    fn schedule(&mut self, key: &Key) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let now = Instant::now();
        let limit = state.found.policy.max_size.unwrap_or(u64::MAX / 4);
        let running = state.found.writers.iter().any(|writer| writer.running);
        let wait = match &state.growth {
            _ if !running => THOROUGH,
            Some(growth) if growth.is_silent() => match silent(&self.watch, state) {
                true => THOROUGH,
                false => UNWATCHED,
            },
            Some(growth) => growth.next_look(limit),
            None => TURN,
        };
        // While it cannot be rotated, looking more often helps nobody.
        state.next = (now + wait).max(if state.failures > 0 { state.retry } else { now });
    }

    /// Does what is to be done with a log.
    async fn act(&mut self, key: &Key, pressed: bool) {
        let Some(state) = self.logs.get_mut(key) else { return };
        let log = state.found.log.clone();
        let directory = (key.0, key.1);
        let lock = match self.locks.take(Lock::Names, directory) {
            Ok(Some(lock)) => lock,
            Ok(None) => return,
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
        let steps = plan(&family, &state.found.policy, &situation);
        let mut moved = false;
        for step in steps {
            moved |= self.step(key, &family, step).await;
        }
        drop(lock);
        self.refresh(key, moved);
    }

    /// Takes note of what others did, and of what is not touched.
    fn notice(&mut self, key: &Key, family: &Family) {
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

    /// Does one step; tells whether the names of files changed by it.
    async fn step(&mut self, key: &Key, family: &Family, step: Step) -> bool {
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
            Step::Compress(..) if self.pressed => false,
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
                let lock = self.locks.take(Lock::Archives, directory);
                if let Ok(Some(lock)) = lock {
                    self.remove(&log, step, stamp, 0);
                    drop(lock);
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

    fn remove(&mut self, log: &crate::LogFile, step: Step, stamp: Stamp, size: u64) {
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

    async fn rotate(&mut self, key: &Key, stamp: Stamp, size: u64) -> bool {
        let Some(state) = self.logs.get(key) else { return false };
        let log = state.found.log.clone();
        let began = Instant::now();
        let result = rotate(&log, stamp, &writers(&self.client, state), &NoHook).await;
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

    async fn reopen(&mut self, key: &Key) -> bool {
        let Some(state) = self.logs.get(key) else { return false };
        let log = state.found.log.path();
        match writers(&self.client, state).reopen().await {
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

    fn succeeded(&mut self, key: &Key) {
        if let Some(state) = self.logs.get_mut(key) {
            state.failures = 0;
        }
    }

    /// Tries again later, and asks the runtime first: its container may have ended.
    fn failed(&mut self, key: &Key, cause: RotateError) {
        self.next_list = Instant::now();
        let Some(state) = self.logs.get_mut(key) else { return };
        let again = RETRY.saturating_mul(1 << state.failures.min(10)).min(LONGEST_RETRY);
        state.failures = state.failures.saturating_add(1);
        state.retry = Instant::now() + again;
        let log = Some(state.found.log.path());
        self.tell(Event::Problem { log, problem: Problem::Rotate { again, cause } });
    }

    /// After names have changed: what is there now.
    fn refresh(&mut self, key: &Key, moved: bool) {
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

    fn compressed(&mut self, done: Done) {
        let (job, result) = match done {
            Done::Busy(job) => (job, None),
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
                }
            }
            Some(Err(error)) => {
                let problem = Problem::Compress(error);
                self.tell(Event::Problem { log: Some(log), problem });
            }
        }
        self.refresh(&job.key, false);
    }

    /// Removes the oldest rotated files while all logs take too much, or too little is free.
    async fn make_room(&mut self) {
        let now = Instant::now();
        if now < self.next_space {
            return;
        }
        self.next_space = now + SPACE;
        let need = self.need();
        if !need.is_short() {
            self.pressed = false;
            return;
        }
        let (families, candidates) = self.candidates();
        let (chosen, after) = choose(candidates, need);
        let removed = !chosen.is_empty();
        for ((place, stamp), why) in chosen {
            let Some((key, family)) = families.get(place) else { continue };
            if let Ok(Some(lock)) = self.locks.take(Lock::Names, (key.0, key.1)) {
                self.step(key, family, Step::Remove(stamp, why)).await;
                drop(lock);
            }
            self.refresh(key, false);
        }
        self.pressed = after.is_short();
        if self.pressed && !removed {
            self.press().await;
        }
    }

    /// Nothing is left to remove: the largest live file becomes a rotated one, which can be.
    async fn press(&mut self) {
        let now = Instant::now();
        if now >= self.next_complaint {
            self.next_complaint = now + COMPLAINT;
            self.tell(Event::Problem { log: None, problem: Problem::Full });
        }
        let size = |state: &State| state.growth.map_or(0, |growth| growth.size());
        let ready = self.logs.iter().filter(|(_, state)| now >= state.retry);
        let largest = ready.max_by_key(|(_, state)| size(state)).map(|(key, _)| key.clone());
        if let Some(key) = largest {
            self.act(&key, true).await;
            self.schedule(&key);
        }
    }

    /// What all logs take, with what they grow by before anybody looks again.
    fn need(&self) -> Need {
        let mut need = Need { budget: self.config.budget, ..Need::default() };
        for (key, state) in &self.logs {
            let growth =
                state.growth.map_or(0, |growth| growth.size().saturating_add(growth.soon()));
            need.total = need.total.saturating_add(state.rotated).saturating_add(growth);
            if need.rooms.contains_key(&key.0) {
                continue;
            }
            if let Ok(space) = state.found.log.directory().space() {
                let floor =
                    self.config.min_free.unwrap_or_else(|| (space.total / 50).min(256 << 20));
                need.rooms.insert(key.0, Room { free: space.available, floor });
            }
        }
        need
    }

    /// All rotated files, but those that a runtime may still be writing.
    #[expect(clippy::type_complexity, reason = "a list, and places in it")]
    fn candidates(&self) -> (Vec<(Key, Family)>, Vec<Candidate<(usize, Stamp)>>) {
        let (mut families, mut candidates) = (Vec::new(), Vec::new());
        for (key, state) in &self.logs {
            let Ok(family) = state.found.log.family() else { continue };
            let rotated =
                family.rotated.len() - usize::from(family.live.is_none()).min(family.rotated.len());
            for rotated in family.rotated.iter().take(rotated) {
                let size = rotated.forms.values().map(|meta| meta.allocated).sum();
                let Some((_, meta)) = rotated.best() else { continue };
                let key = (families.len(), rotated.stamp);
                candidates.push(Candidate {
                    key,
                    device: meta.id.0,
                    size,
                    modified: meta.modified,
                });
            }
            families.push((key.clone(), family));
        }
        (families, candidates)
    }
}

fn writers<'a>(client: &'a Client, state: &'a State) -> Writers<'a> {
    let running = state.found.writers.iter().filter(|writer| writer.running);
    Writers { client, ids: running.map(|writer| writer.id.as_str()).collect() }
}

fn situation(state: &State, pressed: bool) -> Situation {
    let aged = state.found.policy.max_age.is_some();
    let oldest = aged.then(|| first_time(&state.found.log)).flatten();
    let since =
        |nanoseconds: i64| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
    Situation {
        now: SystemTime::now(),
        wall: jiff::Zoned::now().datetime(),
        running: state.found.writers.iter().any(|writer| writer.running),
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
