//! Following against a model: whatever is written is read once and in order, whatever is rotated,
//! compressed, removed or truncated meanwhile.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use flate2::{Compression as Level, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::{
    files::{Compression, Directory, Form as FileForm, Stamp},
    read::{Counts, Form, LogFile, Name, Query, Renderer},
};
use std::sync::Arc;

/// What somebody does to a log.
#[derive(Debug, Clone)]
enum Act {
    /// Writes this many lines.
    Write(u8),
    /// Writes a part of a line, which the next record goes on with.
    Fragment,
    /// Renames the live file and makes a new one.
    Rotate,
    /// Renames the live file; the writer has it open until the next rotation.
    RenameOnly,
    /// Compresses the oldest plain rotated file.
    Compress,
    /// Removes the oldest rotated file.
    Prune,
    /// Removes the live file and makes a new one.
    Recreate,
    /// Lets the follower come to the end of what there is.
    CatchUp,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (1_u8..50).prop_map(Act::Write),
        2 => Just(Act::Fragment),
        4 => Just(Act::Rotate),
        1 => Just(Act::RenameOnly),
        3 => Just(Act::Compress),
        1 => Just(Act::Prune),
        1 => Just(Act::Recreate),
        2 => Just(Act::CatchUp),
    ]
}

/// A log, its writer, and all that was written.
struct Bed {
    scratch: tempfile::TempDir,
    file: fs::File,
    renamed: bool,
    stamp: Option<Stamp>,
    number: u64,
    expected: Vec<u8>,
}

impl Bed {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let file = append(&scratch.path().join("0.log"));
        Self { scratch, file, renamed: false, stamp: None, number: 0, expected: Vec::new() }
    }

    fn log(&self) -> LogFile {
        LogFile::new(Arc::new(Directory::open(self.scratch.path()).unwrap()), "0.log")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn record(&mut self, tag: &str, text: &str) {
        self.number += 1;
        let at = jiff::Timestamp::from_millisecond(i64::try_from(self.number).unwrap()).unwrap();
        self.file.write_all(format!("{at:.9} stdout {tag} {text}\n").as_bytes()).unwrap();
        self.expected.extend(text.as_bytes());
        if tag == "F" {
            self.expected.push(b'\n');
        }
    }

    fn rotated(&self, form: FileForm) -> Vec<(Stamp, PathBuf)> {
        let directory = Directory::open(self.scratch.path()).unwrap();
        let family = crate::files::Family::read(&directory, "0.log".as_ref()).unwrap();
        let rotated = family.rotated.iter().filter(|rotated| rotated.forms.contains_key(&form));
        rotated
            .map(|r| (r.stamp, self.scratch.path().join(form.name("0.log".as_ref(), r.stamp))))
            .collect()
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Write(count) => {
                for _ in 0..*count {
                    let text = format!("line {}", self.number);
                    self.record("F", &text);
                }
            }
            Act::Fragment => self.record("P", "part "),
            Act::RenameOnly if self.renamed => {}
            Act::RenameOnly => self.rename(),
            Act::Rotate => {
                if !self.renamed {
                    self.rename();
                }
                self.file = append(&self.path("0.log"));
                self.renamed = false;
            }
            Act::Compress => {
                let plain = self.rotated(FileForm::Plain);
                // The newest may still be written.
                let done = if self.renamed { plain.len().saturating_sub(1) } else { plain.len() };
                if let Some((stamp, path)) = plain.first().filter(|_| done > 0) {
                    let name = FileForm::Archive(Compression::Gzip).name("0.log".as_ref(), *stamp);
                    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
                    encoder.write_all(&fs::read(path).unwrap()).unwrap();
                    fs::write(self.path("x"), encoder.finish().unwrap()).unwrap();
                    fs::rename(self.path("x"), self.scratch.path().join(name)).unwrap();
                    fs::remove_file(path).unwrap();
                }
            }
            Act::Prune => {
                let gz = self.rotated(FileForm::Archive(Compression::Gzip));
                if let Some((_, path)) = gz.first() {
                    fs::remove_file(path).unwrap();
                }
            }
            Act::Recreate if self.renamed => {}
            Act::Recreate => {
                fs::remove_file(self.path("0.log")).unwrap();
                self.file = append(&self.path("0.log"));
            }
            Act::CatchUp => {}
        }
    }

    fn rename(&mut self) {
        let stamp = Stamp::after(self.stamp, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
        self.stamp = Some(stamp);
        let name = FileForm::Plain.name("0.log".as_ref(), stamp);
        fs::rename(self.path("0.log"), self.scratch.path().join(name)).unwrap();
        self.renamed = true;
    }
}

