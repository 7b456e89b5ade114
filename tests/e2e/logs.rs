//! Logs of real containers: rotated hundreds of times, followed, killed, on a full disk.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crilet_testkit::{Host, Service, wait_until};

use crate::support::{assert_contains, crilet, crilet_ends_with, host_with_containerd};

/// Far longer than anything takes, even on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(240);
pub(crate) const LOGS: &str = "/root/pod/log";

/// Writes numbered lines to both streams, as fast as it can, until it is told to stop; and stays until it is
/// told that its last line was seen.
pub(crate) const WRITER: &str = "i=0; while [ ! -e /control/stop ]; do j=0; while [ $j -lt 500 ]; do \
     echo out-$i; echo err-$i >&2; i=$((i+1)); j=$((j+1)); done; done; echo end-$i; \
     until [ -e /control/seen ]; do sleep 0.1; done";

/// Brings up a pod `one` with a container `main` that runs this script.
pub(crate) fn run_pod(host: &Host, script: &str, annotations: &str) {
    let pod = format!(
        "metadata: {{name: one, namespace: default, uid: one-uid}}\nlog_directory: {LOGS}\n\
         annotations: {{{annotations}}}\n"
    );
    host.write("/root/pod/pod.yaml", pod).unwrap();
    host.shell("mkdir -p /root/control").success().unwrap();
    let container = format!(
        "metadata: {{name: main}}\nimage: {{image: 'crilet.test/busybox:1'}}\nlog_path: main.log\n\
         command: [sh, -c, '{script}']\n\
         mounts: [{{host_path: /root/control, container_path: /control}}]\n"
    );
    host.write("/root/pod/main.yaml", container).unwrap();
    crilet_ends_with(0, host, &["run", "/root/pod"]);
}

/// Has a writer stop, and lets it go once all that it wrote is in its log.
///
/// containerd's shim waits two seconds for what a process has written and then drops the rest
/// (`pkg/process/init.go`, `delete`), which on a busy machine is not enough for what pipes hold.
pub(crate) fn finish(host: &Host) {
    host.write("/root/control/stop", "").unwrap();
    let last = |stream: &str| {
        let arguments = ["logs", "-o", "raw", "--tail", "1", "--stream", stream, "one"];
        crilet_ends_with(0, host, &arguments).stdout
    };
    let number = |line: &str, kind: &str| line.trim_end().strip_prefix(kind)?.parse::<u64>().ok();
    wait_until("the last lines", BOUND, || {
        let (out, err) = (last("stdout"), last("stderr"));
        let count = number(&out, "end-");
        let is_whole = count.is_some() && count == number(&err, "err-").map(|number| number + 1);
        if is_whole { Ok(()) } else { Err(format!("{out}{err}")) }
    })
    .unwrap();
    host.write("/root/control/seen", "").unwrap();
}

pub(crate) fn spawn(host: &Host, arguments: &[&str]) -> Service {
    crilet(host, arguments).spawn().unwrap()
}

/// A command in the background whose output goes into a file; the file `NAME.done` says that it has
/// ended.
pub(crate) fn collect(host: &Host, name: &str, pipeline: &str) -> Service {
    let binary = env!("CARGO_BIN_EXE_crilet");
    let script = format!(
        "{{ {binary} logs --follow --output raw one; echo $? >/root/{name}.status; }} | {pipeline} \
         >/root/{name}; touch /root/{name}.done"
    );
    host.shell(&script).spawn().unwrap()
}

pub(crate) fn await_file(host: &Host, path: &str) {
    wait_until(path, BOUND, || {
        if host.path(path).exists() { Ok(()) } else { Err("not there".to_owned()) }
    })
    .unwrap();
}

/// Waits until a file that is being written has these words.
pub(crate) fn await_words(host: &Host, path: &str, words: &str) {
    wait_until(&format!("`{words}` in {path}"), BOUND, || {
        let text = host.read(path).map_err(|error| format!("{error:#}"))?;
        if text.contains(words) { Ok(()) } else { Err(text) }
    })
    .unwrap();
}

/// Every number of both streams once and in order, and the count at the end.
pub(crate) fn assert_complete(text: &str, what: &str) -> u64 {
    let (mut out, mut err, mut end) = (0_u64, 0_u64, None);
    for line in text.lines() {
        let (kind, number) = line.split_once('-').unwrap_or_else(|| panic!("{what}: `{line}`"));
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("{what}: `{line}`"));
        let next = match kind {
            "out" => &mut out,
            "err" => &mut err,
            "end" => {
                end = Some(number);
                continue;
            }
            _ => panic!("{what}: `{line}`"),
        };
        assert_eq!(number, *next, "{what}: `{line}` after {} of {kind}", *next);
        *next += 1;
    }
    assert_eq!(end, Some(out), "{what}: the count at the end");
    assert_eq!(out, err, "{what}: both streams");
    out
}

pub(crate) fn rotations(log: &str) -> usize {
    log.lines().filter(|line| line.contains(": rotated ")).count()
}

