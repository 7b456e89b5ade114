//! From what a worker sees to what the API shows.

use std::{sync::Arc, time::SystemTime};

use crilet_api as api;
use crilet_cri::{
    config::{Finding, Severity},
    inventory,
};
use crilet_pod::{
    model::{self, Handler, VolumeSource},
    sync::{Answers, ContainerStatus, Ended, Intent, Phase, ProbeKind, State, Status},
};
use jiff::Timestamp;

use super::desired::Entry;

/// A pod for the API; its revision is still to be given.
pub(super) fn pod(entry: &Entry, status: &Status) -> api::Pod {
    let pod = &status.pod;
    let sandbox = status.sandbox.as_ref();
    let phase = phase(status);
    api::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        revision: 0,
        source: entry.source.clone(),
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        created_at: Timestamp::now(),
        started_at: status.started_at.map(time),
        desired: match status.intent {
            Intent::Run => api::Desired::Running,
            Intent::Stop => api::Desired::Stopped,
            Intent::Delete => api::Desired::Deleted,
        },
        phase,
        message: status.failure.as_ref().map(|failure| failure.message.clone()),
        conditions: conditions(status),
        sandbox: sandbox.map(|sandbox| api::Sandbox {
            id: sandbox.id.clone(),
            attempt: sandbox.attempt,
            created_at: time(sandbox.created_at),
            ready: sandbox.ready,
        }),
        ips: sandbox.map(|sandbox| sandbox.ips.clone()).unwrap_or_default(),
        host_network: pod.uses_host_network(),
        ports: ports(pod),
        containers: status.containers.iter().map(|found| container(pod, found)).collect(),
        volumes: pod.volumes.iter().map(volume).collect(),
        restart_policy: match pod.restart_policy {
            model::RestartPolicy::Always => api::RestartPolicy::Always,
            model::RestartPolicy::OnFailure => api::RestartPolicy::OnFailure,
            model::RestartPolicy::Never => api::RestartPolicy::Never,
        },
        qos_class: match pod.qos {
            model::Qos::Guaranteed => api::QosClass::Guaranteed,
            model::Qos::Burstable => api::QosClass::Burstable,
            model::Qos::BestEffort => api::QosClass::BestEffort,
        },
        grace_seconds: pod.grace.as_secs(),
        runtime_handler: pod.runtime_handler.clone(),
        problems: problems(entry, status),
    }
}

/// A pod that nobody has looked at yet.
pub(super) fn unseen(entry: &Entry, intent: Intent) -> api::Pod {
    let status = Status {
        pod: entry.pod.clone(),
        intent,
        phase: Phase::Pending,
        sandbox: None,
        failure: None,
        started_at: None,
        containers: Vec::new(),
        gone: false,
    };
    pod(entry, &status)
}

fn phase(status: &Status) -> api::Phase {
    let down = status.sandbox.as_ref().is_none_or(|sandbox| !sandbox.ready);
    match status.phase {
        Phase::Pending => api::Phase::Pending,
        Phase::Running => api::Phase::Running,
        Phase::Succeeded => api::Phase::Succeeded,
        Phase::Failed => api::Phase::Failed,
        Phase::Stopped if down => api::Phase::Stopped,
        Phase::Stopped | Phase::Terminating => api::Phase::Stopping,
    }
}

fn conditions(status: &Status) -> Vec<api::Condition> {
    let up = status.sandbox.as_ref().is_some_and(|sandbox| sandbox.ready);
    let main = || status.containers.iter().filter(|container| !container.init);
    let initialized = main().any(|container| container.id.is_some())
        || status.containers.iter().all(|container| !container.init);
    let ready = status.is_ready();
    let not_ready: Vec<_> =
        main().filter(|container| !container.ready).map(|found| found.name.as_str()).collect();
    let message = (!not_ready.is_empty()).then(|| format!("not ready: {}", not_ready.join(", ")));
    let condition = |kind: &str, is: bool, message: Option<String>| api::Condition {
        kind: kind.to_owned(),
        status: if is { api::ConditionStatus::True } else { api::ConditionStatus::False },
        since: Timestamp::now(),
        reason: None,
        message: message.filter(|_| !is),
    };
    vec![
        condition("PodReadyToStartContainers", up, None),
        condition("Initialized", up && initialized, None),
        condition("ContainersReady", ready, message.clone()),
        condition("Ready", ready, message),
    ]
}

