//! Keeps all logs of a node within their limits, for as long as it runs.

mod list;
mod look;
mod room;
mod steps;

use std::{
    collections::BTreeMap, collections::BTreeSet, ffi::OsString, path::PathBuf, sync::Arc,
    time::Duration,
};

use crilet_cri::{Client, CriError};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::list::{Known, Listed, listed};
use super::{
    compressor::{Compressor, Done},
    discover::ContainerLog,
    event::{Event, Problem},
    gone::{GonePods, Leftover},
    growth::Growth,
};
use crate::{
    error::LogError,
    files::Stamp,
    follow::{Waker, Watch},
    rotate::{Locks, Need, Policy, Reopen},
};

/// Between two looks at what a plan depends on besides the live file: ages, leftovers.
const THOROUGH: Duration = Duration::from_secs(60);
/// Until somebody else is done with a directory.
const TURN: Duration = Duration::from_millis(50);
/// How long a single pass waits for that.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a silent log where inotify does not tell.
const UNWATCHED: Duration = Duration::from_secs(1);
/// Between two looks at free space.
const SPACE: Duration = Duration::from_millis(10);
/// How long a live file may be missing before the runtime is asked for it: somebody who was killed may have
/// asked just before.
const COMING: Duration = Duration::from_millis(500);
/// How long a runtime may take to reopen a log, which is a thousand times what it takes: all other
/// logs wait for it, and grow.
const REOPEN: Duration = Duration::from_secs(1);
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
    /// How long logs of pods that are gone are kept; absent for as long as there is room.
    pub keep_gone: Option<Duration>,
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
            keep_gone: None,
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
    /// The same, for calls that all logs wait for.
    reopening: Client,
    config: Config,
    watch: Arc<Watch>,
    observer: Observer,
    locks: Locks,
    compressor: Compressor,
    done: UnboundedReceiver<Done>,
    logs: BTreeMap<Key, State>,
    pods: Known,
    /// The runtime is being asked.
    listing: Option<JoinHandle<Listed>>,
    next_list: Instant,
    next_discovery: Instant,
    next_space: Instant,
    next_complaint: Instant,
    /// What is missing, when there is nothing left to remove.
    pressed: Option<Need>,
    told: BTreeSet<String>,
    poked: Arc<Notify>,
    gone: GonePods,
    leftovers: Vec<Leftover>,
    next_leftovers: Instant,
    /// Logs whose turn it was not.
    busy: BTreeSet<Key>,
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
    /// Since when the container runs and there is no live file.
    missing: Option<Instant>,
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
        let poked = Arc::default();
        let mut deadlines = client.deadlines();
        deadlines.query = deadlines.query.min(REOPEN);
        Ok(Self {
            reopening: client.clone().with_deadlines(deadlines),
            client,
            config,
            watch,
            observer: Box::new(observer),
            locks,
            compressor,
            done,
            logs: BTreeMap::new(),
            pods: Known::new(),
            listing: None,
            next_list: now,
            next_discovery: now,
            next_space: now,
            next_complaint: now,
            pressed: None,
            told: BTreeSet::new(),
            gone: GonePods::new(Arc::clone(&poked)),
            leftovers: Vec::new(),
            next_leftovers: now,
            poked,
            busy: BTreeSet::new(),
            problems: 0,
        })
    }

    /// What wakes the rotator: whoever has started a container calls `notify_one` on it, and the new
    /// log is bounded at once instead of within [`Config::relist`].
    pub fn poke(&self) -> Arc<Notify> {
        Arc::clone(&self.poked)
    }

    /// What tells it of pods that are gone.
    pub fn gone_pods(&self) -> GonePods {
        self.gone.clone()
    }

    /// Runs until it is cancelled. A runtime that is away is waited for.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            self.turn().await;
            if self.listing.is_none() && Instant::now() >= self.next_list {
                self.start_list();
            }
            let list = if self.listing.is_none() { Some(self.next_list) } else { None };
            let next = self.logs.values().map(|state| state.next).chain(list).min();
            let next = next.unwrap_or_else(|| Instant::now() + THOROUGH);
            // Every arm only waits: what is not taken now is there the next time.
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(done) = self.done.recv() => self.compressed(done),
                Some(listed) = listed(&mut self.listing) => self.take_list(listed),
                () = self.poked.notified() => self.wake_up(),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Looks at every log once, and waits for what is compressed; gives how many things were wrong.
    pub async fn once(mut self) -> usize {
        self.start_list();
        if let Some(listed) = listed(&mut self.listing).await {
            self.take_list(listed);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.turn().await;
            while !self.compressor.is_idle() {
                let Some(done) = self.done.recv().await else { break };
                self.compressed(done);
            }
            let busy = std::mem::take(&mut self.busy);
            if busy.is_empty() || Instant::now() > deadline {
                return self.problems;
            }
            tokio::time::sleep(TURN).await;
            let now = Instant::now();
            for key in busy {
                if let Some(state) = self.logs.get_mut(&key) {
                    (state.next, state.next_thorough) = (now, now);
                }
            }
        }
    }

    /// Does what is due.
    async fn turn(&mut self) {
        let now = Instant::now();
        let due = self.logs.iter().filter(|(_, state)| state.next <= now || state.waker.is_woken());
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.look(key).await;
        }
        if now >= self.next_leftovers {
            self.next_leftovers = now + THOROUGH;
            self.forget_old();
        }
        if !due.is_empty() {
            self.make_room().await;
        }
    }

    /// Somebody wrote a silent log, or said that there are new ones.
    fn wake_up(&mut self) {
        if !self.logs.values().any(|state| state.waker.is_woken()) {
            let now = Instant::now();
            (self.next_list, self.next_leftovers) = (now, now);
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
}
