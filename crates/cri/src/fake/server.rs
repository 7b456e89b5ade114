//! The socket, the thread behind it, and the handle that tests hold.

use std::{
    convert::Infallible,
    io,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use prost::bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::http,
    server::{Grpc, ServerStreamingService, UnaryService},
    transport::Server,
};

use super::{
    calls::{CallRecord, Outcome},
    dispatch::Method,
    faults::{Action, Fault, Faults},
    state::{Answer, State},
};
use crate::{ApiVersion, Code, Endpoint, transport::BytesCodec};

/// A running fake; dropping it ends it and removes its socket.
#[derive(Debug)]
pub struct FakeHandle {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    versions: Vec<ApiVersion>,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    calls: Mutex<Vec<CallRecord>>,
    connections: Mutex<Vec<UnixStream>>,
}

impl FakeHandle {
    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes calls of a method go wrong. Faults of one method happen in the order they were added.
    pub fn fault(&self, method: &str, fault: Fault) {
        lock(&self.shared.faults).add(method, fault);
    }

    /// Forgets all faults that have not happened yet; calls that hang go on hanging.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// All calls so far, in the order in which they came.
    pub fn calls(&self) -> Vec<CallRecord> {
        lock(&self.shared.calls).clone()
    }

    /// All calls so far as `METHOD OBJECTS`, in the order in which they came.
    pub fn call_lines(&self) -> Vec<String> {
        let calls = self.calls();
        let words = |call: &CallRecord| {
            [std::slice::from_ref(&call.method), call.objects.as_slice()].concat()
        };
        calls.iter().map(|call| words(call).join(" ")).collect()
    }

    /// Forgets the calls so far. Calls that are under way are forgotten, too.
    pub fn clear_calls(&self) {
        lock(&self.shared.calls).clear();
    }

    /// Lets a running container end by itself, by id or name; tells whether there was one.
    pub fn exit_container(&self, container: &str, exit_code: i32) -> bool {
        lock(&self.shared.state).exit(container, exit_code)
    }

    /// How many sandboxes and containers there are.
    pub fn counts(&self) -> (usize, usize) {
        let state = lock(&self.shared.state);
        (state.sandboxes.len(), state.containers.len())
    }

    /// Ends all connections, as a restart of the runtime would; new ones can be made.
    pub fn drop_connections(&self) {
        self.shared.drop_connections();
    }
}

impl Drop for FakeHandle {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread that panicked has told so on stderr; a panic here would hide the test's own.
        drop(self.thread.take().map(JoinHandle::join));
        drop(std::fs::remove_file(self.endpoint.path()));
    }
}

pub(super) fn start(
    socket: &Path,
    state: State,
    versions: Vec<ApiVersion>,
) -> io::Result<FakeHandle> {
    let listener = UnixListener::bind(socket)?;
    listener.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        started: Instant::now(),
        versions,
        state: Mutex::new(state),
        faults: Mutex::default(),
        calls: Mutex::default(),
        connections: Mutex::default(),
    });
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("fake-runtime".to_owned()).spawn(move || {
        // Leaving drops the runtime and with it all connections and calls that hang.
        runtime.block_on(async {
            tokio::select! {
                _ = stopped => {}
                served = serve(listener, served) => served.expect("the fake serves its socket"),
            }
        });
    })?;
    let endpoint = Endpoint::new(socket);
    Ok(FakeHandle { endpoint, shared, stop: Some(stop), thread: Some(thread) })
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let accepting = Arc::clone(&shared);
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener)
        .map(move |stream| accepting.remember(stream?));
    let service = tower::service_fn(move |request| Arc::clone(&shared).respond(request));
    Server::builder().serve_with_incoming(service, incoming).await.map_err(io::Error::other)
}

impl Shared {
    /// Keeps a second handle of a connection, to end it by.
    fn remember(&self, stream: tokio::net::UnixStream) -> io::Result<tokio::net::UnixStream> {
        let stream = stream.into_std()?;
        lock(&self.connections).push(stream.try_clone()?);
        tokio::net::UnixStream::from_std(stream)
    }

