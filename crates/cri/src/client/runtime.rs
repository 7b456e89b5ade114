//! RuntimeService: sandboxes and containers.

use std::time::Duration;

use super::{Client, container, sandbox};
use crate::{CriError, Object, v1};

impl Client {
    /// Name and version of the runtime.
    pub async fn version(&self) -> Result<v1::VersionResponse, CriError> {
        // The kubelet sends the version of its own API, always "0.1.0"; runtimes ignore it.
        let request = v1::VersionRequest { version: "0.1.0".to_owned() };
        self.runtime_call("Version", None, self.deadlines.query, &request).await
    }

    /// Conditions of the runtime and its network; `verbose` adds its configuration as JSON texts.
    pub async fn status(&self, verbose: bool) -> Result<v1::StatusResponse, CriError> {
        let request = v1::StatusRequest { verbose };
        self.runtime_call("Status", None, self.deadlines.query, &request).await
    }

    /// How the runtime drives control groups. Runtimes before containerd 2 and CRI-O 1.28 answer
    /// [`Code::Unimplemented`](crate::Code::Unimplemented).
    pub async fn runtime_config(&self) -> Result<v1::RuntimeConfigResponse, CriError> {
        let request = v1::RuntimeConfigRequest {};
        self.runtime_call("RuntimeConfig", None, self.deadlines.query, &request).await
    }

    /// Creates and starts a sandbox, and gives its id. An empty `handler` is the default one.
    pub async fn run_pod_sandbox(
        &self,
        config: v1::PodSandboxConfig,
        handler: &str,
    ) -> Result<String, CriError> {
        let name = config.metadata.as_ref().map(|metadata| metadata.name.clone());
        let object = name.map(|id| Object { kind: "pod", id });
        let request =
            v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        let answer: v1::RunPodSandboxResponse = self
            .runtime_call("RunPodSandbox", object.clone(), self.deadlines.change, &request)
            .await?;
        present("RunPodSandbox", object, answer.pod_sandbox_id)
    }

