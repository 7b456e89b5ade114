//! The files of a log, read as a whole, from their end, and searched.
#![no_main]

use std::{fs, sync::Arc};

use crilet_log::{
    Counts, Filter, Form, Grep, LogFile, Name, Query, Renderer, files::Directory, read,
};
use libfuzzer_sys::fuzz_target;

fn written(log: &LogFile, query: &Query) -> (Vec<u8>, Counts) {
    let mut renderer = Renderer::new(Form::Raw, false);
    renderer.add(&Name::default());
    let mut out = Vec::new();
    let counts = read(std::slice::from_ref(log), query, &mut renderer, &mut out).expect("it reads");
    (out, counts)
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, content)) = input.split_first() else { return };
    let (old, live) = content.split_at(usize::from(*cut).min(content.len()));
    let scratch = tempfile::tempdir().expect("a directory");
    fs::write(scratch.path().join("0.log.20260101-000000"), old).expect("a file");
    fs::write(scratch.path().join("0.log"), live).expect("a file");
    let log = LogFile::new(Arc::new(Directory::open(scratch.path()).expect("it is there")), "0.log");

    let (all, counts) = written(&log, &Query::default());
    for tail in [0, 1, 3, counts.lines, counts.lines + 1] {
        let (last, _) = written(&log, &Query { tail: Some(tail), ..Query::default() });
        assert!(all.ends_with(&last), "the last {tail} lines are the end of all");
    }
    let since = Filter { since: Some(0), until: Some(i64::MAX - 1), ..Filter::default() };
    written(&log, &Query { filter: since, ..Query::default() });
    let grep = Grep::new("a.b|x", false).expect("a pattern");
    let filter = Filter { grep: Some(grep), ..Filter::default() };
    let (found, _) = written(&log, &Query { filter, ..Query::default() });
    assert!(found.len() <= all.len());
});
