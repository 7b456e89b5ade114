//! Metrics of pods and checkpoints of containers: what CRI-O and newer containerds have.

use super::state::{Answer, State};
use crate::v1;

/// The metric of containers; its labels are those of cAdvisor.
const MEMORY: &str = "container_memory_working_set_bytes";
/// The metric of pods.
const RECEIVED: &str = "container_network_receive_bytes_total";

impl State {
    pub(super) fn list_metric_descriptors(&self) -> v1::ListMetricDescriptorsResponse {
        let descriptor = |name: &str, help: &str, keys: &[&str]| v1::MetricDescriptor {
            name: name.to_owned(),
            help: help.to_owned(),
            label_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        v1::ListMetricDescriptorsResponse {
            descriptors: vec![
                descriptor(MEMORY, "Current working set in bytes", &["id", "name", "image"]),
                descriptor(RECEIVED, "Bytes received", &["id", "name", "interface"]),
            ],
        }
    }

    pub(super) fn list_pod_sandbox_metrics(&self) -> v1::ListPodSandboxMetricsResponse {
        let pods = self.sandboxes.keys().map(|id| {
            let own = self.containers.values().filter(|one| one.sandbox_id == *id);
            let own = own.map(|one| v1::ContainerMetrics {
                container_id: one.id.clone(),
                metrics: vec![metric(MEMORY, v1::MetricType::Gauge, &one.id, one.name(), 4096)],
            });
            v1::PodSandboxMetrics {
                pod_sandbox_id: id.clone(),
                metrics: vec![metric(RECEIVED, v1::MetricType::Counter, id, "POD", 1 << 30)],
                container_metrics: own.collect(),
            }
        });
        v1::ListPodSandboxMetricsResponse { pod_metrics: pods.collect() }
    }

    /// Does not write the archive: nothing on the host is touched.
    pub(super) fn checkpoint_container(
        &self,
        request: &v1::CheckpointContainerRequest,
    ) -> Answer<v1::CheckpointContainerResponse> {
        self.running(&request.container_id)?;
        Ok(v1::CheckpointContainerResponse {})
    }
}

fn metric(name: &str, kind: v1::MetricType, id: &str, of: &str, value: u64) -> v1::Metric {
    v1::Metric {
        name: name.to_owned(),
        timestamp: 0,
        metric_type: kind.into(),
        label_values: [id, of, ""].map(str::to_owned).to_vec(),
        value: Some(v1::UInt64Value { value }),
    }
}
