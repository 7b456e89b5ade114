//! Reading against a model: what the container wrote is what is read, however it was cut into
//! records, files and archives.

use std::{fs, io::Write, path::Path, sync::Arc};

use flate2::{Compression as Level, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::{
    files::{Directory, Form as FileForm, Stamp},
    format::{Stream, parse_time},
};

/// A line that a container wrote.
#[derive(Debug, Clone)]
struct Written {
    stream: Stream,
    content: Vec<u8>,
    /// Lengths of the fragments that the runtime cuts it into.
    cuts: Vec<usize>,
}

fn any_line() -> impl Strategy<Value = Written> {
    let content = proptest::collection::vec(
        prop_oneof![Just(b'a'), Just(b'b'), Just(0_u8), Just(b' '), Just(0xff_u8)],
        0..40,
    );
    let cuts = proptest::collection::vec(0..20_usize, 0..4);
    (any::<bool>(), content, cuts).prop_map(|(error, content, cuts)| {
        let stream = if error { Stream::Stderr } else { Stream::Stdout };
        Written { stream, content, cuts }
    })
}

/// What the runtime writes: records of both streams, those of one in order.
fn records(lines: &[Written], choices: &[bool]) -> Vec<(i64, Vec<u8>)> {
    let mut queues = [Vec::new(), Vec::new()];
    for line in lines {
        let queue = &mut queues[usize::from(line.stream == Stream::Stderr)];
        let mut rest = line.content.as_slice();
        for cut in &line.cuts {
            let (fragment, after) = rest.split_at((*cut).min(rest.len()));
            queue.push((line.stream, 'P', fragment.to_vec()));
            rest = after;
        }
        queue.push((line.stream, 'F', rest.to_vec()));
    }
    let mut queues = queues.map(|queue| queue.into_iter().peekable());
    let (mut records, mut choices, mut time) = (Vec::new(), choices.iter().cycle(), 0);
    loop {
        let first = usize::from(*choices.next().unwrap());
        let Some((stream, tag, content)) =
            queues[first].next().or_else(|| queues[1 - first].next())
        else {
            break;
        };
        time += 1_000_000_000;
        let at = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap();
        let mut record = format!("{at} {} {tag} ", stream.name()).into_bytes();
        record.extend(content);
        record.push(b'\n');
        records.push((time, record));
    }
    records
}

/// A directory with a log of these files, the last of them live.
pub(crate) fn log_of(files: &[(Vec<u8>, FileForm)]) -> (tempfile::TempDir, LogFile) {
    let scratch = tempfile::tempdir().unwrap();
    let mut stamp = None;
    for (number, (content, form)) in files.iter().enumerate() {
        let name = if number + 1 == files.len() {
            "0.log".into()
        } else {
            let next = Stamp::after(stamp, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
            stamp = Some(next);
            form.name(OsStr::new("0.log"), next)
        };
        let compressed = number + 1 < files.len() && *form != FileForm::Plain;
        write(&scratch.path().join(name), content, compressed);
    }
    let log = open(scratch.path());
    (scratch, log)
}

fn open(path: &Path) -> LogFile {
    LogFile::new(Arc::new(Directory::open(path).unwrap()), "0.log")
}

fn write(path: &Path, content: &[u8], compressed: bool) {
    if compressed {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(content).unwrap();
        fs::write(path, encoder.finish().unwrap()).unwrap();
    } else {
        fs::write(path, content).unwrap();
    }
}

pub(crate) fn read_raw(log: &LogFile, query: &Query) -> (Vec<u8>, Counts) {
    let mut renderer = Renderer::new(Form::Raw, false);
    renderer.add(&Name::default());
    let mut out = Vec::new();
    let counts = read(std::slice::from_ref(log), query, &mut renderer, &mut out).unwrap();
    (out, counts)
}

fn join<'a>(lines: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    lines.flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

/// The lines in the order in which they were completed, as reading gives them.
fn completed(lines: &[Written], choices: &[bool]) -> Vec<(i64, Stream, Vec<u8>)> {
    let mut open: [(Option<i64>, Vec<u8>); 2] = Default::default();
    let mut done = Vec::new();
    for (time, record) in records(lines, choices) {
        let record = crate::format::parse(&record[..record.len() - 1]).unwrap();
        let (began, content) = &mut open[usize::from(record.stream == Stream::Stderr)];
        began.get_or_insert(time);
        content.extend(record.content);
        if !record.partial {
            done.push((began.take().unwrap(), record.stream, std::mem::take(content)));
        }
    }
    done
}

proptest! {
    #![proptest_config(crate::test_cases(96))]

    #[test]
    fn what_was_written_is_read(
        lines in proptest::collection::vec(any_line(), 0..60),
        choices in proptest::collection::vec(any::<bool>(), 1..20),
        cuts in proptest::collection::vec((0.0..1.0_f64, any::<bool>()), 0..5),
        tail in 0_u64..70,
        stream in prop_oneof![Just(None), Just(Some(Stream::Stdout)), Just(Some(Stream::Stderr))],
        pattern in prop_oneof![Just(None), Just(Some("ab")), Just(Some("^a")), Just(Some("a b|ba")), Just(Some("b$"))],
        since in 0_i64..80,
        until in 0_i64..160,
    ) {
        let records = records(&lines, &choices);
        let mut cuts: Vec<_> = cuts.iter().map(|(at, gz)| {
            // Truncating a fraction of a small number.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
            #[expect(clippy::cast_precision_loss, reason = "a place")]
            (((records.len() as f64) * at) as usize, *gz)
        }).collect();
        cuts.sort();
        cuts.push((records.len(), false));
        let mut files = Vec::new();
        let mut from = 0;
        for (at, gz) in cuts {
            let content = records[from..at].iter().flat_map(|(_, record)| record.clone()).collect();
            let form = if gz { FileForm::Archive(Compression::Gzip) } else { FileForm::Plain };
            files.push((content, form));
            from = at;
        }
        let (_scratch, log) = log_of(&files);

        let all = completed(&lines, &choices);
        let (read, counts) = read_raw(&log, &Query::default());
        prop_assert_eq!(&read, &join(all.iter().map(|(_, _, content)| content)));
        prop_assert_eq!(counts, Counts { lines: all.len() as u64, ..Counts::default() });

        let grep = pattern.map(|pattern| Grep::new(pattern, false).unwrap());
        let passes = |(_, of, content): &&(i64, Stream, Vec<u8>)| {
            stream.is_none_or(|stream| stream == *of)
                && grep.as_ref().is_none_or(|grep| grep.is_match(content))
        };
        let wanted: Vec<_> = all.iter().filter(passes).collect();
        let filter = Filter { stream, grep: grep.clone(), ..Filter::default() };
        let query = Query { filter: filter.clone(), tail: Some(tail), limit: None };
        let skipped = wanted.len().saturating_sub(usize::try_from(tail).unwrap());
        prop_assert_eq!(read_raw(&log, &query).0, join(wanted[skipped..].iter().map(|l| &l.2)));

        let (since, until) = (since * 1_000_000_000, until * 1_000_000_000);
        let filter = Filter { since: Some(since), until: Some(until), ..filter };
        let timely = wanted.iter().filter(|line| since <= line.0 && line.0 <= until);
        // A line that began more than two seconds before it ended may be taken for the time of
        // what is left of it; those that did not are exact.
        let slow = all.iter().any(|_| lines.iter().any(|line| !line.cuts.is_empty()));
        if !slow {
            let query = Query { filter, ..Query::default() };
            prop_assert_eq!(read_raw(&log, &query).0, join(timely.map(|l| &l.2)));
        }
    }
}

/// `count` numbered records, a millisecond apart.
pub(crate) fn numbered(from: u64, count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in from..from + count {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(number).unwrap()).unwrap();
        out.extend(format!("{at:.9} stdout F line {number}\n").into_bytes());
    }
    out
}

#[test]
fn times_are_found_in_large_files() {
    let files = [
        (numbered(0, 20_000), FileForm::Archive(Compression::Gzip)),
        (numbered(20_000, 20_000), FileForm::Plain),
        (numbered(40_000, 20_000), FileForm::Plain),
    ];
    let (_scratch, log) = log_of(&files);
    for since in [0, 1, 19_999, 20_000, 20_001, 39_998, 55_555, 59_999, 60_000, 70_000] {
        let filter = Filter { since: Some(since * 1_000_000), ..Filter::default() };
        let (read, _) = read_raw(&log, &Query { filter, ..Query::default() });
        let lines = (since..60_000).map(|number| format!("line {number}").into_bytes());
        assert!(
            read == join(lines.collect::<Vec<_>>().iter()),
            "since {since}: {} bytes",
            read.len()
        );
    }
    for tail in [1, 10, 19_999, 20_000, 20_001, 40_001, 60_000, 100_000] {
        let (read, _) = read_raw(&log, &Query { tail: Some(tail), ..Query::default() });
        let first = 60_000_u64.saturating_sub(tail);
        let lines = (first..60_000).map(|number| format!("line {number}").into_bytes());
        assert!(
            read == join(lines.collect::<Vec<_>>().iter()),
            "tail {tail}: {} bytes",
            read.len()
        );
    }
}

#[test]
fn broken_lines_are_shown_as_they_are_and_counted() {
    let text =
        b"no time\n2026-01-02T03:04:05Z stdout F good\n\0\0\0\n2026-01-02T03:04:05Z stdout X\nend";
    let (_scratch, log) = log_of(&[(text.to_vec(), FileForm::Plain)]);
    let (read, counts) = read_raw(&log, &Query::default());
    assert_eq!(read, b"no time\ngood\n\0\0\0\n2026-01-02T03:04:05Z stdout X\nend\n");
    assert_eq!((counts.lines, counts.broken), (5, 4));
}

#[test]
fn broken_lines_that_are_left_out_are_not_counted() {
    let long = "y".repeat(600_000);
    let text = format!("one\n{long}\ntwo\n2026-01-02T03:04:05Z stdout F good\nthree\n");
    let (_scratch, log) = log_of(&[(text.into_bytes(), FileForm::Plain)]);
    let counted = |query: &Query| {
        let (_, counts) = read_raw(&log, query);
        (counts.lines, counts.broken)
    };
    assert_eq!(counted(&Query { tail: Some(2), ..Query::default() }), (2, 1));
    assert_eq!(counted(&Query { tail: Some(4), ..Query::default() }), (4, 3));
    let matching = |pattern| {
        let grep = Some(Grep::new(pattern, false).unwrap());
        counted(&Query { filter: Filter { grep, ..Filter::default() }, ..Query::default() })
    };
    assert_eq!(matching("good"), (1, 0));
    assert_eq!(matching("t"), (2, 2));
    let stream = Some(Stream::Stdout);
    let of_stream = Query { filter: Filter { stream, ..Filter::default() }, ..Query::default() };
    assert_eq!(counted(&of_stream), (1, 0));
}

#[test]
fn a_torn_archive_gives_what_it_has_and_the_rest_follows() {
    let first = numbered(0, 5_000);
    let (scratch, log) = log_of(&[
        (first, FileForm::Archive(Compression::Gzip)),
        (numbered(5_000, 10), FileForm::Plain),
    ]);
    let archive = scratch.path().join("0.log.20260101-000000.gz");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let (read, counts) = read_raw(&log, &Query::default());
    let text = String::from_utf8(read).unwrap();
    assert_eq!(counts.torn, 1);
    assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 5008\nline 5009\n"));
    assert!(counts.lines > 1_000, "{counts:?}");
}

#[test]
fn a_line_without_end_comes_in_pieces() {
    let long = vec![b'x'; 10_000_000];
    for header in ["2026-01-02T03:04:05Z stdout F ", ""] {
        let mut text = header.as_bytes().to_vec();
        text.extend(&long);
        text.extend(b"\n2026-01-02T03:04:06Z stdout F next\n");
        let (_scratch, log) = log_of(&[(text, FileForm::Plain)]);
        let (read, counts) = read_raw(&log, &Query::default());
        assert_eq!(read.len(), long.len() + 6);
        assert!(read.starts_with(&long) && read.ends_with(b"x\nnext\n"));
        assert_eq!((counts.lines, counts.broken), (2, u64::from(header.is_empty())));
        let filter = Filter { grep: Some(Grep::new("next", false).unwrap()), ..Filter::default() };
        assert_eq!(read_raw(&log, &Query { filter, ..Query::default() }).0, b"next\n");
        assert_eq!(read_raw(&log, &Query { tail: Some(1), ..Query::default() }).0, b"next\n");
    }
}

/// A container that never ends its line, by a runtime that writes what comes as it comes.
#[test]
fn a_line_of_a_million_fragments_is_searched_once() {
    let record = "2026-01-02T03:04:05.123456789Z stdout P .\n";
    let text = record.repeat(1_000_000);
    let (_scratch, log) = log_of(&[(text.into_bytes(), FileForm::Plain)]);
    let dots = [".".repeat(1_000_000).as_bytes(), b"\n"].concat();
    for tail in [1, 10] {
        let (read, counts) = read_raw(&log, &Query { tail: Some(tail), ..Query::default() });
        assert!(read == dots, "{} bytes", read.len());
        assert_eq!((counts.lines, counts.broken), (1, 0));
    }
    let since = Some(parse_time(b"2026-01-02T03:04:05Z").unwrap());
    let filter = Filter { since, ..Filter::default() };
    assert!(read_raw(&log, &Query { filter, ..Query::default() }).0 == dots);
}

#[test]
fn every_form_is_written() {
    let text = "2026-01-02T03:04:05Z stdout P a\"\n2026-01-02T03:04:06Z stderr F e\n\
                2026-01-02T03:04:07Z stdout F b\nbroken\u{1}\n";
    let (_scratch, log) = log_of(&[(text.as_bytes().to_vec(), FileForm::Plain)]);
    let written = |form, timestamps| {
        let mut renderer = Renderer::new(form, timestamps);
        let [prefix, pod, container] = ["web/app | ", "default/web", "app"].map(str::to_owned);
        renderer.add(&Name { prefix, pod, container });
        let mut out = Vec::new();
        read(std::slice::from_ref(&log), &Query::default(), &mut renderer, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written(Form::Raw, false), "e\na\"b\nbroken\u{1}\n");
    assert_eq!(
        written(Form::Text, true),
        "web/app | 2026-01-02T03:04:06Z e\nweb/app | 2026-01-02T03:04:05Z a\"b\nweb/app | broken\u{1}\n"
    );
    assert_eq!(
        written(Form::Cri, false),
        "2026-01-02T03:04:06Z stderr F e\n2026-01-02T03:04:05Z stdout F a\"b\nbroken\u{1}\n"
    );
    let json = written(Form::Json, false);
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[1]["line"], "a\"b");
    assert_eq!(objects[0]["stream"], "stderr");
    assert_eq!((&objects[2]["broken"], &objects[2]["pod"]), (&true.into(), &"default/web".into()));
}

/// A line that the log leaves open is one with an end to people; who reads records is told.
#[test]
fn a_line_without_an_end_stays_one_as_a_record() {
    let text = "2026-01-02T03:04:05Z stdout F a\n2026-01-02T03:04:06Z stdout P b\n";
    let (_scratch, log) = log_of(&[(text.as_bytes().to_vec(), FileForm::Plain)]);
    for (form, expected) in [(Form::Cri, text), (Form::Raw, "a\nb\n")] {
        let mut renderer = Renderer::new(form, false);
        renderer.add(&Name::default());
        let mut out = Vec::new();
        let counts =
            read(std::slice::from_ref(&log), &Query::default(), &mut renderer, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(counts.lines, 2);
    }
}

#[test]
fn several_logs_are_merged_by_time() {
    let line = |time: u64, text: &str| {
        let at = jiff::Timestamp::from_second(i64::try_from(time).unwrap()).unwrap();
        format!("{at} stdout F {text}\n")
    };
    let texts = [
        line(1, "a1") + &line(5, "a5") + &line(6, "a6"),
        line(2, "b2") + "broken\n" + &line(5, "b5"),
        String::new(),
        line(0, "d0") + &line(9, "d9"),
    ];
    let beds: Vec<_> =
        texts.iter().map(|text| log_of(&[(text.clone().into_bytes(), FileForm::Plain)])).collect();
    let logs: Vec<_> = beds.iter().map(|(_, log)| log.clone()).collect();
    let mut renderer = Renderer::new(Form::Text, false);
    for name in ["a", "b", "c", "d"] {
        renderer.add(&Name { prefix: format!("{name}:"), ..Name::default() });
    }
    let mut out = Vec::new();
    read(&logs, &Query::default(), &mut renderer, &mut out).unwrap();
    let expected = "d:d0\na:a1\nb:b2\nb:broken\na:a5\nb:b5\na:a6\nd:d9\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    let query = Query { tail: Some(1), limit: Some(7), ..Query::default() };
    read(&logs, &query, &mut renderer, &mut out).unwrap();
    assert_eq!(out, b"b:b5\na:", "cut after seven bytes");
}

#[test]
fn a_log_that_is_not_there_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let log = open(scratch.path());
    let mut renderer = Renderer::new(Form::Raw, false);
    let error = read(&[log], &Query::default(), &mut renderer, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, LogError::Missing { .. }), "{error}");
}
