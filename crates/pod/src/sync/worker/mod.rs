//! One task for each pod: it looks, plans, acts, and waits for something to happen.
//!
//! ```text
//!   look ──▶ plan ──▶ begin what is planned ──▶ wait ──▶ look …
//!                                                │
//!            an action ended · a process ended · a probe's verdict · an edit · a request · `wake`
//! ```
//!
//! Actions run side by side as tasks of their own; the worker alone changes its [`Memory`]. Every
//! branch of its wait is safe to drop: each is a receiver or a join of tasks that go on.

mod act;
mod ask;
mod cgroups;
mod exits;
mod look;
mod probes;
mod pulls;
mod start;
mod stop;
mod tls;
mod usage;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use crilet_core::ErrorChain;
use crilet_cri::{Client, CriError, inventory::Pod as Sandbox};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    act::{Done, Effect},
    exits::{Exits, Heard, Watched},
    probes::{Running, Verdict},
};
pub use self::{cgroups::CgroupParent, pulls::Pulls};
use super::{
    Action, Answers, Condemned, Event, EventSink, Health, Intent, Keep, Memory, Plan,
    ProbeKind as Kind, Status, Target, Why, names::Directory, observe::observe, plan, status,
};
use crate::{StateDir, images::Credentials, model::Pod, render::NodeFacts};

/// The first pause after the runtime could not be asked; it doubles up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What all pods of a node share.
#[derive(Debug)]
pub struct Node {
    /// The runtime.
    pub client: Client,
    /// What the machine is.
    pub facts: NodeFacts,
    /// Addresses of the machine.
    pub host_ips: Vec<IpAddr>,
    /// The control group that pods go below that name none; see [`crate::render::SandboxFacts`].
    pub cgroup_parent: CgroupParent,
    /// Where pods' files go that live as long as a sandbox.
    pub state: StateDir,
    /// Where volumes go.
    pub data: PathBuf,
    /// Where credentials of registries come from.
    pub credentials: Credentials,
    /// How many ended containers of each name are kept.
    pub keep_dead: AtomicUsize,
    /// How often volumes with a limit are measured.
    pub measure_every: Duration,
    /// The pulls under way.
    pub pulls: Pulls,
    /// What probes were answered last.
    pub answers: Arc<Answers>,
    /// Where pods find each other by name.
    pub names: Directory,
    /// Who hears of events.
    pub events: Arc<dyn EventSink>,
}

/// What is wanted of a pod.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What is to become of it.
    pub intent: Intent,
    /// Instead of the pod's grace period.
    pub grace: Option<Duration>,
}

/// Something that is asked of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Look at the pod: something about it may have changed.
    Look,
    /// Restart a container, or all of them but init containers.
    Restart(Option<String>),
}

/// The way to a worker.
#[derive(Debug)]
pub struct Keeper {
    wanted: watch::Sender<Wanted>,
    requests: mpsc::UnboundedSender<Request>,
    status: watch::Receiver<Option<Arc<Status>>>,
}

impl Keeper {
    /// Changes what is wanted.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_replace(wanted);
    }

    /// What is wanted now.
    pub fn wanted(&self) -> Wanted {
        self.wanted.borrow().clone()
    }

    /// What is wanted, and every change of it.
    pub fn wishes(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Asks something. A worker that is gone has nothing left to do.
    pub fn ask(&self, request: Request) {
        let _gone = self.requests.send(request).is_err();
    }

    /// What the pod is; nothing until the first look.
    pub fn status(&self) -> watch::Receiver<Option<Arc<Status>>> {
        self.status.clone()
    }
}

/// Makes a worker: the way to it, and what it does, which is to be spawned. It ends when the pod is
/// to be deleted and gone, or when `stop` is cancelled; then the pod is left as it is.
pub fn keep(
    node: Arc<Node>,
    wanted: Wanted,
    stop: CancellationToken,
) -> (Keeper, impl Future<Output = ()> + Send) {
    node.names.expect(&wanted.pod.uid);
    let (wanted, wanted_receiver) = watch::channel(wanted);
    let (requests, request_receiver) = mpsc::unbounded_channel();
    let (status, status_receiver) = watch::channel(None);
    let (probes, verdicts) = Running::new(Arc::clone(&node.answers));
    let worker = Worker {
        node,
        wanted: wanted_receiver,
        requests: request_receiver,
        status,
        memory: Memory::default(),
        observed: Vec::new(),
        look_due: true,
        written: None,
        tasks: JoinSet::new(),
        measure_at: None,
        starts: BTreeMap::new(),
        exits: Exits::default(),
        probes,
        verdicts,
    };
    let keeper = Keeper { wanted, requests, status: status_receiver };
    let run = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = worker.run() => {}
        }
    };
    (keeper, run)
}

