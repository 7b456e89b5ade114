//! Containers. Texts and codes are those of containerd 1.6 (pkg/cri/server/container_*.go) and
//! CRI-O (server/container_*.go).

use super::{
    Flavour, info,
    sandboxes::reserved_error,
    state::{Answer, State, not_found, resolve, unknown},
};
use crate::v1;

#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) reserved: String,
    pub(super) sandbox_id: String,
    pub(super) config: v1::ContainerConfig,
    pub(super) log_path: String,
    pub(super) image: v1::Image,
    pub(super) state: v1::ContainerState,
    pub(super) created_at: i64,
    pub(super) started_at: i64,
    pub(super) finished_at: i64,
    pub(super) exit_code: i32,
    pub(super) pid: u32,
}

impl Container {
    pub(super) fn name(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    pub(super) fn status(&self) -> v1::ContainerStatus {
        let tag = self.image.repo_tags.first().cloned();
        let image = v1::ImageSpec {
            image: tag.unwrap_or_else(|| self.image.id.clone()),
            ..v1::ImageSpec::default()
        };
        let digest = self.image.repo_digests.first().cloned();
        let reason = match (self.state, self.exit_code) {
            (v1::ContainerState::ContainerExited, 0) => "Completed",
            (v1::ContainerState::ContainerExited, _) => "Error",
            _ => "",
        };
        v1::ContainerStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            exit_code: self.exit_code,
            image: Some(image),
            image_ref: digest.unwrap_or_else(|| self.image.id.clone()),
            reason: reason.to_owned(),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            mounts: self.config.mounts.clone(),
            log_path: self.log_path.clone(),
            image_id: self.image.id.clone(),
            ..v1::ContainerStatus::default()
        }
    }
}

impl State {
    pub(super) fn create_container(
        &mut self,
        request: v1::CreateContainerRequest,
    ) -> Answer<v1::CreateContainerResponse> {
        let id = &request.pod_sandbox_id;
        let sandbox = resolve(&self.sandboxes, id)?.and_then(|id| self.sandboxes.get(&id));
        let sandbox = sandbox.ok_or_else(|| match self.flavour {
            Flavour::Containerd => {
                not_found(format!("failed to find sandbox id {id:?}: not found"))
            }
            Flavour::Crio => unknown(format!("specified sandbox not found: {id}")),
        })?;
        let config = request.config.unwrap_or_default();
        let Some(metadata) = &config.metadata else {
            return Err(unknown("container config must include metadata"));
        };
        if !sandbox.ready {
            return Err(not_found(
                "failed to get sandbox container task: no running task found: task not found: \
                 not found",
            ));
        }
        let reserved = format!("{}_{}_{}", metadata.name, sandbox.reserved, metadata.attempt);
        if let Some(holder) = self.containers.values().find(|other| other.reserved == reserved) {
            return match self.flavour {
                Flavour::Containerd => Err(reserved_error("container", &reserved, &holder.id)),
                Flavour::Crio => {
                    Ok(v1::CreateContainerResponse { container_id: holder.id.clone() })
                }
            };
        }
        let image = self.image_for(&config)?;
        let log_path = log_path(&sandbox.config.log_directory, &config.log_path);
        let sandbox_id = sandbox.id.clone();
        let container = Container {
            id: self.ids.id(),
            reserved,
            sandbox_id,
            config,
            log_path,
            image,
            state: v1::ContainerState::ContainerCreated,
            created_at: self.ids.now(),
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            pid: 0,
        };
        Ok(v1::CreateContainerResponse { container_id: self.add_container(container) })
    }

    fn image_for(&self, config: &v1::ContainerConfig) -> Answer<v1::Image> {
        let name = config.image.as_ref().map_or("", |image| &image.image);
        self.images.find(name).cloned().ok_or_else(|| match self.flavour {
            Flavour::Containerd => {
                not_found(format!("failed to resolve image {name:?}: not found"))
            }
            Flavour::Crio => unknown(format!("image {name:?} not found: image not known")),
        })
    }

    fn add_container(&mut self, container: Container) -> String {
        let (id, sandbox_id) = (container.id.clone(), container.sandbox_id.clone());
        self.containers.insert(id.clone(), container);
        self.emit(v1::ContainerEventType::ContainerCreatedEvent, &id, &sandbox_id);
        id
    }

