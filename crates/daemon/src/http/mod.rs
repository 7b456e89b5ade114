//! The HTTP side of the daemon.
//!
//! [`router`] is made from the table of operations in crilet-api: what is in the table has a
//! handler, or this does not compile, and what has a handler is documented. Handlers extract, call
//! the node and wrap; [`failure`] alone turns errors into answers.
//!
//! One router is served at two places: the unix socket, whose permissions decide who may use it,
//! and, if asked for, over TLS, where [`tls`] demands a certificate or a token.

mod extract;
mod failure;
mod handlers;
mod kubelet;
mod logs;
mod metrics;
mod serve;
mod socket;
mod streams;
mod tls;
mod ways;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, delete, get, post},
};
use crilet_api::{Method, OPERATIONS, Operation, OperationId};
use tokio_util::sync::CancellationToken;

use self::{failure::Failure, metrics::Metrics};
pub(crate) use self::{serve::Server, socket::Socket, tls::Tls};
pub use self::{socket::SocketError, tls::TlsError};
use crate::Node;

/// Largest body of a request, in bytes: some manifests at the size that one may have.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// What handlers work with.
pub(crate) struct App {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) metrics: Metrics,
    /// Cancelled when the daemon ends: streams end then.
    pub(crate) closing: CancellationToken,
}

/// Everything that can be asked of the daemon.
pub(crate) fn router(node: Arc<dyn Node>, closing: CancellationToken) -> Router {
    let metrics = Metrics::new(&node);
    let app = Arc::new(App { node, metrics, closing });
    let mut router = Router::new();
    for operation in OPERATIONS {
        let counted = axum::middleware::from_fn_with_state(
            (Arc::clone(&app), operation.id),
            metrics::count_request,
        );
        router = router.route(operation.path, handler(operation).layer(counted));
    }
    router
        .fallback(|| async { Failure::no_such_path() })
        .method_not_allowed_fallback(|| async { Failure::method_not_allowed() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(app)
}

fn handler(operation: &Operation) -> MethodRouter<Arc<App>> {
    match (operation.method, operation.id) {
        (Method::Delete, _) => delete(handlers::delete_pod),
        (Method::Post, id) => post_handler(id),
        (Method::Get, id) => get_handler(id),
    }
}

fn post_handler(id: OperationId) -> MethodRouter<Arc<App>> {
    use OperationId as Id;
    match id {
        Id::Apply => post(handlers::apply),
        Id::StopPod => post(handlers::stop_pod),
        Id::StartPod => post(handlers::start_pod),
        Id::RestartPod => post(handlers::restart_pod),
        Id::CollectImages => post(handlers::collect_images),
        _ => MethodRouter::new(),
    }
}

fn get_handler(id: OperationId) -> MethodRouter<Arc<App>> {
    use OperationId as Id;
    match id {
        Id::GetNode => get(handlers::get_node),
        Id::GetStats => get(handlers::get_stats),
        Id::ListPods => get(handlers::list_pods),
        Id::WatchPods => get(handlers::watch_pods),
        Id::GetPod => get(handlers::get_pod),
        Id::ReadLogs => get(handlers::read_logs),
        Id::ListEvents => get(handlers::list_events),
        Id::WatchEvents => get(handlers::watch_events),
        Id::ExecInContainer => get(ways::exec),
        Id::AttachToContainer => get(ways::attach),
        Id::ForwardPorts => get(ways::forward),
        Id::GetOpenApi => get(handlers::get_openapi),
        Id::GetHealth => get(handlers::get_health),
        Id::GetReadiness => get(handlers::get_readiness),
        Id::GetMetrics => get(handlers::get_metrics),
        Id::KubeletPods => get(handlers::kubelet_pods),
        Id::KubeletStats => get(handlers::kubelet_stats),
        Id::KubeletResourceMetrics => get(handlers::kubelet_resource_metrics),
        Id::Apply
        | Id::DeletePod
        | Id::StopPod
        | Id::StartPod
        | Id::RestartPod
        | Id::CollectImages => MethodRouter::new(),
    }
}
