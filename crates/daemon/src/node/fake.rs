//! A node that answers from memory behind the real API, for tests of clients.
//!
//! What is asked of it takes effect at once, unless [`FakeNode::hold`] says that it is to be slow;
//! pods come from manifests that are read no further than their names, or from the test.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use crilet_api::{
    Action, ApiError, AppliedPod, ApplyReport, ApplyRequest, Check, Condition, ConditionStatus,
    Container, ContainerState, Desired, ErrorCode, Finding, Health, ImageGcReport, ImageGcRequest,
    ManifestFile, NodeInfo, Phase, Pod, PodList, PodRef, RestartRequest, Sandbox, Source, Stats,
    StopRequest,
};
use crilet_core::{
    ErrorChain,
    yaml::{self, Node as Yaml, Value},
};
use crilet_log::{Counts, LogError};
use crilet_stream::{Connection, Session, Streams};
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};

use super::{Answer, LogRequest, LogStream, Node};
use crate::{
    Config, EventLog,
    http::{Server, Socket},
};

/// Something that was asked of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Call {
    Apply(ApplyRequest),
    Delete(PodRef, StopRequest),
    Stop(PodRef, StopRequest),
    Start(PodRef),
    Restart(PodRef, RestartRequest),
    CollectImages(ImageGcRequest),
    Configure,
}

/// The node.
#[derive(Debug)]
pub struct FakeNode {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
    events: EventLog,
}

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<PodRef, Arc<Pod>>,
    texts: BTreeMap<PodRef, String>,
    calls: Vec<Call>,
    held: bool,
    reports: VecDeque<Result<ApplyReport, ApiError>>,
    stats: Option<Stats>,
    images: ImageGcReport,
    info: NodeInfo,
    gate: Option<Gate>,
    log: Option<WriteLog>,
}

/// Writes a log, or fails to.
type Writing = dyn Fn(&mut dyn Write) -> Result<(), LogError> + Send + Sync;

/// Writes the log of every pod.
#[derive(Clone)]
struct WriteLog(Arc<Writing>);

impl fmt::Debug for WriteLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WriteLog")
    }
}

/// What the next start waits at.
#[derive(Debug)]
struct Gate {
    reached: oneshot::Sender<()>,
    opened: oneshot::Receiver<()>,
}

impl FakeNode {
    /// What the log of every pod is from now on.
    pub fn set_log(
        &self,
        log: impl Fn(&mut dyn Write) -> Result<(), LogError> + Send + Sync + 'static,
    ) {
        self.lock().log = Some(WriteLog(Arc::new(log)));
    }

