//! `crilet run`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use crilet_api::{ApplyRequest, PodRef};
use crilet_cri::inventory::{self, Detail, Pod};
use crilet_pod::{Existing, LaunchOptions, Launched, PodSpec, images::PullPolicy, sync::marks};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    apply, connect,
    credentials::CredentialsArgs,
    daemon,
    errors::CliError,
    global::Global,
    manifests, output, pods,
    progress::Progress,
    values::{self, Format},
};

/// Options of `crilet run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// One pod config and any number of container configs in any order, or a directory of them;
    /// `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// When to pull images
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pull: Pull,
    #[command(flatten)]
    credentials: CredentialsArgs,
    /// Take down a pod of the same name first
    #[arg(long)]
    replace: bool,
    /// How long a replaced pod's containers may take to end before they are killed
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    grace: Duration,
    /// The runtime handler, where the runtime has several
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    handler: String,
    /// Hand the pod to the daemon, which keeps it up from now on
    #[arg(long, conflicts_with_all = ["pull", "creds", "auth", "replace", "grace", "handler"])]
    supervise: bool,
    /// How to print the pod
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// When to pull images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Pull {
    /// What the machine does not have
    #[default]
    Missing,
    /// Every image, because tags move
    Always,
    /// None; what is missing is an error
    Never,
}

/// Reads the files, brings the pod up and prints it.
pub(crate) async fn run(global: &Global, args: RunArgs) -> Result<ExitCode, CliError> {
    if args.supervise {
        return supervise(global, &args).await;
    }
    let files = crilet_cri::config::read(&args.files)?;
    let spec = PodSpec {
        sandbox: files.pod.config,
        containers: files.containers.into_iter().map(|container| container.config).collect(),
    };
    let options = options(&args)?;
    refuse_kept(global, &spec).await?;
    let client = connect::client(global).await?;
    let cancel = CancellationToken::new();
    let watch = watch_interrupts(cancel.clone())?;
    let progress = Progress::start(client.endpoint());
    let launched = crilet_pod::launch(&client, spec, &options, &progress, &cancel).await;
    progress.finish().await;
    watch.abort();
    print(launched?, args.output)
}

/// Has the daemon keep the pod, and waits until it is ready.
async fn supervise(global: &Global, args: &RunArgs) -> Result<ExitCode, CliError> {
    let sources = vec![manifests::read_one_pod(&args.files)?];
    let request = ApplyRequest { sources, ..ApplyRequest::default() };
    refuse_others(global, &request).await?;
    let report = daemon::client(global).apply(&request).await?;
    apply::print(&report, false, args.output)?;
    apply::wait(global, &report).await?;
    Ok(ExitCode::SUCCESS)
}

/// A pod that was brought up without the daemon is not brought up once more by it.
///
/// Who may ask the daemon need not be able to ask the runtime, which may also be down.
async fn refuse_others(global: &Global, request: &ApplyRequest) -> Result<(), CliError> {
    let Ok(client) = connect::client(global).await else { return Ok(()) };
    let mut others = inventory::read(&client, Detail::Lists).await?;
    others.retain(|pod| !marks::is_kept(pod));
    if others.is_empty() {
        return Ok(());
    }
    let request = ApplyRequest { dry_run: true, ..request.clone() };
    let wanted = daemon::client(global).apply(&request).await?.pods;
    let is_wanted = |other: &&Pod| {
        wanted.iter().any(|pod| (&pod.namespace, &pod.name) == (&other.namespace, &other.name))
    };
    match others.iter().find(is_wanted) {
        Some(other) => Err(CliError::NotTheDaemons { pod: other.full_name() }),
        None => Ok(()),
    }
}

/// A pod that the daemon keeps is not brought up beside it.
async fn refuse_kept(global: &Global, spec: &PodSpec) -> Result<(), CliError> {
    let kept = daemon::pods_if_there(global).await?;
    let metadata = spec.sandbox.metadata.clone().unwrap_or_default();
    let pod = PodRef::new(metadata.namespace, metadata.name);
    match daemon::kept(kept.as_ref(), &pod.to_string()) {
        Some(_) => Err(pods::is_kept(kept.as_ref(), &pod)),
        None => Ok(()),
    }
}

fn options(args: &RunArgs) -> Result<LaunchOptions, CliError> {
    Ok(LaunchOptions {
        pull: match args.pull {
            Pull::Missing => PullPolicy::Missing,
            Pull::Always => PullPolicy::Always,
            Pull::Never => PullPolicy::Never,
        },
        credentials: args.credentials.read()?,
        replace: args.replace,
        grace: args.grace,
        handler: args.handler.clone(),
        state: connect::pod_state(),
    })
}

/// The first Ctrl-C or SIGTERM undoes what was done; the second one leaves at once.
///
/// Both are caught from here on and not only while somebody waits for them: one that comes in
/// between must not be lost.
fn watch_interrupts(cancel: CancellationToken) -> Result<JoinHandle<()>, CliError> {
    let failed = |cause| CliError::Start { cause };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    Ok(tokio::spawn(async move {
        next().await;
        cancel.cancel();
        // A terminal has just shown `^C`.
        let start = if output::is_interactive() { "\n" } else { "" };
        output::say(&format!("{start}interrupted: undoing what was done; again to leave at once"));
        next().await;
        output::leave("left without undoing: `crilet ps --all` shows what remains", 130);
    }))
}

fn print(launched: Launched, format: Format) -> Result<ExitCode, CliError> {
    let (pod, created) = match launched {
        Launched::Created(pod) => (pod, true),
        Launched::Existing(pod, Existing::Running) => (pod, false),
        Launched::Existing(pod, existing) => return Err(exists(&pod, existing)),
    };
    let written = match format {
        Format::Json => output::json(&json!({ "created": created, "pod": pod })),
        Format::Text => output::data(&text(&pod, created)),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn exists(pod: &Pod, existing: Existing) -> CliError {
    let state = match existing {
        Existing::Running => "already runs",
        Existing::RunningOther => "already runs, made from another configuration",
        Existing::Stopped => "is there, but stopped",
        Existing::Incomplete => "is up, but not all of its containers run",
    };
    CliError::Exists { pod: pod.full_name(), state }
}

fn text(pod: &Pod, created: bool) -> String {
    let details = pod.details.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "pod        {} {}",
        pod.full_name(),
        if created { "is up" } else { "already runs" }
    )];
    if details.host_network {
        lines.push("ip         the host's".to_owned());
    }
    lines.extend(details.ips.iter().map(|ip| format!("ip         {ip}")));
    lines.extend(details.ports.iter().map(|port| format!("port       {port}")));
    lines.extend(pod.containers.iter().map(|container| {
        let id: String = container.id.chars().take(13).collect();
        format!("container  {} {} {id}", container.name, container.state)
    }));
    lines.into_iter().map(|line| line + "\n").collect()
}
