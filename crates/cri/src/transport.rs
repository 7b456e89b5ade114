//! One HTTP/2 connection to a runtime, and unary calls over either version of the CRI.

use std::{
    error::Error as StdError,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use prost::bytes::{Buf, BufMut, Bytes};
use tokio::net::UnixStream;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Uri},
};

use crate::{CriError, Endpoint, Object};

/// crictl's own bound is 16 MiB; a node with thousands of containers and long annotations can go
/// past that, and memory is only used for what really arrives.
const LARGEST_MESSAGE: usize = 64 << 20;

/// A version of the CRI, which is a gRPC package name: the messages are the same on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `runtime.v1`: containerd since 1.6, CRI-O since 1.20.
    V1,
    /// `runtime.v1alpha2`: the only one that containerd 1.4 and 1.5 know.
    V1Alpha2,
}

impl ApiVersion {
    /// The gRPC package.
    pub fn package(self) -> &'static str {
        match self {
            Self::V1 => "runtime.v1",
            Self::V1Alpha2 => "runtime.v1alpha2",
        }
    }
}

/// What a call is and how long it may take.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    pub(crate) object: Option<Object>,
    pub(crate) deadline: Duration,
}

impl Call {
    /// Whether the call only asks, so that asking twice is the same as asking once.
    ///
    /// The methods are named one by one: a method that is forgotten here is merely not repeated.
    fn only_asks(&self) -> bool {
        matches!(
            self.method,
            "Version"
                | "Status"
                | "RuntimeConfig"
                | "ListPodSandbox"
                | "PodSandboxStatus"
                | "ListContainers"
                | "ContainerStatus"
                | "ListContainerStats"
                | "ListImages"
                | "ImageStatus"
                | "ImageFsInfo"
                | "ListPodSandboxStats"
                | "ListMetricDescriptors"
                | "ListPodSandboxMetrics"
        )
    }
}

/// What the client waits longer than it tells the runtime to: the runtime's own notice that time is
/// up must not race with ours, which says how long that was.
const NOTICE: Duration = Duration::from_secs(1);

/// A connection; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    channel: Channel,
    /// Set once the runtime has said that it does not know v1.
    older: Arc<AtomicBool>,
}

impl Transport {
    /// Connects, so that a missing socket is told now and by the kernel's own error.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, CriError> {
        let failed = |cause| CriError::Connect { endpoint: endpoint.clone(), cause };
        let first = UnixStream::connect(endpoint.path()).await.map_err(failed)?;
        let connector = connector(endpoint.path().to_owned(), Some(first));
        let channel = settings()
            .connect_with_connector(connector)
            .await
            .map_err(|error| failed(io_cause(error)))?;
        Ok(Self { endpoint: endpoint.clone(), channel, older: Arc::default() })
    }

    /// Connects at the first call.
    pub(crate) fn later(endpoint: &Endpoint) -> Self {
        let connector = connector(endpoint.path().to_owned(), None);
        let channel = settings().connect_with_connector_lazy(connector);
        Self { endpoint: endpoint.clone(), channel, older: Arc::default() }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn api_version(&self) -> ApiVersion {
        if self.older.load(Ordering::Relaxed) { ApiVersion::V1Alpha2 } else { ApiVersion::V1 }
    }

    pub(crate) fn set_api_version(&self, version: ApiVersion) {
        self.older.store(version == ApiVersion::V1Alpha2, Ordering::Relaxed);
    }

    /// Calls a method; falls back to v1alpha2 for good when the runtime has no v1.
    ///
    /// Dropping the future resets the stream, which cancels the call in the runtime.
    pub(crate) async fn unary(&self, call: Call, request: Bytes) -> Result<Bytes, CriError> {
        let version = self.api_version();
        let mut answer = self.attempt(&call, version, request.clone()).await?;
        // The runtime may have been restarted since the last call, which shows only now. What
        // changes something is not repeated: the runtime may have done it before it went.
        if call.only_asks() && answer.as_ref().is_err_and(is_lost) {
            answer = self.attempt(&call, version, request.clone()).await?;
        }
        if answer.as_ref().is_err_and(is_unknown_service) {
            let other = match version {
                ApiVersion::V1 => ApiVersion::V1Alpha2,
                // The runtime was upgraded behind a connection that outlived it.
                ApiVersion::V1Alpha2 => ApiVersion::V1,
            };
            answer = self.attempt(&call, other, request).await?;
            if answer.as_ref().is_err_and(is_unknown_service) {
                return Err(CriError::NotCri { endpoint: self.endpoint.clone() });
            }
            self.set_api_version(other);
        }
        answer.map_err(|status| self.call_error(call, &status))
    }

    /// One try over one version. The outer error is ours, the inner one the runtime's.
    async fn attempt(
        &self,
        call: &Call,
        version: ApiVersion,
        message: Bytes,
    ) -> Result<Result<Bytes, Status>, CriError> {
        let path = format!("/{}.{}/{}", version.package(), call.service, call.method);
        let path = PathAndQuery::from_maybe_shared(path)
            .map_err(|error| self.call_error(call.clone(), &Status::internal(error.to_string())))?;
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_MESSAGE);
        let mut request = Request::new(message);
        // The runtime is told, too, so that it gives up what nobody waits for any more.
        request.set_timeout(call.deadline.saturating_add(NOTICE));
        // Boxed: callers keep whole configurations beside it while they wait.
        let exchange = Box::pin(async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            grpc.unary(request, path, BytesCodec).await
        });
        let start = tokio::time::Instant::now();
        let answer = tokio::time::timeout(call.deadline, exchange).await;
        let microseconds = start.elapsed().as_micros();
        tracing::debug!(method = call.method, microseconds, "call ended");
        match answer {
            Ok(answer) => Ok(answer.map(tonic::Response::into_inner)),
            Err(_) => Err(CriError::Deadline {
                method: call.method,
                object: call.object.clone(),
                after: call.deadline,
            }),
        }
    }

    /// Calls a method that answers with a stream, which has no deadline.
    pub(crate) async fn stream(
        &self,
        method: &'static str,
        request: Bytes,
    ) -> Result<Answers, CriError> {
        let call =
            Call { service: "RuntimeService", method, object: None, deadline: Duration::MAX };
        let path = format!("/{}.{}/{method}", self.api_version().package(), call.service);
        let path = PathAndQuery::from_maybe_shared(path)
            .map_err(|error| self.call_error(call.clone(), &Status::internal(error.to_string())))?;
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_MESSAGE);
        let answers = async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            grpc.server_streaming(Request::new(request), path, BytesCodec).await
        };
        let answers = answers.await.map_err(|status| self.call_error(call, &status))?;
        Ok(Answers { transport: self.clone(), method, stream: answers.into_inner() })
    }

    fn call_error(&self, call: Call, status: &Status) -> CriError {
        let Call { method, object, .. } = call;
        let endpoint = self.endpoint.clone();
        match connection_failure(status) {
            Some(ConnectionFailure::Refused(cause)) => CriError::Connect { endpoint, cause },
            Some(ConnectionFailure::Lost(cause)) => {
                CriError::Lost { method, object, endpoint, cause }
            }
            None => CriError::Call {
                method,
                object,
                code: status.code().into(),
                message: status.message().trim().to_owned(),
            },
        }
    }
}