fn ports(pod: &model::Pod) -> Vec<api::Port> {
    let port = |mapping: &crilet_cri::v1::PortMapping| {
        let host = inventory::PortMapping::published(mapping);
        Some(api::Port {
            container: None,
            name: None,
            container_port: u16::try_from(mapping.container_port).ok()?,
            host_port: host.map(|host| host.host_port),
            host_ip: host.and_then(|host| host.host_ip),
            protocol: match mapping.protocol().into() {
                inventory::Protocol::Tcp => api::Protocol::Tcp,
                inventory::Protocol::Udp => api::Protocol::Udp,
                inventory::Protocol::Sctp => api::Protocol::Sctp,
            },
        })
    };
    pod.sandbox.port_mappings.iter().filter_map(port).collect()
}

fn container(pod: &model::Pod, found: &ContainerStatus) -> api::Container {
    let wanted = pod.container(&found.name);
    let sidecar = wanted.is_some_and(model::Container::is_sidecar);
    let waits = match &found.state {
        State::Waiting { until, .. } => *until,
        _ => None,
    };
    api::Container {
        name: found.name.clone(),
        kind: match (found.init, sidecar) {
            (true, true) => api::ContainerKind::Sidecar,
            (true, false) => api::ContainerKind::Init,
            (false, _) => api::ContainerKind::Regular,
        },
        image: found.image.clone(),
        image_id: found.image_ref.clone(),
        id: found.id.clone(),
        attempt: found.restarts,
        state: state(&found.state),
        last_termination: found.last.as_ref().map(terminated),
        restarts: found.restarts,
        restart_reason: found.last.as_ref().filter(|_| found.restarts > 0).map(why),
        next_restart_at: waits.map(time),
        started: found.started,
        ready: found.ready,
        probes: wanted.map(probes).unwrap_or_default(),
        resources: wanted.map(|wanted| resources(&wanted.resources)).unwrap_or_default(),
        command: wanted.map(command).unwrap_or_default(),
        mounts: wanted.map(mounts).unwrap_or_default(),
        log_path: found.log_path.as_ref().map(|path| path.display().to_string()),
        pid: found.pid,
    }
}

fn state(state: &State) -> api::ContainerState {
    match state {
        State::Waiting { reason, message, .. } => api::ContainerState::Waiting {
            reason: (*reason).to_owned(),
            message: Some(message.clone()).filter(|message| !message.is_empty()),
        },
        State::Running { since } => api::ContainerState::Running { started_at: time(*since) },
        State::Ended(ended) => api::ContainerState::Terminated(terminated(ended)),
    }
}

fn terminated(ended: &Ended) -> api::Terminated {
    api::Terminated {
        exit_code: ended.exit_code,
        reason: ended.reason.clone(),
        message: Some(ended.message.clone()).filter(|message| !message.is_empty()),
        started_at: ended.started_at.map(time),
        finished_at: ended.finished_at.map(time),
        container_id: None,
    }
}

fn why(ended: &Ended) -> String {
    match ended.reason.as_str() {
        "" => format!("exit {}", ended.exit_code),
        reason => format!("exit {}, {reason}", ended.exit_code),
    }
}

fn probes(container: &model::Container) -> Vec<api::ProbeStatus> {
    let probes = &container.probes;
    [
        (api::ProbeKind::Startup, &probes.startup),
        (api::ProbeKind::Liveness, &probes.liveness),
        (api::ProbeKind::Readiness, &probes.readiness),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| {
        let probe = probe.as_ref()?;
        Some(api::ProbeStatus { kind, question: question(probe), ..Default::default() })
    })
    .collect()
}

