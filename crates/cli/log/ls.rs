//! `crilet log ls`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use crilet_cri::Client;
use crilet_log::{ContainerLog, LogError, Policy, rate_of};
use serde::Serialize;

use super::{Configured, is_running, logs, name};
use crate::{errors::CliError, output, values};

/// Over what growth is measured, by the times of the lines themselves.
const WINDOW: Duration = Duration::from_secs(60);

/// Options of `crilet log ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only logs of these: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: values::Format,
    #[command(flatten)]
    configured: Configured,
}

/// A log as it is.
#[derive(Debug, Serialize)]
struct Row {
    containers: String,
    path: PathBuf,
    running: bool,
    /// Whether a kubelet looks after it.
    kubelet: bool,
    live_bytes: u64,
    bytes_per_second: u64,
    rotated_files: usize,
    compressed_files: usize,
    rotated_bytes: u64,
    policy: Policy,
    /// Absent where it does not grow, or nobody rotates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_rotation_seconds: Option<u64>,
    /// Names that are left alone, and why.
    strange: Vec<String>,
}

/// Lists logs.
pub(super) async fn run(client: &Client, args: LsArgs) -> Result<ExitCode, CliError> {
    let now = values::now();
    let defaults = args.configured.logs()?.settings().over(Policy::default());
    let logs = logs(client, &args.pods, defaults).await?;
    let rows: Vec<Row> = logs.iter().map(|log| row(log, now)).collect::<Result<_, _>>()?;
    let written = match args.output {
        values::Format::Json => output::json(&rows),
        values::Format::Text => output::data(&table(&rows)),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn row(log: &ContainerLog, now: i64) -> Result<Row, LogError> {
    let family = log.log.family()?;
    let live_bytes = family.live.map_or(0, |live| live.size);
    let rate = rate_of(&log.log, now, WINDOW).filter(|_| is_running(log)).unwrap_or(0);
    let rotates = is_running(log) && !log.kubelets;
    let next = log.policy.max_size.filter(|_| rotates && rate > 0);
    let strange = family.strange.iter();
    Ok(Row {
        containers: name(log),
        path: log.log.path(),
        running: is_running(log),
        kubelet: log.kubelets,
        live_bytes,
        bytes_per_second: rate,
        rotated_files: family.rotated.len(),
        compressed_files: family.rotated.iter().filter(|r| r.archive().is_some()).count(),
        rotated_bytes: family.size() - live_bytes,
        policy: log.policy,
        next_rotation_seconds: next.map(|size| size.saturating_sub(live_bytes) / rate.max(1)),
        strange: strange.map(|s| format!("{} {}", s.name.to_string_lossy(), s.why)).collect(),
    })
}

fn table(rows: &[Row]) -> String {
    let header = ["CONTAINER", "LIVE", "GROWTH", "ROTATED", "SIZE", "LIMIT", "NEXT"];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(&header, &cells)
}

fn cells(row: &Row) -> Vec<String> {
    let limit = match (row.kubelet, row.policy.max_size) {
        (true, _) => "kubelet's".to_owned(),
        (false, None) => "none".to_owned(),
        (false, Some(size)) => format!("{} x {}", row.policy.max_files, values::bytes(size)),
    };
    let next = row.next_rotation_seconds.map(|seconds| values::age(Duration::from_secs(seconds)));
    let rotated = match row.compressed_files {
        0 => row.rotated_files.to_string(),
        compressed => format!("{} ({compressed} compressed)", row.rotated_files),
    };
    vec![
        row.containers.clone(),
        values::bytes(row.live_bytes),
        match row.bytes_per_second {
            0 => "-".to_owned(),
            rate => format!("{}/s", values::bytes(rate)),
        },
        rotated,
        values::bytes(row.rotated_bytes),
        limit,
        next.unwrap_or_else(|| "-".to_owned()),
    ]
}
