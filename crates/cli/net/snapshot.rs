//! `crilet net snapshot`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use crilet_core::fs::write_durably;

use super::source::{SourceArgs, tell_problems};
use crate::{errors::CliError, global::Global, output};

/// Options of `crilet net snapshot`.
#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    /// File to write; standard output without
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Form of the snapshot
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    source: SourceArgs,
}

/// Forms of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// JSON that every verb of `crilet net` reads with --from
    #[default]
    Json,
}

/// Writes the snapshot.
pub(super) async fn run(global: &Global, args: &SnapshotArgs) -> Result<ExitCode, CliError> {
    let snapshot = args.source.snapshot(global).await?;
    tell_problems(&snapshot);
    let Form::Json = args.output;
    match &args.file {
        None => output::json(&snapshot).map_err(CliError::Output)?,
        Some(path) => {
            let text = serde_json::to_vec_pretty(&snapshot)
                .map_err(|error| CliError::Output(error.into()))?;
            write_durably(path, &text, 0o600)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
