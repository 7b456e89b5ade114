//! `crilet describe`.

use std::process::ExitCode;

use clap::Args;
use crilet_api::{
    Container, ContainerKind, ContainerState, Event, Pod, ProbeStatus, Resources, Source,
    Terminated, client::EventFilter,
};

use crate::{daemon, errors::CliError, events, global::Global, output, sheet::Sheet};

/// Events that are shown.
const EVENTS: usize = 10;

/// Options of `crilet describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Pods: NAME, NAMESPACE/NAME, or the beginning of a sandbox's id
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
}

/// Prints all that a person may want to know of pods.
pub(crate) async fn run(global: &Global, args: DescribeArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    let pods = daemon::find_all(&client.pods().await?, &args.pods)?;
    let mut texts = Vec::new();
    for pod in &pods {
        let filter = EventFilter { since: None, pod: Some(pod.reference()) };
        texts.push(describe(pod, &client.events(&filter).await?.items));
    }
    output::data(&texts.join("\n")).map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(pod: &Pod, events: &[Event]) -> String {
    let mut sheet = Sheet::default();
    write_pod(&mut sheet, pod);
    for problem in &pod.problems {
        sheet.line("problem", format!("{}: {}", problem.reason, problem.message));
        let findings = problem.findings.iter().map(ToString::to_string);
        findings.for_each(|finding| sheet.line("", finding));
    }
    write_conditions(&mut sheet, pod);
    for container in &pod.containers {
        write_container(&mut sheet, container);
    }
    if !pod.volumes.is_empty() {
        sheet.head("volumes");
        sheet.within(|sheet| {
            for volume in &pod.volumes {
                sheet.line(&volume.name, format!("{} {}", volume.kind, volume.detail).trim());
            }
        });
    }
    write_events(&mut sheet, events);
    sheet.finish()
}

fn write_pod(sheet: &mut Sheet, pod: &Pod) {
    sheet.line("pod", pod.full_name());
    sheet.line("uid", &pod.uid);
    sheet.line("source", source(&pod.source));
    let why = daemon::why(pod);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    sheet.line("status", format!("{}{why}", pod.phase));
    sheet.line("wanted", pod.desired.to_string());
    let started = pod.started_at.map(|time| format!(", started {} ago", daemon::age(time)));
    let age = daemon::age(pod.created_at);
    sheet.line("age", format!("{age}{}", started.unwrap_or_default()));
    let ips: Vec<_> = pod.ips.iter().map(ToString::to_string).collect();
    let host = if pod.host_network { " (the host's network)" } else { "" };
    sheet.line("ip", format!("{}{host}", or_dash(ips.join(", "))));
    let ports = pod.ports.iter().map(|port| {
        let name = port.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        format!("{port}{name}")
    });
    let ports: Vec<_> = ports.collect();
    sheet.maybe("ports", (!ports.is_empty()).then(|| ports.join("\n")));
    sheet.maybe(
        "sandbox",
        pod.sandbox.as_ref().map(|sandbox| {
            let state = if sandbox.ready { "ready" } else { "not ready" };
            format!("{} {state}, attempt {}", short(&sandbox.id), sandbox.attempt)
        }),
    );
    let handler = &pod.runtime_handler;
    sheet.maybe("handler", (!handler.is_empty()).then_some(handler));
    sheet.line("restarts", format!("policy {}, {} so far", pod.restart_policy, pod.restarts()));
    sheet.line("quality", format!("{}, grace period {} s", pod.qos_class, pod.grace_seconds));
    sheet.pairs("labels", &pod.labels);
    sheet.pairs("annotations", &pod.annotations);
}

fn source(source: &Source) -> String {
    match source {
        Source::File { .. } => source.place(),
        Source::Applied { set, .. } => {
            let set = set.as_ref().map_or_else(String::new, |set| format!(", set {set}"));
            format!("applied from {}{set}", source.place())
        }
    }
}

fn write_conditions(sheet: &mut Sheet, pod: &Pod) {
    if pod.conditions.is_empty() {
        return;
    }
    sheet.head("conditions");
    let rows: Vec<_> = pod
        .conditions
        .iter()
        .map(|condition| {
            let reason = condition.reason.clone().unwrap_or_default();
            let message = condition.message.clone().unwrap_or_default();
            let reason = [reason, message].into_iter().filter(|part| !part.is_empty());
            vec![
                format!("  {}", condition.kind),
                condition.status.to_string(),
                daemon::age(condition.since),
                reason.collect::<Vec<_>>().join(": "),
            ]
        })
        .collect();
    sheet.text(&output::rows(&rows));
}

fn write_container(sheet: &mut Sheet, container: &Container) {
    let kind = match container.kind {
        ContainerKind::Regular => "container",
        ContainerKind::Init => "init container",
        ContainerKind::Sidecar => "sidecar",
    };
    sheet.head(&format!("{kind} {}", container.name));
    sheet.within(|sheet| {
        let id =
            container.id.as_ref().map(|id| format!("{}, attempt {}", short(id), container.attempt));
        sheet.maybe("id", id);
        let image_id = container.image_id.as_ref().map(|id| format!(" ({})", short(id)));
        sheet.line("image", format!("{}{}", container.image, image_id.unwrap_or_default()));
        let command = (!container.command.is_empty()).then(|| container.command.join(" "));
        sheet.maybe("command", command);
        sheet.line("state", state(container));
        let last = container.last_termination.as_ref().map(terminated);
        sheet.maybe("before", last);
        let why = container.restart_reason.as_ref().map(|why| format!(": {why}"));
        let restarts = format!("{}{}", container.restarts, why.unwrap_or_default());
        sheet.line("restarts", restarts);
        let next = container.next_restart_at.map(|time| {
            let now = jiff::Timestamp::now();
            let left = time.duration_since(now).as_secs().max(0);
            format!("in {left} s")
        });
        sheet.maybe("next restart", next);
        sheet.line("ready", if container.ready { "yes" } else { "no" });
        for probe in &container.probes {
            sheet.line(&probe.kind.to_string().to_lowercase(), probe_line(probe));
        }
        sheet.maybe("resources", resources(&container.resources));
        let mounts = container.mounts.iter().map(|mount| {
            let mode = if mount.read_only { " (read-only)" } else { "" };
            format!("{} from {}{mode}", mount.target, mount.source)
        });
        let mounts: Vec<_> = mounts.collect();
        sheet.maybe("mounts", (!mounts.is_empty()).then(|| mounts.join("\n")));
        sheet.maybe("log", container.log_path.as_ref());
    });
}

fn state(container: &Container) -> String {
    match &container.state {
        ContainerState::Waiting { reason, message } => {
            let message = message.as_ref().map_or_else(String::new, |text| format!(": {text}"));
            format!("waiting, {reason}{message}")
        }
        ContainerState::Running { started_at } => {
            let pid = container.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            format!("running for {}{pid}", daemon::age(*started_at))
        }
        ContainerState::Terminated(last) => terminated(last),
    }
}

fn terminated(last: &Terminated) -> String {
    let ago = last.finished_at.map(|time| format!(" {} ago", daemon::age(time)));
    let message =
        last.message.as_ref().map_or_else(String::new, |text| format!(": {}", text.trim()));
    let ago = ago.unwrap_or_default();
    format!("ended{ago} with status {}, {}{message}", last.exit_code, last.reason)
}

fn probe_line(probe: &ProbeStatus) -> String {
    let last = probe.last_at.map(|time| format!(", last {} ago", daemon::age(time)));
    let message = probe.message.as_ref().map_or_else(String::new, |text| format!(": {text}"));
    let last = last.unwrap_or_default();
    format!("{} (x{}{last}){message}; {}", probe.result, probe.in_a_row, probe.question)
}

fn resources(resources: &Resources) -> Option<String> {
    let cpu = |millis: u64| format!("{millis}m cpu");
    let memory = |bytes: u64| format!("{} MiB memory", bytes / (1024 * 1024));
    let list = |cpu_millis: Option<u64>, memory_bytes: Option<u64>| {
        let parts: Vec<_> =
            cpu_millis.map(cpu).into_iter().chain(memory_bytes.map(memory)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let asks = list(resources.cpu_request_millis, resources.memory_request_bytes);
    let may = list(resources.cpu_limit_millis, resources.memory_limit_bytes);
    let asks = asks.map(|text| format!("asks for {text}"));
    let may = may.map(|text| format!("may use {text}"));
    let parts: Vec<_> = asks.into_iter().chain(may).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn write_events(sheet: &mut Sheet, events: &[Event]) {
    let latest = events.get(events.len().saturating_sub(EVENTS)..).unwrap_or_default();
    if latest.is_empty() {
        return;
    }
    sheet.head("events");
    let rows: Vec<_> = latest
        .iter()
        .map(|event| {
            let mut row = events::row(event);
            let container = event.container.clone().unwrap_or_default();
            row[0] = format!("  {}", row[0]);
            row[3] = container;
            row
        })
        .collect();
    sheet.text(&output::rows(&rows));
}

fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(13).collect()
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