/// Puts what probes were answered last into a pod that is to be shown.
pub(super) fn answers(pod: &mut Arc<api::Pod>, answers: &Answers) {
    if pod.containers.iter().all(|container| container.probes.is_empty()) {
        return;
    }
    for container in &mut Arc::make_mut(pod).containers {
        let Some(id) = &container.id else { continue };
        for probe in &mut container.probes {
            let kind = match probe.kind {
                api::ProbeKind::Startup => ProbeKind::Startup,
                api::ProbeKind::Liveness => ProbeKind::Liveness,
                api::ProbeKind::Readiness => ProbeKind::Readiness,
            };
            let Some(last) = answers.last(id, kind) else { continue };
            probe.result = match last.verdict {
                None => api::ProbeResult::Unknown,
                Some(true) => api::ProbeResult::Success,
                Some(false) => api::ProbeResult::Failure,
            };
            probe.in_a_row = last.in_a_row;
            probe.last_at = Some(time(last.at));
            probe.message = Some(last.message).filter(|words| !words.is_empty());
        }
    }
}

fn question(probe: &model::Probe) -> String {
    let how = match &probe.handler {
        Handler::Exec(command) => format!("exec {}", command.join(" ")),
        Handler::Http(get) => format!("http-get :{}{}", get.port, get.path),
        Handler::Tcp { port, .. } => format!("tcp :{port}"),
        Handler::Grpc { port, .. } => format!("grpc :{port}"),
    };
    format!("{how} every {}s", probe.period.as_secs())
}

fn resources(resources: &model::Resources) -> api::Resources {
    api::Resources {
        cpu_request_millis: resources.cpu_request,
        cpu_limit_millis: resources.cpu_limit,
        memory_request_bytes: resources.memory_request,
        memory_limit_bytes: resources.memory_limit,
    }
}

fn command(container: &model::Container) -> Vec<String> {
    container.config.command.iter().chain(&container.config.args).cloned().collect()
}

fn mounts(container: &model::Container) -> Vec<api::Mount> {
    let own = container.mounts.iter().map(|mount| api::Mount {
        source: mount.volume.clone(),
        target: mount.path.display().to_string(),
        read_only: mount.read_only,
    });
    let given = container.config.mounts.iter().map(|mount| api::Mount {
        source: mount.host_path.clone(),
        target: mount.container_path.clone(),
        read_only: mount.readonly,
    });
    own.chain(given).collect()
}

fn volume(volume: &model::Volume) -> api::Volume {
    let (kind, detail) = match &volume.source {
        VolumeSource::HostPath { path, .. } => ("hostPath", path.display().to_string()),
        VolumeSource::EmptyDir { medium, .. } => ("emptyDir", format!("{medium:?}")),
        VolumeSource::Files(files) if files.secret => ("secret", count(files.files.len())),
        VolumeSource::Files(files) => ("files", count(files.files.len())),
        VolumeSource::Claim { name } => ("persistentVolumeClaim", name.clone()),
        VolumeSource::Image { reference, .. } => ("image", reference.clone()),
    };
    api::Volume { name: volume.name.clone(), kind: kind.to_owned(), detail }
}

fn count(files: usize) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

fn problems(entry: &Entry, status: &Status) -> Vec<api::Problem> {
    let failure = status.failure.iter().map(|failure| api::Problem {
        reason: failure.reason.to_owned(),
        message: failure.message.clone(),
        since: time(failure.at),
        findings: Vec::new(),
    });
    entry.problems.iter().cloned().chain(failure).collect()
}

/// A finding for the API.
pub(super) fn finding(finding: &Finding) -> api::Finding {
    api::Finding {
        severity: match finding.severity {
            Severity::Error => api::Severity::Error,
            Severity::Warning => api::Severity::Warning,
        },
        file: finding.file.as_ref().map(|file| file.display().to_string()),
        line: finding.position.map(|position| position.line),
        column: finding.position.map(|position| position.column),
        path: finding.path.clone(),
        message: finding.message.clone(),
        hint: finding.hint.clone(),
        snippet: finding.snippet.clone(),
    }
}

/// What is past what the API can say is its epoch.
pub(super) fn time(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
