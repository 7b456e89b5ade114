//! Completion of commands in shells.

use crate::commands::{COMMANDS, GLOBAL};

/// The script for a shell; nothing for one that is not known.
pub fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn options() -> impl Iterator<Item = String> {
    GLOBAL
        .iter()
        .map(|flag| format!("--{}", flag.name()))
        .chain(["--help".into(), "--version".into()])
}

fn bash() -> String {
    let names = COMMANDS.iter().flat_map(|command| command.names).map(|&name| name.to_owned());
    let words: Vec<_> = names.chain(["help".to_owned(), "h".to_owned()]).chain(options()).collect();
    format!(
        "_crictl() {{\n    COMPREPLY=()\n    while read -r word; do\n        COMPREPLY+=(\"$word\")\n    \
         done < <(compgen -W '{}' -- \"${{COMP_WORDS[COMP_CWORD]}}\")\n}}\ncomplete -F _crictl crictl\n",
        words.join(" ")
    )
}

fn zsh() -> String {
    let described =
        |name: &&str, usage: &str| format!("    '{name}:{}'\n", usage.replace('\'', ""));
    let commands: String = COMMANDS
        .iter()
        .flat_map(|command| command.names.iter().map(|name| described(name, command.usage)))
        .collect();
    let options: String = options().map(|option| format!("    '{option}'\n")).collect();
    format!(
        "#compdef crictl\n_crictl() {{\n  local -a commands options\n  commands=(\n{commands}  )\n  \
         options=(\n{options}  )\n  _describe command commands\n  _describe option options\n}}\n\
         compdef _crictl crictl\n"
    )
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "\\'"));
    let mut script = "complete -c crictl -f\n".to_owned();
    for flag in GLOBAL {
        let short = flag.names.get(1).map_or_else(String::new, |short| format!(" -s {short}"));
        let usage = quoted(flag.usage);
        let first = "-n __fish_use_subcommand";
        script.push_str(
            format!("complete -c crictl {first} -l {}{short} -d {usage}\n", flag.name()).as_str(),
        );
    }
    for command in COMMANDS {
        let (names, usage) = (command.names.join(" "), quoted(command.usage));
        script.push_str(
            format!("complete -c crictl -n __fish_use_subcommand -a '{names}' -d {usage}\n")
                .as_str(),
        );
        for flag in command.flags {
            let spellings: String =
                flag.names
                    .iter()
                    .map(|name| {
                        if name.len() == 1 { format!(" -s {name}") } else { format!(" -l {name}") }
                    })
                    .collect();
            let within = format!("'__fish_seen_subcommand_from {names}'");
            let usage = quoted(flag.usage);
            script.push_str(
                format!("complete -c crictl -n {within}{spellings} -d {usage}\n").as_str(),
            );
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_all_commands_and_options() {
        for shell in ["bash", "zsh", "fish"] {
            let script = script(shell).unwrap();
            for command in COMMANDS {
                assert!(script.contains(command.name()), "{shell} has {}", command.name());
            }
            assert!(script.contains("runtime-endpoint"), "{shell} has options");
        }
        assert!(script("tcsh").is_none());
    }
}