    /// Stops a sandbox with all its containers at once, and gives back its network.
    ///
    /// Stopping a stopped one succeeds. The CRI promises the same for one that does not exist, but
    /// containerd 1.6 answers that it is not found ([`CriError::is_not_found`]).
    pub async fn stop_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let _: v1::StopPodSandboxResponse = self
            .ending_call("StopPodSandbox", sandbox(id), self.deadlines.change, &request)
            .await?;
        Ok(())
    }

    /// Removes a sandbox and its containers, running or not; one that does not exist is fine.
    pub async fn remove_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let _: v1::RemovePodSandboxResponse = self
            .ending_call("RemovePodSandbox", sandbox(id), self.deadlines.change, &request)
            .await?;
        Ok(())
    }

    /// Status of a sandbox; `verbose` adds what the runtime knows besides as JSON texts.
    pub async fn pod_sandbox_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<v1::PodSandboxStatusResponse, CriError> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose };
        self.runtime_call("PodSandboxStatus", sandbox(id), self.deadlines.query, &request).await
    }

    /// All sandboxes that match.
    pub async fn list_pod_sandboxes(
        &self,
        filter: Option<v1::PodSandboxFilter>,
    ) -> Result<Vec<v1::PodSandbox>, CriError> {
        let request = v1::ListPodSandboxRequest { filter };
        let answer: v1::ListPodSandboxResponse =
            self.runtime_call("ListPodSandbox", None, self.deadlines.query, &request).await?;
        Ok(answer.items)
    }

    /// Creates a container in a sandbox, and gives its id. `sandbox_config` is the one that the
    /// sandbox was made with.
    pub async fn create_container(
        &self,
        sandbox_id: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let name = config.metadata.as_ref().map(|metadata| metadata.name.clone());
        let object = name.map(|id| Object { kind: "container", id });
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let answer: v1::CreateContainerResponse = self
            .runtime_call("CreateContainer", object.clone(), self.deadlines.change, &request)
            .await?;
        present("CreateContainer", object, answer.container_id)
    }

    /// Starts a container that was created; it can be started only once.
    pub async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StartContainerRequest { container_id: id.to_owned() };
        let _: v1::StartContainerResponse = self
            .runtime_call("StartContainer", container(id), self.deadlines.change, &request)
            .await?;
        Ok(())
    }

    /// Asks a container to end and kills it after `grace` (whole seconds, rounded up; zero kills
    /// at once).
    ///
    /// Stopping a stopped one succeeds. The CRI promises the same for one that does not exist, but
    /// containerd 1.6 answers that it is not found ([`CriError::is_not_found`]).
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let request =
            v1::StopContainerRequest { container_id: id.to_owned(), timeout: whole_seconds(grace) };
        let deadline = self.deadlines.change.saturating_add(grace);
        let _: v1::StopContainerResponse =
            self.ending_call("StopContainer", container(id), deadline, &request).await?;
        Ok(())
    }

    /// Removes a container, running or not; one that does not exist is fine.
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
        let _: v1::RemoveContainerResponse = self
            .ending_call("RemoveContainer", container(id), self.deadlines.change, &request)
            .await?;
        Ok(())
    }

    /// All containers that match, in every state.
    pub async fn list_containers(
        &self,
        filter: Option<v1::ContainerFilter>,
    ) -> Result<Vec<v1::Container>, CriError> {
        let request = v1::ListContainersRequest { filter };
        let answer: v1::ListContainersResponse =
            self.runtime_call("ListContainers", None, self.deadlines.query, &request).await?;
        Ok(answer.containers)
    }

    /// Status of a container; `verbose` adds what the runtime knows besides as JSON texts.
    pub async fn container_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<v1::ContainerStatusResponse, CriError> {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose };
        self.runtime_call("ContainerStatus", container(id), self.deadlines.query, &request).await
    }

    /// What all running containers that match use.
    pub async fn list_container_stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Result<Vec<v1::ContainerStats>, CriError> {
        let request = v1::ListContainerStatsRequest { filter };
        let answer: v1::ListContainerStatsResponse =
            self.runtime_call("ListContainerStats", None, self.deadlines.query, &request).await?;
        Ok(answer.stats)
    }

    /// Makes the runtime open a container's log file anew, after it was renamed.
    pub async fn reopen_container_log(&self, id: &str) -> Result<(), CriError> {
        let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
        let _: v1::ReopenContainerLogResponse = self
            .runtime_call("ReopenContainerLog", container(id), self.deadlines.query, &request)
            .await?;
        Ok(())
    }

    /// Runs a command in a container to its end; output is kept in memory by the runtime. A zero
    /// `timeout` (whole seconds, rounded up) is none.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<v1::ExecSyncResponse, CriError> {
        let request = v1::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command,
            timeout: whole_seconds(timeout),
        };
        let deadline = self.deadlines.change.saturating_add(timeout);
        self.runtime_call("ExecSync", container(id), deadline, &request).await
    }

    /// Asks for a command to be run in a container, and gives the URL at which its streams are to be
    /// had, once and soon (containerd and CRI-O wait a minute).
    pub async fn exec(&self, request: v1::ExecRequest) -> Result<String, CriError> {
        let object = container(&request.container_id);
        let answer: v1::ExecResponse =
            self.runtime_call("Exec", object.clone(), self.deadlines.query, &request).await?;
        present_url("Exec", object, answer.url)
    }

    /// Asks for the streams of a container's first process, and gives their URL; as [`Client::exec`].
    pub async fn attach(&self, request: v1::AttachRequest) -> Result<String, CriError> {
        let object = container(&request.container_id);
        let answer: v1::AttachResponse =
            self.runtime_call("Attach", object.clone(), self.deadlines.query, &request).await?;
        present_url("Attach", object, answer.url)
    }

    /// Asks for connections to ports of a pod, and gives their URL; as [`Client::exec`].
    ///
    /// Only WebSocket needs the ports here; over SPDY each stream names its own.
    pub async fn port_forward(&self, id: &str, ports: &[u16]) -> Result<String, CriError> {
        let request = v1::PortForwardRequest {
            pod_sandbox_id: id.to_owned(),
            port: ports.iter().map(|port| i32::from(*port)).collect(),
        };
        let answer: v1::PortForwardResponse =
            self.runtime_call("PortForward", sandbox(id), self.deadlines.query, &request).await?;
        present_url("PortForward", sandbox(id), answer.url)
    }
}

/// Rounds up, so that half a second of grace does not become a kill.
fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn present_url(
    method: &'static str,
    object: Option<Object>,
    url: String,
) -> Result<String, CriError> {
    if url.is_empty() {
        Err(CriError::Incomplete { method, object, field: "url" })
    } else {
        Ok(url)
    }
}

fn present(method: &'static str, object: Option<Object>, id: String) -> Result<String, CriError> {
    if id.is_empty() { Err(CriError::Incomplete { method, object, field: "id" }) } else { Ok(id) }
}
