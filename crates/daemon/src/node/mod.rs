//! What the HTTP side asks of the node: the seam between `crilet serve`'s API and its pods.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod logs;
mod real;

use std::sync::Arc;

use crilet_api::{
    ApiError, ApplyReport, ApplyRequest, Health, ImageGcReport, ImageGcRequest, NodeInfo, Pod,
    PodList, PodRef, RestartRequest, Stats, StopRequest,
};
use crilet_stream::{Connection, Session, Streams};
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

pub use self::{
    logs::{LogRequest, LogStream},
    real::{Foundation, RealNode, StartError},
};
use crate::{Config, EventLog};

/// What becomes of a request.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// The pods of this machine, as the API sees them. Implemented by the real node, and by a fake one
/// in tests.
///
/// The methods that change something answer once the change is written down: from then on it will
/// be done, even if the daemon is killed at once. Whoever wants to see it done watches the pods, so
/// [`Node::pods`] shows it from the answer on: a pod that is to be started or made anew is `Pending`
/// or not `Ready` until it has been, one that is to be stopped or deleted is so `desired`.
/// Their futures run to the end, also when the client that asked goes away.
pub trait Node: Send + Sync + 'static {
    /// The daemon and what it stands on.
    fn info(&self) -> NodeInfo;

    /// How the node is; asked often, so from memory.
    fn health(&self) -> Health;

    /// All pods, by namespace and name. A pod that did not change is the same `Arc` as before.
    fn pods(&self) -> PodList;

    /// One pod.
    fn pod(&self, pod: &PodRef) -> Option<Arc<Pod>> {
        self.pods().items.into_iter().find(|found| found.reference() == *pod)
    }

    /// The revision, which grows after every change that [`Node::pods`] shows.
    fn revision(&self) -> watch::Receiver<u64>;

    /// What happened lately.
    fn events(&self) -> &EventLog;

    /// What node and pods use, measured now.
    fn stats(&self) -> Answer<'_, Stats>;

    /// Keeps pods as manifests say; all of them or none.
    fn apply(&self, request: ApplyRequest) -> Answer<'_, ApplyReport>;

    /// Takes a pod that was applied away: stops, removes and forgets it.
    fn delete(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()>;

    /// Stops a pod for good.
    fn stop(&self, pod: PodRef, request: StopRequest) -> Answer<'_, ()>;

    /// Starts a pod that was stopped, ended or waits for a restart.
    fn start(&self, pod: PodRef) -> Answer<'_, ()>;

    /// Starts a pod or one of its containers again, without waiting for a backoff.
    fn restart(&self, pod: PodRef, request: RestartRequest) -> Answer<'_, ()>;

    /// Removes images that nobody needs.
    fn collect_images(&self, request: ImageGcRequest) -> Answer<'_, ImageGcReport>;

    /// Opens logs of a pod; what cannot be read is told before the first byte.
    fn logs(&self, pod: PodRef, request: LogRequest) -> Answer<'_, LogStream>;

    /// Runs a command in a container, by the runtime's id of it.
    fn exec(
        &self,
        container: String,
        command: Vec<String>,
        streams: Streams,
    ) -> Answer<'_, Session>;

    /// Joins a container's first process.
    fn attach(&self, container: String, streams: Streams) -> Answer<'_, Session>;

    /// Connects to a port of a pod, by the runtime's id of its sandbox.
    fn connect(&self, sandbox: String, port: u16) -> Answer<'_, Connection>;

    /// Takes the keys of a configuration that can change while the daemon runs.
    fn configure(&self, config: &Config);

    /// Adds metrics of its own to those of the API and of the pods.
    fn register_metrics(&self, registry: &mut Registry);

    /// Ends what it does, as far as that does not touch pods: they run on without the daemon.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
