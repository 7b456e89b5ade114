//! One function for each operation: extract, call, wrap.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response, Sse},
};
use crilet_api::{
    Accepted, ApiError, ApplyReport, ApplyRequest, EventList, Health, ImageGcReport,
    ImageGcRequest, NodeInfo, Pod, PodList, PodRef, RestartRequest, Stats, StopRequest,
};
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{
    App,
    extract::{Body, Params, Target},
    failure::Failure,
    kubelet,
    logs::{self, LogParams},
    streams,
};
use crate::Node;

type Shared = State<Arc<App>>;
type Reply<T> = Result<Json<T>, Failure>;

/// How often a stream says that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EventParams {
    since: Option<u64>,
    pod: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GraceParams {
    grace_seconds: Option<u64>,
}

pub(super) async fn get_node(State(app): Shared) -> Json<NodeInfo> {
    Json(app.node.info())
}

pub(super) async fn get_stats(State(app): Shared) -> Reply<Stats> {
    Ok(Json(app.node.stats().await?))
}

pub(super) async fn list_pods(State(app): Shared) -> Json<PodList> {
    Json(app.node.pods())
}

pub(super) async fn watch_pods(State(app): Shared) -> Response {
    let stream = streams::pods(&app);
    Sse::new(stream).keep_alive(keep_alive()).into_response()
}

pub(super) async fn get_pod(State(app): Shared, Target(pod): Target) -> Reply<Arc<Pod>> {
    let found = app.node.pod(&pod).ok_or_else(|| ApiError::no_such_pod(&pod))?;
    Ok(Json(found))
}

pub(super) async fn read_logs(
    State(app): Shared,
    Target(pod): Target,
    Params(params): Params<LogParams>,
) -> Result<Response, Failure> {
    let request = params.request()?;
    let form = request.form;
    let log = app.node.logs(pod, request).await?;
    Ok(logs::answer(log, form, app.closing.clone()))
}

pub(super) async fn delete_pod(
    State(app): Shared,
    Target(pod): Target,
    Params(params): Params<GraceParams>,
) -> Reply<Accepted> {
    let request = StopRequest { grace_seconds: params.grace_seconds };
    accept(&app, move |node| node.delete(pod, request)).await
}

pub(super) async fn stop_pod(
    State(app): Shared,
    Target(pod): Target,
    Body(request): Body<StopRequest>,
) -> Reply<Accepted> {
    accept(&app, move |node| node.stop(pod, request)).await
}

pub(super) async fn start_pod(State(app): Shared, Target(pod): Target) -> Reply<Accepted> {
    accept(&app, move |node| node.start(pod)).await
}

pub(super) async fn restart_pod(
    State(app): Shared,
    Target(pod): Target,
    Body(request): Body<RestartRequest>,
) -> Reply<Accepted> {
    accept(&app, move |node| node.restart(pod, request)).await
}

pub(super) async fn apply(
    State(app): Shared,
    Body(request): Body<ApplyRequest>,
) -> Reply<ApplyReport> {
    check_apply(&request)?;
    run_to_end(&app, move |node| node.apply(request)).await.map(Json)
}

pub(super) async fn collect_images(
    State(app): Shared,
    Body(request): Body<ImageGcRequest>,
) -> Reply<ImageGcReport> {
    run_to_end(&app, move |node| node.collect_images(request)).await.map(Json)
}

pub(super) async fn list_events(
    State(app): Shared,
    Params(params): Params<EventParams>,
) -> Reply<EventList> {
    let pod = params.pod.as_deref().map(pod_of).transpose()?;
    let (revision, mut items) = app.node.events().since(params.since);
    items.retain(|event| pod.as_ref().is_none_or(|pod| event.is_about(pod)));
    Ok(Json(EventList { revision, items }))
}

/// A client that connects again says in a header where it was.
pub(super) async fn watch_events(
    State(app): Shared,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Result<Response, Failure> {
    let pod = params.pod.as_deref().map(pod_of).transpose()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let stream = streams::events(&app, last.or(params.since), pod);
    Ok(Sse::new(stream).keep_alive(keep_alive()).into_response())
}

pub(super) async fn get_openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crilet_api::OPENAPI).into_response()
}

pub(super) async fn get_health(State(app): Shared) -> Response {
    let health = app.node.health();
    kubelet::health(health.live, &health)
}

pub(super) async fn get_readiness(State(app): Shared) -> Response {
    let health: Health = app.node.health();
    kubelet::health(health.ready, &health)
}

pub(super) async fn get_metrics(State(app): Shared) -> Result<Response, Failure> {
    app.metrics.render().map_err(|error| Failure::internal(&error))
}

pub(super) async fn kubelet_pods(State(app): Shared) -> Response {
    Json(kubelet::pod_list(&app.node.pods(), &app.node.info())).into_response()
}

pub(super) async fn kubelet_stats(State(app): Shared) -> Result<Response, Failure> {
    let stats = app.node.stats().await?;
    Ok(Json(kubelet::summary(&stats, &app.node.pods(), &app.node.info())).into_response())
}

pub(super) async fn kubelet_resource_metrics(State(app): Shared) -> Response {
    kubelet::resource_metrics(app.node.stats().await)
}

fn keep_alive() -> axum::response::sse::KeepAlive {
    axum::response::sse::KeepAlive::new().interval(KEEP_ALIVE)
}

fn pod_of(text: &str) -> Result<PodRef, Failure> {
    let (namespace, name) = text.split_once('/').ok_or_else(|| {
        Failure::bad_request(format!("`{text}` names no pod: it takes NAMESPACE/NAME"))
    })?;
    Ok(PodRef::new(namespace, name))
}

fn check_apply(request: &ApplyRequest) -> Result<(), Failure> {
    let empty = request.sources.iter().any(|source| source.files.is_empty());
    if empty || (request.sources.is_empty() && !request.prune) {
        return Err(Failure::bad_request("no manifest in it"));
    }
    match &request.set {
        None if request.prune => Err(Failure::bad_request("pruning needs the name of a set")),
        Some(set) if set.trim().is_empty() => Err(Failure::bad_request("a set needs a name")),
        _ => Ok(()),
    }
}

/// Has the node do something and tells what is promised.
async fn accept<F>(app: &App, act: F) -> Reply<Accepted>
where
    F: FnOnce(&dyn Node) -> BoxFuture<'_, Result<(), ApiError>> + Send + 'static,
{
    run_to_end(app, act).await?;
    Ok(Json(Accepted { revision: *app.node.revision().borrow() }))
}

/// Lets the node do something to the end, even if whoever asked goes away meanwhile.
async fn run_to_end<T, F>(app: &App, act: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&dyn Node) -> BoxFuture<'_, Result<T, ApiError>> + Send + 'static,
{
    let node = Arc::clone(&app.node);
    let done = tokio::spawn(async move { act(node.as_ref()).await }).await;
    done.map_err(|error| Failure::internal(&error))?.map_err(Failure::from)
}
