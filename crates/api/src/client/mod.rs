//! A typed client over the daemon's unix socket.
//!
//! Every request has a connection of its own: a command makes a handful, and a connection to a unix
//! socket costs microseconds.

mod error;
mod request;
mod sse;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    error::ClientError,
    sse::{EventWatch, PodWatch},
};
use crate::{
    Accepted, ApplyReport, ApplyRequest, EventList, ImageGcReport, ImageGcRequest, NodeInfo,
    OperationId, Pod, PodList, PodRef, RestartRequest, Stats, StopRequest,
};
use request::Call;

/// How long an answer may take. What the daemon does beyond writing a request down, it does after
/// its answer; an apply reads and compares all manifests before.
const LIMIT: Duration = Duration::from_secs(60);
/// A collection of images removes them before it answers.
const LONG_LIMIT: Duration = Duration::from_secs(600);

/// Talks to the daemon behind a socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events with a greater revision.
    pub since: Option<u64>,
    /// Only events about this pod.
    pub pod: Option<PodRef>,
}

/// Every method fails with [`ClientError`] when the daemon cannot be asked, refuses or fails.
#[expect(clippy::missing_errors_doc, reason = "said once for all of them")]
impl Client {
    /// A client of the daemon at this socket; nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon and what it stands on.
    pub async fn node(&self) -> Result<NodeInfo, ClientError> {
        self.call(Call::new(OperationId::GetNode)).await
    }

    /// What the node and its pods use.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.call(Call::new(OperationId::GetStats)).await
    }

    /// All pods that the daemon keeps.
    pub async fn pods(&self) -> Result<PodList, ClientError> {
        self.call(Call::new(OperationId::ListPods)).await
    }

    /// One pod.
    pub async fn pod(&self, pod: &PodRef) -> Result<Pod, ClientError> {
        self.call(Call::on(OperationId::GetPod, pod)).await
    }

    /// All pods, then each that changes. The first item is a snapshot.
    pub async fn watch_pods(&self) -> Result<PodWatch, ClientError> {
        let body = request::open(&self.socket, &Call::new(OperationId::WatchPods)).await?;
        Ok(PodWatch::new(body))
    }

    /// Keeps pods as manifests say.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyReport, ClientError> {
        self.call(Call::new(OperationId::Apply).body(request)).await
    }

    /// Takes a pod away; answers when that is written down.
    pub async fn delete(
        &self,
        pod: &PodRef,
        request: StopRequest,
    ) -> Result<Accepted, ClientError> {
        let grace = request.grace_seconds.map(|seconds| seconds.to_string());
        let call = Call::on(OperationId::DeletePod, pod).query("graceSeconds", grace);
        self.call(call).await
    }

    /// Stops a pod; answers when that is written down.
    pub async fn stop(&self, pod: &PodRef, request: StopRequest) -> Result<Accepted, ClientError> {
        self.call(Call::on(OperationId::StopPod, pod).body(&request)).await
    }

    /// Starts a pod; answers when that is written down.
    pub async fn start(&self, pod: &PodRef) -> Result<Accepted, ClientError> {
        self.call(Call::on(OperationId::StartPod, pod)).await
    }

    /// Starts a pod or one of its containers again; answers when that is written down.
    pub async fn restart(
        &self,
        pod: &PodRef,
        request: &RestartRequest,
    ) -> Result<Accepted, ClientError> {
        self.call(Call::on(OperationId::RestartPod, pod).body(request)).await
    }

    /// What happened lately.
    pub async fn events(&self, filter: &EventFilter) -> Result<EventList, ClientError> {
        self.call(Call::new(OperationId::ListEvents).filter(filter)).await
    }

    /// What happened lately, then what happens.
    pub async fn watch_events(&self, filter: &EventFilter) -> Result<EventWatch, ClientError> {
        let call = Call::new(OperationId::WatchEvents).filter(filter);
        let body = request::open(&self.socket, &call).await?;
        Ok(EventWatch::new(body))
    }

    /// Removes images that nobody needs.
    pub async fn collect_images(
        &self,
        request: ImageGcRequest,
    ) -> Result<ImageGcReport, ClientError> {
        let call = Call::new(OperationId::CollectImages).body(&request);
        request::json(&self.socket, &call, LONG_LIMIT).await
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        request::json(&self.socket, &call, LIMIT).await
    }
}
