//! Sheets of pods and containers, what matters first.

use std::time::{Duration, SystemTime};

use crilet_cri::{
    inventory::{Pod, PodDetails, PodState},
    v1,
};
use jiff::Timestamp;

use super::{Thing, Told, facts::Info, image, words};
use crate::{sheet::Sheet, values};

pub(super) fn of(thing: &Thing) -> String {
    let mut sheet = Sheet::default();
    match thing {
        Thing::Pod { pod, containers, .. } => write_pod(&mut sheet, pod, containers),
        Thing::Container { pod, container } => write_container(&mut sheet, pod, container),
        Thing::Image { answer, users } => image::write(&mut sheet, answer, users),
    }
    sheet.finish()
}

fn write_pod(sheet: &mut Sheet, pod: &Pod, containers: &[Told]) {
    let details = pod.details.clone().unwrap_or_default();
    sheet.line("pod", pod.full_name());
    let state = match pod.state {
        PodState::Ready => format!("ready for {}", since(nanoseconds(pod.created_at))),
        PodState::NotReady => format!("not ready; made {}", ago(nanoseconds(pod.created_at))),
    };
    sheet.line("state", state);
    write_addresses(sheet, &details);
    for told in containers {
        let status = told.answer.status.clone().unwrap_or_default();
        sheet.head(&format!("container {}", told.listed.name));
        sheet.within(|sheet| {
            write_running(sheet, told, &status);
            write_details(sheet, told, &status);
        });
    }
    sheet.maybe("hostname", details.hostname);
    sheet.maybe("log directory", details.log_directory.map(|path| path.display().to_string()));
    sheet.maybe("pid", details.pid.map(|pid| pid.to_string()));
    sheet.maybe("cgroup", details.cgroup_parent);
    sheet.maybe("network", details.network_namespace.map(|path| path.display().to_string()));
    sheet.maybe("handler", (!pod.runtime_handler.is_empty()).then_some(&pod.runtime_handler));
    sheet.line("attempt", pod.attempt.to_string());
    sheet.line("uid", &pod.uid);
    sheet.line("id", &pod.id);
    sheet.pairs("labels", &pod.labels);
    sheet.pairs("annotations", &pod.annotations);
}

fn write_addresses(sheet: &mut Sheet, details: &PodDetails) {
    if details.host_network {
        sheet.line("ip", "the host's");
    }
    let ips: Vec<_> = details.ips.iter().map(ToString::to_string).collect();
    sheet.maybe("ip", (!ips.is_empty()).then(|| ips.join(", ")));
    let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
    sheet.maybe("ports", (!ports.is_empty()).then(|| ports.join(", ")));
}

fn write_container(sheet: &mut Sheet, pod: &Pod, told: &Told) {
    let status = told.answer.status.clone().unwrap_or_default();
    let details = pod.details.clone().unwrap_or_default();
    sheet.line("container", format!("{}/{}", pod.full_name(), told.listed.name));
    write_running(sheet, told, &status);
    write_addresses(sheet, &details);
    write_details(sheet, told, &status);
    sheet.maybe("network", details.network_namespace.map(|path| path.display().to_string()));
    sheet.line("pod's id", &pod.id);
    sheet.pairs("labels", &status.labels);
    sheet.pairs("annotations", &status.annotations);
}

/// How it is, and of what it was made.
fn write_running(sheet: &mut Sheet, told: &Told, status: &v1::ContainerStatus) {
    sheet.line("state", state(status));
    let restarts = match told.listed.attempt {
        0 => "none".to_owned(),
        attempt => attempt.to_string(),
    };
    sheet.line("restarts", restarts);
    sheet.line("image", &told.listed.image);
    let digest = [&status.image_ref, &status.image_id, &told.listed.image_ref];
    let digest = digest.into_iter().find(|name| !name.is_empty() && **name != told.listed.image);
    sheet.maybe("digest", digest);
}

fn write_details(sheet: &mut Sheet, told: &Told, status: &v1::ContainerStatus) {
    let info = Info::read(&told.answer.info);
    sheet.maybe("command", info.command().map(words::command));
    sheet.list("mounts", &status.mounts.iter().map(mount).collect::<Vec<_>>());
    sheet.line("limits", info.limits(status).text());
    sheet.maybe("log", (!status.log_path.is_empty()).then_some(&status.log_path));
    let runs = status.state() == v1::ContainerState::ContainerRunning;
    sheet.maybe("pid", (info.pid > 0 && runs).then(|| info.pid.to_string()));
    sheet.maybe("cgroup", info.cgroup());
    sheet.line("id", &status.id);
}

fn state(status: &v1::ContainerStatus) -> String {
    match status.state() {
        v1::ContainerState::ContainerCreated => {
            format!("not started; made {}", ago(status.created_at))
        }
        v1::ContainerState::ContainerRunning => format!("running for {}", since(status.started_at)),
        v1::ContainerState::ContainerExited => {
            let how = words::ended(status.exit_code, &status.reason, &status.message);
            format!("{how}; {}", ago(status.finished_at))
        }
        v1::ContainerState::ContainerUnknown => "unknown: the runtime lost track of it".to_owned(),
    }
}

fn mount(mount: &v1::Mount) -> String {
    let from = match &mount.image {
        Some(image) if mount.host_path.is_empty() => format!("image {}", image.image),
        _ => mount.host_path.clone(),
    };
    let mode = if mount.readonly { " (read-only)" } else { "" };
    format!("{} from {from}{mode}", mount.container_path)
}

/// `3h20m, since 2026-01-02T03:04:05Z`, from nanoseconds since 1970.
fn since(nanoseconds: i64) -> String {
    format!("{}, since {}", age(nanoseconds), time(nanoseconds))
}

fn ago(nanoseconds: i64) -> String {
    format!("{} ago, at {}", age(nanoseconds), time(nanoseconds))
}

fn age(nanoseconds: i64) -> String {
    let age = values::now().saturating_sub(nanoseconds);
    values::age(Duration::from_nanos(u64::try_from(age).unwrap_or_default()))
}

fn time(nanoseconds: i64) -> String {
    let seconds = Timestamp::from_second(nanoseconds / 1_000_000_000).unwrap_or_default();
    seconds.to_string()
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
