//! Connections: taking them, serving them, ending them.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Socket, Tls, router, tls::with_token};
use crate::Node;

/// How long a connection may be silent before the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(120);
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long requests may take to end when the daemon does.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Pause after the kernel had no connection for us, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections at once, per listener; more wait in the kernel.
const CONNECTIONS: usize = 512;

/// Serves the API of a node until it is closed.
pub(crate) struct Server {
    router: Router,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) fn new(node: Arc<dyn Node>) -> Self {
        let closing = CancellationToken::new();
        let router = router(node, closing.clone());
        Self { router, closing, tasks: TaskTracker::new() }
    }

    /// Serves the unix socket from now on.
    pub(crate) fn serve_socket(&self, socket: Socket) {
        let connections = Connections::new(self);
        self.tasks.spawn(async move {
            let accept = || async { socket.listener.accept().await.map(|(stream, _)| stream) };
            let start = |stream, permit| connections.start(stream, permit);
            accept_until(&connections.closing, accept, start).await;
        });
    }

    /// Serves the API over TLS from now on.
    pub(crate) fn serve_tls(&self, listener: TcpListener, tls: Arc<Tls>) {
        let connections = Connections::new(self);
        let for_token = with_token(self.router.clone(), Arc::clone(&tls));
        let for_token = Connections { router: for_token, ..connections.clone() };
        self.tasks.spawn(async move {
            let closing = connections.closing.clone();
            let start = |(stream, peer), permit| {
                let (connections, for_token) = (connections.clone(), for_token.clone());
                let acceptor = tls.acceptor();
                let tasks = connections.tasks.clone();
                tasks.spawn(async move {
                    match handshake(acceptor.accept(stream), peer).await {
                        Some(stream) if stream.get_ref().1.peer_certificates().is_some() => {
                            connections.start(stream, permit);
                        }
                        Some(stream) => for_token.start(stream, permit),
                        None => {}
                    }
                });
            };
            accept_until(&closing, || listener.accept(), start).await;
        });
    }

    /// Takes no more connections, ends streams, and waits a moment for requests under way.
    pub(crate) async fn close(self) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(DRAIN_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "requests were cut off");
        }
    }
}

#[derive(Clone)]
struct Connections {
    router: Router,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Connections {
    fn new(server: &Server) -> Self {
        let Server { router, closing, tasks } = server;
        Self { router: router.clone(), closing: closing.clone(), tasks: tasks.clone() }
    }

    fn start<S>(&self, stream: S, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            let _permit = permit;
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
            let serving = builder.serve_connection(TokioIo::new(stream), service);
            let mut connection = Box::pin(serving.with_upgrades());
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

/// Takes connections, so many at once, until the daemon ends.
async fn accept_until<S, A, F>(
    closing: &CancellationToken,
    mut accept: A,
    start: impl Fn(S, OwnedSemaphorePermit),
) where
    A: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let take = async {
        loop {
            let Ok(permit) = Arc::clone(&slots).acquire_owned().await else { return };
            match accept().await {
                Ok(stream) => start(stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "no connection could be taken");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    // Cancel-safe: what was accepted has been started before the next await.
    tokio::select! {
        () = closing.cancelled() => {}
        () = take => {}
    }
}

async fn handshake<T>(
    accepting: impl Future<Output = io::Result<T>>,
    peer: SocketAddr,
) -> Option<T> {
    match timeout(HANDSHAKE_LIMIT, accepting).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "no TLS connection");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "a TLS handshake took too long");
            None
        }
    }
}
