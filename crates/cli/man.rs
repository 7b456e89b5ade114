//! `crilet man`: the manual, made of what `--help` says.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::{args::Cli, errors::CliError, output};

/// Options of `crilet man`.
#[derive(Debug, Args)]
#[command(after_help = "crilet man /usr/local/share/man/man1 lets `man crilet-ps` find them.")]
pub(crate) struct ManArgs {
    /// Where to write the pages; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes a page for crilet and one for each verb, and prints their paths.
pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, CliError> {
    let failed = |path: &Path, cause| CliError::Man { path: path.to_owned(), cause };
    fs::create_dir_all(&args.directory).map_err(|cause| failed(&args.directory, cause))?;
    let mut root = Cli::command();
    root.build();
    let mut commands = Vec::new();
    collect(&root, &mut commands);
    for command in commands {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = args.directory.join(format!("{name}.1"));
        let text = page(command).map_err(|cause| failed(&path, cause))?;
        fs::write(&path, text).map_err(|cause| failed(&path, cause))?;
        output::line(&path.display().to_string()).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn collect<'a>(command: &'a Command, all: &mut Vec<&'a Command>) {
    all.push(command);
    let inner = command.get_subcommands();
    let inner = inner.filter(|inner| !inner.is_hide_set() && inner.get_name() != "help");
    inner.for_each(|inner| collect(inner, all));
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    Man::new(command.clone()).title(name).section("1").render(&mut text)?;
    Ok(text)
}
