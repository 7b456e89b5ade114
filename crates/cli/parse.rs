//! From the words of a command line to what they ask for.
//!
//! clap copies the options that all verbs take into each of them before it reads the first word, and
//! with nearly forty verbs that is more work than all else a short command does. So the one verb that is
//! called is described alone. Whatever that cannot read (a mistake, a wish for help) is read again with
//! all verbs, which then has the last word.

use std::{ffi::OsString, mem::ManuallyDrop};

use clap::{ArgMatches, Args, Command, CommandFactory, Error, FromArgMatches};

use crate::{
    args::{Cli, Verb},
    global::Global,
};

/// Reads a command line; the first word is the program's own name.
///
/// # Errors
/// clap's, with the words for the person: a mistake, or the help or version that was asked for.
pub(crate) fn parse(line: &[OsString]) -> Result<Cli, Error> {
    alone(line).and_then(Result::ok).map_or_else(|| whole(line), Ok)
}

fn whole(line: &[OsString]) -> Result<Cli, Error> {
    read(Cli::command(), line, Cli::from_arg_matches_mut)
}

/// Reads a line with the verb whose name is the first word that is a verb's name, if there is one. Should
/// that word be something else, such as the value of an option, then the verb proper is unknown beside this
/// one, and nothing is read.
fn alone(line: &[OsString]) -> Option<Result<Cli, Error>> {
    let words = line.iter().enumerate().skip(1);
    let mut words = words.filter_map(|(place, word)| Some((place, word.to_str()?)));
    let called = words.find_map(|(place, word)| Some((place, word, Verb::options(word)?)));
    let (place, name, verb) = called?;
    let behind = line.get(place..).filter(|_| place == 1);
    Some(match behind {
        Some(behind) => first(name, verb, behind),
        None => {
            let command = Command::new("crilet").subcommand(verb).subcommand_required(true);
            read(Global::augment_args(command), line, Cli::from_arg_matches_mut)
        }
    })
}

/// Where the verb comes first it is a program of its own, and what all verbs take are options of it.
fn first(name: &str, verb: Command, line: &[OsString]) -> Result<Cli, Error> {
    read(Global::augment_args(verb), line, |matches| {
        let global = Global::from_arg_matches_mut(matches)?;
        Ok(Cli { global, verb: Verb::read(name, matches)? })
    })
}

/// What describes a command line is never freed: that would take longer than reading did.
fn read(
    command: Command,
    line: &[OsString],
    understand: impl FnOnce(&mut ArgMatches) -> Result<Cli, Error>,
) -> Result<Cli, Error> {
    let mut command = ManuallyDrop::new(command);
    let mut matches = command.try_get_matches_from_mut(line)?;
    understand(&mut matches).map_err(|error| error.format(&mut command))
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
        alone(&line(text)).map(told)
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
            "crictl -r /run/x.sock ps",
            "-v exec -v blog -v ls -v",
            "exec -vv blog -- ls --timeout 3s",
            "ps -v --verbose -r /run/x.sock blog",
            "net trace --from /tmp/x 10.0.0.1:80",
            "runtime -v up --no-mirrors -v",
            "port-forward blog 8080:80 --socket /run/z.sock",
            "complete bash -- crilet ps",
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