    /// A node without pods.
    pub fn new() -> Arc<Self> {
        let health = Health {
            live: true,
            ready: true,
            checks: vec![Check { name: "runtime".to_owned(), ok: true, message: String::new() }],
        };
        let info = NodeInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: "fake".to_owned(),
            health,
            ..NodeInfo::default()
        };
        Arc::new(Self {
            state: Mutex::new(State { info, ..State::default() }),
            revision: watch::Sender::new(1),
            events: EventLog::new(),
        })
    }

    /// Puts a pod there, or another in its place.
    pub fn put(&self, pod: Pod) {
        self.change(|state, revision| {
            let pod = Arc::new(Pod { revision, ..pod });
            state.pods.insert(pod.reference(), pod);
        });
    }

    /// Changes a pod that is there.
    pub fn edit(&self, pod: &PodRef, edit: impl FnOnce(&mut Pod)) {
        self.change(|state, revision| {
            if let Some(found) = state.pods.get_mut(pod) {
                let found = Arc::make_mut(found);
                edit(found);
                found.revision = revision;
            }
        });
    }

    /// Takes a pod away.
    pub fn remove(&self, pod: &PodRef) {
        self.change(|state, _| drop(state.pods.remove(pod)));
    }

    /// From now on, what is asked for is taken and does not happen; or does, again.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
    }

    /// The next start of a pod tells when it is asked for, and waits until it may go on.
    pub fn gate(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, reaches) = oneshot::channel();
        let (opens, opened) = oneshot::channel();
        self.lock().gate = Some(Gate { reached, opened });
        (reaches, opens)
    }

    /// The next apply reports this, and does nothing.
    pub fn report(&self, report: Result<ApplyReport, ApiError>) {
        self.lock().reports.push_back(report);
    }

    /// What is measured from now on; before that, measuring fails.
    pub fn measure(&self, stats: Stats) {
        self.lock().stats = Some(stats);
    }

    /// What a collection of images does from now on.
    pub fn collects(&self, report: ImageGcReport) {
        self.lock().images = report;
    }

    /// Changes what is told of the daemon.
    pub fn describe(&self, edit: impl FnOnce(&mut NodeInfo)) {
        edit(&mut self.lock().info);
    }

    /// What was asked of the node, reading apart.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// A pod with one running container, as [`FakeNode`] makes them.
    pub fn pod_named(namespace: &str, name: &str) -> Pod {
        let now = Timestamp::now();
        let mut pod = Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            source: Source::Applied { file: format!("{name}.yaml"), line: Some(1), set: None },
            created_at: now,
            grace_seconds: 30,
            containers: vec![Container {
                name: "main".to_owned(),
                image: "app:1".to_owned(),
                ..Container::default()
            }],
            ..Pod::default()
        };
        come_up(&mut pod);
        pod
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State, u64)) {
        let mut state = self.lock();
        let revision = *self.revision.borrow() + 1;
        change(&mut state, revision);
        self.revision.send_replace(revision);
    }

    /// Remembers a call. After it has had its effect, so that who sees the call sees that as well.
    fn note(&self, call: Call) {
        self.lock().calls.push(call);
    }

    fn happens(&self) -> bool {
        !self.lock().held
    }

    fn act(&self, pod: &PodRef, call: Call, edit: fn(&mut Pod)) -> Result<(), ApiError> {
        if !self.lock().pods.contains_key(pod) {
            return Err(ApiError::no_such_pod(pod));
        }
        self.edit(pod, if self.happens() { edit } else { going(&call) });
        self.note(call);
        Ok(())
    }

    fn apply_now(&self, request: ApplyRequest) -> Result<ApplyReport, ApiError> {
        let report = self.take(&request);
        self.note(Call::Apply(request));
        report
    }

    fn take(&self, request: &ApplyRequest) -> Result<ApplyReport, ApiError> {
        if let Some(report) = self.lock().reports.pop_front() {
            return report;
        }
        let mut report = ApplyReport { dry_run: request.dry_run, ..ApplyReport::default() };
        let files = request.sources.iter().flat_map(|source| &source.files);
        let named = files.map(names).collect::<Result<Vec<_>, _>>()?;
        for (pod, text) in named.into_iter().flatten() {
            let PodRef { namespace, name } = pod.clone();
            let known = self.lock().texts.get(&pod).cloned();
            let action = match known {
                None => Action::Created,
                Some(known) if known == text => Action::Unchanged,
                Some(_) => Action::Changed,
            };
            report.pods.push(AppliedPod { namespace, name, action, ..AppliedPod::default() });
            if !request.dry_run {
                self.lock().texts.insert(pod.clone(), text);
                let mut made = Self::pod_named(&pod.namespace, &pod.name);
                if !self.happens() {
                    made.phase = Phase::Pending;
                    made.conditions.clear();
                }
                if action != Action::Unchanged {
                    self.put(made);
                }
            }
        }
        Ok(report)
    }
}

fn come_up(pod: &mut Pod) {
    let now = Timestamp::now();
    pod.desired = Desired::Running;
    pod.phase = Phase::Running;
    pod.started_at = Some(now);
    pod.sandbox = Some(Sandbox { id: "5".repeat(64), created_at: now, ready: true, attempt: 0 });
    let ready = |kind: &str| Condition {
        kind: kind.to_owned(),
        status: ConditionStatus::True,
        since: now,
        ..Condition::default()
    };
    pod.conditions = ["ContainersReady", "Ready"].map(ready).into();
    for container in &mut pod.containers {
        container.state = ContainerState::Running { started_at: now };
        (container.ready, container.started) = (true, true);
    }
}

/// What a pod is from the answer to a request on, until it has been done.
fn going(call: &Call) -> fn(&mut Pod) {
    match call {
        Call::Delete(..) => |pod| pod.desired = Desired::Deleted,
        Call::Stop(..) => |pod| {
            pod.desired = Desired::Stopped;
            pod.phase = Phase::Stopping;
        },
        _ => |pod| {
            pod.desired = Desired::Running;
            pod.phase = Phase::Pending;
            pod.conditions.clear();
        },
    }
}

fn go_down(pod: &mut Pod) {
    pod.desired = Desired::Stopped;
    pod.phase = Phase::Stopped;
    pod.conditions.clear();
}

/// Every mapping in a file with a `metadata.name` is a pod, unless it is the CRI file of a container.
fn names(file: &ManifestFile) -> Result<Vec<(PodRef, String)>, ApiError> {
    let invalid = |error: yaml::ParseError| {
        let finding = Finding {
            file: Some(file.name.clone()),
            line: Some(error.position.line),
            column: Some(error.position.column),
            message: error.message,
            ..Finding::default()
        };
        let error = ApiError::new(ErrorCode::InvalidManifest, "the manifest cannot be used");
        error.details(vec![finding])
    };
    let documents = yaml::parse(file.text.as_bytes()).map_err(invalid)?.documents;
    let named = documents.iter().filter_map(|document| {
        let text = |key| match document.get("metadata")?.get(key) {
            Some(Yaml { value: Value::Scalar(scalar), .. }) => Some(scalar.text.clone()),
            _ => None,
        };
        if document.get("image").is_some() {
            return None;
        }
        let namespace = text("namespace").unwrap_or_else(|| "default".to_owned());
        Some((PodRef { namespace, name: text("name")? }, file.text.clone()))
    });
    Ok(named.collect())
}