fn append(path: &Path) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// An output that can be looked at, and that waits at every batch if it is told to.
struct Output {
    seen: Arc<Mutex<Vec<u8>>>,
    /// Something was written, or is about to be.
    begun: Arc<AtomicBool>,
    gate: Option<Receiver<()>>,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.store(true, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            // Opened for good when the other end is dropped.
            gate.recv().unwrap_or_default();
        }
        self.seen.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pauses until somebody who waits gives up.
const PATIENCE: u32 = 30_000;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

struct Follower {
    control: Control,
    seen: Arc<Mutex<Vec<u8>>>,
    begun: Arc<AtomicBool>,
    gate: Option<Sender<()>>,
    thread: JoinHandle<Counts>,
}

impl Follower {
    fn start(watch: &Arc<Watch>, log: LogFile, slow: bool) -> Self {
        let (follow, control) =
            Follow::new(Arc::clone(watch), Query::default(), Renderer::new(Form::Raw, false));
        control.add(Followed { log, name: Name::default() }, None);
        control.close();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let begun = Arc::<AtomicBool>::default();
        let (gate, opened) = channel();
        let mut output = Output {
            seen: Arc::clone(&seen),
            begun: Arc::clone(&begun),
            gate: slow.then_some(opened),
        };
        let thread = std::thread::spawn(move || follow.run(&mut output).unwrap());
        Self { control, seen, begun, gate: slow.then_some(gate), thread }
    }

    /// Waits until it has the first file open.
    fn wait_for_begin(&self) {
        for _ in 0..PATIENCE {
            if self.begun.load(Ordering::SeqCst) {
                return;
            }
            std::thread::park_timeout(PAUSE);
        }
        panic!("nothing is followed");
    }

    fn wait_for(&self, expected: &[u8]) {
        let complete = expected.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for _ in 0..PATIENCE {
            if self.seen.lock().unwrap().len() >= complete {
                return;
            }
            std::thread::park_timeout(PAUSE);
        }
        let seen = self.seen.lock().unwrap().clone();
        panic!("only {} of {} bytes: {}", seen.len(), complete, String::from_utf8_lossy(&seen));
    }

