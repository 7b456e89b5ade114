//! `crilet net check`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use crilet_network::{
    config::{self, Finding, Severity, judge},
    join::host_network,
    snapshot::{Snapshot, host},
};

use super::{FINDINGS, source::SourceArgs};
use crate::{errors::CliError, output, values::Format};

/// Options of `crilet net check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Only this file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to print findings
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    source: SourceArgs,
}

/// Prints everything that is wrong; the status is 1 when something is.
pub(super) async fn run(args: &CheckArgs) -> Result<ExitCode, CliError> {
    let plugins = args.source.plugins();
    let (configuration, host) = match (&args.source.from, &args.file) {
        (Some(path), _) => {
            let snapshot = Snapshot::load(path)?;
            (snapshot.configuration, snapshot.host)
        }
        (None, Some(file)) => {
            let read = |cause| CliError::Manifest { path: file.clone(), cause };
            let found = std::fs::metadata(file).map_err(read)?;
            if found.is_dir() {
                return Err(read(std::io::ErrorKind::IsADirectory.into()));
            }
            (config::read_file(file, &plugins).await, host().await?)
        }
        (None, None) => (config::read(&args.source.configuration(), &plugins).await, host().await?),
    };
    let files = judge(&configuration, &host_network(&host));
    let wanted = |finding: &&Finding| args.file.as_ref().is_none_or(|file| *file == finding.file);
    let findings: Vec<&Finding> =
        files.iter().flat_map(|file| &file.findings).filter(wanted).collect();
    match args.output {
        Format::Json => output::json(&findings),
        Format::Text => {
            output::data(&findings.iter().map(|finding| format!("{finding}\n")).collect::<String>())
        }
    }
    .map_err(CliError::Output)?;
    let count = findings.iter().filter(|finding| finding.severity > Severity::Note).count();
    if count == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let plural = if count == 1 { "" } else { "s" };
    output::say(&format!("{count} finding{plural}"));
    Ok(ExitCode::from(FINDINGS))
}
