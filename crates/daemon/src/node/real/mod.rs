//! The node: manifests in, pods kept, state out.
//!
//! ```text
//!   /etc/crilet/pods ──▶ sources ─┐                       ┌─▶ worker of pod a ─┐
//!   API: apply … ──▶ store ───────┴─▶ manager (one task) ─┼─▶ worker of pod b ─┼─▶ view ──▶ API
//!   relist, events, labels of the runtime ───────────────▶└─▶ …                ┘
//! ```
//!
//! One task, the [`manager`], owns which pods there are and what is wanted of each. It is driven by
//! changes of files, by commands of the API, by a slow relist, and by what the runtime tells. Workers ([`crilet_pod::sync`])
//! own their pod each; what they see goes into the [`view`], which the API reads without asking
//! anybody.
//!
//! Nothing here is state that could be lost: wishes are files ([`store`]) before they are answered,
//! and the rest is in the runtime.

mod alone;
mod apply;
mod commands;
mod convert;
mod desired;
mod gone;
mod happenings;
mod images;
mod later;
mod logs;
mod manager;
mod orphans;
mod read_logs;
mod sources;
mod stats;
mod store;
mod view;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicUsize},
    time::Duration,
};

use crilet_api::{
    ApiError, ApplyReport, ApplyRequest, Check, ErrorCode, Health, ImageGcReport, ImageGcRequest,
    NodeInfo, Pod, PodList, PodRef, RestartRequest, RuntimeInfo, Stats, StopRequest,
};
use crilet_core::{ErrorChain, memory};
use crilet_cri::Client;
use crilet_log::{LogError, Watch};
use crilet_pod::{
    StateDir,
    images::Credentials,
    manifest::ReadOptions,
    render::NodeFacts,
    sync::{self, names::Directory},
};
use crilet_stream::{Connection, Route, Session, StreamError, Streamer, Streams};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    manager::{Command, Manager},
    store::Store,
    view::View,
};
use super::{Answer, LogRequest, LogStream, Node};
use crate::{Config, EventLog};

/// How often volumes with a limit are measured at least, the kubelet's `evictionMonitoringPeriod`.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// How long after a change free memory is given back.
const QUIET_AFTER: Duration = Duration::from_secs(3);

/// What the node stands on.
#[derive(Debug)]
pub struct Foundation {
    /// The runtime.
    pub client: Client,
    /// Whether it is crilet's own.
    pub embedded: bool,
    /// What lasts: `/var/lib/crilet`.
    pub data: PathBuf,
    /// What may be lost at a reboot: `/run/crilet`.
    pub state: PathBuf,
    /// Where logs go of pods that name no place of their own: `/var/log/pods`.
    pub logs: PathBuf,
    /// Where credentials of registries come from.
    pub credentials: Credentials,
}

/// Why the node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory cannot be made or read.
    #[error("use `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// Another daemon keeps the pods, whatever its socket and manifests are.
    #[error("another daemon keeps the pods of `{}`", path.display())]
    Taken {
        /// What lasts.
        path: PathBuf,
    },
    /// Logs cannot be looked after.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// The machine does not tell what it is.
    #[error("ask the machine about itself")]
    Facts(#[source] io::Error),
}

