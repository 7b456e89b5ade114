//! Rotating against a model: whoever is killed wherever, every line is found once and in order.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use crilet_cri::CriError;
use proptest::prelude::*;

use super::*;
use crate::{
    files::{Compression, Directory, Family},
    read::{Form, LogFile, Name, Query, Renderer, read},
};

/// A container that writes, and its runtime.
struct Container {
    path: std::path::PathBuf,
    file: Mutex<fs::File>,
    /// Reopenings that fail before they do anything, and after they did it.
    refuses: AtomicU32,
    half: AtomicU32,
    number: Mutex<u64>,
    expected: Mutex<Vec<u8>>,
}

impl Container {
    fn new(directory: &Path) -> Self {
        let path = directory.join("0.log");
        let file = Mutex::new(append(&path));
        let (refuses, half) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { path, file, refuses, half, number: Mutex::default(), expected: Mutex::default() }
    }

    fn write(&self, lines: u64) {
        let mut number = self.number.lock().unwrap();
        for _ in 0..lines {
            *number += 1;
            let at = jiff::Timestamp::from_millisecond(i64::try_from(*number).unwrap()).unwrap();
            let text = format!("line {number}\n");
            let record = format!("{at:.9} stdout F {text}");
            self.file.lock().unwrap().write_all(record.as_bytes()).unwrap();
            self.expected.lock().unwrap().extend(text.as_bytes());
        }
    }
}

fn append(path: &Path) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
}

impl Reopen for Container {
    async fn reopen(&self) -> Result<(), CriError> {
        let fails = |counter: &AtomicU32| {
            counter
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
        };
        let error =
            || Err(CriError::Incomplete { method: "ReopenContainerLog", object: None, field: "x" });
        if fails(&self.refuses) {
            return error();
        }
        *self.file.lock().unwrap() = append(&self.path);
        if fails(&self.half) { error() } else { Ok(()) }
    }
}

/// Dies at the point of this number.
struct DiesAt(AtomicU32);

impl DiesAt {
    fn new(number: u32) -> Self {
        Self(AtomicU32::new(number))
    }
}

impl Hook for DiesAt {
    fn dies(&self, _: Point) -> bool {
        // Once dead, dead for ever.
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(1))
        });
        left.is_ok_and(|left| left == 0)
    }
}

