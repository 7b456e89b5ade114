use super::{Parsed, boolean, duration, integer, parse};
use crate::commands::{COMMANDS, GLOBAL};

fn read(command: &str, line: &str) -> Result<Parsed, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let command = COMMANDS.iter().find(|known| known.names.contains(&command)).unwrap();
    let variable = |name: &str| (name == "CRICTL_PULL_TIMEOUT").then(|| "90s".to_owned());
    parse(command.flags, command.bundles, &words, &variable)
}

fn wrong(command: &str, line: &str) -> String {
    read(command, line).unwrap_err()
}

#[test]
fn options_end_where_arguments_begin() {
    let parsed = read("exec", "-it --timeout=5 web ls -l --all").unwrap();
    assert!(parsed.bool("interactive") && parsed.bool("tty"));
    assert_eq!(parsed.int("timeout"), 5);
    assert_eq!(parsed.arguments, ["web", "ls", "-l", "--all"]);
    assert_eq!(read("exec", "-i -- -x").unwrap().arguments, ["-x"]);
    assert_eq!(read("exec", "- x").unwrap().arguments, ["-", "x"]);
}

#[test]
fn every_spelling_of_an_option_is_one() {
    let parsed = read("ps", "-a=false -output json -label a=b,c=d --label e=f -n 0x10").unwrap();
    assert!(!parsed.bool("all") && parsed.is_set("all"));
    assert_eq!(parsed.text("output"), "json");
    assert_eq!(parsed.list("label"), ["a=b", "c=d", "e=f"]);
    assert_eq!(parsed.int("last"), 16);
    assert_eq!(read("ps", "-aq").unwrap().text("output"), "table");
    // The last letter of a bundle may take the next word.
    assert_eq!(read("ps", "-qo yaml").unwrap().text("output"), "yaml");
}

#[test]
fn what_is_wrong_is_told_in_words_that_scripts_know() {
    assert_eq!(wrong("ps", "-x"), "flag provided but not defined: -x");
    assert_eq!(wrong("ps", "-ax"), "flag provided but not defined: -ax");
    // Not all commands take bundles.
    assert_eq!(wrong("start", "-ab"), "flag provided but not defined: -ab");
    assert_eq!(wrong("ps", "--state"), "flag needs an argument: -state");
    assert_eq!(wrong("ps", "--last=x"), "invalid value \"x\" for flag -last: parse error");
    assert_eq!(wrong("ps", "-a=x"), "invalid boolean value \"x\" for -a: parse error");
    assert_eq!(wrong("ps", "---a"), "bad flag syntax: ---a");
    assert_eq!(
        wrong("ps", "-o json --output yaml"),
        "Cannot use two forms of the same flag: o output"
    );
}

#[test]
fn the_environment_stands_in() {
    let parsed = read("pull", "x").unwrap();
    assert!(parsed.is_set("pull-timeout"));
    assert_eq!(parsed.duration("pull-timeout"), 90_000_000_000);
    assert_eq!(read("pull", "--pt 1m x").unwrap().duration("pull-timeout"), 60_000_000_000);
    let broken = parse(GLOBAL, false, &[], &|_| None).unwrap();
    assert!(!broken.is_set("config"));
    assert_eq!(broken.text("config"), "/etc/crictl.yaml");
    let wrong = |_: &str| Some("soon".to_owned());
    let pull = COMMANDS.iter().find(|command| command.name() == "pull").unwrap();
    assert!(parse(pull.flags, true, &[], &wrong).unwrap_err().contains("for flag pull-timeout"));
}

#[test]
fn values_are_read_as_go_reads_them() {
    let seconds = |text: &str| duration(text).map(|nanoseconds| nanoseconds / 1_000_000);
    let cases = [("2s", 2000), ("1h30m", 5_400_000), ("1.5s", 1500), ("0", 0), ("-2s", -2000)];
    for (text, expected) in cases {
        assert_eq!(seconds(text), Some(expected), "{text}");
    }
    for text in ["", "3", "s", "1.2.3s", ".s", "1x", "99999999999h"] {
        assert_eq!(duration(text), None, "{text}");
    }
    let numbers =
        [("10", 10), ("010", 8), ("-0b11", -3), ("+5", 5), ("1_000", 1000), ("0x_F_f", 255)];
    for (text, expected) in numbers {
        assert_eq!(integer(text), Ok(expected), "{text}");
    }
    for text in ["", "-", "x", "0x", "1e3", "+-5", "_1", "1_", "1__0", "08", "0x_"] {
        assert_eq!(integer(text), Err("parse error"), "{text}");
    }
    assert_eq!(integer("99999999999999999999"), Err("value out of range"));
    assert_eq!((boolean("T"), boolean("yes")), (Some(true), None));
}

/// crictl 1.36 has these commands and no others.
#[test]
fn all_commands_are_there() {
    let names: Vec<_> = COMMANDS.iter().map(super::Command::name).collect();
    let expected = "attach checkpoint completion config create events exec imagefsinfo images info \
                    inspect inspecti inspectp logs metricdescs metricsp pods port-forward ps pull rm \
                    rmi rmp run runp runtime-config start stats statsp stop stopp update \
                    update-runtime-config version";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    for command in COMMANDS {
        let mut spellings: Vec<_> = command.flags.iter().flat_map(|flag| flag.names).collect();
        let count = spellings.len();
        spellings.sort_unstable();
        spellings.dedup();
        assert_eq!(spellings.len(), count, "two options of one name in {}", command.name());
    }
}
