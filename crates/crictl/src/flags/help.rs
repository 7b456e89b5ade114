//! Help as urfave/cli lays it out.

use std::fmt::Write as _;

use super::{Command, Flag, HELP, Kind};

/// Rows of two columns: where the first ends, and three spaces in front.
fn rows(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(first, _)| first.chars().count()).max().unwrap_or_default();
    let row = |(first, second): &(String, String)| format!("   {first:width$}  {second}\n");
    rows.iter().map(row).collect()
}

/// The help of the whole: its options and commands.
pub fn app_help(flags: &'static [Flag], commands: &'static [Command], version: &str) -> String {
    let mut listed = command_rows(commands);
    listed.push(help_command());
    let (last, flags): (Vec<_>, Vec<_>) = flags.iter().partition(|flag| flag.name() == "version");
    let mut options = flag_rows(flags);
    options.extend(last.into_iter().map(flag_row));
    format!(
        "NAME:\n   crictl - client for CRI\n\n\
         USAGE:\n   crictl [global options] command [command options]\n\n\
         VERSION:\n   {version}\n\n\
         COMMANDS:\n{}\nGLOBAL OPTIONS:\n{}",
        rows(&listed),
        rows(&options)
    )
}

/// The help of a command that is called by this path, such as `crictl ps`.
pub fn command_help(path: &str, command: &Command) -> String {
    let arguments = match command.arguments {
        "" => String::new(),
        arguments => format!(" {arguments}"),
    };
    let mut help = format!(
        "NAME:\n   {path} - {}\n\nUSAGE:\n   {path} [command options]{arguments}\n",
        command.usage
    );
    if !command.about.is_empty() {
        help.push_str("\nDESCRIPTION:\n");
        for line in command.about.lines() {
            help.push_str(format!("   {line}").trim_end());
            help.push('\n');
        }
    }
    if !command.commands.is_empty() {
        let mut listed = command_rows(command.commands);
        listed.push(help_command());
        write!(help, "\nCOMMANDS:\n{}", rows(&listed)).unwrap_or_default();
    }
    help.push_str(
        format!("\nOPTIONS:\n{}", rows(&flag_rows(command.flags.iter().collect()))).as_str(),
    );
    help
}

/// The help of the command `help` that is called by this path, which crictl takes for one of itself when its
/// line is wrong.
pub fn help_help(path: &str, with_commands: bool) -> String {
    let (_, usage) = help_command();
    let commands = match with_commands {
        true => format!("\nCOMMANDS:\n{}", rows(&[help_command()])),
        false => String::new(),
    };
    format!(
        "NAME:\n   {path} - {usage}\n\nUSAGE:\n   {path} [command options] [command]\n{commands}\n\
         OPTIONS:\n{}",
        rows(&[flag_row(&HELP)])
    )
}

fn help_command() -> (String, String) {
    ("help, h".to_owned(), "Shows a list of commands or help for one command".to_owned())
}

fn command_rows(commands: &[Command]) -> Vec<(String, String)> {
    commands.iter().map(|command| (command.names.join(", "), command.usage.to_owned())).collect()
}

/// Options by their names, `--help` last.
fn flag_rows(mut sorted: Vec<&Flag>) -> Vec<(String, String)> {
    sorted.sort_by_key(|flag| flag.name());
    sorted.into_iter().chain([&HELP]).map(flag_row).collect()
}

fn flag_row(flag: &Flag) -> (String, String) {
    let name = |name: &&str| {
        let dashes = if name.len() == 1 { "-" } else { "--" };
        let value = match (flag.kind, flag.value) {
            (Kind::Bool, _) => String::new(),
            (_, "") => " value".to_owned(),
            (_, value) => format!(" {value}"),
        };
        format!("{dashes}{name}{value}")
    };
    let mut names = flag.names.iter().map(name).collect::<Vec<_>>().join(", ");
    if flag.kind == Kind::List {
        names = format!("{names} [ {names} ]");
    }
    let default = match (flag.kind, flag.default) {
        // Of what asks for words and nothing else.
        _ if matches!(flag.name(), "help" | "version") => String::new(),
        (Kind::Bool, _) => " (default: false)".to_owned(),
        (Kind::Int, "") => " (default: 0)".to_owned(),
        (Kind::Duration, "") => " (default: 0s)".to_owned(),
        (_, "") => String::new(),
        (Kind::Text, default) => format!(" (default: {default:?})"),
        (_, default) => format!(" (default: {default})"),
    };
    let variable = match flag.variable {
        "" => String::new(),
        variable => format!(" [${variable}]"),
    };
    (names, format!("{}{default}{variable}", flag.usage))
}
