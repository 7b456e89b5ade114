//! Metrics for Prometheus.

use std::{fmt, fs, sync::Arc};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use crilet_api::OperationId;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use super::App;
use crate::Node;

/// Seconds that requests are sorted by.
const BUCKETS: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 1.0, 10.0];

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: String,
    code: u16,
}

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Histogram,
}

impl Metrics {
    pub(super) fn new(node: &Arc<dyn Node>) -> Self {
        let mut registry = Registry::default();
        node.register_metrics(&mut registry);
        registry.register_collector(Box::new(Pods(Arc::clone(node))));
        registry.register_collector(Box::new(Process));
        let requests = Family::default();
        registry.register("crilet_api_requests", "Requests to the API", requests.clone());
        let durations = Histogram::new(BUCKETS);
        let help = "Time until a request of the API was answered, streams left out";
        let name = "crilet_api_request_duration";
        registry.register_with_unit(name, help, Unit::Seconds, durations.clone());
        Self { registry, requests, durations }
    }

    pub(super) fn render(&self) -> Result<Response, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
    }
}

/// Counts a request and how long its answer took.
pub(super) async fn count_request(
    State((app, operation)): State<(Arc<App>, OperationId)>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    let metrics = &app.metrics;
    if !matches!(operation, OperationId::WatchPods | OperationId::WatchEvents) {
        metrics.durations.observe(start.elapsed().as_secs_f64());
    }
    let code = response.status().as_u16();
    let labels = RequestLabels { operation: format!("{operation:?}"), code };
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// What the pods are, read when somebody asks.
struct Pods(Arc<dyn Node>);

impl fmt::Debug for Pods {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pods")
    }
}

impl Collector for Pods {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pods = self.0.pods().items;
        let gauge = ConstGauge::<u64>::new(0).metric_type();
        let help = "Pods that the daemon keeps, with their phase.";
        let mut family = encoder.encode_descriptor("crilet_pod_phase", help, None, gauge)?;
        for pod in &pods {
            let labels = [
                ("namespace", pod.namespace.as_str()),
                ("pod", &pod.name),
                ("phase", &pod.phase.to_string()),
            ];
            ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
        }
        let gauge = ConstGauge::<u64>::new(0).metric_type();
        let help = "Whether a pod may be sent work.";
        let mut family = encoder.encode_descriptor("crilet_pod_ready", help, None, gauge)?;
        for pod in &pods {
            let labels = [("namespace", pod.namespace.as_str()), ("pod", &pod.name)];
            let ready = u64::from(pod.is_ready());
            ConstGauge::new(ready).encode(family.encode_family(&labels)?)?;
        }
        let counter = ConstCounter::<u64>::new(0).metric_type();
        let help = "How often a container was started again.";
        let name = "crilet_container_restarts";
        let mut family = encoder.encode_descriptor(name, help, None, counter)?;
        for pod in &pods {
            for container in &pod.containers {
                let labels = [
                    ("namespace", pod.namespace.as_str()),
                    ("pod", &pod.name),
                    ("container", &container.name),
                ];
                let restarts = u64::from(container.restarts);
                ConstCounter::new(restarts).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// What the daemon itself uses, under the names that Prometheus' own clients have.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, value: Option<u64>| -> fmt::Result {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Resident memory in bytes.", resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors.", open_files())?;
        if let Some(seconds) = processor_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time used in seconds.";
            let kind = counter.metric_type();
            let name = "process_cpu_seconds";
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

fn open_files() -> Option<u64> {
    fs::read_dir("/proc/self/fd").ok().and_then(|entries| u64::try_from(entries.count()).ok())
}

fn processor_seconds() -> Option<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| {
        use nix::sys::time::TimeValLike;
        std::time::Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
            .as_secs_f64()
    };
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}
