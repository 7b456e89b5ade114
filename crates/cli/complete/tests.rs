use std::{collections::BTreeMap, time::SystemTime};

use clap::{Command, CommandFactory};
use crilet_cri::inventory::{Container, ContainerState, Pod, PodState};

use super::{
    Shell, line, names,
    place::{Names, Place},
    text,
};
use crate::args::Cli;

fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// What is offered for the last word, that begins so.
fn offered(words: &[&str]) -> Vec<String> {
    let (command, words) = (command(), words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    let place = Place::find(&command, &words);
    let mut candidates = place.candidates();
    candidates.retain(|candidate| candidate.word.starts_with(place.beginning()));
    candidates.into_iter().map(|candidate| candidate.word).collect()
}

fn named(words: &[&str]) -> (Option<Names>, bool) {
    let (command, words) = (command(), words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    let place = Place::find(&command, &words);
    (place.names(), place.takes_files())
}

#[test]
fn verbs_and_options_are_completed() {
    assert_eq!(offered(&["insp"]), ["inspect"]);
    assert!(offered(&[""]).contains(&"ps".to_owned()));
    assert!(!offered(&["comp"]).contains(&"complete".to_owned()), "it is hidden");
    assert_eq!(offered(&["runtime", "sta"]), ["status"]);
    assert_eq!(offered(&["ps", "--al"]), ["--all"]);
    assert_eq!(offered(&["-v", "ps", "web", "--wat"]), ["--watch"]);
    // Options behind a foreign command are that command's.
    assert_eq!(offered(&["exec", "web", "ls", "--al"]), Vec::<String>::new());
    assert_eq!(offered(&["stop", "--", "--al"]), Vec::<String>::new());
}

#[test]
fn values_are_completed_in_every_form_of_an_option() {
    let all = ["table", "wide", "json", "yaml", "name"];
    assert_eq!(offered(&["ps", "--output", ""]), all);
    assert_eq!(offered(&["ps", "-ao", "j"]), ["json"]);
    assert_eq!(offered(&["ps", "--output=j"]), ["--output=json"]);
    assert_eq!(offered(&["completion", "z"]), ["zsh"]);
}

#[test]
fn what_may_be_named_depends_on_the_place() {
    assert_eq!(named(&["ps", ""]), (Some(Names::Pods), false));
    assert_eq!(named(&["stop", "a", "b"]), (Some(Names::Pods), false));
    assert_eq!(named(&["exec", "-i", ""]), (Some(Names::Containers), false));
    assert_eq!(named(&["exec", "a", ""]), (None, false));
    assert_eq!(named(&["inspect", "a", ""]), (Some(Names::All), false));
    assert_eq!(named(&["images", ""]), (Some(Names::Images), false));
    assert_eq!(named(&["cp", ""]), (Some(Names::Paths), true));
    assert_eq!(named(&["run", ""]), (None, true));
    assert_eq!(named(&["stop", "--grace", ""]), (None, false));
    assert_eq!(named(&["ps", "-"]), (None, false));
}

#[test]
fn sockets_on_the_line_are_known() {
    let command = command();
    let words = ["-r", "unix:///a", "ps", "--socket=/b", ""].map(str::to_owned);
    let place = Place::find(&command, &words);
    assert_eq!(place.given("runtime_endpoint"), Some("unix:///a"));
    assert_eq!(place.given("socket"), Some("/b"));
}

fn pod(namespace: &str, name: &str, state: PodState) -> Pod {
    let container = |name: &str, state| Container {
        id: String::new(),
        name: name.to_owned(),
        attempt: 0,
        state,
        created_at: SystemTime::UNIX_EPOCH,
        image: String::new(),
        image_ref: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        details: None,
    };
    Pod {
        id: String::new(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: String::new(),
        attempt: 0,
        state,
        created_at: SystemTime::UNIX_EPOCH,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        runtime_handler: String::new(),
        details: None,
        containers: vec![
            container("app", ContainerState::Running),
            container("old", ContainerState::Exited),
        ],
    }
}

#[test]
fn pods_are_called_as_briefly_as_can_be() {
    let pods = [
        pod("default", "blog", PodState::Ready),
        pod("default", "db", PodState::Ready),
        pod("test", "db", PodState::NotReady),
    ];
    let words = |word: &str, names, running| -> Vec<String> {
        names::of_pods(&pods, word, names, running).into_iter().map(|found| found.word).collect()
    };
    assert_eq!(words("", Names::Pods, false), ["blog", "default/db", "test/db"]);
    assert_eq!(words("", Names::Containers, true), ["blog", "db"]);
    let containers = words("blog/", Names::Containers, true);
    let all =
        ["default/blog", "blog/app", "default/blog/app", "default/db", "db/app", "default/db/app"];
    assert_eq!(containers, all);
    assert_eq!(words("", Names::Paths, true), ["blog:", "db:"]);
}

#[test]
fn every_shell_gets_its_form() {
    let image = super::Candidate::new("a:1", "image\nmore");
    assert_eq!(line(Shell::Bash, &image), "a:1");
    assert_eq!(line(Shell::Zsh, &image), "a\\:1:image");
    assert_eq!(line(Shell::Fish, &image), "a:1\timage");
    let (command, words) = (command(), ["cp", ""].map(str::to_owned));
    let place = Place::find(&command, &words);
    let paths = [super::Candidate::new("web:", "ready")];
    assert_eq!(text(Shell::Bash, &paths, place.takes_files()), "web:\n:nospace\n:files\n");
}
