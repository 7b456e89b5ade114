//! The client: one connection, both services, a deadline that fits each call.

mod images;
mod measure;
mod runtime;
mod watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use prost::Message;
use tokio::sync::watch as flag;

use crate::{
    CriError, Endpoint, Object,
    transport::{ApiVersion, Call, Transport},
};

pub use self::watch::ContainerEvents;

/// How long calls may take before they are given up.
///
/// crictl gives every call two seconds, which breaks `create` on a busy machine
/// (kubernetes-sigs/cri-tools#984); the kubelet gives two minutes to all but pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Lists, status, version.
    pub query: Duration,
    /// Whatever starts, stops or removes something; a stop's grace period comes on top.
    pub change: Duration,
    /// Pulling an image.
    pub pull: Duration,
}

/// How often a call is made again whose shim has just gone, after 10 ms, 20, 40 and so on: containerd needs
/// some milliseconds to note a container's end, and up to five seconds after a shim that was killed (its
/// cleanupTimeout).
const SHIM_TRIES: u32 = 9;

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            query: Duration::from_secs(10),
            change: Duration::from_secs(4 * 60),
            pull: Duration::from_secs(60 * 60),
        }
    }
}

/// A client of the CRI; clones share the connection.
///
/// Every method fails with [`CriError`], which names the method, the object, the gRPC code and the
/// runtime's own words. Dropping a method's future cancels the call in the runtime.
#[derive(Debug, Clone)]
pub struct Client {
    runtime: Transport,
    images: Transport,
    deadlines: Deadlines,
    interrupt: Option<flag::Receiver<bool>>,
}

impl Client {
    /// Connects to a runtime that serves both services on one socket, as all do by default.
    ///
    /// # Errors
    /// [`CriError::Connect`] with the kernel's reason when the socket is missing, stale or closed to
    /// this user.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, CriError> {
        let transport = Transport::connect(endpoint).await?;
        Ok(Self::over(transport))
    }

    /// A client of a runtime that may not be there yet: it connects at the first call, and again
    /// at later ones.
    pub fn later(endpoint: &Endpoint) -> Self {
        Self::over(Transport::later(endpoint))
    }

    fn over(transport: Transport) -> Self {
        Self {
            runtime: transport.clone(),
            images: transport,
            deadlines: Deadlines::default(),
            interrupt: None,
        }
    }

    /// As [`Client::with_image_endpoint`] for an image service that may not be there yet.
    #[must_use]
    pub fn with_later_image_endpoint(mut self, endpoint: &Endpoint) -> Self {
        if endpoint != self.images.endpoint() {
            self.images = Transport::later(endpoint);
        }
        self
    }

    /// Sends the calls of the image service to a socket of its own.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn with_image_endpoint(mut self, endpoint: &Endpoint) -> Result<Self, CriError> {
        if endpoint != self.images.endpoint() {
            self.images = Transport::connect(endpoint).await?;
        }
        Ok(self)
    }

    /// Replaces the default deadlines.
    #[must_use]
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Has calls with one answer fail with [`CriError::Interrupted`] from when this is true; those under
    /// way are cancelled.
    #[must_use]
    pub fn interrupted_by(mut self, interrupt: flag::Receiver<bool>) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// How long its calls may take.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Starts with this version of the CRI instead of v1.
    ///
    /// The other one is still tried when the runtime does not know it.
    #[must_use]
    pub fn with_api_version(self, version: ApiVersion) -> Self {
        self.runtime.set_api_version(version);
        self.images.set_api_version(version);
        self
    }

    /// The version of the CRI that is spoken, as far as the calls so far have shown.
    pub fn api_version(&self) -> ApiVersion {
        self.runtime.api_version()
    }

    /// Where the runtime service is.
    pub fn endpoint(&self) -> &Endpoint {
        self.runtime.endpoint()
    }

    async fn runtime_call<Resp: Message + Default>(
        &self,
        method: &'static str,
        object: Option<Object>,
        deadline: Duration,
        request: &impl Message,
    ) -> Result<Resp, CriError> {
        let call = Call { service: "RuntimeService", method, object, deadline };
        self.exchange(&self.runtime, call, request.encode_to_vec()).await
    }

    /// A call that ends something; doing it twice is the same as once. Where the container ends by
    /// itself at that moment, containerd closes its connection to the shim under the call and
    /// answers so (runtime/v2/shim.go, delete): asked again, it finds the container ended.
    async fn ending_call<Resp: Message + Default>(
        &self,
        method: &'static str,
        object: Option<Object>,
        deadline: Duration,
        request: &impl Message,
    ) -> Result<Resp, CriError> {
        let mut pauses = (0..SHIM_TRIES).map(|doublings| Duration::from_millis(10 << doublings));
        loop {
            let result = self.runtime_call(method, object.clone(), deadline, request).await;
            match (result, pauses.next()) {
                (Err(error), Some(pause)) if error.is_shim_gone() => {
                    tracing::debug!(%error, "the shim has just gone; asking again");
                    tokio::time::sleep(pause).await;
                }
                (result, _) => return result,
            }
        }
    }

    async fn image_call<Resp: Message + Default>(
        &self,
        method: &'static str,
        object: Option<Object>,
        deadline: Duration,
        request: &impl Message,
    ) -> Result<Resp, CriError> {
        let call = Call { service: "ImageService", method, object, deadline };
        self.exchange(&self.images, call, request.encode_to_vec()).await
    }

    async fn exchange<Resp: Message + Default>(
        &self,
        transport: &Transport,
        call: Call,
        request: Vec<u8>,
    ) -> Result<Resp, CriError> {
        let (method, object) = (call.method, call.object.clone());
        let answering = transport.unary(call, request.into());
        let answer = match self.interrupt.clone() {
            None => answering.await?,
            Some(interrupt) => tokio::select! {
                biased;
                () = is_set(interrupt) => return Err(CriError::Interrupted { method, object }),
                answer = answering => answer?,
            },
        };
        Resp::decode(answer).map_err(|cause| CriError::Malformed { method, object, cause })
    }
}

/// Waits until it is; for ever when nobody can set it any more.
async fn is_set(mut interrupt: flag::Receiver<bool>) {
    if interrupt.wait_for(|is_set| *is_set).await.is_err() {
        std::future::pending().await
    }
}

fn sandbox(id: &str) -> Option<Object> {
    Some(Object { kind: "sandbox", id: id.to_owned() })
}

fn container(id: &str) -> Option<Object> {
    Some(Object { kind: "container", id: id.to_owned() })
}

fn image(reference: &str) -> Option<Object> {
    Some(Object { kind: "image", id: reference.to_owned() })
}
