//! What is measured: the raw calls over one open connection, crilet, crictl.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use crilet_cri::{Client, Endpoint, config, v1};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    host::{IMAGE, SOCKET},
    list,
    report::{self, Times},
};

/// Turns for commands that take a few milliseconds.
const QUICK_ROUNDS: usize = 51;

/// The kernel takes a removed pod's network apart in the background; the next turn must not pay.
const SETTLING: Duration = Duration::from_millis(300);

/// A pod's files on disk and as messages.
struct Pod {
    directory: PathBuf,
    sandbox: v1::PodSandboxConfig,
    containers: Vec<v1::ContainerConfig>,
}

/// Runs all measurements; prints a line for each.
pub(crate) fn run(crilet: &Path, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(&Endpoint::new(SOCKET)).await?;
        let crictl = crictl();
        version(crilet, crictl.as_deref())?;
        pods(&client, crilet, crictl.as_deref(), 1, rounds).await?;
        pods(&client, crilet, None, 2, rounds).await?;
        list::run(&client, crilet, crictl.as_deref()).await
    })
}

/// `crilet version` is one whole RPC; crictl's does the same.
fn version(crilet: &Path, crictl: Option<&Path>) -> Result<()> {
    let mut commands = vec![("crilet version", crilet, vec!["-r", SOCKET, "version"])];
    let endpoint = format!("unix://{SOCKET}");
    if let Some(crictl) = crictl {
        commands.push(("crictl version", crictl, vec!["-r", &endpoint, "version"]));
    }
    let mut times: Vec<_> = commands.iter().map(|_| Times::default()).collect();
    for _ in 0..QUICK_ROUNDS {
        for ((_, program, arguments), times) in commands.iter().zip(&mut times) {
            times.push(timed(program, arguments)?);
        }
    }
    for ((name, program, arguments), times) in commands.iter().zip(&times) {
        let peak = peak_memory(program, arguments)?;
        report::print(&format!("{name:<34}{}, peak {peak:.1} MB", times.summary()));
    }
    Ok(())
}

async fn pods(
    client: &Client,
    crilet: &Path,
    crictl: Option<&Path>,
    containers: usize,
    rounds: usize,
) -> Result<()> {
    let pod = pod(containers)?;
    let (mut floor, mut own, mut peer) = (Times::default(), Times::default(), Times::default());
    let mut besides = Times::default();
    // The first round of each only warms caches.
    for round in 0..=rounds {
        let keep = |times: &mut Times, time| {
            if round > 0 {
                times.push(time)
            }
        };
        keep(&mut floor, raw(client, &pod).await?);
        let directory = pod.directory.display().to_string();
        let run = timed_with_calls(crilet, &["-r", SOCKET, "run", &directory])?;
        keep(&mut own, run.whole);
        keep(&mut besides, run.whole.saturating_sub(run.inside));
        remove_all(client).await?;
        if let Some(crictl) = crictl {
            keep(&mut peer, timed(crictl, &crictl_run(&pod.directory))?);
            remove_all(client).await?;
        }
    }
    let what = format!("{containers} container{}", if containers == 1 { "" } else { "s" });
    report::print(&format!("{:<34}{}", format!("raw calls, {what}, port"), floor.summary()));
    let over = |times: &Times| format!("{}, {}", times.summary(), times.over(&floor));
    report::print(&format!("{:<34}{}", format!("crilet run, {what}, port"), over(&own)));
    report::print(&format!("{:<34}{}", "  of it outside those calls", besides.summary()));
    if crictl.is_some() {
        report::print(&format!("{:<34}{}", format!("crictl run, {what}, port"), over(&peer)));
    }
    Ok(())
}

/// The floor: the calls that no client can do without, containers side by side.
async fn raw(client: &Client, pod: &Pod) -> Result<Duration> {
    let start = Instant::now();
    let id = client.run_pod_sandbox(pod.sandbox.clone(), "").await?;
    try_join_all(pod.containers.iter().map(async |config| {
        let container = client.create_container(&id, config.clone(), pod.sandbox.clone()).await?;
        client.start_container(&container).await
    }))
    .await?;
    let time = start.elapsed();
    remove_all(client).await?;
    Ok(time)
}

pub(crate) async fn remove_all(client: &Client) -> Result<()> {
    for sandbox in client.list_pod_sandboxes(None).await? {
        client.stop_pod_sandbox(&sandbox.id).await?;
        client.remove_pod_sandbox(&sandbox.id).await?;
    }
    tokio::time::sleep(SETTLING).await;
    Ok(())
}

