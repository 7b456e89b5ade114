//! Logs of pods for the API, read from where the runtime and the kubelet's layout say they are.

use std::{path::Path, sync::Arc};

use crilet_api::{ApiError, ErrorCode, Pod};
use crilet_core::ErrorChain;
use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail},
};
use crilet_log::{
    Follow, LogError, Renderer, Watch,
    wanted::{self, Chosen, Tracker},
};
use crilet_pod::{render::POD_UID, sync::marks};

use crate::node::{LogRequest, LogStream};

/// Opens the logs of a pod; `root` is where pods have their log directories.
pub(super) async fn open(
    client: &Client,
    root: &Path,
    pod: &Pod,
    request: LogRequest,
    watch: impl FnOnce() -> std::io::Result<Arc<Watch>>,
) -> Result<LogStream, ApiError> {
    let mut chosen = choose(client, root, pod, &request).await?;
    wanted::set_prefixes(&mut chosen, false);
    let renderer = Renderer::new(request.form, request.timestamps);
    let query = request.query;
    if !request.follow {
        let stream =
            LogStream::start(move |out| wanted::read_chosen(chosen, &query, renderer, out));
        return stream.begin().await.map_err(|error| of_log(&error));
    }
    let watch = watch()
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("watch files: {error}")))?;
    let (follow, control) = Follow::new(watch, query, renderer);
    let stream = LogStream::start(move |out| follow.run(out));
    let pod = pod.full_name();
    let told = move |words| tracing::debug!(pod, words, "a log that is followed goes on");
    let tracker = Tracker::new(client.clone(), control.clone(), chosen, marks::is_made_again, told);
    let tracker = tokio::spawn(tracker.run());
    Ok(stream.followed_by(control, tracker.abort_handle()))
}

async fn choose(
    client: &Client,
    root: &Path,
    pod: &Pod,
    request: &LogRequest,
) -> Result<Vec<Chosen>, ApiError> {
    let name = request.container.as_deref();
    let is_meant = |container: &str| name.is_none_or(|name| name == container);
    if !pod.containers.iter().any(|container| is_meant(&container.name)) {
        let names: Vec<_> = pod.containers.iter().map(|one| format!("`{}`", one.name)).collect();
        let (pod, name) = (pod.full_name(), name.unwrap_or_default());
        let error = ApiError::new(
            ErrorCode::NoSuchContainer,
            format!("pod `{pod}` has no container `{name}`"),
        );
        return Err(error.hint(format!("it has {}", names.join(", "))));
    }
    let mut chosen = of_runtime(client, pod, is_meant, request.previous).await?;
    if chosen.is_empty() {
        let directory = root.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid));
        chosen = wanted::of_directory(&directory, &pod.full_name(), name, request.previous);
    }
    if chosen.is_empty() {
        let which = if request.previous { "no former log" } else { "no log yet" };
        return Err(ApiError::new(
            ErrorCode::NoLog,
            format!("pod `{}` has {which}", pod.full_name()),
        ));
    }
    Ok(chosen)
}

/// Logs of the containers in the pod's newest sandbox.
async fn of_runtime(
    client: &Client,
    pod: &Pod,
    is_meant: impl Fn(&str) -> bool,
    previous: bool,
) -> Result<Vec<Chosen>, ApiError> {
    let found = inventory::read_labelled(client, (POD_UID, &pod.uid), Detail::Lists).await;
    let mut found = found.map_err(|error| of_runtime_error(&error))?;
    found.retain(marks::is_kept);
    let Some(mut newest) = found.into_iter().max_by_key(|one| (one.attempt, one.created_at)) else {
        return Ok(Vec::new());
    };
    let meant: Vec<_> = newest.containers.iter().filter(|one| is_meant(&one.name)).collect();
    newest.containers = wanted::generations(&meant, previous);
    let described = inventory::describe(client, vec![newest], Detail::Logs).await;
    let mut chosen = Vec::new();
    for sandbox in described.map_err(|error| of_runtime_error(&error))? {
        chosen.extend(wanted::of_pod(&sandbox, previous).map_err(|error| of_log(&error))?);
    }
    Ok(chosen)
}

fn of_runtime_error(error: &CriError) -> ApiError {
    ApiError::new(ErrorCode::RuntimeFailed, ErrorChain(error).to_string())
}

fn of_log(error: &LogError) -> ApiError {
    let code = match error {
        LogError::Missing { .. } => ErrorCode::NoLog,
        LogError::Runtime(_) => ErrorCode::RuntimeFailed,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, ErrorChain(error).to_string())
}
