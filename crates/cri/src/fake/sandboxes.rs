//! Sandboxes. Texts and codes are those of containerd 1.6 (pkg/cri/server/sandbox_*.go) and CRI-O
//! (server/sandbox_*.go).

use super::{
    Flavour, info,
    state::{Answer, State, not_found, resolve, unknown},
};
use crate::v1;

#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) reserved: String,
    pub(super) config: v1::PodSandboxConfig,
    pub(super) handler: String,
    pub(super) ready: bool,
    pub(super) created_at: i64,
    pub(super) pid: u32,
    pub(super) ip: String,
}

impl Sandbox {
    pub(super) fn state(&self) -> v1::PodSandboxState {
        match self.ready {
            true => v1::PodSandboxState::SandboxReady,
            false => v1::PodSandboxState::SandboxNotready,
        }
    }

    pub(super) fn namespaces(&self) -> v1::NamespaceOption {
        let linux = self.config.linux.as_ref();
        let context = linux.and_then(|linux| linux.security_context.as_ref());
        context.and_then(|context| context.namespace_options.clone()).unwrap_or_default()
    }

    pub(super) fn status(&self) -> v1::PodSandboxStatus {
        // The network is gone once the sandbox has stopped.
        let ip = if self.ready { self.ip.clone() } else { String::new() };
        let namespaces = v1::Namespace { options: Some(self.namespaces()) };
        v1::PodSandboxStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            network: Some(v1::PodSandboxNetworkStatus { ip, additional_ips: Vec::new() }),
            linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(namespaces) }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }
}

impl State {
    pub(super) fn run_pod_sandbox(
        &mut self,
        request: v1::RunPodSandboxRequest,
    ) -> Answer<v1::RunPodSandboxResponse> {
        let config = request.config.unwrap_or_default();
        let Some(metadata) = config.metadata.as_ref() else {
            return Err(unknown("sandbox config must include metadata"));
        };
        let v1::PodSandboxMetadata { name, uid, namespace, attempt } = metadata;
        let reserved = format!("{name}_{namespace}_{uid}_{attempt}");
        if let Some(holder) = self.sandboxes.values().find(|other| other.reserved == reserved) {
            return match self.flavour {
                Flavour::Containerd => Err(reserved_error("sandbox", &reserved, &holder.id)),
                // CRI-O takes it for the same request sent twice.
                Flavour::Crio => {
                    Ok(v1::RunPodSandboxResponse { pod_sandbox_id: holder.id.clone() })
                }
            };
        }
        let handler = request.runtime_handler;
        if !matches!(handler.as_str(), "" | "runc") {
            let message =
                format!("failed to get sandbox runtime: no runtime for {handler:?} is configured");
            return Err(unknown(message));
        }
        let id = self.add_sandbox(config, handler, reserved);
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id: id })
    }

    fn add_sandbox(
        &mut self,
        config: v1::PodSandboxConfig,
        handler: String,
        reserved: String,
    ) -> String {
        let id = self.ids.id();
        let (pid, created_at) = (self.ids.pid(), self.ids.now());
        let ip = self.ids.address();
        let mut sandbox =
            Sandbox { id, reserved, config, handler, ready: true, created_at, pid, ip };
        if sandbox.namespaces().network() == v1::NamespaceMode::Node {
            sandbox.ip.clear();
        }
        let id = sandbox.id.clone();
        self.sandboxes.insert(id.clone(), sandbox);
        self.emit(v1::ContainerEventType::ContainerCreatedEvent, &id, &id);
        self.emit(v1::ContainerEventType::ContainerStartedEvent, &id, &id);
        id
    }

    pub(super) fn stop_pod_sandbox(
        &mut self,
        request: &v1::StopPodSandboxRequest,
    ) -> Answer<v1::StopPodSandboxResponse> {
        let id = &request.pod_sandbox_id;
        match resolve(&self.sandboxes, id)? {
            Some(id) => self.halt(&id),
            None if self.flavour == Flavour::Crio => {}
            None => {
                let message =
                    format!("an error occurred when try to find sandbox {id:?}: not found");
                return Err(not_found(message));
            }
        }
        Ok(v1::StopPodSandboxResponse {})
    }

    /// Kills the containers of a sandbox and the sandbox.
    fn halt(&mut self, id: &str) {
        for container in self.containers_of(id) {
            self.end(&container, 137);
        }
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return };
        if std::mem::replace(&mut sandbox.ready, false) {
            sandbox.pid = 0;
            self.emit(v1::ContainerEventType::ContainerStoppedEvent, id, id);
        }
    }

    /// Removing a sandbox that is not there is fine with both runtimes.
    pub(super) fn remove_pod_sandbox(
        &mut self,
        request: &v1::RemovePodSandboxRequest,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        if let Some(id) = resolve(&self.sandboxes, &request.pod_sandbox_id)? {
            self.halt(&id);
            for container in self.containers_of(&id) {
                self.delete(&container);
            }
            self.emit(v1::ContainerEventType::ContainerDeletedEvent, &id, &id);
            self.sandboxes.remove(&id);
        }
        Ok(v1::RemovePodSandboxResponse {})
    }

    pub(super) fn pod_sandbox_status(
        &self,
        request: &v1::PodSandboxStatusRequest,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let id = &request.pod_sandbox_id;
        let found = resolve(&self.sandboxes, id)?.and_then(|id| self.sandboxes.get(&id));
        let sandbox = found.ok_or_else(|| {
            not_found(match self.flavour {
                Flavour::Containerd => {
                    "an error occurred when try to find sandbox: not found".to_owned()
                }
                Flavour::Crio => format!(
                    "could not find pod {id:?}: PodSandbox with ID starting with {id} not found: \
                     ID does not exist"
                ),
            })
        })?;
        let verbose = request.verbose.then(|| info::sandbox(self.flavour, sandbox));
        Ok(v1::PodSandboxStatusResponse {
            status: Some(sandbox.status()),
            info: verbose.unwrap_or_default(),
            ..v1::PodSandboxStatusResponse::default()
        })
    }

    pub(super) fn containers_of(&self, sandbox: &str) -> Vec<String> {
        let containers = self.containers.values();
        let containers = containers.filter(|container| container.sandbox_id == sandbox);
        containers.map(|container| container.id.clone()).collect()
    }
}

/// containerd's words for a name that is taken (pkg/registrar).
pub(super) fn reserved_error(kind: &str, name: &str, holder: &str) -> tonic::Status {
    unknown(format!(
        "failed to reserve {kind} name {name:?}: name {name:?} is reserved for {holder:?}"
    ))
}