fn pod(containers: usize) -> Result<Pod> {
    let directory = PathBuf::from(format!("/root/bench-{containers}"));
    std::fs::create_dir_all(&directory)?;
    let sandbox = r#"{"metadata": {"name": "bench", "uid": "bench", "namespace": "default"},
        "hostname": "bench", "log_directory": "/root/bench-log", "linux": {},
        "port_mappings": [{"container_port": 80, "host_port": 18080}]}"#;
    std::fs::write(directory.join("pod.json"), sandbox)?;
    for number in 0..containers {
        let container = format!(
            r#"{{"metadata": {{"name": "c{number}"}}, "image": {{"image": "{IMAGE}"}},
            "command": ["/bin/busybox", "sleep", "1000"], "log_path": "c{number}.log"}}"#
        );
        std::fs::write(directory.join(format!("container-{number}.json")), container)?;
    }
    let files = config::read(std::slice::from_ref(&directory))?;
    let containers = files.containers.into_iter().map(|container| container.config).collect();
    Ok(Pod { directory, sandbox: files.pod.config, containers })
}

fn crictl_run(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut words: Vec<String> =
        ["-r", &format!("unix://{SOCKET}"), "-t", "1m", "run", "--no-pull"].map(Into::into).into();
    words.extend([file("container-0.json"), file("pod.json")]);
    words
}

fn crictl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|entry| entry.join("crictl")).find(|file| file.is_file())
}

pub(crate) fn timed(program: &Path, arguments: &[impl AsRef<str>]) -> Result<Duration> {
    let start = Instant::now();
    let output = command(program, arguments).output()?;
    let time = start.elapsed();
    if !output.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(time)
}

/// A run of crilet that told of its calls.
struct Run {
    whole: Duration,
    /// While at least one of the calls that the floor makes, too, was under way.
    inside: Duration,
}

/// The calls that no client can do without.
const NEEDED: [&str; 3] = ["RunPodSandbox", "CreateContainer", "StartContainer"];

/// What is left of a run when the runtime's own work is taken out does not drift with it: rounds of
/// the same calls differ by more than a client can cost.
fn timed_with_calls(program: &Path, arguments: &[&str]) -> Result<Run> {
    let start = Instant::now();
    let output = command(program, arguments).env("CRILET_LOG", "crilet_cri=debug").output()?;
    let whole = start.elapsed();
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{}: {log}", program.display());
    }
    let mut calls: Vec<_> = log.lines().filter_map(call).collect();
    if calls.is_empty() {
        bail!("{} said nothing of its calls: {log}", program.display());
    }
    calls.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (mut inside, mut reached) = (0.0, f64::MIN);
    for (start, end) in calls {
        inside += (end - start.max(reached)).max(0.0);
        reached = reached.max(end);
    }
    Ok(Run { whole, inside: Duration::from_secs_f64(inside) })
}

/// Start and end in seconds of the day, from a line such as
/// `2026-01-31T10:20:30.123456Z DEBUG crilet_cri::transport: call ended method="Version" microseconds=250`.
fn call(line: &str) -> Option<(f64, f64)> {
    let method = line.split_once("method=\"")?.1.split_once('"')?.0;
    let microseconds: f64 = line.split_once("microseconds=")?.1.trim().parse().ok()?;
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    let end =
        clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?;
    NEEDED.contains(&method).then_some((end - microseconds / 1e6, end))
}

/// Peak resident memory in MB (10^6 bytes), as GNU time reads it of the finished process. A child
/// of this program would inherit this program's own peak.
fn peak_memory(program: &Path, arguments: &[&str]) -> Result<f64> {
    let mut words = vec!["-f", "%M", program.to_str().context("path is not UTF-8")?];
    words.extend(arguments);
    let output = command(Path::new("/usr/bin/time"), &words).output().context("run GNU time")?;
    let text = String::from_utf8_lossy(&output.stderr);
    // What the program itself has to say comes before.
    let last = text.lines().last().unwrap_or_default();
    let kibibytes: f64 = last.parse().with_context(|| format!("GNU time said {text}"))?;
    Ok(kibibytes * 1024.0 / 1e6)
}

#[expect(clippy::disallowed_methods, reason = "what is measured is this very call")]
fn command(program: &Path, arguments: &[impl AsRef<str>]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    command
}
