//! Logs of real containers against what goes wrong around them: rotators killed anywhere, runtimes that
//! restart, directories that are replaced, file systems without room, followers that lag.

use std::time::Duration;

use crilet_testkit::{Host, Service, wait_until};

use crate::{
    logs::{
        BOUND, LOGS, WRITER, assert_complete, await_file, await_words, collect, finish, rotations,
        run_pod, sizes, spawn,
    },
    support::{assert_contains, crilet_ends_with, host_with_containerd},
};

const MANY_FILES: &str = "crilet.dev/log-max-size: 48Ki, crilet.dev/log-max-files.main: \"100000\"";

/// Waits until a rotator has done so many rotations.
fn await_rotations(rotator: &mut Service, wanted: usize) {
    wait_until("rotations", BOUND, || {
        rotator.expect_running().map_err(|error| format!("{error:#}"))?;
        let count = rotations(&rotator.log());
        if count >= wanted { Ok(()) } else { Err(format!("{count}: {}", rotator.log())) }
    })
    .unwrap();
}

/// Ends the writer, waits for followers, and compares them with what is read afterwards, which must have
/// every line once and in order.
fn assert_nothing_lost(host: &Host, followers: &[&str]) {
    finish(host);
    for name in followers {
        await_file(host, &format!("/root/{name}.done"));
        assert_eq!(host.read(format!("/root/{name}.status")).unwrap(), "0\n", "{name}");
    }
    crilet_ends_with(0, host, &["log", "rotate", "--once"]);
    let script = format!("{} logs -o raw one >/root/afterwards", env!("CARGO_BIN_EXE_crilet"));
    host.shell(&script).success().unwrap();
    let lines = assert_complete(&host.read("/root/afterwards").unwrap(), "afterwards");
    for name in followers {
        let followed = host.read(format!("/root/{name}")).unwrap();
        assert_eq!(assert_complete(&followed, name), lines, "{name}");
    }
    let left = host.shell(&format!("ls {LOGS}")).success().unwrap();
    assert!(!left.contains(".tmp") && left.contains("main.log\n"), "{left}");
}

/// A follower in a user namespace with this limit of inotify's at zero.
fn collect_without(host: &Host, name: &str, limit: &str) -> Service {
    let binary = env!("CARGO_BIN_EXE_crilet");
    let script = format!(
        "unshare --user --map-root-user sh -euc 'echo 0 >/proc/sys/user/{limit}; \
         exec {binary} logs -f -o raw one' >/root/{name} && echo 0 >/root/{name}.status; \
         touch /root/{name}.done"
    );
    host.shell(&script).spawn().unwrap()
}

/// Rotated files of the one log.
fn rotated(host: &Host) -> usize {
    let names = std::fs::read_dir(host.path(LOGS)).unwrap().flatten();
    names.filter(|name| name.file_name().to_string_lossy().starts_with("main.log.2")).count()
}

#[test]
fn two_hundred_rotations_by_a_daemon_that_is_killed_lose_no_line() {
    let (host, containerd) = host_with_containerd();
    run_pod(&host, WRITER, MANY_FILES);
    let _quick = collect(&host, "quick", "cat");
    let _poor = collect_without(&host, "poor", "max_inotify_instances");
    let _unwatched = collect_without(&host, "unwatched", "max_inotify_watches");
    let endpoint = format!("unix://{}", crilet_testkit::SystemContainerd::SOCKET);
    host.write("/root/config.yaml", "{}\n").unwrap();
    let arguments =
        ["-r", &endpoint, "serve", "--config", "/root/config.yaml", "--pods-dir", "/root/none"];
    for kill in 1..=20 {
        let mut daemon = spawn(&host, &arguments);
        wait_until("rotated files", BOUND, || {
            daemon.expect_running().map_err(|error| format!("{error:#}"))?;
            let count = rotated(&host);
            if count >= 10 * kill { Ok(()) } else { Err(format!("{count}: {}", daemon.log())) }
        })
        .unwrap();
        daemon.kill().unwrap();
    }
    assert!(rotated(&host) >= 200, "{}", rotated(&host));
    finish(&host);
    await_file(&host, "/root/quick.done");
    let daemon = spawn(&host, &arguments);
    assert_nothing_lost(&host, &["quick", "poor", "unwatched"]);
    drop((daemon, containerd));
}