struct Worker {
    node: Arc<Node>,
    wanted: watch::Receiver<Wanted>,
    requests: mpsc::UnboundedReceiver<Request>,
    status: watch::Sender<Option<Arc<Status>>>,
    memory: Memory,
    observed: Vec<Sandbox>,
    /// Whether the runtime is to be asked before the next plan.
    look_due: bool,
    /// The pod whose files have been written last.
    written: Option<Arc<Pod>>,
    tasks: JoinSet<Done>,
    /// When volumes are measured again.
    measure_at: Option<Instant>,
    /// Ends a start that is under way.
    starts: BTreeMap<Target, CancellationToken>,
    exits: Exits,
    probes: Running,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if std::mem::replace(&mut self.look_due, true) {
                self.look(&wanted.pod).await;
            }
            let keep = Keep { dead: self.node.keep_dead.load(Ordering::Relaxed) };
            let (pod, now) = (&wanted.pod, SystemTime::now());
            let plan = plan(pod, wanted.intent, &self.observed, &self.memory, keep, now);
            let gone = plan.gone && self.tasks.is_empty();
            self.begin(&wanted, &plan);
            self.update_files(&wanted);
            self.measure_usage(&wanted);
            self.publish(&wanted, &plan);
            if gone {
                return self.node.names.set(&wanted.pod.uid, None);
            }
            self.wait(plan.wake).await;
        }
    }

    fn begin(&mut self, wanted: &Wanted, plan: &Plan) {
        for action in &plan.actions {
            // Containers that are just being started would come back after their end.
            if matches!(action, Action::StopSandbox { .. }) && !self.starts.is_empty() {
                self.starts.values().for_each(CancellationToken::cancel);
                continue;
            }
            let target = action.target();
            let cancel = CancellationToken::new();
            if matches!(action, Action::StartContainer { .. }) {
                self.starts.insert(target.clone(), cancel.clone());
            }
            self.memory.busy.insert(target);
            let job = act::Job {
                node: Arc::clone(&self.node),
                pod: Arc::clone(&wanted.pod),
                grace: wanted.grace,
                sandboxes: self.observed.clone(),
                cancel,
            };
            self.tasks.spawn(job.perform(action.clone()));
        }
    }

    /// Brings mounted files of a pod that runs up to date with its manifest, once for each.
    fn update_files(&mut self, wanted: &Wanted) {
        let written = self.written.as_ref().is_some_and(|pod| Arc::ptr_eq(pod, &wanted.pod));
        if written || wanted.intent != Intent::Run || self.observed.is_empty() {
            return;
        }
        self.written = Some(Arc::clone(&wanted.pod));
        let job = act::Job {
            node: Arc::clone(&self.node),
            pod: Arc::clone(&wanted.pod),
            grace: None,
            sandboxes: Vec::new(),
            cancel: CancellationToken::new(),
        };
        self.tasks.spawn(job.update_files());
    }

    fn publish(&mut self, wanted: &Wanted, plan: &Plan) {
        let status = status(&wanted.pod, wanted.intent, &self.observed, &self.memory, plan);
        self.status.send_if_modified(|former| {
            let changed = former.as_deref() != Some(&status);
            if changed {
                *former = Some(Arc::new(status));
            }
            changed
        });
    }

    /// Waits until something happens that a new look is due for.
    async fn wait(&mut self, wake: Option<SystemTime>) {
        let sleep = async {
            match wake {
                Some(at) => {
                    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                    tokio::time::sleep(left).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(done),
            heard = self.exits.next() => self.hear(heard),
            Some(verdict) = self.verdicts.recv() => self.judge(verdict),
            Some(request) = self.requests.recv() => self.serve(request),
            changed = self.wanted.changed() => {
                // Nobody can want anything else any more; what is wanted last goes on to hold.
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            () = sleep => {}
            () = usage::due(self.measure_at) => {}
        }
    }

    /// What was heard of an end is all that is new: the runtime need not be asked before it knows.
    fn hear(&mut self, heard: Heard) {
        if let Heard::Ended(Watched::Container(id)) = heard {
            self.memory.ended.insert(id, SystemTime::now());
            self.look_due = false;
        }
    }

    fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // The target stays busy: doing again what panics would only panic again.
                return tracing::error!(%error, "an action ended by itself");
            }
        };
        // Files are nothing that the runtime knows of.
        self.look_due = done.target != Target::Files;
        self.memory.busy.remove(&done.target);
        self.starts.remove(&done.target);
        match done.effect {
            Ok(effect) => {
                self.memory.failures.remove(&done.target);
                self.apply(effect);
            }
            Err(failure) if failure.is_cancelled() => {}
            Err(failure) => {
                let (reason, message) = (failure.reason, failure.message.clone());
                self.tell(failure.container, true, reason, failure.message);
                self.memory.failed(done.target, SystemTime::now(), reason, message);
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::SandboxStopped(id) => {
                self.memory.stopped.insert(id);
            }
            Effect::FilesRemoved => self.memory.files_removed = true,
            Effect::OverLimit(message) => self.evict(message),
            Effect::HookFailed { container, message } => {
                self.condemn(&container, Why::PostStartHook, None);
                self.tell(None, true, "FailedPostStartHook", message);
            }
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        let all = self.observed.iter().flat_map(|sandbox| &sandbox.containers);
        let Some(found) = all.clone().find(|found| found.id == verdict.container) else { return };
        let name = found.name.clone();
        let wanted = self.wanted.borrow().pod.clone();
        let Some(container) = wanted.container(&name) else { return };
        let readiness = container.probes.readiness.is_some();
        let health = self.memory.health.entry(verdict.container.clone()).or_default();
        match (verdict.kind, verdict.success) {
            (Kind::Startup, true) => {
                *health = Health { started: true, ready: !readiness };
            }
            (Kind::Readiness, ready) => health.ready = ready,
            (Kind::Liveness, true) => {}
            (kind, false) => {
                health.ready = false;
                let (why, probe) = match kind {
                    Kind::Startup => (Why::StartupProbe, &container.probes.startup),
                    _ => (Why::LivenessProbe, &container.probes.liveness),
                };
                let grace = probe.as_ref().and_then(|probe| probe.grace);
                self.condemn(&verdict.container, why, grace);
            }
        }
        if !verdict.success {
            let message = format!("{:?} probe failed: {}", verdict.kind, verdict.message);
            self.tell(Some(name), true, "Unhealthy", message);
        }
    }

    fn condemn(&mut self, id: &str, why: Why, grace: Option<Duration>) {
        self.memory.condemned.insert(id.to_owned(), Condemned { why, grace });
    }

    fn serve(&mut self, request: Request) {
        let Request::Restart(which) = request else { return };
        let pod = self.wanted.borrow().pod.clone();
        let Some(sandbox) =
            self.observed.iter().max_by_key(|sandbox| (sandbox.attempt, sandbox.created_at))
        else {
            return;
        };
        let plain_init =
            |name: &str| pod.init.iter().any(|init| init.name == name && !init.is_sidecar());
        let meant =
            |name: &str| which.as_deref().map_or_else(|| !plain_init(name), |which| which == name);
        let ids: Vec<String> = sandbox
            .containers
            .iter()
            .filter(|found| meant(&found.name))
            .map(|found| found.id.clone())
            .collect();
        for id in ids {
            self.condemn(&id, Why::Requested, None);
        }
    }

    fn tell(
        &self,
        container: Option<String>,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let pod = self.wanted.borrow().pod.full_name();
        self.node.events.event(Event { pod, container, warning, reason, message });
    }
}

/// Words for what the runtime said, with the hint.
fn words(error: &CriError) -> String {
    let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}{hint}", ErrorChain(error))
}