fn answer<T: Send + 'static>(result: Result<T, ApiError>) -> Answer<'static, T> {
    Box::pin(ready(result))
}

impl Node for FakeNode {
    fn info(&self) -> NodeInfo {
        self.lock().info.clone()
    }

    fn health(&self) -> Health {
        self.lock().info.health.clone()
    }

    fn pods(&self) -> PodList {
        let state = self.lock();
        let items = state.pods.values().cloned().collect();
        PodList { revision: *self.revision.borrow(), items }
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn events(&self) -> &EventLog {
        &self.events
    }

    fn stats(&self) -> Answer<'_, Stats> {
        let missing = || ApiError::new(ErrorCode::RuntimeFailed, "the runtime does not answer");
        answer(self.lock().stats.clone().ok_or_else(missing))
    }

    fn apply(&self, request: ApplyRequest) -> Answer<'_, ApplyReport> {
        answer(self.apply_now(request))
    }

    fn delete(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()> {
        let found = self.lock().pods.get(&pod).cloned();
        if let Some(found) = found.filter(|found| !found.source.is_applied()) {
            let message = format!("pod `{pod}` is what `{}` says", found.source.place());
            let error = ApiError::new(ErrorCode::OwnedByFile, message);
            return answer(Err(error.hint("remove the file, and the pod goes")));
        }
        let done = self.act(&pod, Call::Delete(pod.clone(), request), |found| {
            found.desired = Desired::Deleted;
        });
        if done.is_ok() && !self.lock().held {
            self.remove(&pod);
        }
        answer(done)
    }

    fn stop(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()> {
        answer(self.act(&pod, Call::Stop(pod.clone(), request), go_down))
    }

    fn start(&self, pod: PodRef) -> Answer<'_, ()> {
        let gate = self.lock().gate.take();
        Box::pin(async move {
            if let Some(Gate { reached, opened }) = gate {
                // A test that has ended waits for nothing.
                reached.send(()).unwrap_or_default();
                opened.await.unwrap_or_default();
            }
            self.act(&pod, Call::Start(pod.clone()), come_up)
        })
    }

    fn restart(&self, pod: PodRef, request: RestartRequest) -> Answer<'_, ()> {
        let found = self.lock().pods.get(&pod).cloned();
        if let (Some(found), Some(name)) = (found, &request.container)
            && !found.containers.iter().any(|container| container.name == *name)
        {
            let message = format!("pod `{pod}` has no container `{name}`");
            return answer(Err(ApiError::new(ErrorCode::NoSuchContainer, message)));
        }
        answer(self.act(&pod, Call::Restart(pod.clone(), request), come_up))
    }

    fn collect_images(&self, request: ImageGcRequest) -> Answer<'_, ImageGcReport> {
        self.note(Call::CollectImages(request));
        let images = self.lock().images.clone();
        answer(Ok(ImageGcReport { dry_run: request.dry_run, ..images }))
    }

    fn logs(&self, pod: PodRef, request: LogRequest) -> Answer<'_, LogStream> {
        let log = self.lock().log.clone();
        Box::pin(async move {
            self.pod(&pod).ok_or_else(|| ApiError::no_such_pod(&pod))?;
            let none = || ApiError::new(ErrorCode::NoLog, format!("pod `{pod}` has no log yet"));
            let WriteLog(write) = log.ok_or_else(none)?;
            let stream = LogStream::start(move |out| write(out).map(|()| Counts::default()));
            let begun = if request.follow { Ok(stream) } else { stream.begin().await };
            begun
                .map_err(|error| ApiError::new(ErrorCode::Internal, ErrorChain(&error).to_string()))
        })
    }

    fn exec(&self, _: String, command: Vec<String>, streams: Streams) -> Answer<'_, Session> {
        let code = command.get(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        answer(Ok(crilet_stream::fake::echo(streams, code)))
    }

    fn attach(&self, _: String, streams: Streams) -> Answer<'_, Session> {
        answer(Ok(crilet_stream::fake::echo(streams, 0)))
    }

    /// The ports of the fake pods are this machine's.
    fn connect(&self, _: String, port: u16) -> Answer<'_, Connection> {
        Box::pin(async move {
            let connected = Connection::to_localhost(port).await;
            connected.map_err(|error| ApiError::new(ErrorCode::RuntimeFailed, error.to_string()))
        })
    }

    fn configure(&self, _: &Config) {
        self.note(Call::Configure);
    }

    fn register_metrics(&self, _: &mut Registry) {}

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

/// A daemon's API in a thread of this process, until it is dropped.
#[derive(Debug)]
pub struct Served {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves the API of a node at a socket.
    ///
    /// # Errors
    /// When there is no thread to be had, or the socket cannot be bound.
    pub fn start(node: Arc<dyn Node>, socket: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let bound = {
            let _context = runtime.enter();
            Socket::bind(socket, None).map_err(io::Error::other)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async {
                let server = Server::new(node);
                server.serve_socket(bound);
                // Stopped or dropped, the end is the same.
                drop(stopped.await);
                server.close().await;
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
