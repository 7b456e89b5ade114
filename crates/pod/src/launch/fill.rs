//! What goes into a sandbox: the hosts file and the containers.

use std::{io, path::Path};

use crilet_cri::{
    inventory::{self, PodDetails},
    v1,
};
use futures_util::future::join_all;
use tokio::sync::SetOnce;

use super::{Launch, gone, one};
use crate::{Failure, PodSpec, Step, error::AtStep, hosts};

/// Whether containers may start: not before their hosts file has its words, and not without.
type HostsWritten = SetOnce<bool>;

impl Launch<'_> {
    /// Creates and starts the containers, side by side. What the sandbox's status tells goes into
    /// their hosts file meanwhile.
    pub(super) async fn fill(
        &self,
        mut spec: PodSpec,
        sandbox_id: &str,
    ) -> Result<PodDetails, Vec<Failure>> {
        let file = self.options.state.hosts_file(sandbox_id);
        let written = || Step::WriteHosts { path: file.clone() };
        // Runtimes make a directory of what is to be mounted and is not there.
        make_file(&file).at(written()).map_err(one)?;
        spec.mount_hosts(&file);
        let ready = HostsWritten::new();
        let hosts = async {
            let result = self.write_hosts(&spec, sandbox_id, &file).await;
            // It fails for the second who sets it; there is one.
            ready.set(result.is_ok()).ok();
            result
        };
        let (details, started) =
            tokio::join!(hosts, self.start_containers(&spec, sandbox_id, &ready));
        match (details, started) {
            (Ok(details), Ok(())) => Ok(details),
            (Ok(_), Err(failures)) => Err(failures),
            (Err(failure), started) => {
                Err(one(failure).into_iter().chain(started.err().unwrap_or_default()).collect())
            }
        }
    }

    /// Writes the pod's own `/etc/hosts`, and tells what the sandbox is like.
    async fn write_hosts(
        &self,
        spec: &PodSpec,
        sandbox_id: &str,
        file: &Path,
    ) -> Result<PodDetails, Failure> {
        let details = inventory::read_details(self.client, sandbox_id).await.at(Step::Inspect)?;
        let details = details.ok_or_else(gone).at(Step::Inspect)?;
        let text = if spec.uses_host_network() {
            let path = hosts::CONTAINER_PATH.into();
            let node = std::fs::read_to_string("/etc/hosts").at(Step::WriteHosts { path })?;
            hosts::for_host_network(&node)
        } else {
            hosts::for_pod(&spec.sandbox.hostname, &details.ips)
        };
        std::fs::write(file, text).at(Step::WriteHosts { path: file.to_owned() })?;
        Ok(details)
    }

    async fn start_containers(
        &self,
        spec: &PodSpec,
        sandbox_id: &str,
        ready: &HostsWritten,
    ) -> Result<(), Vec<Failure>> {
        let one = |config: &v1::ContainerConfig| {
            self.start_container(spec, sandbox_id, config.clone(), ready)
        };
        // All are waited for: a call that is still under way when the pod is undone could bring
        // back what has just been removed.
        let results = join_all(spec.containers.iter().map(one)).await;
        let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    async fn start_container(
        &self,
        spec: &PodSpec,
        sandbox_id: &str,
        config: v1::ContainerConfig,
        ready: &HostsWritten,
    ) -> Result<(), Failure> {
        let container = config.metadata.as_ref().map_or_else(String::new, |m| m.name.clone());
        let step = Step::CreateContainer { container: container.clone() };
        self.not_interrupted(step.clone())?;
        let call = self.client.create_container(sandbox_id, config, spec.sandbox.clone());
        let id = self.patiently(step, call).await?;
        if !*ready.wait().await {
            // The failure is told by who wrote the file.
            return Ok(());
        }
        let step = Step::StartContainer { container: container.clone() };
        self.not_interrupted(step.clone())?;
        self.patiently(step, self.client.start_container(&id)).await?;
        tracing::info!(pod = %spec.full_name(), container, id, "container started");
        Ok(())
    }
}

/// An empty file; containers of any user read it, whatever the umask is.
fn make_file(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(file, "")?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644))
}
