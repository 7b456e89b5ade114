//! From a method's name and bytes to what it does, and back.

use prost::{Message, bytes::Bytes};
use tonic::{Code, Status};

use super::state::{Answer, State};
use crate::{ApiVersion, v1};

impl State {
    /// Does a call that has one answer.
    pub(super) fn answer(&mut self, call: &Method<'_>, request: Bytes) -> Answer<Bytes> {
        match call.method {
            "Version" => done(&self.version()),
            "Status" => done(&self.status()),
            "UpdateRuntimeConfig" => done(&v1::UpdateRuntimeConfigResponse {}),
            "RunPodSandbox" => done(&self.run_pod_sandbox(read(request)?)?),
            "StopPodSandbox" => done(&self.stop_pod_sandbox(&read(request)?)?),
            "RemovePodSandbox" => done(&self.remove_pod_sandbox(&read(request)?)?),
            "PodSandboxStatus" => done(&self.pod_sandbox_status(&read(request)?)?),
            "ListPodSandbox" => done(&self.list_pod_sandbox(read(request)?)),
            "CreateContainer" => done(&self.create_container(read(request)?)?),
            "StartContainer" => done(&self.start_container(&read(request)?)?),
            "StopContainer" => done(&self.stop_container(&read(request)?)?),
            "RemoveContainer" => done(&self.remove_container(&read(request)?)?),
            "ContainerStatus" => done(&self.container_status(&read(request)?)?),
            "ListContainers" => done(&self.list_containers(read(request)?)),
            "ReopenContainerLog" => {
                let request: v1::ReopenContainerLogRequest = read(request)?;
                self.running(&request.container_id)?;
                done(&v1::ReopenContainerLogResponse {})
            }
            "ExecSync" => {
                let request: v1::ExecSyncRequest = read(request)?;
                self.running(&request.container_id)?;
                done(&v1::ExecSyncResponse::default())
            }
            "ListImages" => done(&self.list_images(read(request)?)),
            "ImageStatus" => done(&self.image_status(read(request)?)),
            "PullImage" => done(&self.pull_image(read(request)?)?),
            "RemoveImage" => {
                self.remove_image(read(request)?);
                done(&v1::RemoveImageResponse {})
            }
            "ImageFsInfo" => done(&v1::ImageFsInfoResponse::default()),
            method if self.methods.contains(method) => self.answer_newer(call, request),
            _ => Err(call.unimplemented()),
        }
    }

    /// Does a call of a method that containerd 1.6 does not have.
    fn answer_newer(&mut self, call: &Method<'_>, request: Bytes) -> Answer<Bytes> {
        match call.method {
            "RuntimeConfig" => done(&self.runtime_config()),
            "CheckpointContainer" => done(&self.checkpoint_container(&read(request)?)?),
            "ListMetricDescriptors" => done(&self.list_metric_descriptors()),
            "ListPodSandboxMetrics" => done(&self.list_pod_sandbox_metrics()),
            _ => Err(call.unimplemented()),
        }
    }
}

fn read<T: Message + Default>(request: Bytes) -> Answer<T> {
    T::decode(request).map_err(|error| Status::new(Code::Internal, error.to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "keeps the table above in one form")]
fn done(answer: &impl Message) -> Answer<Bytes> {
    Ok(Bytes::from(answer.encode_to_vec()))
}

/// A method as the path of a request names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) version: ApiVersion,
    pub(super) service: &'a str,
    pub(super) method: &'a str,
}

impl<'a> Method<'a> {
    /// Reads `/runtime.v1.RuntimeService/Version`; an error is what grpc-go answers.
    pub(super) fn of_path(path: &'a str, versions: &[ApiVersion]) -> Answer<Self> {
        let (package, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let known = versions.iter().find_map(|version| {
            let service = package.strip_prefix(version.package())?.strip_prefix('.')?;
            let known = matches!(service, "RuntimeService" | "ImageService");
            known.then_some(Self { version: *version, service, method })
        });
        known.ok_or_else(|| Status::unimplemented(format!("unknown service {package}")))
    }

    /// What grpc-go answers to a method that the service does not have.
    pub(super) fn unimplemented(&self) -> Status {
        let Self { version, service, method } = self;
        let package = version.package();
        Status::unimplemented(format!("unknown method {method} for service {package}.{service}"))
    }
}
