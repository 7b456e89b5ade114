//! `crilet cni`: crilet's network plugins for other runtimes.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use crilet_cni::{Installed, install, uninstall};

use crate::{connect, errors::CliError, output};

/// Verbs of `crilet cni`.
#[derive(Debug, Args)]
pub(crate) struct CniArgs {
    #[command(subcommand)]
    verb: CniVerb,
}

#[derive(Debug, Subcommand)]
enum CniVerb {
    /// Put crilet's plugins where a runtime looks for plugins
    Install(InstallArgs),
    /// Take them away again
    Uninstall(UninstallArgs),
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// Directory, such as /opt/cni/bin
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Put plugins of the same names aside
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Args)]
struct UninstallArgs {
    /// Directory that they were installed in
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs a verb of `crilet cni`.
pub(crate) fn run(args: CniArgs) -> Result<ExitCode, CliError> {
    match args.verb {
        CniVerb::Install(args) => {
            let done = install(&args.directory, &connect::plugin_program(), args.force)?;
            tell(&done, "put aside")
        }
        CniVerb::Uninstall(args) => {
            let done = uninstall(&args.directory)?;
            if done.plugins.is_empty() {
                output::say(&format!("no plugin in {} is crilet's", args.directory.display()));
            }
            tell(&done, "put back")
        }
    }
}

fn tell(done: &Installed, moved: &str) -> Result<ExitCode, CliError> {
    for plugin in &done.plugins {
        output::line(plugin).map_err(CliError::Output)?;
    }
    for plugin in &done.moved {
        output::say(&format!("{moved}: the plugin `{plugin}` that was there before"));
    }
    Ok(ExitCode::SUCCESS)
}
