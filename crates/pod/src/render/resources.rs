//! Resources as cgroup numbers (`pkg/kubelet/cm/helpers_linux.go`, `pkg/kubelet/qos/policy.go`).

use crilet_cri::v1;

use super::NodeFacts;
use crate::model::{Container, Pod, Qos, RestartPolicy};

/// Of cpu.shares, as the kernel bounds it.
const SHARES: (u64, u64) = (2, 262_144);
/// Of the CFS bandwidth controller, in microseconds.
const PERIOD: u64 = 100_000;
/// The kernel takes no quota below a millisecond.
const LEAST_QUOTA: u64 = 1000;

/// What the runtime is told about a container of Kubernetes' words.
pub(super) fn linux(
    pod: &Pod,
    container: &Container,
    node: &NodeFacts,
) -> v1::LinuxContainerResources {
    let resources = &container.resources;
    let memory = signed(resources.memory_limit.unwrap_or_default());
    let mut linux = v1::LinuxContainerResources {
        cpu_shares: signed(shares(resources.cpu_request.unwrap_or_default())),
        memory_limit_in_bytes: memory,
        oom_score_adj: oom_score_adj(pod, container, node),
        hugepage_limits: hugepages(container, node),
        ..Default::default()
    };
    if let Some(limit) = resources.cpu_limit.filter(|limit| *limit > 0) {
        linux.cpu_period = signed(PERIOD);
        linux.cpu_quota = signed((limit.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA));
    }
    if node.cgroup_v2 {
        // No swap, and a container that runs out of memory dies as a whole.
        linux.memory_swap_limit_in_bytes = memory;
        linux.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    linux
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// From thousandths of a CPU.
fn shares(cpu: u64) -> u64 {
    let (least, most) = SHARES;
    (cpu.saturating_mul(1024) / 1000).clamp(least, most)
}

fn oom_score_adj(pod: &Pod, container: &Container, node: &NodeFacts) -> i64 {
    let sidecar = container.restart_policy == Some(RestartPolicy::Always)
        && pod.init.iter().any(|init| init.name == container.name);
    let own = container_score(pod.qos, container, node);
    let score = match pod.containers.iter().map(|main| container_score(pod.qos, main, node)).min() {
        Some(main) if sidecar => own.min(main),
        _ => own,
    };
    score.max(node.least_oom_score_adj)
}

fn container_score(qos: Qos, container: &Container, node: &NodeFacts) -> i64 {
    match qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = u128::from(container.resources.memory_request.unwrap_or_default());
            let share = 1000 * request / u128::from(node.memory.max(1));
            let score = 1000 - i64::try_from(share).unwrap_or(1000).min(1000);
            // Guaranteed pods stay below, best-effort ones above.
            score.clamp(3, 999)
        }
    }
}

/// Every size that the machine knows has a limit, 0 where none was asked for.
fn hugepages(container: &Container, node: &NodeFacts) -> Vec<v1::HugepageLimit> {
    let wanted = &container.resources.hugepage_limits;
    let mut sizes: Vec<u64> = wanted.keys().chain(&node.hugepage_sizes).copied().collect();
    sizes.sort_unstable();
    sizes.dedup();
    let limit = |size: u64| v1::HugepageLimit {
        page_size: page_size(size),
        limit: wanted.get(&size).copied().unwrap_or_default(),
    };
    sizes.into_iter().map(limit).collect()
}

/// The kernel's name of a size: `2MB`, `1GB`.
fn page_size(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 1024 && size.is_multiple_of(1024) && unit + 1 < units.len() {
        size /= 1024;
        unit += 1;
    }
    format!("{size}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded() {
        for (cpu, expected) in
            [(0, 2), (1, 2), (100, 102), (250, 256), (1000, 1024), (999_999_999, 262_144)]
        {
            assert_eq!(shares(cpu), expected, "{cpu}");
        }
    }

    #[test]
    fn page_sizes_are_named_as_the_kernel_does() {
        assert_eq!(page_size(2 << 20), "2MB");
        assert_eq!(page_size(1 << 30), "1GB");
        assert_eq!(page_size(64 << 10), "64KB");
    }
}