/// One pass of a rotator that may be killed in it; tells whether it came to its end.
fn pass(
    log: &LogFile,
    policy: &Policy,
    container: &Container,
    seconds: i64,
    hook: &DiesAt,
) -> bool {
    let family = log.family().unwrap();
    let wall = jiff::civil::date(2026, 1, 1).at(12, 0, 0, 0);
    let situation = Situation {
        now: SystemTime::now() + Duration::from_secs(100),
        wall: wall.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap(),
        running: true,
        deserted: true,
        oldest: None,
        pressed: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for step in plan(&family, policy, &situation) {
        let done = runtime.block_on(perform(log, step, container, hook));
        if done.is_err() && hook.dies(Point::Begin) {
            return false;
        }
    }
    true
}

async fn perform(
    log: &LogFile,
    step: Step,
    container: &Container,
    hook: &DiesAt,
) -> Result<(), Box<dyn std::error::Error>> {
    match step {
        Step::Rotate(stamp) => rotate(log, stamp, container, hook).await?,
        Step::Reopen => container.reopen().await?,
        Step::Compress(stamp, compression) => compress(log, stamp, compression, hook)?,
        Step::Settle(stamp) => settle(log, stamp, Compression::Gzip, hook)?,
        other => {
            if hook.dies(Point::Removed) {
                return Err("killed".into());
            }
            remove(log, other)?;
        }
    }
    Ok(())
}

fn content(log: &LogFile) -> Vec<u8> {
    let mut renderer = Renderer::new(Form::Raw, false);
    renderer.add(&Name::default());
    let mut out = Vec::new();
    read(std::slice::from_ref(log), &Query::default(), &mut renderer, &mut out).unwrap();
    out
}

fn bed() -> (tempfile::TempDir, LogFile, Container) {
    let scratch = tempfile::tempdir().unwrap();
    let log = LogFile::new(Arc::new(Directory::open(scratch.path()).unwrap()), "0.log");
    let container = Container::new(scratch.path());
    (scratch, log, container)
}

fn policy(max_files: u32) -> Policy {
    Policy { max_size: Some(200), max_files, ..Policy::default() }
}

/// After somebody came to the end of a pass, nothing is half done.
fn assert_tidy(log: &LogFile) {
    let family = log.family().unwrap();
    assert_eq!(family.temporary, [], "{family:#?}");
    assert!(family.rotated.iter().all(|rotated| rotated.forms.len() == 1), "{family:#?}");
    assert!(family.live.is_some());
}

#[test]
fn killed_at_every_step_it_is_finished_or_undone() {
    for dies_at in 0..40 {
        let (_scratch, log, container) = bed();
        let mut ended = false;
        for round in 0..3 {
            container.write(8);
            ended = pass(&log, &policy(9), &container, round, &DiesAt::new(dies_at));
            assert_eq!(
                content(&log),
                *container.expected.lock().unwrap(),
                "dies at {dies_at}, round {round}"
            );
        }
        container.write(1);
        for _ in 0..2 {
            assert!(pass(&log, &policy(9), &container, 9, &DiesAt::new(u32::MAX)));
        }
        assert_tidy(&log);
        assert_eq!(content(&log), *container.expected.lock().unwrap(), "dies at {dies_at}");
        // The last ones come to the end: there are fewer points than numbers tried.
        assert!(ended || dies_at < 35, "{dies_at}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Write(u64),
    Pass { dies_at: u32, seconds: i64 },
    Refuse,
    Half,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_u64..12).prop_map(Act::Write),
        4 => (0_u32..60, -3_i64..3).prop_map(|(dies_at, seconds)| Act::Pass { dies_at, seconds }),
        1 => Just(Act::Refuse),
        1 => Just(Act::Half),
    ]
}

proptest! {
    #![proptest_config(crate::test_cases(96))]

    /// Nothing is lost while the policy has room for it; once it has not, only the oldest is.
    #[test]
    fn every_line_is_found_once_and_in_order(
        acts in proptest::collection::vec(any_act(), 1..40),
        max_files in 2_u32..60,
    ) {
        let (_scratch, log, container) = bed();
        let mut policy = policy(max_files);
        for act in acts {
            match act {
                Act::Write(lines) => container.write(lines),
                Act::Refuse => container.refuses.store(1, Ordering::Relaxed),
                Act::Half => container.half.store(1, Ordering::Relaxed),
                Act::Pass { dies_at, seconds } => {
                    pass(&log, &policy, &container, seconds, &DiesAt::new(dies_at));
                }
            }
            let expected = container.expected.lock().unwrap().clone();
            let found = content(&log);
            prop_assert!(expected.ends_with(&found), "{}", String::from_utf8_lossy(&found));
            if max_files > 41 {
                prop_assert_eq!(found.len(), expected.len());
            }
        }
        container.refuses.store(0, Ordering::Relaxed);
        policy.compression = Some(Compression::Gzip);
        for _ in 0..2 {
            prop_assert!(pass(&log, &policy, &container, 0, &DiesAt::new(u32::MAX)));
        }
        assert_tidy(&log);
        let files = log.family().unwrap().rotated.len() + 1;
        prop_assert!(files <= usize::try_from(max_files).unwrap());
    }
}

/// A kubelet's own table (`container_log_manager_test.go`), as far as it is about files.
#[test]
fn the_plan_is_that_of_a_kubelet() {
    let scratch = tempfile::tempdir().unwrap();
    let write =
        |name: &str, size: usize| fs::write(scratch.path().join(name), vec![b'x'; size]).unwrap();
    for name in [
        "0.log.20260101-000001",
        "0.log.20260101-000002.gz",
        "0.log.20260101-000003.gz",
        "0.log.20260101-000003",
        "0.log.20260101-000004",
        "0.log.20260101-000005.tmp",
    ] {
        write(name, 5);
    }
    write("0.log", 10);
    let directory = Directory::open(scratch.path()).unwrap();
    let family = Family::read(&directory, "0.log".as_ref()).unwrap();
    let now = SystemTime::now();
    let wall = jiff::civil::date(2026, 1, 1).at(0, 0, 9, 0);
    let situation =
        Situation { now, wall, running: true, deserted: true, oldest: None, pressed: false };
    let steps = |max_size, max_files, running| {
        let policy = Policy { max_size: Some(max_size), max_files, ..Policy::default() };
        plan(&family, &policy, &Situation { running, ..situation })
    };
    let stamp = |second: u32| format!("20260101-00000{second}").parse().unwrap();
    let gzip = |second| Step::Compress(stamp(second), Compression::Gzip);
    assert_eq!(
        steps(11, 5, true),
        [Step::RemoveUnfinished(stamp(5)), Step::Settle(stamp(3)), gzip(1)],
        "the limit is not reached, and the newest one is left for those who read it"
    );
    assert_eq!(
        steps(10, 4, true),
        [
            Step::RemoveUnfinished(stamp(5)),
            Step::Remove(stamp(1), Why::Count),
            Step::Remove(stamp(2), Why::Count),
            Step::Settle(stamp(3)),
            Step::Rotate(stamp(9)),
            gzip(4),
        ],
        "what is at its limit is rotated, and first there is room made for it"
    );
    assert!(
        !steps(10, 9, false).iter().any(|step| matches!(step, Step::Rotate(_))),
        "it has ended"
    );
    let pressed = Situation { pressed: true, ..situation };
    let small = plan(&family, &Policy::default(), &pressed);
    assert!(
        !small.iter().any(|step| matches!(step, Step::Rotate(_))),
        "there is nothing to be had"
    );
}

/// Killed between renaming and reopening, and the container has ended before anybody came.
#[test]
fn a_live_file_that_nobody_will_write_again_gets_its_name_back() {
    let (scratch, log, container) = bed();
    container.write(9);
    assert!(pass(&log, &policy(9), &container, 0, &DiesAt::new(u32::MAX)));
    container.write(9);
    assert!(!pass(&log, &policy(9), &container, 1, &DiesAt::new(1)));
    let family = log.family().unwrap();
    assert_eq!((family.live, family.rotated.len()), (None, 2), "{family:#?}");
    let now = SystemTime::now() + Duration::from_secs(100);
    let wall = jiff::civil::date(2026, 1, 1).at(0, 0, 9, 0);
    let situation =
        Situation { now, wall, running: false, deserted: true, oldest: None, pressed: false };
    let steps = plan(&family, &policy(9), &situation);
    let newest = family.newest().unwrap();
    let older = Step::Compress(family.rotated[0].stamp, Compression::Gzip);
    assert_eq!(steps, [Step::PutBack(newest), older]);
    let reopens = |deserted| {
        let situation = Situation { running: true, deserted, ..situation };
        plan(&family, &policy(9), &situation).contains(&Step::Reopen)
    };
    assert!(reopens(true), "the container runs still");
    assert!(!reopens(false), "somebody may have asked a moment ago");
    put_back(&log, newest).unwrap();
    assert!(scratch.path().join("0.log").exists());
    assert_eq!(content(&log), *container.expected.lock().unwrap());
    assert_eq!(plan(&log.family().unwrap(), &policy(9), &situation), [older], "once is enough");
}

/// Names for every second to come, of things that are not touched.
#[test]
fn names_that_are_taken_are_passed_over() {
    let (scratch, log, container) = bed();
    let plant = |name: &str| {
        std::os::unix::fs::symlink("elsewhere", scratch.path().join(format!("0.log.{name}")))
            .unwrap();
    };
    let taken = ["20260101-120000", "20260101-120000_001.gz", "20260101-120000_002.tmp"];
    taken.into_iter().for_each(plant);
    for round in 0..3 {
        container.write(20);
        assert!(pass(&log, &policy(9), &container, round, &DiesAt::new(u32::MAX)));
    }
    let family = log.family().unwrap();
    let stamps: Vec<_> = family.rotated.iter().map(|rotated| rotated.stamp.to_string()).collect();
    assert_eq!(stamps, ["20260101-120000_003", "20260101-120001", "20260101-120002"]);
    assert_eq!(family.strange.len(), taken.len());
    assert_eq!(content(&log), *container.expected.lock().unwrap());
}

/// Ends a thread, also where the test fails.
struct StopsWhenDropped<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody changes what stands under the names of a log while they are handled: nothing outside of
/// its directory is touched or shown, and nothing waits.
#[test]
fn names_that_change_all_the_time_lead_nowhere() {
    let (scratch, log, container) = bed();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "1970-01-01T00:00:00Z stdout F the secret\n").unwrap();
    let before = fs::metadata(&secret).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let stamp = format!("0.log.20260101-12000{}", turn % 10);
                for extension in ["", ".gz", ".tmp", ".zst"] {
                    let name = scratch.path().join(format!("{stamp}{extension}"));
                    // What is there is a log's, or what was planted before; either may fail to go.
                    let gone = if name.is_dir() && !name.is_symlink() {
                        fs::remove_dir(&name)
                    } else if turn.is_multiple_of(3) {
                        fs::remove_file(&name)
                    } else {
                        Ok(())
                    };
                    let planted = match (turn + extension.len()) % 4 {
                        0 => std::os::unix::fs::symlink(&secret, &name),
                        1 => fs::hard_link(&secret, &name),
                        2 => fs::create_dir(&name),
                        _ => nix::unistd::mkfifo(&name, nix::sys::stat::Mode::S_IRWXU)
                            .map_err(Into::into),
                    };
                    drop((gone, planted));
                }
            }
        });
        let ended = StopsWhenDropped(&stop);
        for round in 0..300 {
            container.write(8);
            let mut policy = policy(4);
            policy.compression = policy.compression.filter(|_| round % 2 == 0);
            pass(&log, &policy, &container, round % 10, &DiesAt::new(u32::MAX));
            let text = String::from_utf8(content(&log)).unwrap();
            assert!(!text.contains("secret"), "round {round}: {text}");
        }
        drop(ended);
    });
    let after = fs::metadata(&secret).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "1970-01-01T00:00:00Z stdout F the secret\n");
    assert_eq!(before.permissions(), after.permissions());
    let left = fs::read_dir(outside.path()).unwrap().count();
    assert_eq!(left, 1, "nothing was made outside");
}

