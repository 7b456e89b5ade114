//! What containers and pods use.

use std::{collections::BTreeMap, time::Duration};

use crilet_cri::{Client, v1};
use crilet_crictl::{table::table, units};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Call, Result,
    config::CLEAR,
    list::labels,
    print, reach,
    report::{Fail, Tried},
    show::{self, short},
};

/// How often `--watch` shows it again.
const AGAIN: Duration = Duration::from_millis(500);

/// Shows something once, or again and again until an interrupt.
async fn shown(call: &Call, mut show: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    if !call.line.bool("watch") {
        return show().await;
    }
    let start = |kind| signal(kind).map_err(|error| Fail::Fatal(error.to_string()));
    let (mut interrupt, mut terminate) =
        (start(SignalKind::interrupt())?, start(SignalKind::terminate())?);
    let again = async {
        loop {
            tokio::time::sleep(AGAIN).await;
            show().await?;
            if crate::output::reader_is_gone() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        ended = again => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// The id that is meant: by option, or as the only argument.
fn id(call: &Call) -> Result<String> {
    let line = &call.line;
    match (line.text("id"), line.arguments.as_slice()) {
        (_, [_, _, ..]) => Err(Fail::Help),
        ("", [id]) => Ok(id.clone()),
        (id, _) => Ok(id.to_owned()),
    }
}

fn sample(call: &Call) -> Duration {
    Duration::from_secs(u64::try_from(call.line.int("seconds")).unwrap_or_default())
}

/// Processors in use between two looks, in percent; nothing when the same look was taken twice.
fn percent(before: Option<(i64, u64)>, now: (i64, u64)) -> Option<f64> {
    let (then, used) = before.unwrap_or_default();
    let time = now.0 - then;
    if now.1 == 0 {
        return Some(0.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let percent = now.1.saturating_sub(used) as f64 / time as f64 * 100.0;
    (time != 0).then_some(percent)
}

fn cpu(usage: Option<&v1::CpuUsage>) -> (i64, u64) {
    usage.map_or((0, 0), |usage| {
        (usage.timestamp, usage.usage_core_nano_seconds.unwrap_or_default().value)
    })
}

fn stale() -> Fail {
    Fail::fatal("cpu stat is not updated during sample")
}

pub(super) async fn containers(call: &Call) -> Result<()> {
    let id = id(call)?;
    let client = reach::client(call).await?;
    let filter = v1::ContainerStatsFilter {
        id,
        pod_sandbox_id: call.line.text("pod").to_owned(),
        label_selector: labels(call.line.list("label"))?,
    };
    let shown = shown(call, async || show_containers(&client, call, &filter).await).await;
    shown.tried("get container stats")
}

async fn container_stats(
    client: &Client,
    filter: &v1::ContainerStatsFilter,
) -> Result<Vec<v1::ContainerStats>> {
    let mut stats = client.list_container_stats(Some(filter.clone())).await?;
    stats.sort_by(|a, b| container_id(a).cmp(container_id(b)));
    Ok(stats)
}

fn container_id(stats: &v1::ContainerStats) -> &str {
    stats.attributes.as_ref().map_or("", |attributes| attributes.id.as_str())
}

async fn show_containers(
    client: &Client,
    call: &Call,
    filter: &v1::ContainerStatsFilter,
) -> Result<()> {
    let first = container_stats(client, filter).await?;
    match call.line.text("output") {
        "json" => return show::json(&v1::ListContainerStatsResponse { stats: first }),
        "yaml" => return show::yaml(&v1::ListContainerStatsResponse { stats: first }),
        _ => {}
    }
    let before: BTreeMap<&str, _> =
        first.iter().map(|stats| (container_id(stats), cpu(stats.cpu.as_ref()))).collect();
    tokio::time::sleep(sample(call)).await;
    let header = ["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for stats in container_stats(client, filter).await? {
        let memory = stats.memory.and_then(|memory| memory.working_set_bytes);
        let memory = memory.unwrap_or_default().value;
        let now = cpu(stats.cpu.as_ref());
        let idle = now.1 == 0 && memory == 0 && !call.line.bool("all");
        let Some(then) = before.get(container_id(&stats)).filter(|_| !idle) else { continue };
        let percent = percent(Some(*then), now).ok_or_else(stale)?;
        rows.push(container_row(&stats, percent, memory));
    }
    print(&format!("{CLEAR}{}", table(&rows)))
}

fn container_row(stats: &v1::ContainerStats, percent: f64, memory: u64) -> Vec<String> {
    let metadata = stats.attributes.clone().and_then(|attributes| attributes.metadata);
    let layer = stats.writable_layer.clone().unwrap_or_default();
    let swap = stats.swap.and_then(|swap| swap.swap_usage_bytes).unwrap_or_default().value;
    vec![
        short(container_id(stats), ""),
        metadata.unwrap_or_default().name,
        format!("{percent:.2}"),
        units::size(memory, 4),
        units::size(layer.used_bytes.unwrap_or_default().value, 4),
        layer.inodes_used.unwrap_or_default().value.to_string(),
        units::size(swap, 4),
    ]
}

pub(super) async fn pods(call: &Call) -> Result<()> {
    let id = id(call)?;
    let client = reach::client(call).await.tried("get runtime service")?;
    let label_selector = labels(call.line.list("label")).tried("parse pod labels")?;
    let filter = v1::PodSandboxStatsFilter { id, label_selector };
    let shown = shown(call, async || show_pods(&client, call, &filter).await).await;
    shown.tried("get pod stats")
}

async fn pod_stats(
    client: &Client,
    filter: &v1::PodSandboxStatsFilter,
) -> Result<Vec<v1::PodSandboxStats>> {
    let stats = client.list_pod_sandbox_stats(Some(filter.clone())).await;
    let mut stats = stats.tried("list pod sandbox stats")?;
    stats.sort_by(|a, b| pod_id(a).cmp(pod_id(b)));
    Ok(stats)
}

fn pod_id(stats: &v1::PodSandboxStats) -> &str {
    stats.attributes.as_ref().map_or("", |attributes| attributes.id.as_str())
}

fn pod_cpu(stats: &v1::PodSandboxStats) -> (i64, u64) {
    cpu(stats.linux.as_ref().and_then(|linux| linux.cpu.as_ref()))
}

async fn show_pods(client: &Client, call: &Call, filter: &v1::PodSandboxStatsFilter) -> Result<()> {
    let first = pod_stats(client, filter).await?;
    match call.line.text("output") {
        "json" => return show::json(&v1::ListPodSandboxStatsResponse { stats: first }),
        "yaml" => return show::yaml(&v1::ListPodSandboxStatsResponse { stats: first }),
        _ => {}
    }
    let before: BTreeMap<&str, _> =
        first.iter().map(|stats| (pod_id(stats), pod_cpu(stats))).collect();
    tokio::time::sleep(sample(call)).await;
    let mut rows = vec![["POD", "POD ID", "CPU %", "MEM"].map(str::to_owned).to_vec()];
    for stats in pod_stats(client, filter).await? {
        let memory = stats.linux.as_ref().and_then(|linux| linux.memory?.working_set_bytes);
        let memory = memory.unwrap_or_default().value;
        let now = pod_cpu(&stats);
        let nothing = now.1 == 0 && memory == 0;
        let Some(then) = before.get(pod_id(&stats)).filter(|_| !nothing) else { continue };
        let percent = percent(Some(*then), now).ok_or_else(stale)?;
        let metadata = stats.attributes.clone().and_then(|attributes| attributes.metadata);
        rows.push(vec![
            metadata.unwrap_or_default().name,
            short(pod_id(&stats), ""),
            format!("{percent:.2}"),
            units::size(memory, 4),
        ]);
    }
    print(&format!("{CLEAR}{}", table(&rows)))
}

/// JSON or YAML, or help for anything else.
fn is_yaml(call: &Call) -> Result<bool> {
    match call.line.text("output") {
        _ if !call.line.arguments.is_empty() => Err(Fail::Help),
        "json" | "" => Ok(false),
        "yaml" => Ok(true),
        _ => Err(Fail::Help),
    }
}

pub(super) async fn metric_descriptors(call: &Call) -> Result<()> {
    let yaml = is_yaml(call)?;
    let client = reach::client(call).await.tried("get runtime service")?;
    let listed = client.list_metric_descriptors().await;
    let descriptors = listed.tried("get metric descriptors: list metric descriptors")?;
    let answer = v1::ListMetricDescriptorsResponse { descriptors };
    if yaml { show::yaml(&answer) } else { show::json(&answer) }
}

pub(super) async fn metrics(call: &Call) -> Result<()> {
    let yaml = is_yaml(call)?;
    let client = reach::client(call).await.tried("get runtime service")?;
    let shown = shown(call, async || {
        let listed = client.list_pod_sandbox_metrics().await;
        let pod_metrics = listed.tried("list pod sandbox metrics")?;
        let answer = v1::ListPodSandboxMetricsResponse { pod_metrics };
        if yaml { show::yaml(&answer) } else { show::json(&answer) }
    });
    shown.await.tried("get pod metrics")
}
