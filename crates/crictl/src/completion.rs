//! What may stand at a place on a command line, for shells. crictl's own completion knows commands and
//! options in front of them; this knows what stands behind a command, too.

use crate::{
    commands::{self, COMMANDS, GLOBAL},
    flags::{self, Command, Flag, HELP, Kind},
};

/// Options whose values are files.
const FILES: [&str; 10] = [
    "config",
    "export",
    "image-endpoint",
    "pod-config",
    "profile-cpu",
    "profile-mem",
    "runtime-endpoint",
    "tls-ca",
    "tls-cert",
    "tls-key",
];

/// Things that exist now and are called by their ids, or images by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Pods, perhaps only those that are up.
    Pods {
        /// Only those that are up.
        ready: bool,
    },
    /// Containers.
    Containers(Wanted),
    /// Images.
    Images,
}

/// Which containers a command can do something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    Any,
    /// Those that run.
    Running,
    /// Those that were not started yet.
    Created,
}

/// A place on a command line.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    word: &'a str,
    command: Option<&'static Command>,
    /// The option whose value stands here.
    option: Option<&'static Flag>,
    /// What of the word belongs to the option, with the `=`.
    prefix: &'a str,
    /// Arguments of the command before this one.
    before: usize,
    /// Options cannot follow any more.
    only_arguments: bool,
    /// `help` was before: a command's name follows.
    is_help: bool,
}

impl<'a> Place<'a> {
    /// The place of the last of these words, which follow the program's name.
    pub fn find(words: &'a [String]) -> Self {
        let (word, before) = words.split_last().map_or(("", &[][..]), |(w, rest)| (w, rest));
        let mut place = Self {
            word,
            command: None,
            option: None,
            prefix: "",
            before: 0,
            only_arguments: false,
            is_help: false,
        };
        for word in before {
            place.pass(word);
        }
        place.split_off_value();
        place
    }

    fn flags(&self) -> &'static [Flag] {
        self.command.map_or(GLOBAL, |command| command.flags)
    }

    /// Goes past a word that is complete.
    fn pass(&mut self, word: &str) {
        if self.option.take().is_some() {
            return;
        }
        let is_option = word.len() > 1 && word.starts_with('-') && !self.only_arguments;
        if is_option && word == "--" {
            self.only_arguments = true;
        } else if is_option {
            self.option = self.waiting(word);
        } else if let Some(inner) = self.inner(word) {
            (self.command, self.only_arguments) = (Some(inner), false);
        } else if self.command.is_none() && matches!(word, "help" | "h") {
            self.is_help = true;
        } else {
            self.before += 1;
            self.only_arguments = true;
        }
    }

    /// The option whose value is still to come behind this word; of `-abc` only the last can be one.
    fn waiting(&self, word: &str) -> Option<&'static Flag> {
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
        let bundle = || {
            let letters = flags::split(self.flags(), word)?;
            flags::find(self.flags(), letters.last()?.strip_prefix('-')?)
        };
        let (flag, _) = flags::find(self.flags(), name).or_else(bundle)?;
        (flag.kind != Kind::Bool).then_some(flag)
    }

    /// The command of this name that may stand here.
    fn inner(&self, word: &str) -> Option<&'static Command> {
        match self.command {
            None => commands::find(word).filter(|_| self.before == 0),
            Some(command) => command.command(word).filter(|_| self.before == 0),
        }
    }

    /// Of `--option=value`, only the value is to be completed.
    fn split_off_value(&mut self) {
        if self.option.is_some() || self.only_arguments || !self.word.starts_with('-') {
            return;
        }
        let Some((name, value)) = self.word.split_once('=') else { return };
        let found = flags::find(self.flags(), name.trim_start_matches('-'));
        if let Some((flag, _)) = found.filter(|(flag, _)| flag.kind != Kind::Bool) {
            self.option = Some(flag);
            self.prefix = self.word.strip_suffix(value).unwrap_or_default();
        }
    }

    /// What the word is, which every candidate begins with.
    pub fn beginning(&self) -> &'a str {
        self.word
    }

    /// What goes in front of a value, so that it is a word.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    fn wants_options(&self) -> bool {
        self.option.is_none() && !self.only_arguments && self.word.starts_with('-')
    }

    /// What the argument that stands here is called in help; the last one may be there often.
    fn argument(&self) -> &'static str {
        let Some(command) = self.command.filter(|_| self.option.is_none() && !self.is_help) else {
            return "";
        };
        let all: Vec<&str> = command.arguments.split_whitespace().collect();
        let last = all.last().copied().filter(|last| last.ends_with("...]"));
        all.get(self.before).copied().or(last).unwrap_or_default()
    }

    /// Commands, options and values that are known without asking anybody, with what they are.
    pub fn candidates(&self) -> Vec<(String, &'static str)> {
        if self.wants_options() {
            return self.flags().iter().chain([&HELP]).flat_map(spelt).collect();
        }
        let fixed = |values: &[&str]| -> Vec<(String, &'static str)> {
            values.iter().map(|value| (format!("{}{value}", self.prefix), "")).collect()
        };
        if let Some(option) = self.option {
            return fixed(match (option.name(), option.values) {
                ("get", _) => &crate::config::KEYS,
                (_, values) => values,
            });
        }
        let mut found = match self.argument() {
            "SHELL" => fixed(&["bash", "zsh", "fish"]),
            "[KEY" => fixed(&crate::config::KEYS),
            _ => Vec::new(),
        };
        if self.before == 0 {
            let inner = self.command.filter(|_| !self.is_help);
            let inner = inner.map_or(COMMANDS, |command| command.commands);
            found.extend(
                inner
                    .iter()
                    .flat_map(|one| one.names.iter().map(|name| ((*name).to_owned(), one.usage))),
            );
            if self.command.is_none() && !self.is_help {
                found.push(("help".to_owned(), "Show help of a command"));
            }
        }
        found
    }

    /// Whose names may stand here.
    pub fn names(&self) -> Option<Names> {
        if self.wants_options() {
            return None;
        }
        let command = self.command.map_or("", Command::name);
        let of_option = self.option.map(|option| (command, option.name()));
        match (of_option, self.argument()) {
            (Some((_, "pod")), _) | (Some(("pods" | "inspectp" | "statsp", "id")), _) => {
                Some(Names::Pods { ready: false })
            }
            (Some((_, "id")), _) => Some(Names::Containers(Wanted::Any)),
            (Some((_, "image")), _) => Some(Names::Images),
            (Some(_), _) => None,
            (None, "[ID]") if command == "statsp" => Some(Names::Pods { ready: true }),
            (None, "POD" | "POD-ID" | "[POD-ID...]") => {
                let ready = matches!(command, "create" | "port-forward" | "stopp");
                Some(Names::Pods { ready })
            }
            (None, "CONTAINER-ID" | "[CONTAINER-ID]" | "[CONTAINER-ID...]" | "[ID]") => {
                Some(Names::Containers(match command {
                    "start" => Wanted::Created,
                    "attach" | "checkpoint" | "exec" | "stats" | "stop" | "update" => {
                        Wanted::Running
                    }
                    _ => Wanted::Any,
                }))
            }
            (None, "IMAGE-ID" | "[IMAGE-ID...]" | "NAME[:TAG|@DIGEST]" | "[REPOSITORY[:TAG]]") => {
                Some(Names::Images)
            }
            (None, _) => None,
        }
    }

    /// Whether files may stand here.
    pub fn takes_files(&self) -> bool {
        match self.option {
            Some(option) => FILES.contains(&option.name()),
            None => !self.wants_options() && self.argument().contains("-config.["),
        }
    }
}

