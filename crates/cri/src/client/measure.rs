//! RuntimeService: what is used, how the runtime is set up, and changes of running containers.

use super::{Client, container};
use crate::{CriError, v1};

impl Client {
    /// What all pods that match use.
    pub async fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>, CriError> {
        let request = v1::ListPodSandboxStatsRequest { filter };
        let answer: v1::ListPodSandboxStatsResponse =
            self.runtime_call("ListPodSandboxStats", None, self.deadlines.query, &request).await?;
        Ok(answer.stats)
    }

    /// Which metrics of pods there are; CRI-O has them, containerd since 2.2.
    pub async fn list_metric_descriptors(&self) -> Result<Vec<v1::MetricDescriptor>, CriError> {
        let request = v1::ListMetricDescriptorsRequest {};
        let deadline = self.deadlines.query;
        let answer: v1::ListMetricDescriptorsResponse =
            self.runtime_call("ListMetricDescriptors", None, deadline, &request).await?;
        Ok(answer.descriptors)
    }

    /// The metrics of all pods.
    pub async fn list_pod_sandbox_metrics(&self) -> Result<Vec<v1::PodSandboxMetrics>, CriError> {
        let request = v1::ListPodSandboxMetricsRequest {};
        let deadline = self.deadlines.query;
        let answer: v1::ListPodSandboxMetricsResponse =
            self.runtime_call("ListPodSandboxMetrics", None, deadline, &request).await?;
        Ok(answer.pod_metrics)
    }

    /// Tells the runtime the range of pods' addresses.
    pub async fn update_runtime_config(&self, config: v1::RuntimeConfig) -> Result<(), CriError> {
        let request = v1::UpdateRuntimeConfigRequest { runtime_config: Some(config) };
        let deadline = self.deadlines.change;
        let _: v1::UpdateRuntimeConfigResponse =
            self.runtime_call("UpdateRuntimeConfig", None, deadline, &request).await?;
        Ok(())
    }

    /// Changes what a container may use; fields at their defaults stay as they are.
    pub async fn update_container_resources(
        &self,
        id: &str,
        linux: v1::LinuxContainerResources,
    ) -> Result<(), CriError> {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(linux),
            ..v1::UpdateContainerResourcesRequest::default()
        };
        let deadline = self.deadlines.change;
        let _: v1::UpdateContainerResourcesResponse = self
            .runtime_call("UpdateContainerResources", container(id), deadline, &request)
            .await?;
        Ok(())
    }

    /// Writes the state of a running container into an archive at this path of the runtime's. The runtime
    /// is told how long it may take: as long as the call.
    pub async fn checkpoint_container(&self, id: &str, location: &str) -> Result<(), CriError> {
        let deadline = self.deadlines.change;
        let request = v1::CheckpointContainerRequest {
            container_id: id.to_owned(),
            location: location.to_owned(),
            timeout: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
        };
        let _: v1::CheckpointContainerResponse =
            self.runtime_call("CheckpointContainer", container(id), deadline, &request).await?;
        Ok(())
    }
}