/// The pods of this machine, kept.
#[derive(Debug)]
pub struct RealNode {
    started_at: Timestamp,
    name: String,
    pods_dir: PathBuf,
    runtime: Mutex<RuntimeInfo>,
    shared: Arc<sync::Node>,
    /// Where pods have their log directories.
    logs: PathBuf,
    /// What followers of logs share, while there are any.
    watch: Mutex<Weak<Watch>>,
    view: Arc<View>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RealNode {
    /// Starts to keep the pods of this machine.
    ///
    /// # Errors
    /// [`StartError`] when its own directories cannot be used.
    pub fn start(config: &Config, foundation: Foundation) -> Result<Arc<Self>, StartError> {
        let Foundation { client, embedded, data, state, logs, credentials } = foundation;
        let pods = data.join("pods");
        for path in [&pods, &config.pods_dir] {
            std::fs::create_dir_all(path)
                .map_err(|cause| StartError::Directory { path: path.clone(), cause })?;
        }
        let alone = alone::lock(&data)?;
        let mut facts = NodeFacts::read(&pods).map_err(StartError::Facts)?;
        if let Some(name) = &config.node_name {
            facts.name.clone_from(name);
        }
        let store = Store::open(&data)
            .map_err(|cause| StartError::Directory { path: data.clone(), cause })?;
        let view = Arc::new(View::new());
        let name = facts.name.clone();
        let runtime =
            RuntimeInfo { endpoint: client.endpoint().to_string(), embedded, ..Default::default() };
        let shared = Arc::new(sync::Node {
            client,
            facts,
            host_ips: host_addresses(),
            cgroup_parent: sync::CgroupParent::default(),
            state: StateDir::new(state.join("pods")),
            data,
            credentials,
            keep_dead: AtomicUsize::new(dead(config)),
            measure_every: config.relist_interval.min(MEASURE_EVERY),
            pulls: sync::Pulls::new(pulls(config)),
            answers: Arc::default(),
            names: Directory::default(),
            events: Arc::clone(&view) as Arc<dyn sync::EventSink>,
        });
        let stop = CancellationToken::new();
        let rotator =
            logs::rotator(shared.client.clone(), &config.logs, &state, Arc::clone(&view))?;
        let gone = rotator.gone_pods();
        let starts = logs::tell_of_starts(Arc::clone(&view), rotator.poke());
        let starts = tokio::spawn(until(stop.clone(), starts));
        let rotator = tokio::spawn(rotator.run(stop.clone()));
        let names = Arc::clone(&shared);
        let names = async move { names.names.keep_current(Path::new("/etc/hosts")).await };
        let names = tokio::spawn(until(stop.clone(), names));
        let small = tokio::spawn(until(stop.clone(), stay_small(view.revision())));
        let (commands, receiver) = mpsc::channel(64);
        let manager = Manager::new(
            config,
            ReadOptions { log_root: logs.clone(), ..ReadOptions::default() },
            Arc::clone(&shared),
            store,
            Arc::clone(&view),
            gone,
            stop.clone(),
        );
        let manager = tokio::spawn(async move {
            manager.run(receiver).await;
            drop(alone);
        });
        Ok(Arc::new(Self {
            started_at: Timestamp::now(),
            name,
            pods_dir: config.pods_dir.clone(),
            runtime: Mutex::new(runtime),
            shared,
            logs,
            watch: Mutex::default(),
            view,
            commands,
            stop,
            tasks: Mutex::new(vec![manager, rotator, starts, names, small]),
        }))
    }

    /// Has the manager do something, and gives its answer.
    fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ApiError>>) -> Command,
    ) -> Answer<'_, T> {
        let (sender, answer) = oneshot::channel();
        let command = command(sender);
        Box::pin(async move {
            let gone = || ApiError::new(ErrorCode::Unavailable, "the daemon is shutting down");
            self.commands.send(command).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }

    fn watch(&self) -> io::Result<Arc<Watch>> {
        let mut shared = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = shared.upgrade() {
            return Ok(watch);
        }
        let watch = Arc::new(Watch::start()?);
        *shared = Arc::downgrade(&watch);
        Ok(watch)
    }

    fn checks(&self) -> Vec<Check> {
        let known = self.view.is_complete();
        let message = if known { "" } else { "not all pods have been looked at yet" };
        let pods = Check { name: "pods".to_owned(), ok: known, message: message.to_owned() };
        let wrong = self.view.source_problem();
        let ok = wrong.is_none();
        let sources = Check { name: "sources".to_owned(), ok, message: wrong.unwrap_or_default() };
        let unreachable = self.view.runtime_problem();
        let ok = unreachable.is_none();
        let message = unreachable.unwrap_or_default();
        vec![Check { name: "runtime".to_owned(), ok, message }, sources, pods]
    }
}

/// Gives memory back once all is quiet: a hundred pods that are looked at together need more than
/// a hundred that stand.
async fn stay_small(mut revision: watch::Receiver<u64>) {
    loop {
        tokio::time::sleep(QUIET_AFTER).await;
        revision.mark_unchanged();
        memory::give_back();
        if let Err(error) = memory::forget_code() {
            tracing::debug!(%error, "code that only the start needed stays in memory");
        }
        if revision.changed().await.is_err() {
            return;
        }
    }
}

/// Does something that never matters to the end; `work` is safe to drop.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

fn dead(config: &Config) -> usize {
    usize::try_from(config.keep_dead_containers).unwrap_or(usize::MAX)
}

fn pulls(config: &Config) -> usize {
    usize::try_from(config.images.parallel_pulls).unwrap_or(usize::MAX)
}