    fn end(self) -> (Vec<u8>, Counts) {
        self.control.ended(0);
        drop(self.gate);
        let counts = self.thread.join().unwrap();
        let seen = self.seen.lock().unwrap().clone();
        (seen, counts)
    }
}

proptest! {
    #![proptest_config(crate::test_cases(12))]

    #[test]
    fn followers_miss_and_repeat_nothing(
        acts in proptest::collection::vec(any_act(), 1..25),
        polling: bool,
        steps in 0..3_usize,
    ) {
        let mut bed = Bed::new();
        bed.act(&Act::Write(3));
        let watch = Arc::new(if polling { Watch::polling() } else { Watch::start() }.unwrap());
        let quick = Follower::start(&watch, bed.log(), false);
        let slow = Follower::start(&watch, bed.log(), true);
        quick.wait_for(&bed.expected);
        slow.wait_for_begin();
        for act in &acts {
            // Files can be held only after somebody had a chance to open them, before they are gone.
            let gone = matches!(act, Act::Prune | Act::Recreate | Act::Compress);
            if matches!(act, Act::CatchUp) || gone {
                quick.wait_for(&bed.expected);
                if gone {
                    watch.catch_up();
                }
            }
            if let Some(gate) = slow.gate.as_ref().filter(|_| steps > 0) {
                gate.send(()).unwrap_or_default();
            }
            bed.act(act);
        }
        let mut expected = bed.expected.clone();
        if expected.last().is_some_and(|last| *last != b'\n') {
            expected.push(b'\n');
        }
        drop(bed.file);
        for follower in [quick, slow] {
            let (seen, counts) = follower.end();
            prop_assert!(
                seen == expected,
                "{counts:?}\nseen: {}\nwritten: {}",
                String::from_utf8_lossy(&seen),
                String::from_utf8_lossy(&expected)
            );
            prop_assert_eq!(counts.vanished, 0);
        }
    }
}

proptest! {
    #![proptest_config(crate::test_cases(24))]

    /// What a follower gives of a log whose writer has ended is what a reader gives, whatever is asked.
    #[test]
    fn followers_and_readers_give_the_same(
        acts in proptest::collection::vec(any_act(), 1..12),
        tail in proptest::option::of(1_u64..80),
        since in proptest::option::of(0_i64..120),
        until in proptest::option::of(0_i64..200),
        limit in proptest::option::of(0_u64..900),
        grep in prop_oneof![Just(None), Just(Some("1")), Just(Some("^part")), Just(Some("7$"))],
        other: bool,
    ) {
        let mut bed = Bed::new();
        acts.iter().for_each(|act| bed.act(act));
        let log = bed.log();
        drop(bed.file);
        let nanoseconds = |milliseconds: i64| milliseconds * 1_000_000;
        let grep = grep.map(|pattern| crate::Grep::new(pattern, false).unwrap());
        let stream = other.then_some(crate::format::Stream::Stdout);
        let filter = crate::Filter {
            stream,
            since: since.map(nanoseconds),
            until: until.map(nanoseconds),
            grep,
        };
        let query = Query { filter, tail, limit };
        let mut renderer = Renderer::new(Form::Raw, true);
        renderer.add(&Name::default());
        let mut read = Vec::new();
        crate::read(std::slice::from_ref(&log), &query, &mut renderer, &mut read).unwrap();
        let watch = Arc::new(Watch::start().unwrap());
        let (follow, control) = Follow::new(watch, query, Renderer::new(Form::Raw, true));
        let number = control.add(Followed { log, name: Name::default() }, None);
        control.ended(number);
        control.close();
        let mut followed = Vec::new();
        follow.run(&mut followed).unwrap();
        prop_assert_eq!(String::from_utf8(followed), String::from_utf8(read));
    }
}

/// A follower may run before it hears of the first log.
#[test]
fn a_time_that_is_past_ends_a_follower_once_it_has_read() {
    let mut bed = Bed::new();
    bed.act(&Act::Write(3));
    let watch = Arc::new(Watch::start().unwrap());
    let filter = crate::Filter { until: Some(2_000_000), ..crate::Filter::default() };
    let query = Query { filter, ..Query::default() };
    let (follow, control) = Follow::new(watch, query, Renderer::new(Form::Raw, false));
    let thread = std::thread::spawn(move || {
        let mut out = Vec::new();
        follow.run(&mut out).map(|_| out)
    });
    std::thread::park_timeout(std::time::Duration::from_millis(100));
    // Its writer goes on, and writes nothing.
    control.add(Followed { log: bed.log(), name: Name::default() }, None);
    assert_eq!(thread.join().unwrap().unwrap(), b"line 0\nline 1\n");
}

/// Whoever moves the directory away takes the log with it; the runtime makes another one.
#[test]
fn a_directory_in_the_place_of_another_is_followed() {
    for polling in [false, true] {
        let mut bed = Bed::new();
        let place = bed.path("place");
        fs::create_dir(&place).unwrap();
        let log = LogFile::new(Arc::new(Directory::open(&place).unwrap()), "0.log");
        bed.file = append(&place.join("0.log"));
        bed.act(&Act::Write(3));
        let watch = Arc::new(if polling { Watch::polling() } else { Watch::start() }.unwrap());
        let follower = Follower::start(&watch, log, false);
        follower.wait_for(&bed.expected);
        for (round, name) in ["first", "second"].into_iter().enumerate() {
            fs::rename(&place, bed.path(name)).unwrap();
            bed.act(&Act::Write(2));
            if round == 1 {
                fs::remove_dir_all(bed.path(name)).unwrap();
            }
            fs::create_dir(&place).unwrap();
            bed.file = append(&place.join("0.log"));
            bed.act(&Act::Write(2));
            follower.wait_for(&bed.expected);
        }
        drop(bed.file);
        let (seen, _) = follower.end();
        assert_eq!(String::from_utf8(seen), String::from_utf8(bed.expected), "polling {polling}");
    }
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut bed = Bed::new();
    bed.act(&Act::Write(5));
    let watch = Arc::new(Watch::start().unwrap());
    let follower = Follower::start(&watch, bed.log(), false);
    follower.wait_for(&bed.expected);
    bed.file.set_len(0).unwrap();
    // A copy that truncates loses what comes between; the next line is not one of those.
    std::thread::park_timeout(std::time::Duration::from_millis(1_500));
    bed.act(&Act::Write(2));
    follower.wait_for(&bed.expected);
    drop(bed.file);
    assert_eq!(String::from_utf8(follower.end().0), String::from_utf8(bed.expected));
}

#[test]
fn a_log_that_is_not_there_yet_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let log = LogFile::new(Arc::new(Directory::open(scratch.path()).unwrap()), "0.log");
    let watch = Arc::new(Watch::start().unwrap());
    let follower = Follower::start(&watch, log, false);
    fs::write(scratch.path().join("0.log"), "1970-01-01T00:00:00Z stdout F hello\n").unwrap();
    follower.wait_for(b"hello\n");
    assert_eq!(follower.end().0, b"hello\n");
}

#[test]
fn a_follower_can_be_stopped_and_its_limit_ends_it() {
    let mut bed = Bed::new();
    bed.act(&Act::Write(5));
    let watch = Arc::new(Watch::start().unwrap());
    let follower = Follower::start(&watch, bed.log(), false);
    follower.wait_for(&bed.expected);
    follower.control.stop();
    assert_eq!(follower.thread.join().unwrap().lines, 5);
    let query = Query { limit: Some(9), ..Query::default() };
    let (follow, control) = Follow::new(watch, query, Renderer::new(Form::Raw, false));
    control.add(Followed { log: bed.log(), name: Name::default() }, None);
    let mut out = Vec::new();
    follow.run(&mut out).unwrap();
    assert_eq!(out, b"line 0\nli");
}
