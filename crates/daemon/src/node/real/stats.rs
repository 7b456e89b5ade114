//! What node and pods use, as the runtime and the kernel say.

use std::{fs, sync::Arc};

use crilet_api::{ApiError, ContainerState, ContainerStats, ErrorCode, PodStats, Stats, Usage};
use crilet_core::ErrorChain;
use crilet_cri::{Client, v1};
use jiff::Timestamp;

use super::view::View;

pub(super) async fn measure(client: &Client, view: &Arc<View>) -> Result<Stats, ApiError> {
    let answer = client.list_container_stats(None).await;
    let measured = answer
        .map_err(|error| ApiError::new(ErrorCode::RuntimeFailed, ErrorChain(&error).to_string()))?;
    let pods = view.list().items;
    let pods = pods.iter().filter(|pod| pod.sandbox.is_some()).map(|pod| pod_stats(pod, &measured));
    Ok(Stats { node: node(), pods: pods.collect() })
}

fn pod_stats(pod: &crilet_api::Pod, measured: &[v1::ContainerStats]) -> PodStats {
    let mut containers = Vec::new();
    for container in &pod.containers {
        let ContainerState::Running { started_at } = container.state else { continue };
        let is_it = |stats: &&v1::ContainerStats| {
            stats.attributes.as_ref().map(|attributes| &attributes.id) == container.id.as_ref()
        };
        if let Some(stats) = measured.iter().find(is_it) {
            let usage = usage(stats);
            containers.push(ContainerStats { name: container.name.clone(), started_at, usage });
        }
    }
    PodStats {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        usage: sum(&containers),
        containers,
    }
}

fn usage(stats: &v1::ContainerStats) -> Usage {
    let cpu = stats.cpu.unwrap_or_default();
    let memory = stats.memory.unwrap_or_default();
    let value = |value: Option<v1::UInt64Value>| value.map(|value| value.value);
    let layer = stats.writable_layer.clone().unwrap_or_default();
    Usage {
        time: Timestamp::from_nanosecond(cpu.timestamp.into()).unwrap_or_default(),
        cpu_nanoseconds: value(cpu.usage_core_nano_seconds),
        cpu_nanocores: value(cpu.usage_nano_cores),
        memory_bytes: value(memory.usage_bytes),
        memory_working_set_bytes: value(memory.working_set_bytes),
        memory_rss_bytes: value(memory.rss_bytes),
        memory_available_bytes: value(memory.available_bytes),
        page_faults: value(memory.page_faults),
        major_page_faults: value(memory.major_page_faults),
        writable_layer_bytes: value(layer.used_bytes),
        ..Usage::default()
    }
}

/// A pod uses what its containers use; its pause process uses next to nothing.
fn sum(containers: &[ContainerStats]) -> Usage {
    let sum = |of: fn(&Usage) -> Option<u64>| {
        containers.iter().filter_map(|container| of(&container.usage)).reduce(u64::saturating_add)
    };
    Usage {
        time: containers.iter().map(|container| container.usage.time).max().unwrap_or_default(),
        cpu_nanoseconds: sum(|usage| usage.cpu_nanoseconds),
        cpu_nanocores: sum(|usage| usage.cpu_nanocores),
        memory_bytes: sum(|usage| usage.memory_bytes),
        memory_working_set_bytes: sum(|usage| usage.memory_working_set_bytes),
        memory_rss_bytes: sum(|usage| usage.memory_rss_bytes),
        page_faults: sum(|usage| usage.page_faults),
        major_page_faults: sum(|usage| usage.major_page_faults),
        writable_layer_bytes: sum(|usage| usage.writable_layer_bytes),
        ..Usage::default()
    }
}

/// The machine, by proc(5); what it does not tell is left out.
fn node() -> Usage {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes: u64 = line?.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let available = bytes("MemAvailable");
    let used = |free: Option<u64>| Some(bytes("MemTotal")?.saturating_sub(free?));
    Usage {
        time: Timestamp::now(),
        cpu_nanoseconds: cpu_nanoseconds(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        memory_bytes: used(bytes("MemFree")),
        memory_working_set_bytes: used(available),
        memory_available_bytes: available,
        ..Usage::default()
    }
}

/// The first line of /proc/stat counts hundredths of seconds (`USER_HZ` is 100 everywhere): user,
/// nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen.
fn cpu_nanoseconds(stat: &str) -> Option<u64> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|&index| numbers.get(index)).sum::<u64>();
    busy.checked_mul(10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_used_time() {
        let stat = "cpu  100 10 50 9999 77 1 2 3 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(cpu_nanoseconds(stat), Some(1_660_000_000));
        assert_eq!(cpu_nanoseconds(""), None);
        assert!(node().memory_bytes.is_some_and(|bytes| bytes > 0));
    }
}