/// Each container ends once the next one runs, fifty times.
#[test]
fn fifty_restarts_are_followed() {
    let (host, _containerd) = host_with_containerd();
    host.shell("mkdir -p /root/control").success().unwrap();
    let pod = r#"{"metadata": {"name": "one", "namespace": "default", "uid": "u"}, "log_directory": "/root/pod/log"}"#;
    host.write("/root/pod.json", pod).unwrap();
    let container = r#"{"metadata": {"name": "app", "attempt": N}, "image": {"image": "crilet.test/busybox:1"},
        "log_path": "app/N.log", "mounts": [{"host_path": "/root/control", "container_path": "/control"}],
        "command": ["sh", "-c", "echo life N; while [ ! -e /control/N ]; do sleep 0.05; done; echo end N; while [ ! -e /control/seen-N ]; do sleep 0.05; done"]}"#;
    host.write("/root/container.json", container).unwrap();
    let binary = env!("CARGO_BIN_EXE_crilet");
    let start = format!(
        "start() {{ sed s/N/$1/g /root/container.json >/root/$1.json; \
         id=$({binary} crictl create $pod /root/$1.json /root/pod.json); \
         {binary} crictl start $id >/dev/null; }}\n"
    );
    let script = format!(
        "{start}pod=$({binary} crictl runp /root/pod.json); echo $pod >/root/sandbox; start 0"
    );
    host.shell(&script).success().unwrap();
    // A follower begins with the newest container: the second one must not be there before it has begun.
    let follower = collect(&host, "follower", "cat");
    await_words(&host, "/root/follower", "life 0\n");
    // None is let go before its last words are in its log, as `finish` tells.
    let end = "end() { touch /root/control/$1; \
               until grep -qs \"end $1$\" /root/pod/log/app/$1.log; do sleep 0.05; done; \
               touch /root/control/seen-$1; }\n";
    let script = format!(
        "{start}{end}pod=$(cat /root/sandbox); i=0; while [ $i -lt 50 ]; do start $((i+1)); end $i; \
         i=$((i+1)); done; end 50"
    );
    host.shell(&script).bound(5 * BOUND).success().unwrap();
    await_file(&host, "/root/follower.done");
    // One begins before the other ends, so their lines are merged by time.
    let followed = host.read("/root/follower").unwrap();
    let lines: Vec<_> = followed.lines().collect();
    let position = |line: &str| lines.iter().position(|other| *other == line);
    for life in 0..=50 {
        let (begin, end) = (position(&format!("life {life}")), position(&format!("end {life}")));
        assert!(begin.is_some() && begin < end, "life {life}: {followed}");
    }
    assert_eq!(lines.len(), 102, "{followed}");
    assert_eq!(follower.log().matches("was restarted").count(), 50, "{}", follower.log());
    crilet_ends_with(0, &host, &["rm", "one"]);
}

/// Not at the steps that were thought of, but at any instruction.
#[test]
fn a_rotator_killed_at_any_moment_loses_no_line() {
    let (host, _containerd) = host_with_containerd();
    run_pod(&host, WRITER, MANY_FILES);
    let _quick = collect(&host, "quick", "cat");
    let slowly = "{ i=0; while [ $i -lt 40 ]; do dd bs=64k count=1 iflag=fullblock status=none; \
                  sleep 0.15; i=$((i+1)); done; cat; }";
    let _slow = collect(&host, "slow", slowly);
    let mut seen = String::new();
    for kill in 0..40_u64 {
        let mut rotator = spawn(&host, &["log", "rotate"]);
        await_rotations(&mut rotator, 1);
        // Rotations come every few milliseconds, and each kill a little later after the first of them.
        std::thread::park_timeout(Duration::from_micros(700 * kill));
        rotator.kill().unwrap();
        seen.push_str(&rotator.log());
    }
    assert!(rotations(&seen) >= 40, "{} rotations: {seen}", rotations(&seen));
    assert_nothing_lost(&host, &["quick", "slow"]);
    crilet_ends_with(0, &host, &["rm", "one"]);
}

