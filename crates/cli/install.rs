//! `crilet install`.

use std::{env, path::PathBuf, process::ExitCode};

use clap::Args;
use crilet_daemon::{Outcome, install, uninstall};

use crate::{errors::CliError, output};

/// Options of `crilet install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// Write below this directory, for a package
    #[arg(long, value_name = "DIR", default_value = "/")]
    prefix: PathBuf,
    /// The path of crilet that the units start; this one's without
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Remove what was written and not edited since
    #[arg(long)]
    uninstall: bool,
}

/// Writes systemd's units and a configuration in which everything is commented out, or removes them.
pub(crate) fn run(args: &InstallArgs) -> Result<ExitCode, CliError> {
    let own = || env::current_exe().map_err(|cause| CliError::Start { cause });
    let program = args.program.clone().map_or_else(own, Ok)?;
    let outcomes = match args.uninstall {
        true => uninstall(&args.prefix, &program)?,
        false => install(&args.prefix, &program)?,
    };
    for (path, outcome) in &outcomes {
        let word = match outcome {
            Outcome::Written => "written",
            Outcome::Unchanged => "unchanged",
            Outcome::Removed => "removed",
            Outcome::LeftAlone => "left alone, because it was edited",
        };
        output::line(&format!("{} {word}", path.display())).map_err(CliError::Output)?;
    }
    if args.uninstall {
        output::say("`systemctl daemon-reload` makes systemd forget them");
    } else {
        output::say("`systemctl daemon-reload && systemctl enable --now crilet` starts the daemon");
    }
    Ok(ExitCode::SUCCESS)
}
