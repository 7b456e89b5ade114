//! `crilet runtime`: the embedded containerd.

use std::{fs, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use crilet_pod::StateDir;
use crilet_runtime::{
    DownReport, Layout, Mirror, Options, Plugins, RuntimeStatus, UpReport, down, show_log, status,
    supervise, up,
};

use crate::{
    connect,
    errors::CliError,
    output,
    values::{self, Format},
};

/// Verbs of `crilet runtime`.
#[derive(Debug, Args)]
pub(crate) struct RuntimeArgs {
    #[command(subcommand)]
    verb: RuntimeVerb,
}

#[derive(Debug, Subcommand)]
enum RuntimeVerb {
    /// Start a private containerd that lives on when this shell ends; does nothing when it runs
    Up(UpArgs),
    /// Stop all its pods, then containerd itself, and clean up; images stay on disk
    Down(DownArgs),
    /// Show how it is
    Status(StatusArgs),
    /// Show containerd's own log
    Logs(LogsArgs),
    /// Run and watch containerd; started by `up`
    #[command(hide = true)]
    Supervise,
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Ask a mirror before a registry, such as docker.io=http://127.0.0.1:5000; may be repeated,
    /// and is remembered for the next time
    #[arg(long, value_name = "REGISTRY=URL")]
    mirror: Vec<Mirror>,
    /// Whose network plugins pods get: `own`, or a directory such as /usr/lib/cni; remembered for
    /// the next time
    #[arg(long, value_name = "DIR", value_parser = plugins)]
    cni_plugins: Option<Plugins>,
    /// Forget the mirrors of last time
    #[arg(long)]
    no_mirrors: bool,
}

#[derive(Debug, Args)]
struct DownArgs {
    /// How long containers may take to end before they are killed
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    grace: Duration,
    /// Remove images and settings, too
    #[arg(long)]
    purge: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Args)]
struct LogsArgs {
    /// Keep writing what is added
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
}

/// Runs a verb of `crilet runtime`.
pub(crate) async fn run(args: RuntimeArgs) -> Result<ExitCode, CliError> {
    let layout = connect::layout();
    match args.verb {
        RuntimeVerb::Up(args) => run_up(&layout, args).await,
        RuntimeVerb::Down(args) => run_down(&layout, args).await,
        RuntimeVerb::Status(args) => run_status(&layout, args).await,
        RuntimeVerb::Logs(args) => run_logs(&layout, args).await,
        RuntimeVerb::Supervise => {
            supervise(&layout).await.map(|()| ExitCode::SUCCESS).map_err(CliError::from)
        }
    }
}

/// `own`, or the absolute path of a directory.
fn plugins(text: &str) -> Result<Plugins, String> {
    if text == "own" {
        return Ok(Plugins::Own);
    }
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(Plugins::Directory(path))
    } else {
        Err("must be `own` or the absolute path of a directory".to_owned())
    }
}

async fn run_up(layout: &Layout, args: UpArgs) -> Result<ExitCode, CliError> {
    let chosen = args.no_mirrors || !args.mirror.is_empty();
    let options = Options {
        mirrors: chosen.then_some(args.mirror),
        plugins: args.cni_plugins,
        plugin_program: connect::plugin_program(),
        ..Options::default()
    };
    let report = up(layout, &options).await?;
    tell_up(layout, &report);
    Ok(ExitCode::SUCCESS)
}

fn tell_up(layout: &Layout, report: &UpReport) {
    let state = if report.was_running { "already running" } else { "running" };
    output::say(&format!("containerd {} is {state} at {}", report.version, layout.endpoint()));
    for change in &report.changes {
        output::say(change);
    }
    if report.was_running {
        return;
    }
    output::say(&format!("pods live in {}", report.network));
    if let Some(reason) = &report.no_ipv6 {
        output::say(&format!("pods have no IPv6: {reason}"));
    }
    for mirror in &report.mirrors {
        output::say(&format!("{} is asked at {} first", mirror.registry(), mirror.url()));
    }
}

async fn run_down(layout: &Layout, args: DownArgs) -> Result<ExitCode, CliError> {
    let report: DownReport = down(layout, args.grace, args.purge).await?;
    let pods = connect::pod_state();
    for sandbox in &report.sandboxes {
        let failed = |cause| CliError::PodFiles { path: pods.pod(sandbox), cause };
        pods.remove(sandbox).map_err(failed)?;
    }
    remove_empty_directories(&pods);
    for pod in &report.pods {
        output::line(pod).map_err(CliError::Output)?;
    }
    let state = if report.was_up { "down" } else { "not running" };
    let images = match report.purged {
        true => " and its images are gone",
        false if layout.root().exists() => "; its images stay, until `crilet runtime down --purge`",
        false => "",
    };
    output::say(&format!("the embedded runtime is {state}{images}"));
    Ok(ExitCode::SUCCESS)
}

/// Removes the directory of such files, and the one around it. They stay while they hold anything:
/// pods of another runtime, say.
fn remove_empty_directories(pods: &StateDir) {
    let directories = pods.hosts_file("any");
    for directory in directories.ancestors().skip(2).take(2) {
        fs::remove_dir(directory).unwrap_or_default();
    }
}

async fn run_status(layout: &Layout, args: StatusArgs) -> Result<ExitCode, CliError> {
    let status = status(layout).await?;
    let written = match args.output {
        Format::Json => output::json(&status),
        Format::Text => output::data(&describe(&status)),
    };
    written.map_err(CliError::Output)?;
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(status: &RuntimeStatus) -> String {
    let state = match (status.ready, status.running) {
        (true, _) => "ready".to_owned(),
        (false, true) => format!("not ready: {}", status.reason.as_deref().unwrap_or_default()),
        (false, false) => "not running".to_owned(),
    };
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let since = status.uptime_seconds.map(|seconds| format!(", for {seconds} s"));
    let process = status.pid.map(|pid| {
        let watched = if status.supervised { "" } else { ", not supervised" };
        format!("{pid}{}{watched}", since.unwrap_or_default())
    });
    let mirrors: Vec<_> = status.mirrors.iter().map(ToString::to_string).collect();
    let mirrors = if mirrors.is_empty() { "-".to_owned() } else { mirrors.join(", ") };
    let rows = [
        ("state", state),
        ("version", text(status.version.clone())),
        ("process", text(process)),
        ("restarts", status.restarts.to_string()),
        ("endpoint", status.endpoint.clone()),
        ("pods", text(status.pods.map(|pods| pods.to_string()))),
        ("subnets", text(status.network.as_ref().map(ToString::to_string))),
        ("cgroups", text(status.cgroups.map(|cgroups| cgroups.to_string()))),
        ("mirrors", mirrors),
        ("root", format!("{} ({} MB)", status.root.display(), status.disk_bytes / 1_000_000)),
        ("log", status.log.display().to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect()
}

async fn run_logs(layout: &Layout, args: LogsArgs) -> Result<ExitCode, CliError> {
    let path = layout.log_file();
    let mut out = output::Noted::new(io::stdout().lock());
    match show_log(&path, args.tail, args.follow, &mut out).await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(cause) if out.failed() => Err(CliError::Output(cause)),
        Err(cause) => Err(CliError::Log { path, cause }),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}