/// All spellings of an option: one letter is behind one dash.
fn spelt(flag: &'static Flag) -> impl Iterator<Item = (String, &'static str)> {
    flag.names.iter().map(|name| {
        let dashes = if name.len() == 1 { "-" } else { "--" };
        (format!("{dashes}{name}"), flag.usage)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// What is offered at the end of a line that begins behind `crictl `.
    fn offered(line: &str) -> Vec<String> {
        let words = words(line);
        let place = Place::find(&words);
        let all = place.candidates().into_iter().map(|(word, _)| word);
        all.filter(|word| word.starts_with(place.beginning())).collect()
    }

    fn named(line: &str) -> (Option<Names>, bool) {
        let words = words(line);
        let place = Place::find(&words);
        (place.names(), place.takes_files())
    }

    #[test]
    fn commands_and_options_are_offered_where_they_may_stand() {
        assert_eq!(offered("stat"), ["stats", "statsp"]);
        assert_eq!(offered("im"), ["imagefsinfo", "images", "image", "img"]);
        assert_eq!(offered("-r /a --time"), ["--timeout"]);
        assert_eq!(offered("-r ps"), Vec::<String>::new(), "a socket");
        assert_eq!(offered("ps --no"), ["--no-trunc"]);
        assert_eq!(offered("ps -a --lat"), ["--latest"]);
        assert_eq!(offered("ps x --no"), Vec::<String>::new(), "options end before arguments");
        assert_eq!(offered("exec -i abc ls --co"), Vec::<String>::new());
        assert_eq!(offered("help stopp"), ["stopp"]);
        assert_eq!(offered("create js"), ["jsonschema", "js"]);
        assert_eq!(offered("create jsonschema --p"), ["--pod"]);
        assert!(offered("").contains(&"update-runtime-config".to_owned()));
    }

    #[test]
    fn values_are_offered_in_every_form_of_an_option() {
        assert_eq!(offered("ps -o "), ["json", "yaml", "table"]);
        assert_eq!(offered("ps -ao y"), ["yaml"]);
        assert_eq!(offered("info --output=g"), ["--output=go-template"]);
        assert_eq!(offered("pods --state n"), ["notready"]);
        assert_eq!(offered("exec --transport=w"), ["--transport=websocket"]);
        assert_eq!(offered("completion z"), ["zsh"]);
        assert_eq!(offered("config --get ti"), ["timeout"]);
        assert_eq!(offered("config deb"), ["debug"]);
    }

    #[test]
    fn what_may_be_named_depends_on_the_place() {
        let running = Some(Names::Containers(Wanted::Running));
        let any = Some(Names::Containers(Wanted::Any));
        for (line, names, files) in [
            ("exec -it ", running, false),
            ("exec abc ", None, false),
            ("rm a b ", any, false),
            ("start ", Some(Names::Containers(Wanted::Created)), false),
            ("stats ", running, false),
            ("statsp ", Some(Names::Pods { ready: true }), false),
            ("rmp a ", Some(Names::Pods { ready: false }), false),
            ("port-forward ", Some(Names::Pods { ready: true }), false),
            ("port-forward a ", None, false),
            ("ps --pod=", Some(Names::Pods { ready: false }), false),
            ("ps --id ", any, false),
            ("ps --image ", Some(Names::Images), false),
            ("ps ", None, false),
            ("rmi ", Some(Names::Images), false),
            ("images ", Some(Names::Images), false),
            ("create ", Some(Names::Pods { ready: true }), false),
            ("create a ", None, true),
            ("runp ", None, true),
            ("-c ", None, true),
            ("exec --tls-key ", None, true),
            ("logs -", None, false),
        ] {
            assert_eq!(named(line), (names, files), "{line:?}");
        }
    }
}
