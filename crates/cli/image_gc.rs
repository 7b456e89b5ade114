//! `crilet image gc`.

use std::process::ExitCode;

use clap::Args;
use crilet_api::{ImageGcReport, ImageGcRequest};

use crate::{daemon, errors::CliError, global::Global, output, values::Format};

/// Options of `crilet image gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Tell what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// However full the disk is
    #[arg(short, long)]
    all: bool,
    /// How to print what was removed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Has the daemon, which knows what its pods need, remove images and prints the names of each.
pub(crate) async fn run(global: &Global, args: GcArgs) -> Result<ExitCode, CliError> {
    let request = ImageGcRequest { dry_run: args.dry_run, all: args.all };
    let report = daemon::client(global).collect_images(request).await?;
    let written = match args.output {
        Format::Json => output::json(&report),
        Format::Text => output::data(&text(&report)),
    };
    written.map_err(CliError::Output)?;
    if args.output == Format::Text {
        say(&report);
    }
    let failed = report.failures.len();
    if failed > 0 {
        return Err(CliError::Images { failed });
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each name of an image, its id if it has none.
fn text(report: &ImageGcReport) -> String {
    let names = report.removed.iter().flat_map(|image| match image.names.as_slice() {
        [] => std::slice::from_ref(&image.id),
        names => names,
    });
    names.map(|name| format!("{name}\n")).collect()
}

fn say(report: &ImageGcReport) {
    for failure in &report.failures {
        output::say(&format!("error: {failure}"));
    }
    let megabytes = report.freed_bytes / 1_000_000;
    let freed = if report.dry_run { "would be freed" } else { "freed" };
    output::say(&format!("{megabytes} MB {freed}; the disk was {} % full", report.used_percent));
}
