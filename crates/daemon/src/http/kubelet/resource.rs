//! `/metrics/resource` (`pkg/kubelet/metrics/collectors/resource_metrics.go`): text with the time of
//! each measurement, which the library for our own metrics cannot write.

use std::{fmt::Write, time::Duration};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use crilet_api::{ApiError, Stats, Usage};
use jiff::Timestamp;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family of metrics: name, type and help.
struct Family(&'static str, &'static str, &'static str);

const CONTAINER_CPU: Family = Family(
    "container_cpu_usage_seconds_total",
    "counter",
    "Cumulative cpu time consumed by the container in core-seconds",
);
const CONTAINER_MEMORY: Family = Family(
    "container_memory_working_set_bytes",
    "gauge",
    "Current working set of the container in bytes",
);
const CONTAINER_START: Family = Family(
    "container_start_time_seconds",
    "gauge",
    "Start time of the container since unix epoch in seconds",
);
const NODE_CPU: Family = Family(
    "node_cpu_usage_seconds_total",
    "counter",
    "Cumulative cpu time consumed by the node in core-seconds",
);
const NODE_MEMORY: Family =
    Family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
const POD_CPU: Family = Family(
    "pod_cpu_usage_seconds_total",
    "counter",
    "Cumulative cpu time consumed by the pod in core-seconds",
);
const POD_MEMORY: Family =
    Family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
const SCRAPE_ERROR: Family = Family(
    "resource_scrape_error",
    "gauge",
    "1 if there was an error while getting container metrics, 0 otherwise",
);

/// What node, pods and containers use. A failure is a metric, as with the kubelet.
pub(crate) fn resource_metrics(stats: Result<Stats, ApiError>) -> Response {
    let failed = stats.is_err();
    if let Err(error) = &stats {
        tracing::warn!(%error, "nothing could be measured");
    }
    let mut text = String::new();
    if let Ok(stats) = &stats {
        write_stats(&mut text, stats);
    }
    family(&mut text, &SCRAPE_ERROR, [(String::new(), Some(u8::from(failed).to_string()), None)]);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn write_stats(text: &mut String, stats: &Stats) {
    let containers = || {
        stats.pods.iter().flat_map(|pod| {
            pod.containers.iter().map(move |container| {
                let labels = format!(
                    "{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}",
                    escape(&container.name),
                    escape(&pod.namespace),
                    escape(&pod.name)
                );
                (labels, container)
            })
        })
    };
    let pods = || {
        stats.pods.iter().map(|pod| {
            let (namespace, name) = (escape(&pod.namespace), escape(&pod.name));
            (format!("{{namespace=\"{namespace}\",pod=\"{name}\"}}"), &pod.usage)
        })
    };
    let node = || std::iter::once((String::new(), &stats.node));
    let of_containers = || containers().map(|(labels, container)| (labels, &container.usage));
    let starts = containers().map(|(labels, container)| {
        let started = container.started_at;
        (labels, Some(milliseconds(started)), Some(started))
    });
    family(text, &CONTAINER_CPU, of_containers().map(cpu));
    family(text, &CONTAINER_MEMORY, of_containers().map(memory));
    family(text, &CONTAINER_START, starts);
    family(text, &NODE_CPU, node().map(cpu));
    family(text, &NODE_MEMORY, node().map(memory));
    family(text, &POD_CPU, pods().map(cpu));
    family(text, &POD_MEMORY, pods().map(memory));
}

/// Labels, value and time of a sample.
type Sample = (String, Option<String>, Option<Timestamp>);

fn cpu((labels, usage): (String, &Usage)) -> Sample {
    let seconds = |nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64().to_string();
    (labels, usage.cpu_nanoseconds.map(seconds), Some(usage.time))
}

fn memory((labels, usage): (String, &Usage)) -> Sample {
    let bytes = usage.memory_working_set_bytes.map(|bytes| bytes.to_string());
    (labels, bytes, Some(usage.time))
}

fn milliseconds(time: Timestamp) -> String {
    let (seconds, rest) = (time.as_second(), time.subsec_millisecond());
    format!("{seconds}.{rest:03}")
}

/// Writes a family; one without samples is left out.
fn family(text: &mut String, family: &Family, samples: impl IntoIterator<Item = Sample>) {
    let Family(name, kind, help) = family;
    let mut head = Some(format!("# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}\n"));
    for (labels, value, time) in samples {
        let Some(value) = value else { continue };
        text.push_str(&head.take().unwrap_or_default());
        let time = time.map_or_else(String::new, |time| format!(" {}", time.as_millisecond()));
        writeln!(text, "{name}{labels} {value}{time}").unwrap_or_default();
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
