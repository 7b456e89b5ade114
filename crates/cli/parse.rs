//! From the words of a command line to what they ask for.
//!
//! clap copies the options that all verbs take into each of them before it reads the first word, and
//! with nearly forty verbs that is more work than all else a short command does. So the one verb that is
//! called is described alone. Whatever that cannot read (a mistake, a wish for help) is read again with
//! all verbs, which then has the last word.

use std::{
    ffi::OsString,
    mem::{self, ManuallyDrop},
};

use clap::{Args, Command, CommandFactory, Error, FromArgMatches, Subcommand};

use crate::{
    args::{Cli, Verb},
    global::Global,
};

/// Reads a command line; the first word is the program's own name.
///
/// # Errors
/// clap's, with the words for the person: a mistake, or the help or version that was asked for.
pub(crate) fn parse(line: &[OsString]) -> Result<Cli, Error> {
    called(line).and_then(|verb| read(alone(verb), line).ok()).map_or_else(|| whole(line), Ok)
}

fn whole(line: &[OsString]) -> Result<Cli, Error> {
    read(Cli::command(), line)
}

/// What describes a command line is never freed: that would take longer than reading did.
fn read(command: Command, line: &[OsString]) -> Result<Cli, Error> {
    let mut command = ManuallyDrop::new(command);
    let mut matches = command.try_get_matches_from_mut(line)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The verb whose name is the first word that is a verb's name. Should that word be something else, such as
/// the value of an option, then the verb proper is unknown beside this one, and nothing is read.
fn called(line: &[OsString]) -> Option<Command> {
    let mut verbs = ManuallyDrop::new(Verb::augment_subcommands(Command::new("")));
    let mut words = line.iter().skip(1).filter_map(|word| word.to_str());
    let name = words.find(|word| verbs.get_subcommands().any(|verb| verb.get_name() == *word))?;
    verbs.find_subcommand_mut(name).map(mem::take)
}

fn alone(verb: Command) -> Command {
    Global::augment_args(Command::new("crilet").subcommand(verb).subcommand_required(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<OsString> {
        std::iter::once("crilet").chain(text.split(' ')).map(OsString::from).collect()
    }

    fn short(text: &str) -> Option<Result<String, String>> {
        let told = |result: Result<Cli, Error>| {
            result.map(|cli| format!("{cli:?}")).map_err(|error| error.to_string())
        };
        called(&line(text)).map(|verb| told(read(alone(verb), &line(text))))
    }

    #[test]
    fn one_verb_alone_reads_what_all_of_them_would() {
        for text in [
            "ps",
            "-r /run/x.sock ps -o wide",
            "exec -it blog sh -c true",
            "exec --timeout 3s blog ps -ef",
            "--timeout=3s image ls -v",
            "runtime up -vv",
            "logs blog -f --tail 3 --image-endpoint /run/y.sock",
            "rm ps exec",
            "crictl ps -a",
        ] {
            let all = whole(&line(text)).unwrap();
            assert_eq!(short(text).unwrap().unwrap(), format!("{all:?}"), "{text}");
        }
    }

    /// The word is an option's value, or the verb is not the one that it seems.
    #[test]
    fn words_that_are_no_verbs_are_left_to_all_of_them() {
        for text in ["-r exec ps", "--socket logs get", "help ps", "pss exec", "--nonsense ps"] {
            assert!(short(text).unwrap().is_err(), "{text}");
        }
        assert!(short("-r /run/x.sock nonsense").is_none());
        let cli = parse(&line("--socket exec ps")).unwrap();
        assert!(matches!(cli.verb, Verb::Ps(_)));
    }

    /// Mistakes and help read as they do with all verbs there.
    #[test]
    fn errors_come_from_all_verbs() {
        for text in ["ps --nonsense", "ps --help", "pss", "exec", "--version", "help exec", "image"]
        {
            let told = parse(&line(text)).unwrap_err().to_string();
            assert_eq!(told, whole(&line(text)).unwrap_err().to_string(), "{text}");
        }
    }
}
