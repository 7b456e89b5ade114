//! The one task that owns which pods there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crilet_api::{
    ApiError, ApplyReport, ApplyRequest, ImageGcReport, ImageGcRequest, PodRef, Problem,
    RestartRequest, StopRequest,
};
use crilet_core::ErrorChain;
use crilet_cri::{
    CriError,
    inventory::{self, Detail},
};
use crilet_log::GonePods;
use crilet_pod::{
    manifest::{self, ReadOptions},
    model::{Backoff, Pod},
    sync::{self, Intent, Keeper, Request, Wanted, marks},
    volumes::Roots,
};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    convert,
    desired::{self, Desired, Entry, Kept},
    gone::Gone,
    happenings::{self, Happening},
    images::Images,
    orphans,
    sources::{self, Change, QUIET, Sources},
    store::{Applied, Store},
    view::{View, not_ready},
};
use crate::Config;

/// How often the directory of manifests is looked at although nothing was heard of it.
const LOOK: Duration = Duration::from_secs(10);

/// What the runtime has told and nobody has looked at yet; more has to wait there.
const HEARD: usize = 64;

/// The first pause before a runtime that did not answer is asked again; it doubles up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What becomes of a command.
pub(super) type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// What the API asks of the manager.
#[derive(Debug)]
pub(super) enum Command {
    Apply(ApplyRequest, Reply<ApplyReport>),
    Delete(PodRef, StopRequest, Reply<()>),
    Stop(PodRef, StopRequest, Reply<()>),
    Start(PodRef, Reply<()>),
    Restart(PodRef, RestartRequest, Reply<()>),
    CollectImages(ImageGcRequest, Reply<ImageGcReport>),
    Configure(Box<Config>),
}

/// A pod that has a worker.
pub(super) struct Worked {
    pub(super) keeper: Keeper,
    entry: watch::Sender<Entry>,
    /// Nothing wants it any more.
    pub(super) leaving: bool,
}

pub(super) struct Manager {
    pub(super) shared: Arc<sync::Node>,
    pub(super) store: Store,
    pub(super) view: Arc<View>,
    pub(super) sources: Sources,
    pub(super) applied: BTreeMap<PodRef, Kept>,
    /// What was applied and cannot be read any more.
    lost: Vec<Problem>,
    pub(super) workers: BTreeMap<PodRef, Worked>,
    pub(super) images: Images,
    tasks: JoinSet<PodRef>,
    /// What the last relist saw of each pod.
    seen: BTreeMap<String, String>,
    orphans_found: bool,
    pub(super) relist: Duration,
    /// How long to wait for a runtime that does not answer; nothing while it does.
    retry: Option<Duration>,
    /// How restarts wait of pods that do not say it themselves.
    pub(super) backoff: Backoff,
    stop: CancellationToken,
    root: std::path::PathBuf,
    gone: Gone,
}

impl Manager {
    pub(super) fn new(
        config: &Config,
        options: ReadOptions,
        shared: Arc<sync::Node>,
        store: Store,
        view: Arc<View>,
        gone: GonePods,
        stop: CancellationToken,
    ) -> Self {
        let gone = Gone::new(options.log_root.clone(), &store, gone);
        let good = store.good().map(|good| (good.all, good.damaged));
        let (good, unusable) = good.unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
        for what in unusable {
            tracing::error!(what, "a manifest that was good before cannot be read");
        }
        let (applied, lost) = read_all_applied(&store, &options);
        Self {
            applied,
            lost,
            sources: Sources::new(config.pods_dir.clone(), options, good),
            images: Images::new(config.images),
            shared,
            store,
            view,
            workers: BTreeMap::new(),
            tasks: JoinSet::new(),
            seen: BTreeMap::new(),
            orphans_found: false,
            relist: config.relist_interval,
            retry: None,
            backoff: backoff(config),
            stop,
            root: config.pods_dir.clone(),
            gone,
        }
    }

