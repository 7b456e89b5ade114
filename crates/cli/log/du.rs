//! `crilet log du`.

use std::process::ExitCode;

use clap::Args;
use crilet_cri::Client;
use crilet_log::Policy;
use serde::Serialize;

use super::{logs, name};
use crate::{errors::CliError, output, values};

/// Options of `crilet log du`.
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// Only logs of these: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: values::Format,
}

#[derive(Debug, Serialize)]
struct Usage {
    containers: String,
    live_bytes: u64,
    rotated_bytes: u64,
    total_bytes: u64,
}

/// Shows what logs take.
pub(super) async fn run(client: &Client, args: DuArgs) -> Result<ExitCode, CliError> {
    let mut usages = Vec::new();
    for log in logs(client, &args.pods, Policy::default()).await? {
        let family = log.log.family()?;
        let (live_bytes, total_bytes) = (family.live.map_or(0, |live| live.size), family.size());
        let rotated_bytes = total_bytes - live_bytes;
        usages.push(Usage { containers: name(&log), live_bytes, rotated_bytes, total_bytes });
    }
    usages.sort_by_key(|usage| std::cmp::Reverse(usage.total_bytes));
    let written = match args.output {
        values::Format::Json => output::json(&usages),
        values::Format::Text => output::data(&table(&usages)),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn table(usages: &[Usage]) -> String {
    let sum = |of: fn(&Usage) -> u64| usages.iter().map(of).sum();
    let all = Usage {
        containers: "all".to_owned(),
        live_bytes: sum(|usage| usage.live_bytes),
        rotated_bytes: sum(|usage| usage.rotated_bytes),
        total_bytes: sum(|usage| usage.total_bytes),
    };
    let rows: Vec<Vec<String>> = usages
        .iter()
        .chain([&all])
        .map(|usage| {
            let sizes = [usage.total_bytes, usage.live_bytes, usage.rotated_bytes];
            let mut row: Vec<String> = sizes.map(values::bytes).into();
            row.push(usage.containers.clone());
            row
        })
        .collect();
    output::table(&["TOTAL", "LIVE", "ROTATED", "CONTAINER"], &rows)
}