/// At least 200 rotations with two followers, one of them slow, and the rotator killed so often.
fn rotate_and_follow(kills: usize) {
    let (host, _containerd) = host_with_containerd();
    let annotations = "crilet.dev/log-max-size: 48Ki, crilet.dev/log-max-files.main: \"100000\"";
    run_pod(&host, WRITER, annotations);
    let mut quick = collect(&host, "quick", "cat");
    let slowly = "{ i=0; while [ $i -lt 40 ]; do dd bs=64k count=1 iflag=fullblock status=none; \
                  sleep 0.15; i=$((i+1)); done; cat; }";
    let mut slow = collect(&host, "slow", slowly);
    let mut seen = String::new();
    for _ in 0..=kills {
        let mut rotator = spawn(&host, &["log", "rotate"]);
        let wanted = 200 * (1 + rotations(&seen) / 200).min(1);
        let share = wanted / (kills + 1) + 1;
        wait_until("rotations", BOUND, || {
            rotator.expect_running().map_err(|error| format!("{error:#}"))?;
            let count = rotations(&rotator.log());
            if count >= share { Ok(()) } else { Err(format!("{count}: {}", rotator.log())) }
        })
        .unwrap();
        rotator.kill().unwrap();
        seen.push_str(&rotator.log());
    }
    assert!(rotations(&seen) >= 200, "{} rotations", rotations(&seen));
    finish(&host);
    for (name, follower) in [("quick", &mut quick), ("slow", &mut slow)] {
        await_file(&host, &format!("/root/{name}.done"));
        assert_eq!(host.read(format!("/root/{name}.status")).unwrap(), "0\n", "{}", follower.log());
    }
    // What the last one left half done.
    let tidied = crilet_ends_with(0, &host, &["log", "rotate", "--once"]);
    host.shell(&format!("{} logs -o raw one >/root/afterwards", env!("CARGO_BIN_EXE_crilet")))
        .success()
        .unwrap();
    let lines = assert_complete(&host.read("/root/afterwards").unwrap(), "afterwards");
    for name in ["quick", "slow"] {
        assert_eq!(assert_complete(&host.read(format!("/root/{name}")).unwrap(), name), lines);
    }
    let left = host.shell(&format!("ls {LOGS}")).success().unwrap();
    assert!(!left.contains(".tmp"), "{left}\n{tidied}");
    crilet_ends_with(0, &host, &["rm", "one"]);
}

#[test]
fn two_hundred_rotations_lose_no_line() {
    rotate_and_follow(0);
}

#[test]
fn two_hundred_rotations_with_twenty_kills_lose_no_line() {
    rotate_and_follow(20);
}

/// The live file, and what all files together have on disk.
pub(crate) fn sizes(directory: &std::path::Path) -> (u64, u64) {
    let live = directory.join("main.log").metadata().map_or(0, |meta| meta.len());
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let sizes = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    (live, sizes.sum())
}

#[test]
fn a_full_disk_is_freed_and_the_container_goes_on() {
    let (host, _containerd) = host_with_containerd();
    host.shell(&format!("mkdir -p {LOGS} && mount -t tmpfs -o size=48m tmpfs {LOGS}"))
        .success()
        .unwrap();
    // The disk is full before anybody rotates.
    let line = "x".repeat(400);
    run_pod(
        &host,
        &format!(
            "while [ ! -e /control/stop ]; do yes {line} | head -n 20000; done; echo end; \
             until [ -e /control/seen ]; do sleep 0.1; done"
        ),
        "",
    );
    let directory: PathBuf = host.path(LOGS);
    wait_until("a full disk", BOUND, || {
        let (live, _) = sizes(&directory);
        if live > 47 << 20 { Ok(()) } else { Err(format!("{live} bytes")) }
    })
    .unwrap();
    let mut rotator = spawn(&host, &["log", "rotate"]);
    wait_until("rotations on a full disk", BOUND, || {
        rotator.expect_running().map_err(|error| format!("{error:#}"))?;
        let count = rotations(&rotator.log());
        if count >= 12 { Ok(()) } else { Err(format!("{count} rotations: {}", rotator.log())) }
    })
    .unwrap();
    let words = rotator.log();
    assert_contains(&words, ": removed ");
    let state = crilet_ends_with(0, &host, &["ps", "-o", "json"]).stdout;
    assert_contains(&state, "\"state\": \"running\"");
    host.write("/root/control/stop", "").unwrap();
    wait_until("the last line", BOUND, || {
        let last = crilet_ends_with(0, &host, &["logs", "--tail", "1", "one"]).stdout;
        if last == "end\n" { Ok(()) } else { Err(last) }
    })
    .unwrap();
    host.write("/root/control/seen", "").unwrap();
    rotator.kill().unwrap();
    crilet_ends_with(0, &host, &["log", "rotate", "--once"]);
    let left = host.shell(&format!("ls -l {LOGS}; df -k {LOGS}")).success().unwrap();
    assert!(!left.contains(".tmp"), "{left}");
    let (_, total) = sizes(&directory);
    assert!(total < 48 << 20, "{left}");
    crilet_ends_with(0, &host, &["rm", "one"]);
}

#[test]
fn a_fast_writer_stays_within_its_limit() {
    let (host, _containerd) = host_with_containerd();
    let line = "y".repeat(900);
    let script = format!("while [ ! -e /control/stop ]; do yes {line} | head -n 50000; done");
    run_pod(&host, &script, "");
    let rotator = spawn(&host, &["log", "rotate", "--budget", "64Mi"]);
    let directory = host.path(LOGS);
    let started = SystemTime::now();
    let (mut peak, mut total) = (0, 0);
    while rotations(&rotator.log()) < 20 {
        let seen = sizes(&directory);
        (peak, total) = (peak.max(seen.0), total.max(seen.1));
        assert!(started.elapsed().unwrap() < BOUND, "{}", rotator.log());
        std::thread::park_timeout(Duration::from_millis(2));
    }
    host.write("/root/control/stop", "").unwrap();
    // A machine with other things to do may be late: the limit itself is measured by scripts/bench.
    assert!(peak < 4 * (10 << 20), "the live file had {peak} bytes: {}", rotator.log());
    assert!(total < 2 * (64 << 20), "all files had {total} bytes: {}", rotator.log());
    crilet_ends_with(0, &host, &["rm", "one"]);
}