    /// Runs until the node is shut down. Every branch only receives, so that any may be dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let (_watcher, mut changes) = sources::watch(&self.root);
        let (heard, mut happenings) = mpsc::channel(HEARD);
        let listener = tokio::spawn(happenings::listen(self.shared.client.clone(), heard));
        let mut look_at = Some(Instant::now());
        let mut relist = tokio::time::interval(self.relist);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = look_at.unwrap_or_else(|| Instant::now() + LOOK);
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(command) = commands.recv() => {
                    self.serve(command).await;
                    if relist.period() != self.relist {
                        relist = tokio::time::interval(self.relist);
                    }
                }
                Some(change) = changes.recv() => {
                    let wait = if change == Change::Done { Duration::ZERO } else { QUIET };
                    look_at = Some(Instant::now() + wait);
                }
                () = tokio::time::sleep_until(due) => {
                    let again = self.sources.scan(&self.store);
                    look_at = again.map(|wait| Instant::now() + wait);
                    // First, so that nobody takes the name of what has yet to go.
                    self.find_orphans().await;
                    self.reconcile();
                }
                _ = relist.tick() => {
                    self.relist().await;
                    if let Some(pause) = self.retry {
                        relist.reset_after(pause);
                    }
                }
                Some(happening) = happenings.recv() => match happening {
                    Happening::Ended(uid) => self.look_at(&uid),
                    Happening::Missed => relist.reset_immediately(),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
            }
        }
        listener.abort();
        // Workers hear of it by the same token; pods stay as they are.
        while self.tasks.join_next().await.is_some() {}
    }

    /// Makes the workers be those of the pods that should be there.
    pub(super) fn reconcile(&mut self) {
        let Desired { pods, mut problems, .. } =
            desired::merge(&self.sources, &self.applied, self.backoff);
        problems.extend(self.lost.iter().cloned());
        desired::tell_new(&problems, &self.view.problems());
        self.view.set_problems(problems);
        for (key, entry) in &pods {
            self.want(key, entry);
        }
        for (key, worked) in &mut self.workers {
            if !pods.contains_key(key) && !worked.leaving {
                leave(worked, None);
                self.view.wish(key, crilet_api::Desired::Deleted);
            }
        }
    }

    fn want(&mut self, key: &PodRef, entry: &Entry) {
        let stopped = self.store.is_stopped(key);
        let intent = if stopped { Intent::Stop } else { Intent::Run };
        let Some(worked) = self.workers.get_mut(key) else {
            return self.start(key, entry.clone(), intent);
        };
        let wanted = worked.keeper.wanted();
        if wanted.pod.uid != entry.pod.uid {
            // Another pod of the same name: it comes when this one is gone.
            return leave(worked, None);
        }
        worked.leaving = false;
        worked.entry.send_if_modified(|former| {
            let changed = former.source != entry.source || former.problems != entry.problems;
            if changed {
                desired::tell_new(&entry.problems, &former.problems);
                former.source = entry.source.clone();
                former.problems = entry.problems.clone();
            }
            changed
        });
        if wanted.intent != intent || *wanted.pod != *entry.pod {
            if intent == Intent::Run && is_made_anew(&wanted.pod, &entry.pod) {
                self.view.wish(key, crilet_api::Desired::Running);
            }
            let pod = Arc::clone(&entry.pod);
            worked.keeper.want(Wanted { pod, intent, grace: None });
        }
    }

    pub(super) fn start(&mut self, key: &PodRef, entry: Entry, intent: Intent) {
        if intent != Intent::Delete {
            self.gone.begin(&entry.pod, &self.store);
        }
        desired::tell_new(&entry.problems, &[]);
        let wanted = Wanted { pod: Arc::clone(&entry.pod), intent, grace: None };
        let (keeper, work) = sync::keep(Arc::clone(&self.shared), wanted, self.stop.clone());
        self.view.expect(key.clone());
        self.view.show(convert::unseen(&entry, intent));
        let (sender, receiver) = watch::channel(entry);
        let show = show(Arc::clone(&self.view), keeper.status(), keeper.wishes(), receiver);
        let name = key.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = show => {}
            }
            name
        });
        self.workers.insert(key.clone(), Worked { keeper, entry: sender, leaving: false });
    }

    fn ended(&mut self, ended: Result<PodRef, tokio::task::JoinError>) {
        match ended {
            Ok(key) if !self.stop.is_cancelled() => {
                self.workers.remove(&key);
                self.view.remove(&key);
                tracing::info!(pod = %key, "pod gone");
                self.reconcile();
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a worker ended by itself"),
        }
    }

    /// Has the pod of this uid looked at, if it is kept.
    fn look_at(&self, uid: &str) {
        let mut workers = self.workers.values();
        if let Some(worked) = workers.find(|one| one.keeper.wanted().pod.uid == uid) {
            worked.keeper.ask(Request::Look);
        }
    }

    /// The safety net: has those pods looked at of which the runtime says something else than the
    /// last time.
    async fn relist(&mut self) {
        let shared = Arc::clone(&self.shared);
        let client = &shared.client;
        let pods = match tokio::try_join!(inventory::read(client, Detail::Lists), client.version())
        {
            Ok((pods, version)) => {
                let version = (version.runtime_name, version.runtime_version);
                if self.retry.take().is_some() {
                    tracing::info!(runtime = version.0, version = version.1, "the runtime answers");
                }
                self.view.set_runtime(Ok(version));
                pods
            }
            Err(error) => return self.without_runtime(&error),
        };
        self.find_orphans().await;
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| marks::is_kept(pod)) {
            let states = pod.containers.iter().map(|found| format!("{} {}", found.id, found.state));
            let states: String = states.collect();
            let text = format!("{} {} {states};", pod.id, pod.state);
            seen.entry(pod.uid.clone()).or_default().push_str(&text);
        }
        for worked in self.workers.values() {
            let uid = &worked.keeper.wanted().pod.uid;
            if self.seen.get(uid) != seen.get(uid) {
                worked.keeper.ask(Request::Look);
            }
        }
        self.seen = seen;
        // Before it is known what is wanted, everything looks gone.
        if self.orphans_found {
            let (seen, workers) = (&self.seen, &self.workers);
            let worked = |uid: &str| workers.values().any(|one| one.keeper.wanted().pod.uid == uid);
            let is_here = |uid: &str| seen.contains_key(uid) || worked(uid);
            self.gone.settle(is_here, Timestamp::now(), &self.store);
        }
        self.images.relisted(client, &self.view).await;
    }

    /// Waits for a runtime that does not answer, and says so once.
    fn without_runtime(&mut self, error: &CriError) {
        let error = ErrorChain(error).to_string();
        if self.retry.is_none() {
            tracing::warn!(error, "the runtime does not answer; it is waited for");
        }
        let pause = self.retry.map_or(FIRST_RETRY, |pause| (pause * 2).min(LAST_RETRY));
        self.retry = Some(pause.min(self.relist));
        self.view.set_runtime(Err(error));
    }

    /// What was lost may have been given anew.
    pub(super) fn find_lost_again(&mut self) {
        if !self.lost.is_empty() {
            self.lost = read_all_applied(&self.store, self.sources.options()).1;
        }
    }

    /// Takes down what nobody wants any more. Only once, and only when it is known what is wanted:
    /// what is missing because it could not be read must not look like what was taken away.
    async fn find_orphans(&mut self) {
        if self.orphans_found || !self.sources.are_known() || !self.lost.is_empty() {
            return;
        }
        let desired = desired::merge(&self.sources, &self.applied, self.backoff);
        let mut wanted: BTreeSet<String> = desired.uids().into_iter().map(Into::into).collect();
        wanted.extend(self.workers.values().map(|worked| worked.keeper.wanted().pod.uid.clone()));
        let roots = Roots::below(&self.shared.data);
        let orphans = match orphans::find(&self.shared.client, &roots, &wanted).await {
            Ok(orphans) => orphans,
            Err(error) => {
                // The relist says that the runtime is away, and tries this again.
                tracing::debug!(error = %ErrorChain(&error), "cannot look for orphans");
                return;
            }
        };
        self.orphans_found = true;
        for pod in orphans {
            let key = PodRef::new(&pod.namespace, &pod.name);
            if self.workers.contains_key(&key) {
                // Its turn comes when the name is free.
                self.orphans_found = false;
                continue;
            }
            tracing::info!(pod = %pod.full_name(), uid = pod.uid, "nobody wants this pod any more");
            let entry = Entry { pod, source: Default::default(), problems: Vec::new() };
            self.start(&key, entry, Intent::Delete);
        }
    }
}

