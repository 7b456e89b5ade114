//! Where on a command line a word stands, and what may stand there. Pure.

use clap::{Arg, Command};

use super::Candidate;

/// Names for values that are files, where their type does not say so.
const FILES: [&str; 6] = ["FILE", "DIR", "DIRECTORY", "PATH", "ROOTFS.tar", "SOURCE"];
/// Verbs that speak of pods that the daemon keeps.
const OF_DAEMON: [&str; 6] = ["get", "describe", "delete", "start", "restart", "wait"];
/// Verbs that want a pod that runs.
const OF_RUNNING: [&str; 6] = ["exec", "attach", "cp", "port-forward", "publish", "stats"];

/// Names of things that exist now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Pods.
    Pods,
    /// Pods, and containers as `POD/CONTAINER`.
    Containers,
    /// The same with a colon behind them, in front of a path.
    Paths,
    /// Images.
    Images,
    /// Pods, containers and images.
    All,
}

/// A place on a command line.
#[derive(Debug)]
pub(super) struct Place<'a> {
    command: &'a Command,
    /// The option whose value stands here.
    option: Option<&'a Arg>,
    /// What of the word belongs to the option, with the `=`.
    prefix: &'a str,
    /// Arguments before this one that are none of options.
    before: usize,
    /// No options any more: a `--` or a command of somebody else's was before.
    only_arguments: bool,
    word: &'a str,
    /// Options with values that were given.
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Place<'a> {
    /// The place of the last of these words, which follow the program's name. The command must be built.
    pub(super) fn find(root: &'a Command, words: &'a [String]) -> Self {
        let (word, before) = words.split_last().map_or(("", &[][..]), |(w, rest)| (w, rest));
        let mut place = Self {
            command: root,
            option: None,
            prefix: "",
            before: 0,
            only_arguments: false,
            word,
            given: Vec::new(),
        };
        for word in before {
            place.pass(word);
        }
        place.split_off_value();
        place
    }

    /// Goes past a word that is complete.
    fn pass(&mut self, word: &'a str) {
        if let Some(option) = self.option.take() {
            self.given.push((option.get_id().as_str(), word));
        } else if self.only_arguments {
            self.before += 1;
        } else if word == "--" {
            self.only_arguments = true;
        } else if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => {
                    let option = long_option(self.command, name);
                    self.given.extend(option.map(|option| (option.get_id().as_str(), value)));
                }
                None => self.option = long_option(self.command, long).filter(|o| takes_value(o)),
            }
        } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            self.pass_shorts(shorts);
        } else if let Some(inner) = self.inner(word) {
            self.command = inner;
        } else {
            self.only_arguments = self.argument().is_some_and(Arg::is_trailing_var_arg_set);
            self.before += 1;
        }
    }

    /// Of `-abVALUE` only the last option that has a value matters, if the value is still to come.
    fn pass_shorts(&mut self, shorts: &'a str) {
        for (at, letter) in shorts.char_indices() {
            let mut options = self.command.get_arguments();
            let is_it = |option: &&Arg| {
                option.get_short_and_visible_aliases().is_some_and(|all| all.contains(&letter))
            };
            let Some(option) = options.find(is_it).filter(|option| takes_value(option)) else {
                continue;
            };
            match shorts.get(at + letter.len_utf8()..) {
                Some(value) if !value.is_empty() => {
                    let value = value.trim_start_matches('=');
                    self.given.push((option.get_id().as_str(), value));
                }
                _ => self.option = Some(option),
            }
            return;
        }
    }

    /// Of `--option=value`, only the value is to be completed.
    fn split_off_value(&mut self) {
        if self.option.is_some() || self.only_arguments {
            return;
        }
        let Some((name, value)) = self.word.split_once('=') else { return };
        let long = name.strip_prefix("--").and_then(|name| long_option(self.command, name));
        if let Some(option) = long.filter(|option| takes_value(option)) {
            self.option = Some(option);
            self.prefix = self.word.strip_suffix(value).unwrap_or_default();
        }
    }

    fn inner(&self, word: &str) -> Option<&'a Command> {
        (self.before == 0).then(|| self.command.find_subcommand(word)).flatten()
    }

    /// The argument that stands here if no option does; the last one may be there often.
    fn argument(&self) -> Option<&'a Arg> {
        let arguments: Vec<_> = self.command.get_positionals().collect();
        let last = arguments.last().copied().filter(|last| is_many(last));
        arguments.get(self.before).copied().or(last)
    }

    fn value_of(&self) -> Option<&'a Arg> {
        self.option.or_else(|| self.argument())
    }

    /// What the word is, which every candidate begins with.
    pub(super) fn beginning(&self) -> &str {
        self.word
    }

    /// The part of the word that names something.
    pub(super) fn value(&self) -> &str {
        self.word.strip_prefix(self.prefix).unwrap_or(self.word)
    }

    /// What goes in front of a value, so that it is a word.
    pub(super) fn prefix(&self) -> &str {
        self.prefix
    }

    /// The value that a global option was given on this line.
    pub(super) fn given(&self, option: &str) -> Option<&str> {
        self.given.iter().rev().find(|(id, _)| *id == option).map(|(_, value)| *value)
    }

    fn wants_options(&self) -> bool {
        self.option.is_none() && !self.only_arguments && self.word.starts_with('-')
    }

    /// Verbs, options and values that are known without asking anybody.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        if self.wants_options() {
            return self
                .command
                .get_arguments()
                .filter(|o| !o.is_hide_set())
                .flat_map(option)
                .collect();
        }
        let mut candidates = Vec::new();
        if self.option.is_none() && self.before == 0 && !self.only_arguments {
            let inner = self.command.get_subcommands().filter(|inner| !inner.is_hide_set());
            candidates.extend(inner.map(|inner| {
                let about = inner.get_about().map(ToString::to_string);
                Candidate::new(inner.get_name(), about.unwrap_or_default())
            }));
        }
        let values = self.value_of().map(Arg::get_possible_values).unwrap_or_default();
        let values = values.iter().filter(|value| !value.is_hide_set());
        candidates.extend(values.map(|value| {
            let help = value.get_help().map(ToString::to_string);
            Candidate::new(format!("{}{}", self.prefix, value.get_name()), help.unwrap_or_default())
        }));
        candidates
    }

    /// Whose names may stand here.
    pub(super) fn names(&self) -> Option<Names> {
        if self.wants_options() || self.option.is_some() {
            return None;
        }
        match value_name(self.argument()?) {
            "POD" => Some(Names::Pods),
            "POD[/CONTAINER]" => Some(Names::Containers),
            "SOURCE" | "DESTINATION" => Some(Names::Paths),
            "IMAGE" => Some(Names::Images),
            "NAME" => Some(Names::All),
            _ => None,
        }
    }

    /// Whether files may stand here.
    pub(super) fn takes_files(&self) -> bool {
        let Some(value) = self.value_of().filter(|_| !self.wants_options()) else { return false };
        value.get_value_hint() == clap::ValueHint::AnyPath
            || FILES.contains(&value_name(value))
            || value_name(value) == "DESTINATION"
    }

    /// Whether pods are meant that the daemon keeps, whether they are there or not.
    pub(super) fn is_of_daemon(&self) -> bool {
        OF_DAEMON.contains(&self.command.get_name())
    }

    /// Whether the words are those of this verb.
    pub(super) fn is_behind(&self, verb: &str) -> bool {
        self.command.get_name() == verb
    }

    /// Whether only what runs is of use.
    pub(super) fn is_of_running(&self) -> bool {
        OF_RUNNING.contains(&self.command.get_name())
    }
}

fn long_option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let is_it = |option: &&Arg| {
        option.get_long_and_visible_aliases().is_some_and(|all| all.contains(&name))
    };
    command.get_arguments().find(is_it)
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

fn is_many(argument: &Arg) -> bool {
    matches!(argument.get_action(), clap::ArgAction::Append)
}

fn value_name(argument: &Arg) -> &str {
    argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

/// The names of an option, long ones first.
fn option(option: &Arg) -> Vec<Candidate> {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let long = option.get_long().map(|name| format!("--{name}"));
    let short = option.get_short().map(|letter| format!("-{letter}"));
    long.into_iter().chain(short).map(|word| Candidate::new(word, help.clone())).collect()
}