    fn drop_connections(&self) {
        for connection in lock(&self.connections).drain(..) {
            // The other side may have been faster.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    async fn respond(
        self: Arc<Self>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let mut grpc = Grpc::new(BytesCodec).apply_max_message_size_config(Some(64 << 20), None);
        Ok(match Method::of_path(&path, &self.versions) {
            Ok(call) if call.method == "GetContainerEvents" => {
                grpc.server_streaming(Events { shared: &self, call }, request).await
            }
            Ok(call) => grpc.unary(Unary { shared: &self, call }, request).await,
            Err(status) => status.into_http(),
        })
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes a call, lets happen to it what a test asked for, and does it.
    async fn call(&self, method: Method<'_>, request: Bytes) -> Answer<Bytes> {
        let Method { version, service, method: name } = method;
        let call = CallRecord::new(service, name, version, self.elapsed(), request.clone());
        let fault = lock(&self.faults).take(&call);
        let pending = Pending::new(self, call);
        match &fault {
            Some(Action::Fail(code, message)) => {
                return pending.finish(Err(Status::new(tonic_code(*code), message)));
            }
            // Nothing is ever sent: it ends with the gate.
            Some(Action::Hold(held)) => drop(held.clone().changed().await),
            Some(Action::Hang) => std::future::pending().await,
            Some(Action::DropConnection) => {
                self.drop_connections();
                return Err(Status::unavailable("connection dropped"));
            }
            Some(Action::LoseAnswer) | None => {}
        }
        let answer = lock(&self.state).answer(&method, request);
        if matches!(fault, Some(Action::LoseAnswer)) {
            self.drop_connections();
            return answer;
        }
        pending.finish(answer)
    }
}

/// The entry of a call in the list; says that the call was cancelled unless it is finished.
struct Pending<'a> {
    shared: &'a Shared,
    began: Duration,
}

impl<'a> Pending<'a> {
    fn new(shared: &'a Shared, mut call: CallRecord) -> Self {
        let mut calls = lock(&shared.calls);
        // Two calls never have the same time, so that it can find the entry again.
        let latest = calls.last().map_or(Duration::ZERO, |last| last.began);
        call.began = call.began.max(latest + Duration::from_nanos(1));
        let began = call.began;
        calls.push(call);
        Self { shared, began }
    }

    fn finish(self, answer: Answer<Bytes>) -> Answer<Bytes> {
        self.note(match &answer {
            Ok(_) => Outcome::Answered(self.shared.elapsed()),
            Err(status) => Outcome::Failed(status.code().into()),
        });
        answer
    }

    fn note(&self, outcome: Outcome) {
        let mut calls = lock(&self.shared.calls);
        let entry = calls.iter_mut().find(|call| call.began == self.began);
        if let Some(call) = entry.filter(|call| call.outcome == Outcome::Pending) {
            call.outcome = outcome;
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.note(Outcome::Cancelled);
    }
}

type Pinned<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

struct Unary<'a> {
    shared: &'a Shared,
    call: Method<'a>,
}

impl<'a> UnaryService<Bytes> for Unary<'a> {
    type Response = Bytes;
    type Future = Pinned<'a, Answer<Response<Bytes>>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (shared, call) = (self.shared, self.call);
        Box::pin(async move { shared.call(call, request.into_inner()).await.map(Response::new) })
    }
}

struct Events<'a> {
    shared: &'a Shared,
    call: Method<'a>,
}

impl<'a> ServerStreamingService<Bytes> for Events<'a> {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Answer<Bytes>> + Send>>;
    type Future = Pinned<'a, Answer<Response<Self::ResponseStream>>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let (shared, call) = (self.shared, self.call);
        Box::pin(async move {
            let mut state = lock(&shared.state);
            if !state.methods.contains(call.method) {
                return Err(call.unimplemented());
            }
            let events = UnboundedReceiverStream::new(state.listen()).map(Ok);
            Ok(Response::new(Box::pin(events) as Self::ResponseStream))
        })
    }
}

fn tonic_code(code: Code) -> tonic::Code {
    match code {
        Code::Cancelled => tonic::Code::Cancelled,
        Code::Unknown => tonic::Code::Unknown,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Aborted => tonic::Code::Aborted,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Internal => tonic::Code::Internal,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
    }
}

/// A lock whose holder panicked has data that is still good to look at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