/// The configuration keeps its order; what does not is the kubelet's.
pub(super) fn backoff(config: &Config) -> Backoff {
    let restart = &config.restart;
    Backoff::try_new(restart.initial, restart.max, restart.reset).unwrap_or_default()
}

/// Has a pod go.
pub(super) fn leave(worked: &mut Worked, grace: Option<Duration>) {
    worked.leaving = true;
    let wanted = worked.keeper.wanted();
    worked.keeper.want(Wanted { intent: Intent::Delete, grace, ..wanted });
}

/// What was applied, and a problem for each of it that cannot be read any more.
fn read_all_applied(
    store: &Store,
    options: &ReadOptions,
) -> (BTreeMap<PodRef, Kept>, Vec<Problem>) {
    let (stored, mut lost) = match store.applied() {
        Ok(stored) => (stored.all, stored.damaged),
        Err(error) => (Vec::new(), vec![error.to_string()]),
    };
    let mut read = BTreeMap::new();
    for applied in stored {
        match read_applied(&applied, options) {
            Some(pod) => {
                read.insert(applied.pod.clone(), Kept { applied, pod });
            }
            None => lost.push(format!("the manifest of pod `{}`", applied.pod)),
        }
    }
    let problem = |what: String| {
        tracing::error!(what, "what was applied cannot be read any more");
        let message = format!(
            "what was applied cannot be read any more; apply it again, until then no pod is \
             removed because nobody wants it: {what}"
        );
        desired::problem("LostManifest", message)
    };
    (read, lost.into_iter().map(problem).collect())
}

