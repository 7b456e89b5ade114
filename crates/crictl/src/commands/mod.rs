//! crictl's commands and options, as a table. Names, aliases, defaults and variables are crictl's; the
//! words that explain them are not.

mod change;
mod look;
mod streams;

use crate::flags::{Command, Flag, Kind};

/// The version of crictl that this is like.
pub const VERSION: &str = "v1.36.0";

/// Options in front of the command.
pub static GLOBAL: &[Flag] = &[
    text(&["config", "c"], "Configuration file; where the default one is missing, crictl.yaml beside the program")
        .default("/etc/crictl.yaml")
        .variable("CRI_CONFIG_FILE"),
    switch(&["debug", "D"], "Tell on stderr what is being done"),
    switch(&["enable-tracing"], "Ignored: crilet sends no traces"),
    text(&["image-endpoint", "i"], "Socket of the image service (default: that of the runtime)")
        .variable("IMAGE_SERVICE_ENDPOINT"),
    text(&["profile-cpu"], "Ignored: crilet writes no Go profiles"),
    text(&["profile-mem"], "Ignored: crilet writes no Go profiles"),
    text(&["runtime-endpoint", "r"], "Socket of the runtime (default: the first that answers of containerd's, CRI-O's, cri-dockerd's and crilet's own)")
        .variable("CONTAINER_RUNTIME_ENDPOINT"),
    Flag { default: "2s", ..of(Kind::Duration, &["timeout", "t"], "Longest time for a call, such as 2s; 0 or less is the default") },
    text(&["tracing-endpoint"], "Where traces would go").default("127.0.0.1:4317"),
    Flag { default: "-1", ..of(Kind::Int, &["tracing-sampling-rate-per-million"], "How many traces would go there") },
    switch(&["version", "v"], "print the version"),
];

/// All commands, by name.
pub static COMMANDS: &[Command] = &[
    streams::ATTACH,
    change::CHECKPOINT,
    look::COMPLETION,
    look::CONFIG,
    change::CREATE,
    look::EVENTS,
    streams::EXEC,
    look::IMAGEFSINFO,
    look::IMAGES,
    look::INFO,
    look::INSPECT,
    look::INSPECTI,
    look::INSPECTP,
    look::LOGS,
    look::METRICDESCS,
    look::METRICSP,
    look::PODS,
    streams::PORT_FORWARD,
    look::PS,
    change::PULL,
    change::RM,
    change::RMI,
    change::RMP,
    change::RUN,
    change::RUNP,
    look::RUNTIME_CONFIG,
    change::START,
    look::STATS,
    look::STATSP,
    change::STOP,
    change::STOPP,
    change::UPDATE,
    change::UPDATE_RUNTIME_CONFIG,
    look::VERSION_COMMAND,
];

/// A command by any of its names.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.names.contains(&name))
}

const fn of(kind: Kind, names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag { names, kind, default: "", usage, value: "", variable: "", values: &[] }
}

const fn switch(names: &'static [&'static str], usage: &'static str) -> Flag {
    of(Kind::Bool, names, usage)
}

const fn text(names: &'static [&'static str], usage: &'static str) -> Flag {
    of(Kind::Text, names, usage)
}

const fn list(names: &'static [&'static str], usage: &'static str) -> Flag {
    of(Kind::List, names, usage)
}

const fn number(names: &'static [&'static str], usage: &'static str) -> Flag {
    of(Kind::Int, names, usage)
}

impl Flag {
    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn variable(self, variable: &'static str) -> Self {
        Self { variable, ..self }
    }

    const fn value(self, value: &'static str) -> Self {
        Self { value, ..self }
    }

    const fn one_of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }
}

/// A command that takes bundles and has nothing else in particular.
const fn command(
    names: &'static [&'static str],
    usage: &'static str,
    arguments: &'static str,
    flags: &'static [Flag],
) -> Command {
    Command { names, usage, arguments, about: "", flags, bundles: true, commands: &[] }
}

const TEMPLATE: Flag = text(&["template"], "Go template for the output go-template");
const NOT_VERBOSE: Flag = switch(&["quiet", "q"], "Leave out what the runtime knows besides");
const LABEL: Flag = list(&["label"], "Only those with this label, KEY=VALUE");
const LATEST: Flag = switch(&["latest", "l"], "Only the newest, in whatever state");
const LAST: Flag =
    number(&["last", "n"], "Only this many of the newest, in whatever state; 0 for all");
const NAMESPACE: Flag =
    text(&["namespace"], "Only those of pods whose namespace matches this regular expression");
const NO_TRUNC: Flag = switch(&["no-trunc"], "Show ids whole");

const fn output((usage, forms): Forms) -> Flag {
    text(&["output", "o"], usage).one_of(forms)
}

/// What help says of forms of output, and the forms.
type Forms = (&'static str, &'static [&'static str]);

const FOUR: Forms = (
    "Form of the output: json, yaml, go-template or table",
    &["json", "yaml", "go-template", "table"],
);
const THREE: Forms = ("Form of the output: json, yaml or table", &["json", "yaml", "table"]);
const WITH_TEMPLATE: Forms =
    ("Form of the output: json, yaml or go-template", &["json", "yaml", "go-template"]);
const TWO: Forms = ("Form of the output: json or yaml", &["json", "yaml"]);
const STATES: &[&str] = &["created", "running", "exited", "unknown"];
