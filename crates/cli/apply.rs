//! `crilet apply`.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use crilet_api::{Action, AppliedPod, ApplyReport, ApplyRequest, ContainerAction, PodRef};

use crate::{
    daemon::{self, Goal},
    errors::CliError,
    global::Global,
    manifests, output,
    values::Format,
};

/// Options of `crilet apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A manifest, a directory of them, or `-` for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Show what changes in the manifests
    #[arg(long)]
    diff: bool,
    /// Wait until all of the pods are ready; --timeout says how long (5m)
    #[arg(short, long, conflicts_with = "dry_run")]
    wait: bool,
    /// Delete the pods of the set that are not in these files
    #[arg(long, requires = "set")]
    prune: bool,
    /// The name under which these pods belong together
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// How to print what was done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Hands manifests to the daemon, which keeps pods as they say.
pub(crate) async fn run(global: &Global, args: ApplyArgs) -> Result<ExitCode, CliError> {
    let mut sources = Vec::new();
    for path in &args.files {
        sources.extend(manifests::read(path)?);
    }
    let ApplyArgs { dry_run, prune, set, .. } = args;
    let request = ApplyRequest { sources, dry_run, set, prune };
    let report = daemon::client(global).apply(&request).await?;
    print(&report, args.diff, args.output)?;
    if args.wait {
        wait(global, &report).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what was done; what is probably not meant so is said.
pub(crate) fn print(report: &ApplyReport, diff: bool, format: Format) -> Result<(), CliError> {
    for warning in &report.warnings {
        output::say(&warning.to_string());
    }
    let written = match format {
        Format::Json => output::json(report),
        Format::Text => output::data(&text(report, diff)),
    };
    written.map_err(CliError::Output)
}

/// Waits for the pods that are there to be ready, and for those that are pruned to be gone.
pub(crate) async fn wait(global: &Global, report: &ApplyReport) -> Result<(), CliError> {
    let pods = |pruned: bool| -> Vec<_> {
        let wanted = |pod: &&AppliedPod| (pod.action == Action::Pruned) == pruned;
        let wanted = report.pods.iter().filter(wanted);
        wanted.map(|pod| PodRef::new(&pod.namespace, &pod.name)).collect()
    };
    daemon::wait(global, &pods(false), Goal::Ready).await?;
    daemon::wait(global, &pods(true), Goal::Deleted).await
}

fn text(report: &ApplyReport, diff: bool) -> String {
    let mut text = String::new();
    for pod in &report.pods {
        let dry = if report.dry_run { " (dry run)" } else { "" };
        let changes = changes(pod);
        let AppliedPod { namespace, name, action, .. } = pod;
        writeln!(text, "{namespace}/{name} {action}{dry}{changes}").unwrap_or_default();
        if diff && !pod.diff.is_empty() {
            text.extend(pod.diff.lines().map(|line| format!("  {line}\n")));
        }
    }
    text
}

/// What a change means for what runs.
fn changes(pod: &AppliedPod) -> String {
    if pod.action != Action::Changed {
        return String::new();
    }
    if pod.recreates_sandbox {
        return ": the sandbox and all containers are made anew".to_owned();
    }
    if pod.containers.is_empty() {
        return ": nothing restarts".to_owned();
    }
    let of = |action| -> Vec<_> {
        let wanted = pod.containers.iter().filter(|container| container.action == action);
        wanted.map(|container| format!("`{}`", container.name)).collect()
    };
    let parts = [
        ("made anew", of(ContainerAction::Recreated)),
        ("added", of(ContainerAction::Added)),
        ("removed", of(ContainerAction::Removed)),
    ];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<_> = parts.map(|(done, names)| format!("{} {done}", names.join(", "))).collect();
    format!(": {}", parts.join("; "))
}
