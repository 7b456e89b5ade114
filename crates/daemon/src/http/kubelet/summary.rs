//! `/stats/summary`: the kubelet's `Summary` (`staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1`).

use std::collections::HashMap;

use crilet_api::{ContainerStats, NodeInfo, Pod, PodList, PodStats, Stats, Usage};
use serde_json::{Value, json};

use super::pods::{put, seconds};

/// What node and pods use; what could not be measured is left out.
pub(crate) fn summary(stats: &Stats, pods: &PodList, node: &NodeInfo) -> Value {
    let by_uid: HashMap<&str, &Pod> =
        pods.items.iter().map(|pod| (pod.uid.as_str(), pod.as_ref())).collect();
    let of = |stats: &PodStats| pod(stats, by_uid.get(stats.uid.as_str()).copied());
    let mut described = json!({ "nodeName": node.name, "startTime": seconds(node.started_at) });
    add_usage(&mut described, &stats.node);
    put(&mut described, "network", network(&stats.node));
    json!({ "node": described, "pods": stats.pods.iter().map(of).collect::<Vec<_>>() })
}

fn pod(stats: &PodStats, pod: Option<&Pod>) -> Value {
    let containers: Vec<_> = stats.containers.iter().map(container).collect();
    let mut value = json!({
        "podRef": { "name": stats.name, "namespace": stats.namespace, "uid": stats.uid },
        "containers": containers,
    });
    let start = pod.and_then(|pod| pod.started_at);
    put(&mut value, "startTime", start.map(|time| json!(seconds(time))));
    add_usage(&mut value, &stats.usage);
    put(&mut value, "network", network(&stats.usage));
    let processes = stats.usage.processes.map(|count| json!({ "process_count": count }));
    put(&mut value, "process_stats", processes);
    let layers: Vec<u64> =
        stats.containers.iter().filter_map(|one| one.usage.writable_layer_bytes).collect();
    let storage = (!layers.is_empty()).then(
        || json!({ "time": seconds(stats.usage.time), "usedBytes": layers.iter().sum::<u64>() }),
    );
    put(&mut value, "ephemeral-storage", storage);
    value
}

fn container(stats: &ContainerStats) -> Value {
    let mut value = json!({ "name": stats.name, "startTime": seconds(stats.started_at) });
    add_usage(&mut value, &stats.usage);
    let layer = stats.usage.writable_layer_bytes;
    let layer = layer.map(|bytes| json!({ "time": seconds(stats.usage.time), "usedBytes": bytes }));
    put(&mut value, "rootfs", layer);
    value
}

fn add_usage(value: &mut Value, usage: &Usage) {
    let cpu =
        [("usageNanoCores", usage.cpu_nanocores), ("usageCoreNanoSeconds", usage.cpu_nanoseconds)];
    let memory = [
        ("availableBytes", usage.memory_available_bytes),
        ("usageBytes", usage.memory_bytes),
        ("workingSetBytes", usage.memory_working_set_bytes),
        ("rssBytes", usage.memory_rss_bytes),
        ("pageFaults", usage.page_faults),
        ("majorPageFaults", usage.major_page_faults),
    ];
    put(value, "cpu", timed(usage, &cpu));
    put(value, "memory", timed(usage, &memory));
}

/// An object of what was measured with the time; nothing if nothing was.
fn timed(usage: &Usage, values: &[(&str, Option<u64>)]) -> Option<Value> {
    if values.iter().all(|(_, number)| number.is_none()) {
        return None;
    }
    let mut object = json!({ "time": seconds(usage.time) });
    for (key, number) in values {
        put(&mut object, key, number.map(|number| json!(number)));
    }
    Some(object)
}

fn network(usage: &Usage) -> Option<Value> {
    let interfaces: Vec<_> = usage
        .interfaces
        .iter()
        .map(|interface| {
            json!({
                "name": interface.name,
                "rxBytes": interface.received_bytes,
                "rxErrors": interface.receive_errors,
                "txBytes": interface.sent_bytes,
                "txErrors": interface.send_errors,
            })
        })
        .collect();
    let mut network = interfaces.first()?.clone();
    put(&mut network, "time", Some(json!(seconds(usage.time))));
    put(&mut network, "interfaces", Some(json!(interfaces)));
    Some(network)
}