    pub(super) fn start_container(
        &mut self,
        request: &v1::StartContainerRequest,
    ) -> Answer<v1::StartContainerResponse> {
        let id = self.container(&request.container_id)?;
        let (now, pid) = (self.ids.now(), self.ids.pid());
        let Some(container) = self.containers.get_mut(&id) else { return Err(gone(&id)) };
        if container.state != v1::ContainerState::ContainerCreated {
            return Err(unknown(format!(
                "failed to set starting state for container {id:?}: container is in {} state",
                container.state.as_str_name()
            )));
        }
        let sandbox_id = container.sandbox_id.clone();
        if !self.sandboxes.get(&sandbox_id).is_some_and(|sandbox| sandbox.ready) {
            return Err(unknown(format!("sandbox container {sandbox_id:?} is not running")));
        }
        container.state = v1::ContainerState::ContainerRunning;
        (container.started_at, container.pid) = (now, pid);
        self.emit(v1::ContainerEventType::ContainerStartedEvent, &id, &sandbox_id);
        Ok(v1::StartContainerResponse {})
    }

    /// Stops at once: processes that exist in memory only obey their first signal.
    pub(super) fn stop_container(
        &mut self,
        request: &v1::StopContainerRequest,
    ) -> Answer<v1::StopContainerResponse> {
        match self.container(&request.container_id) {
            Ok(id) => self.end(&id, if request.timeout > 0 { 143 } else { 137 }),
            Err(status) if self.flavour == Flavour::Containerd => return Err(status),
            Err(_) => {}
        }
        Ok(v1::StopContainerResponse {})
    }

    /// Removing a container that is not there is fine with both runtimes.
    pub(super) fn remove_container(
        &mut self,
        request: &v1::RemoveContainerRequest,
    ) -> Answer<v1::RemoveContainerResponse> {
        if let Some(id) = resolve(&self.containers, &request.container_id)? {
            self.end(&id, 137);
            self.delete(&id);
        }
        Ok(v1::RemoveContainerResponse {})
    }

    pub(super) fn container_status(
        &self,
        request: &v1::ContainerStatusRequest,
    ) -> Answer<v1::ContainerStatusResponse> {
        let id = self.container(&request.container_id)?;
        let container = self.containers.get(&id).ok_or_else(|| gone(&id))?;
        let sandbox = self.sandboxes.get(&container.sandbox_id);
        let verbose = request.verbose.then(|| info::container(self.flavour, container, sandbox));
        Ok(v1::ContainerStatusResponse {
            status: Some(container.status()),
            info: verbose.unwrap_or_default(),
        })
    }

    /// Checks a call that only a running container can take.
    pub(super) fn running(&self, id: &str) -> Answer<()> {
        let id = self.container(id)?;
        let container = self.containers.get(&id).ok_or_else(|| gone(&id))?;
        match container.state {
            v1::ContainerState::ContainerRunning => Ok(()),
            state => Err(unknown(format!("container is in {} state", state.as_str_name()))),
        }
    }

    fn container(&self, id: &str) -> Answer<String> {
        resolve(&self.containers, id)?.ok_or_else(|| match self.flavour {
            Flavour::Containerd => gone(id),
            Flavour::Crio => not_found(format!(
                "could not find container {id:?}: container with ID starting with {id} not found: \
                 ID does not exist"
            )),
        })
    }

    /// Ends a container if it runs.
    pub(super) fn end(&mut self, id: &str, exit_code: i32) {
        let now = self.ids.now();
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.state != v1::ContainerState::ContainerRunning {
            return;
        }
        container.state = v1::ContainerState::ContainerExited;
        container.exit_code = exit_code;
        container.finished_at = now;
        container.pid = 0;
        let sandbox_id = container.sandbox_id.clone();
        self.emit(v1::ContainerEventType::ContainerStoppedEvent, id, &sandbox_id);
    }

    pub(super) fn delete(&mut self, id: &str) {
        if let Some(container) = self.containers.remove(id) {
            let kind = v1::ContainerEventType::ContainerDeletedEvent;
            self.emit(kind, id, &container.sandbox_id);
        }
    }
}

fn gone(id: &str) -> tonic::Status {
    not_found(format!("an error occurred when try to find container {id:?}: not found"))
}

fn log_path(directory: &str, path: &str) -> String {
    if directory.is_empty() || path.is_empty() {
        return String::new();
    }
    format!("{}/{path}", directory.trim_end_matches('/'))
}