/// The addresses that the machine would speak to the world from. No packet is sent, and nothing is
/// looked up: connecting a datagram socket only asks for the route.
fn host_addresses() -> Vec<IpAddr> {
    let from = |own: &str, other: &str| {
        let socket = std::net::UdpSocket::bind(own).ok()?;
        socket.connect(other).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let v4 = from("0.0.0.0:0", "192.0.2.1:9");
    let v6 = from("[::]:0", "[2001:db8::1]:9");
    let known: Vec<_> = [v4, v6].into_iter().flatten().collect();
    if known.is_empty() { vec![std::net::Ipv4Addr::LOCALHOST.into()] } else { known }
}

impl Node for RealNode {
    fn info(&self) -> NodeInfo {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((name, version)) = self.view.runtime_version() {
            (runtime.name, runtime.version) = (name, version);
        }
        NodeInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            pid: process::id(),
            started_at: self.started_at,
            runtime,
            pods_dir: self.pods_dir.display().to_string(),
            health: self.health(),
            problems: self.view.problems(),
        }
    }

    fn health(&self) -> Health {
        let checks = self.checks();
        // A manifest that cannot be used says nothing about the node itself.
        let ready = checks.iter().filter(|check| check.name != "sources").all(|check| check.ok);
        Health { live: !self.commands.is_closed(), ready, checks }
    }

    fn pods(&self) -> PodList {
        let mut list = self.view.list();
        list.items.iter_mut().for_each(|pod| convert::answers(pod, &self.shared.answers));
        list
    }

    fn pod(&self, pod: &PodRef) -> Option<Arc<Pod>> {
        let mut pod = self.view.get(pod)?;
        convert::answers(&mut pod, &self.shared.answers);
        Some(pod)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.view.revision()
    }

    fn events(&self) -> &EventLog {
        self.view.events()
    }

    fn stats(&self) -> Answer<'_, Stats> {
        Box::pin(stats::measure(&self.shared.client, &self.view))
    }

    fn apply(&self, request: ApplyRequest) -> Answer<'_, ApplyReport> {
        self.command(|answer| Command::Apply(request, answer))
    }

    fn delete(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()> {
        self.command(|answer| Command::Delete(pod, request, answer))
    }

    fn stop(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()> {
        self.command(|answer| Command::Stop(pod, request, answer))
    }

    fn start(&self, pod: PodRef) -> Answer<'_, ()> {
        self.command(|answer| Command::Start(pod, answer))
    }

    fn restart(&self, pod: PodRef, request: RestartRequest) -> Answer<'_, ()> {
        self.command(|answer| Command::Restart(pod, request, answer))
    }

    fn collect_images(&self, request: ImageGcRequest) -> Answer<'_, ImageGcReport> {
        self.command(|answer| Command::CollectImages(request, answer))
    }

    fn logs(&self, pod: PodRef, request: LogRequest) -> Answer<'_, LogStream> {
        Box::pin(async move {
            let found = self.view.get(&pod).ok_or_else(|| ApiError::no_such_pod(&pod))?;
            let watch = || self.watch();
            read_logs::open(&self.shared.client, &self.logs, &found, request, watch).await
        })
    }

    fn exec(
        &self,
        container: String,
        command: Vec<String>,
        streams: Streams,
    ) -> Answer<'_, Session> {
        Box::pin(async move {
            let streamer = Streamer::new(self.shared.client.clone());
            streamer.exec(&container, &command, streams).await.map_err(|error| of_stream(&error))
        })
    }

    fn attach(&self, container: String, streams: Streams) -> Answer<'_, Session> {
        Box::pin(async move {
            let streamer = Streamer::new(self.shared.client.clone());
            streamer.attach(&container, streams).await.map_err(|error| of_stream(&error))
        })
    }

    fn connect(&self, sandbox: String, port: u16) -> Answer<'_, Connection> {
        Box::pin(async move {
            let streamer = Streamer::new(self.shared.client.clone());
            let forwarder = streamer.forward(&sandbox, Route::Auto).await;
            let connected = async { forwarder?.open(port).await }.await;
            connected.map_err(|error| of_stream(&error))
        })
    }

    fn configure(&self, config: &Config) {
        // The manager takes it when it comes to it; a full queue means that it is busy with more.
        if self.commands.try_send(Command::Configure(Box::new(config.clone()))).is_err() {
            tracing::warn!("the changed configuration could not be handed over");
        }
    }

    fn register_metrics(&self, _: &mut Registry) {}

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task of the node ended by itself");
                }
            }
        })
    }
}

/// Why a pod could not be got into.
fn of_stream(error: &StreamError) -> ApiError {
    let code = match error {
        StreamError::NotUp { .. } => ErrorCode::Conflict,
        _ => ErrorCode::RuntimeFailed,
    };
    ApiError::new(code, ErrorChain(error).to_string())
}
