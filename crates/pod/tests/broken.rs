//! Manifests that something is wrong with: `broken/NAME.yaml` (or `.json`, or a directory) with
//! `broken/NAME.txt`, the message that a person reads, to the letter.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crilet_pod::manifest::{ReadOptions, Text, read};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The files of a case, called as they are in the corpus.
fn texts(case: &Path) -> Vec<Text> {
    let files = if case.is_dir() { entries(case) } else { vec![case.to_owned()] };
    let text = |path: PathBuf| Text {
        content: fs::read(&path).unwrap(),
        file: path.strip_prefix(corpus()).unwrap().to_owned(),
    };
    files.into_iter().map(text).collect()
}

fn message(case: &Path) -> String {
    match read(&texts(case), &ReadOptions::default()) {
        Ok(manifests) => format!("nothing is wrong: {manifests:#?}\n"),
        Err(findings) => format!("{findings}\n"),
    }
}

#[test]
fn every_broken_manifest_has_its_message() {
    let (messages, cases): (Vec<_>, Vec<_>) =
        entries(&corpus()).into_iter().partition(|path| path.extension() == Some("txt".as_ref()));
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut uncovered: BTreeSet<_> = messages.into_iter().collect();
    let mut wrong = Vec::new();
    for case in cases {
        let expected = case.with_extension("txt");
        uncovered.remove(&expected);
        let message = message(&case);
        if fs::read_to_string(&expected).ok().as_ref() != Some(&message) {
            let told = std::env::temp_dir().join("broken").join(expected.file_name().unwrap());
            fs::create_dir_all(told.parent().unwrap()).unwrap();
            fs::write(&told, &message).unwrap();
            wrong.push(format!(
                "{}, which is now {}:\n{message}",
                expected.display(),
                told.display()
            ));
        }
    }
    assert!(uncovered.is_empty(), "messages without a manifest: {uncovered:?}");
    assert!(wrong.is_empty(), "other messages than expected:\n{}", wrong.join("\n"));
}

/// What a person cannot act upon is no message.
#[test]
fn every_message_names_its_file() {
    for message in entries(&corpus()).iter().filter(|path| path.extension() == Some("txt".as_ref()))
    {
        let text = fs::read_to_string(message).unwrap();
        let stem = message.file_stem().unwrap().to_str().unwrap();
        let findings = text.lines().filter(|line| !line.starts_with(' '));
        for finding in findings {
            assert!(finding.starts_with(stem), "{}: {finding}", message.display());
        }
    }
}