#[test]
fn age_removes_files_and_rotates_what_has_old_lines() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["0.log.20260101-000001.gz", "0.log"] {
        fs::write(scratch.path().join(name), "x").unwrap();
    }
    let directory = Directory::open(scratch.path()).unwrap();
    let family = Family::read(&directory, "0.log".as_ref()).unwrap();
    let now = SystemTime::now() + Duration::from_secs(100);
    let wall = jiff::civil::date(2026, 1, 1).at(0, 0, 9, 0);
    let oldest = Some(now - Duration::from_secs(61));
    let situation = Situation { now, wall, running: true, deserted: true, oldest, pressed: false };
    let policy = Policy { max_age: Some(Duration::from_secs(60)), ..Policy::default() };
    let steps = plan(&family, &policy, &situation);
    let removed = Step::Remove("20260101-000001".parse().unwrap(), Why::Age);
    assert_eq!(steps, [removed, Step::Rotate("20260101-000009".parse().unwrap())]);
    let young = Situation { oldest: Some(now), ..situation };
    assert_eq!(plan(&family, &policy, &young), [removed]);
}

#[test]
fn a_file_that_is_written_is_not_compressed() {
    let (scratch, log, container) = bed();
    container.write(9);
    let stamp = "20260101-000001".parse().unwrap();
    fs::rename(scratch.path().join("0.log"), scratch.path().join("0.log.20260101-000001")).unwrap();
    let error = compress(&log, stamp, Compression::Gzip, &NoHook).unwrap_err();
    assert!(matches!(error, CompressError::Written), "{error}");
    *container.file.lock().unwrap() = append(&container.path);
    compress(&log, stamp, Compression::Gzip, &NoHook).unwrap();
    assert!(scratch.path().join("0.log.20260101-000001.gz").exists());
    assert_eq!(content(&log), *container.expected.lock().unwrap());
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_archives_are_written_and_read() {
    let (scratch, log, container) = bed();
    let zstd = Policy { compression: Some(Compression::Zstd), ..policy(9) };
    for round in 0..3 {
        container.write(20);
        assert!(pass(&log, &zstd, &container, round, &DiesAt::new(u32::MAX)));
    }
    assert!(scratch.path().join("0.log.20260101-120000.zst").exists());
    assert_eq!(content(&log), *container.expected.lock().unwrap());
}

#[test]
fn an_archive_that_does_not_read_back_does_not_replace_its_original() {
    let (scratch, log, container) = bed();
    container.write(50);
    let plain = scratch.path().join("0.log.20260101-000001");
    fs::rename(scratch.path().join("0.log"), &plain).unwrap();
    *container.file.lock().unwrap() = append(&container.path);
    let stamp = "20260101-000001".parse().unwrap();
    compress(&log, stamp, Compression::Gzip, &NoHook).unwrap();
    let archive = scratch.path().join("0.log.20260101-000001.gz");
    let whole = fs::read(&archive).unwrap();
    // A kubelet's, on a full disk: cut, and its original still there by luck.
    fs::write(&plain, content(&log)).unwrap();
    fs::write(&archive, &whole[..whole.len() - 20]).unwrap();
    settle(&log, stamp, Compression::Gzip, &NoHook).unwrap();
    assert!(plain.exists() && !archive.exists());
}