/// Answers that come until the runtime ends them; dropping them ends the call.
pub(crate) struct Answers {
    transport: Transport,
    method: &'static str,
    stream: tonic::Streaming<Bytes>,
}

impl Answers {
    /// The next one; nothing at their end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CriError> {
        let method = self.method;
        self.stream.message().await.map_err(|status| {
            let call =
                Call { service: "RuntimeService", method, object: None, deadline: Duration::MAX };
            self.transport.call_error(call, &status)
        })
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answers").field("method", &self.method).finish_non_exhaustive()
    }
}

type Connector = tower::util::BoxCloneSyncService<Uri, TokioIo<UnixStream>, io::Error>;

fn settings() -> tonic::transport::Endpoint {
    tonic::transport::Endpoint::from_static("http://localhost")
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
}

/// Hands out the stream that is already open, then opens new ones: a long-lived client reconnects
/// when its runtime was restarted.
fn connector(path: PathBuf, first: Option<UnixStream>) -> Connector {
    let first = Arc::new(Mutex::new(first));
    tower::util::BoxCloneSyncService::new(tower::service_fn(move |_: Uri| {
        let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let path = path.clone();
        async move {
            match ready {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => UnixStream::connect(path).await.map(TokioIo::new),
            }
        }
    }))
}

/// Carries messages as they are on the wire, so that the machinery of a call is compiled once and
/// not once per message type.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

/// grpc-go's words for a package it does not serve; tonic says nothing, so a bare `Unimplemented`
/// without a text counts as well.
fn is_unknown_service(status: &Status) -> bool {
    status.code() == tonic::Code::Unimplemented
        && (status.message().is_empty() || status.message().starts_with("unknown service runtime."))
}

/// What became of a connection, when the runtime itself did not answer.
enum ConnectionFailure {
    /// It could not be made.
    Refused(io::Error),
    /// It ended before the answer was there.
    Lost(io::Error),
}

fn is_lost(status: &Status) -> bool {
    matches!(connection_failure(status), Some(ConnectionFailure::Lost(_)))
}

/// Tells failures of the connection from the runtime's answers, which have no source.
fn connection_failure(status: &Status) -> Option<ConnectionFailure> {
    let source = status.source()?;
    let chain: Vec<_> = std::iter::successors(Some(source), |&error| error.source()).collect();
    let kernel = chain.iter().find_map(|error| error.downcast_ref::<io::Error>());
    let cause = kernel.map_or_else(|| io::Error::other(deepest(&chain)), copy);
    let refused = chain.iter().any(|error| error.is::<tonic::ConnectError>());
    Some(if refused { ConnectionFailure::Refused(cause) } else { ConnectionFailure::Lost(cause) })
}

/// The layers above only say "transport error" in their own ways.
fn deepest(chain: &[&(dyn StdError + 'static)]) -> String {
    chain.last().map_or_else(String::new, ToString::to_string)
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

fn io_cause(error: tonic::transport::Error) -> io::Error {
    io::Error::other(chain(&error))
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    crilet_core::ErrorChain(error).to_string()
}
