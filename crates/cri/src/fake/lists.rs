//! Lists and their filters.

use std::collections::BTreeMap;

use super::{containers::Container, sandboxes::Sandbox, state::State};
use crate::v1;

impl State {
    pub(super) fn list_pod_sandbox(
        &self,
        request: v1::ListPodSandboxRequest,
    ) -> v1::ListPodSandboxResponse {
        let filter = request.filter.unwrap_or_default();
        let matching = self.sandboxes.values().filter(|sandbox| {
            sandbox.id.starts_with(&filter.id)
                && filter.state.as_ref().is_none_or(|wanted| wanted.state() == sandbox.state())
                && selected(&filter.label_selector, &sandbox.config.labels)
        });
        let items = matching.map(Sandbox::listed).collect();
        v1::ListPodSandboxResponse { items }
    }

    pub(super) fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> v1::ListContainersResponse {
        let filter = request.filter.unwrap_or_default();
        let matching = self.containers.values().filter(|container| {
            container.id.starts_with(&filter.id)
                && container.sandbox_id.starts_with(&filter.pod_sandbox_id)
                && filter.state.as_ref().is_none_or(|wanted| wanted.state() == container.state)
                && selected(&filter.label_selector, &container.config.labels)
        });
        let containers = matching.map(Container::listed).collect();
        v1::ListContainersResponse { containers }
    }
}

impl Sandbox {
    fn listed(&self) -> v1::PodSandbox {
        v1::PodSandbox {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }
}

impl Container {
    fn listed(&self) -> v1::Container {
        v1::Container {
            id: self.id.clone(),
            pod_sandbox_id: self.sandbox_id.clone(),
            metadata: self.config.metadata.clone(),
            image: self.config.image.clone(),
            image_ref: self.image.id.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            image_id: self.image.id.clone(),
        }
    }
}

fn selected(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
