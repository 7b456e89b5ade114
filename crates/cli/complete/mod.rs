//! `crilet completion`, and the hidden `crilet complete` that its scripts ask.
//!
//! clap's own engine for this is not stable, and would not know what may stand in the place of `POD`.

mod names;
mod place;
mod script;
#[cfg(test)]
mod tests;

use std::{process::ExitCode, time::Duration};

use clap::{Args, CommandFactory};
use tokio::time::timeout;

use self::place::Place;
use crate::{args::Cli, crictl, errors::CliError, global::Global, output};

/// How long a shell waits for names. A runtime that takes longer has none.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// Options of `crilet completion`.
#[derive(Debug, Args)]
#[command(after_help = "For a shell that runs:  source <(crilet completion bash)\n\
                        For all that follow:\n  \
                        crilet completion bash > /etc/bash_completion.d/crilet\n  \
                        crilet completion zsh > /usr/local/share/zsh/site-functions/_crilet\n  \
                        crilet completion fish > /etc/fish/completions/crilet.fish")]
pub(crate) struct CompletionArgs {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Options of `crilet complete`.
#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// In whose form
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
    /// The words so far; the last one is what is to be completed
    #[arg(value_name = "WORD", last = true)]
    words: Vec<String>,
}

/// Shells that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// One of the words that may stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) word: String,
    pub(crate) help: String,
}

impl Candidate {
    pub(crate) fn new(word: impl Into<String>, help: impl Into<String>) -> Self {
        Self { word: word.into(), help: help.into() }
    }
}

/// Prints the script for a shell.
pub(crate) fn run(args: &CompletionArgs) -> Result<ExitCode, CliError> {
    output::data(&script(args.shell, "crilet", "complete")).map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// The script for a program of this name, which is asked by this first word.
pub(crate) fn script(shell: Shell, program: &str, asked_by: &str) -> String {
    script::of(shell).replace("PROGRAM", program).replace("ASKED_BY", asked_by)
}

/// Prints what may stand where the last word is. Nothing is no error, and neither is anything else: a
/// shell shows what its completion says in the middle of a command line.
pub(crate) async fn complete(global: &Global, args: CompleteArgs) -> Result<ExitCode, CliError> {
    let mut command = Cli::command();
    command.build();
    let words = args.words.get(1..).unwrap_or_default();
    let place = Place::find(&command, words);
    if let Some(line) = of_crictl(&place, words) {
        return crictl::complete(args.shell, &line).await;
    }
    let mut candidates = place.candidates();
    if let Some(names) = place.names() {
        let found = timeout(PATIENCE, names::read(global, &place, names)).await;
        candidates.extend(found.unwrap_or_default());
    }
    candidates.retain(|candidate| candidate.word.starts_with(place.beginning()));
    let text = text(args.shell, &candidates, place.takes_files());
    output::data(&text).map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// The words behind `crictl`, which are crictl's, with the sockets that stand before it.
fn of_crictl(place: &Place<'_>, words: &[String]) -> Option<Vec<String>> {
    if !place.is_behind(crictl::NAME) {
        return None;
    }
    let at = words.iter().position(|word| word == crictl::NAME)?;
    let given =
        |id: &str, option: &str| place.given(id).map(|value| [option.to_owned(), value.to_owned()]);
    let runtime = given("runtime_endpoint", "--runtime-endpoint");
    let images = given("image_endpoint", "--image-endpoint");
    let sockets = runtime.into_iter().chain(images).flatten();
    Some(sockets.chain(words.iter().skip(at + 1).cloned()).collect())
}

/// A line for each candidate in a shell's form; lines with a colon in front say what else there is.
pub(crate) fn text(shell: Shell, candidates: &[Candidate], files: bool) -> String {
    let mut lines: Vec<String> = candidates.iter().map(|one| line(shell, one)).collect();
    if !candidates.is_empty() && candidates.iter().all(|one| one.word.ends_with([':', '='])) {
        lines.push(":nospace".to_owned());
    }
    if files {
        lines.push(":files".to_owned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn line(shell: Shell, candidate: &Candidate) -> String {
    let Candidate { word, help } = candidate;
    // What is behind a line break is for those who read the help itself.
    let help = help.lines().next().unwrap_or_default();
    match (shell, help) {
        (Shell::Bash, _) => word.clone(),
        (Shell::Zsh, help) => {
            let word = word.replace(':', "\\:");
            if help.is_empty() { word } else { format!("{word}:{help}") }
        }
        (Shell::Fish, "") => word.clone(),
        (Shell::Fish, help) => format!("{word}\t{help}"),
    }
}