#[test]
fn a_runtime_that_restarts_is_waited_for_by_rotators_and_followers() {
    let (host, mut containerd) = host_with_containerd();
    let script = "i=0; while [ ! -e /control/stop ]; do echo out-$i; echo err-$i >&2; i=$((i+1)); \
                  [ $((i % 50)) != 0 ] || sleep 0.02; done; echo end-$i; \
                  until [ -e /control/seen ]; do sleep 0.1; done";
    run_pod(&host, script, "crilet.dev/log-max-size: 8Ki, crilet.dev/log-max-files: \"1000\"");
    let follower = collect(&host, "follower", "cat");
    let mut rotator = spawn(&host, &["log", "rotate"]);
    for restart in 1..=3 {
        await_rotations(&mut rotator, 8 * restart);
        containerd.kill().unwrap();
        drop(containerd);
        // It complains once in a minute, so only the first time is known to have come.
        wait_until("a rotator without a runtime", BOUND, || {
            let log = rotator.log();
            if log.contains("cannot ask the runtime") { Ok(()) } else { Err(log) }
        })
        .unwrap();
        std::thread::park_timeout(Duration::from_millis(700));
        containerd = host.system_containerd().unwrap();
    }
    await_rotations(&mut rotator, 32);
    finish(&host);
    await_file(&host, "/root/follower.done");
    assert_eq!(host.read("/root/follower.status").unwrap(), "0\n", "{}", follower.log());
    rotator.kill().unwrap();
    crilet_ends_with(0, &host, &["log", "rotate", "--once"]);
    // What containerd itself had read and not written is lost with it: no more than that, and the same
    // for who was there and who comes later.
    let afterwards = crilet_ends_with(0, &host, &["logs", "-o", "raw", "one"]).stdout;
    assert_eq!(host.read("/root/follower").unwrap(), afterwards);
    for kind in ["out-", "err-"] {
        let numbers = afterwards.lines().filter_map(|line| line.strip_prefix(kind)?.parse().ok());
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{afterwards}");
    }
    crilet_ends_with(0, &host, &["rm", "one"]);
}

/// Somebody moves the log directory away. The runtime makes a new one at the next reopening, and whoever
/// had the old one open goes there.
#[test]
fn a_directory_that_is_replaced_is_left_for_the_new_one() {
    let (host, _containerd) = host_with_containerd();
    run_pod(&host, WRITER, MANY_FILES);
    let _follower = collect(&host, "follower", "cat");
    let mut rotator = spawn(&host, &["log", "rotate"]);
    await_rotations(&mut rotator, 5);
    host.shell(&format!("mv {LOGS} {LOGS}.old")).success().unwrap();
    let before = rotations(&rotator.log());
    // What is there twice is being compressed.
    let count =
        format!("ls {LOGS} | sed -n 's/^\\(main.log\\.2[-0-9_]*\\).*/\\1/p' | sort -u | wc -l");
    wait_until("rotations in the new directory", BOUND, || {
        let counted = host.shell(&count).output().map_err(|error| format!("{error:#}"))?.stdout;
        let count: usize = counted.trim().parse().unwrap_or_default();
        if count >= 5 { Ok(()) } else { Err(format!("{count}: {}", rotator.log())) }
    })
    .unwrap();
    // Of the last one it may still be about to tell.
    await_rotations(&mut rotator, before + 4);
    finish(&host);
    await_file(&host, "/root/follower.done");
    assert_eq!(host.read("/root/follower.status").unwrap(), "0\n");
    assert_complete(&host.read("/root/follower").unwrap(), "the follower");
    rotator.kill().unwrap();
    crilet_ends_with(0, &host, &["rm", "one"]);
}