/// Reads an applied pod out of the texts that it came in.
pub(super) fn read_applied(applied: &Applied, options: &ReadOptions) -> Option<Arc<Pod>> {
    let manifests = manifest::read(&sources::texts(&applied.files), options).ok()?;
    let is_it = |pod: &Pod| pod.namespace == applied.pod.namespace && pod.name == applied.pod.name;
    manifests.pods.into_iter().find(is_it).map(Arc::new)
}

/// Whether an edit makes containers or the sandbox anew.
fn is_made_anew(old: &Pod, new: &Pod) -> bool {
    old.sandbox_hash != new.sandbox_hash
        || new
            .all_containers()
            .any(|new| old.container(&new.name).is_none_or(|old| old.hash != new.hash))
}

/// Shows what a worker sees, whenever it changes.
async fn show(
    view: Arc<View>,
    mut status: watch::Receiver<Option<Arc<sync::Status>>>,
    mut wishes: watch::Receiver<Wanted>,
    mut entry: watch::Receiver<Entry>,
) {
    loop {
        let pod = {
            let (status, entry) = (status.borrow_and_update(), entry.borrow_and_update());
            let wanted = wishes.borrow_and_update();
            status.as_ref().map(|status| {
                let mut pod = convert::pod(&entry, status);
                // The worker has not looked since it was told.
                if wanted.intent == Intent::Run && is_made_anew(&status.pod, &wanted.pod) {
                    not_ready(&mut pod);
                }
                pod
            })
        };
        if let Some(pod) = pod {
            view.show(pod);
        }
        let changed = tokio::select! {
            changed = status.changed() => changed,
            changed = entry.changed() => changed,
            changed = wishes.changed() => changed,
        };
        if changed.is_err() {
            // The worker or the manager has ended; the other side of the select ends the task.
            std::future::pending::<()>().await;
        }
    }
}
