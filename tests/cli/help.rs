//! Help and what is said about a wrong command line.

use crate::bed::{Crilet, Outcome, filters};

fn run(arguments: &str, columns: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    Crilet::new(directory.path(), arguments).env("COLUMNS", columns).run()
}

/// Every verb with the verbs below it, as the help of the one above lists them.
fn verbs(above: &str) -> Vec<String> {
    let help = run(&format!("{above} -h"), "200").stdout;
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = listed.lines().take_while(|line| !line.is_empty());
    // What crictl says is crictl's, and has tests of its own.
    let own = |name: &&str| !matches!(*name, "help" | "crictl");
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(own);
    let listed = names.map(|name| format!("{above} {name}").trim().to_owned());
    listed.flat_map(|verb| [vec![verb.clone()], verbs(&verb)].concat()).collect()
}

#[test]
fn every_verb_has_help_that_fits_its_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let _filters = filters(directory.path());
    let verbs = [vec![String::new()], verbs("")].concat();
    assert!(verbs.len() > 5, "{verbs:?}");
    for verb in verbs {
        let name = if verb.is_empty() { "crilet".to_owned() } else { verb.replace(' ', "_") };
        for (form, columns) in [("--help", "100"), ("-h", "60")] {
            let outcome = run(format!("{verb} {form}").trim(), columns);
            assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{outcome}");
            let wide = outcome.stdout.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None, "{outcome}");
            // Lines end with blanks in clap's help, which editors would take away.
            let lines: Vec<_> = outcome.stdout.lines().map(str::trim_end).collect();
            insta::assert_snapshot!(format!("{name}_{columns}"), lines.join("\n"));
        }
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_64_and_nothing_on_stdout() {
    let directory = tempfile::tempdir().unwrap();
    let _filters = filters(directory.path());
    let wrong = [
        "",
        "sotp web",
        "ps --al",
        "run",
        "run --pull sometimes x",
        "run --creds a:b --auth YTpi x",
        "ps --quiet --output json",
        "ps --timeout soon",
        "stop",
        "stop web --all",
        "rm web --grace -1s",
        "--runtime-endpoint tcp://127.0.0.1:1 ps",
    ];
    let outcomes = wrong.map(|arguments| {
        let outcome = run(arguments, "100");
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(64), ""), "{outcome}");
        outcome.to_string()
    });
    insta::assert_snapshot!(outcomes.join("\n"));
}