/// A follower whose output nobody takes holds more files than a process may have open unless it asks.
#[test]
fn a_follower_that_lags_holds_more_files_than_the_usual_limit() {
    let (host, _containerd) = host_with_containerd();
    // Files enough for one who is held up by a busy machine, and not by its output, to open them all.
    run_pod(&host, WRITER, "crilet.dev/log-max-size: 48Ki, crilet.dev/log-max-files: \"120\"");
    let binary = env!("CARGO_BIN_EXE_crilet");
    let script = format!(
        "mkfifo /root/taken; ulimit -Sn 64; {{ {binary} logs -f -o raw one 2>/root/words; \
         echo $? >/root/lagging.status; }} | {{ head -c 1000; touch /root/attached; cat /root/taken; cat; }} \
         >/root/lagging; touch /root/lagging.done"
    );
    let _follower = host.shell(&script).spawn().unwrap();
    await_file(&host, "/root/attached");
    let mut rotator = spawn(&host, &["log", "rotate"]);
    await_rotations(&mut rotator, 250);
    finish(&host);
    host.shell("echo -n >/root/taken").success().unwrap();
    await_file(&host, "/root/lagging.done");
    let words = host.read("/root/words").unwrap();
    assert_eq!(host.read("/root/lagging.status").unwrap(), "0\n", "{words}");
    assert_eq!(words, "", "nothing was missed");
    assert_complete(&host.read("/root/lagging").unwrap(), "lagging");
    rotator.kill().unwrap();
    crilet_ends_with(0, &host, &["rm", "one"]);
}

/// A file system that somebody else has filled costs the logs of another one nothing.
#[test]
fn only_logs_that_take_the_missing_room_are_rotated_for_it() {
    let (host, _containerd) = host_with_containerd();
    let mounts = format!(
        "mkdir -p {LOGS} /root/small && mount -t tmpfs -o size=400m tmpfs {LOGS} && \
         mount -t tmpfs -o size=48m tmpfs /root/small && head -c 30M /dev/zero >/root/small/others"
    );
    host.shell(&mounts).success().unwrap();
    let line = "z".repeat(900);
    run_pod(&host, &format!("yes {line} | head -n 4000; touch /control/written; sleep 1000"), "");
    await_file(&host, "/root/control/written");
    host.write(
        "/root/two/pod.yaml",
        "metadata: {name: two, namespace: default, uid: two-uid}\nlog_directory: /root/small\n",
    )
    .unwrap();
    let container = "metadata: {name: main}\nimage: {image: 'crilet.test/busybox:1'}\n\
                     log_path: main.log\ncommand: [sh, -c, 'echo small; sleep 1000']\n";
    host.write("/root/two/main.yaml", container).unwrap();
    crilet_ends_with(0, &host, &["run", "/root/two"]);
    // 18 MiB are free on the one, 400 on the other.
    let outcome = crilet_ends_with(1, &host, &["log", "rotate", "--once", "--min-free", "40Mi"]);
    assert_contains(&outcome.stderr, "nothing left to remove");
    assert_eq!(rotations(&outcome.stdout), 0, "{outcome}");
    let (live, _) = sizes(&host.path(LOGS));
    assert!(live > 3 << 20, "{live}");
    // Where its own is short, it is rotated.
    let own = crilet_ends_with(1, &host, &["log", "rotate", "--once", "--min-free", "399Mi"]);
    assert_eq!(rotations(&own.stdout), 1, "{own}");
    crilet_ends_with(0, &host, &["rm", "one", "two"]);
}

/// A file system may have room and no more files: nothing can be rotated there before one is removed.
#[test]
fn where_no_file_can_be_made_the_oldest_goes() {
    let (host, _containerd) = host_with_containerd();
    // The root, the live file and three more.
    host.shell(&format!("mkdir -p {LOGS} && mount -t tmpfs -o size=64m,nr_inodes=5 tmpfs {LOGS}"))
        .success()
        .unwrap();
    let line = "w".repeat(400);
    run_pod(
        &host,
        &format!("while [ ! -e /control/stop ]; do yes {line} | head -n 1000; done"),
        "crilet.dev/log-max-size: 256Ki, crilet.dev/log-max-files: \"50\", crilet.dev/log-compression: none",
    );
    let mut rotator = spawn(&host, &["log", "rotate"]);
    await_rotations(&mut rotator, 12);
    assert_contains(&rotator.log(), ": too little space is free");
    wait_until("room", BOUND, || match sizes(&host.path(LOGS)).1 {
        total if total < 48 << 20 => Ok(()),
        total => Err(format!("{total} bytes: {}", rotator.log())),
    })
    .unwrap();
    host.write("/root/control/stop", "").unwrap();
    rotator.kill().unwrap();
    crilet_ends_with(0, &host, &["rm", "one"]);
}
