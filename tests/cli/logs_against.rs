//! `crilet logs` and `crilet log` against who plants, kills and changes things beside them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

use crilet_cri::{Client, v1};
use nix::sys::{signal::Signal, stat::Mode};

use crate::{
    bed::{Bed, Crilet},
    logs::{bed, pod},
};

fn rotate(bed: &Bed, arguments: &str) -> Crilet {
    let state = bed.path("state");
    bed.crilet(&format!("log rotate --once {arguments}")).env("CRILET_STATE", state)
}

#[test]
fn an_annotation_that_cannot_be_used_is_told_with_its_pod_and_others_go_on() {
    let bed = bed();
    let annotations =
        "annotations: {crilet.dev/log-max-files: many, crilet.dev/log-max-size.app: 9}\n";
    pod(&bed, "set", annotations, &["app"]);
    bed.write("set-log/app.log", "2026-01-01T00:00:07Z stdout F x\n");
    let told = rotate(&bed, "").run();
    let words = "annotation `crilet.dev/log-max-files: many`: expected a number of at least 2, of \
                 `default/set/app`";
    assert!(told.stderr.contains(words), "{told}");
    assert_eq!(told.code(), Some(1), "{told}");
    assert_eq!(bed.count("ReopenContainerLog"), 1, "the other annotation counts: {told}");
}

/// Somebody at a shell must not remove what the daemon was told to keep, nor be shown other limits.
#[test]
fn the_daemons_configuration_counts_where_no_option_does() {
    let bed = bed();
    bed.write("config.yaml", "logs: {maxSize: 2Mi, maxFiles: 9}\n");
    let config = bed.path("config.yaml");
    for second in 2..8 {
        let name = format!("web-log/app.log.20260101-00000{second}");
        bed.write(&name, "2026-01-01T00:00:04Z stdout F x\n");
    }
    let listed = bed.crilet("log ls web").env("CRILET_CONFIG", &config).run();
    assert!(listed.stdout.contains("9 x 2Mi"), "{listed}");
    let kept = rotate(&bed, "--compression none").env("CRILET_CONFIG", &config).run();
    assert_eq!((kept.code(), kept.stdout.as_str()), (Some(0), ""), "{kept}");
    let removed = rotate(&bed, "--max-files 7").env("CRILET_CONFIG", &config).run();
    assert_eq!(removed.stdout.matches(": removed ").count(), 1, "{removed}");
    bed.write("config.yaml", "logs: {maxSize: huge}\n");
    let wrong = rotate(&bed, "--config config.yaml").run();
    assert_eq!((wrong.code(), wrong.stdout.as_str()), (Some(2), ""), "{wrong}");
    assert!(wrong.stderr.contains("config.yaml:1:17"), "{wrong}");
    let absent = bed.crilet("log ls --config nosuch.yaml").run();
    assert!(absent.stderr.contains("failed to read `nosuch.yaml`"), "{absent}");
}

/// Whoever renamed the live file was killed before the runtime wrote a new one, and the container has
/// ended since: nobody ever will, and others read only what has the live file's name.
#[test]
fn the_log_of_an_ended_container_gets_its_name_back() {
    let bed = bed();
    assert!(bed.fake.exit_container("app", 0));
    let renamed = bed.path("web-log/app.log.20260101-000009");
    fs::rename(bed.path("web-log/app.log"), &renamed).unwrap();
    let undone = rotate(&bed, "").run();
    assert_eq!(undone.code(), Some(0), "{undone}");
    assert!(undone.stdout.contains("cleaned up 20260101-000009"), "{undone}");
    assert!(bed.path("web-log/app.log").exists() && !renamed.exists(), "{undone}");
    assert_eq!(bed.crilet("logs web/app").run().stdout, "one\nthree\nfive\nseven\n");
    // And once only: what was rotated for good stays so.
    let nothing = rotate(&bed, "").run();
    assert_eq!(nothing.stdout, "", "{nothing}");
}

#[test]
fn what_is_planted_neither_goes_nor_holds_up_what_is_beside_it() {
    let bed = bed();
    let log = |name: &str| bed.path(&format!("web-log/{name}"));
    bed.write("secret", "the secret\n");
    for second in 2..5 {
        bed.write(
            &format!("web-log/app.log.20260101-00000{second}"),
            "2026-01-01T00:00:04Z stdout F x\n",
        );
    }
    fs::create_dir(log("app.log.20260101-000001.gz")).unwrap();
    symlink(bed.path("secret"), log("app.log.20260101-000002.zst")).unwrap();
    symlink(bed.path("secret"), log("app.log.20260101-000003.tmp")).unwrap();
    nix::unistd::mkfifo(&log("app.log.20260101-000004.gz"), Mode::S_IRWXU).unwrap();
    let outcome = rotate(&bed, "web --max-files 3").run();
    // The oldest are removed, and what stands beside them is not.
    assert!(!log("app.log.20260101-000001").exists(), "{outcome}");
    assert!(log("app.log.20260101-000001.gz").is_dir(), "{outcome}");
    assert!(!log("app.log.20260101-000002").exists(), "{outcome}");
    assert!(log("app.log.20260101-000002.zst").is_symlink(), "{outcome}");
    // What has an archive's name in use is left uncompressed, every time and without a word.
    assert!(log("app.log.20260101-000003").exists(), "{outcome}");
    assert!(log("app.log.20260101-000003.tmp").is_symlink(), "{outcome}");
    assert!(!outcome.stderr.contains("not compressed"), "{outcome}");
    assert_eq!(outcome.stderr.matches("it is left alone").count(), 4, "{outcome}");
    assert_eq!(fs::read_to_string(bed.path("secret")).unwrap(), "the secret\n");
    let read = bed.crilet("logs web/app").run();
    assert_eq!(read.stdout, "x\nx\nve\nseven\n", "{read}");
}

/// Whoever owns one pod's directory must not be able to hide the logs of the others.
#[test]
fn a_log_that_cannot_be_opened_is_told_beside_the_others() {
    let bed = bed();
    pod(&bed, "bad", "", &["app"]);
    bed.write("secret", "the secret\n");
    fs::create_dir_all(bed.path("bad-log")).unwrap();
    symlink(bed.path("secret"), bed.path("bad-log/app.log")).unwrap();
    for (arguments, read) in [("logs bad web/side", "two\nno record\n"), ("logs", "one\n")] {
        let outcome = bed.crilet(&format!("{arguments} --output raw")).run();
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        assert!(outcome.stdout.contains(read) && !outcome.stdout.contains("secret"), "{outcome}");
        assert!(outcome.stderr.contains("left out: cannot read `"), "{outcome}");
        assert!(outcome.stderr.contains("bad-log/app.log`"), "{outcome}");
    }
    let alone = bed.crilet("logs bad").run();
    assert!(alone.stdout.is_empty() && alone.stderr.starts_with("error: "), "{alone}");
    for name in ["app", "side"] {
        bed.fake.exit_container(name, 0);
    }
    let followed = bed.crilet("logs -f bad web/side -o raw").run();
    assert_eq!(followed.stdout, "two\nno record\n", "{followed}");
    assert_eq!(followed.code(), Some(1), "{followed}");
}

#[test]
fn following_until_a_time_ends_at_that_time() {
    let bed = bed();
    let outcome = bed.crilet("logs -f web -o raw --until 2026-01-01T00:00:06Z").run();
    assert_eq!(outcome.stdout, "one\ntwo\nno record\nthree\nfive\n", "{outcome}");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    // A time that is still to come is waited for, though nobody writes.
    let soon = bed.crilet("logs -f web/app -n 1 --until 0s").run();
    assert_eq!((soon.code(), soon.stdout.as_str()), (Some(0), "seven\n"), "{soon}");
}

#[test]
fn following_from_the_end_begins_with_a_whole_line() {
    let bed = bed();
    bed.write(
        "web-log/app.log",
        "2026-01-01T00:00:06Z stdout F ve\n2026-01-01T00:00:07Z stdout P be",
    );
    let running = bed.crilet("logs -f web/app --tail 0 -t").start();
    let live = bed.path("web-log/app.log");
    // inotify tells it of this file once it knows where to begin, and waits for more.
    let watched = format!(" ino:{:x} ", fs::metadata(&live).unwrap().ino());
    bed.until(|| {
        let entries = fs::read_dir(format!("/proc/{}/fdinfo", running.id())).unwrap().flatten();
        let infos = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        infos.into_iter().any(|info| info.contains(&watched))
    });
    let mut live = fs::OpenOptions::new().append(true).open(&live).unwrap();
    live.write_all(b"gun, \n2026-01-01T00:00:08Z stdout F ended\n").unwrap();
    drop(live);
    assert!(bed.fake.exit_container("app", 0));
    let outcome = running.wait();
    assert_eq!(outcome.stdout, "2026-01-01T00:00:07Z begun, ended\n", "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
}

#[test]
fn files_that_are_no_logs_are_not_followed() {
    let bed = bed();
    nix::unistd::mkfifo(&bed.path("pipe"), Mode::S_IRWXU).unwrap();
    let pipe = bed.crilet("logs --file pipe").run();
    assert!(pipe.stderr.contains("cannot read `pipe`: is no regular file"), "{pipe}");
    let text = b"2026-01-01T00:00:07Z stdout F packed\n";
    let mut archive = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    archive.write_all(text).unwrap();
    fs::write(bed.path("app.log.20260101-000001.gz"), archive.finish().unwrap()).unwrap();
    let read = bed.crilet("logs -f --file app.log.20260101-000001.gz").run();
    assert_eq!((read.code(), read.stdout.as_str()), (Some(0), "packed\n"), "{read}");
}

/// A container of pod `k` with its own log, started by somebody else than crilet.
async fn start_attempt(client: &Client, sandbox: &str, log: &Path, attempt: u32) -> String {
    let metadata = v1::PodSandboxMetadata { name: "k".to_owned(), ..Default::default() };
    let pod = v1::PodSandboxConfig {
        metadata: Some(metadata),
        log_directory: log.display().to_string(),
        ..Default::default()
    };
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".to_owned(), attempt }),
        image: Some(v1::ImageSpec { image: "app:1".to_owned(), ..Default::default() }),
        log_path: format!("app/{attempt}.log"),
        ..Default::default()
    };
    let id = client.create_container(sandbox, container, pod).await.unwrap();
    client.start_container(&id).await.unwrap();
    let path: PathBuf = log.join(format!("app/{attempt}.log"));
    fs::write(path, format!("2026-01-01T00:00:0{attempt}Z stdout F life {attempt}\n")).unwrap();
    id
}

/// Containers that crash at once come and go between two questions to the runtime, and some are removed
/// before the next one.
#[test]
fn every_restart_is_followed_however_fast_they_come() {
    let bed = Bed::with_app();
    let log = bed.path("k-log");
    bed.pod_in("default", "k", &format!("log_directory: {}\n", log.display()));
    let text = "metadata: {name: app}\nimage: {image: \"app:1\"}\nlog_path: app/0.log\n";
    bed.write("k/app.yaml", text);
    bed.prepare("run k");
    bed.write("k-log/app/0.log", "2026-01-01T00:00:00Z stdout F life 0\n");
    let sandbox = bed.id("k");
    let mut running = bed.crilet("logs -f k").start();
    running.read_stdout_until("life 0\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(bed.fake.endpoint()).await.unwrap();
        let mut ids = Vec::new();
        for attempt in 1..8 {
            ids.push(start_attempt(&client, &sandbox, &log, attempt).await);
        }
        while bed.fake.exit_container("app", 1) {}
        for id in &ids[3..5] {
            client.remove_container(id).await.unwrap();
        }
    });
    let outcome = running.wait();
    let lives: String = (1..8).map(|life| format!("life {life}\n")).collect();
    assert_eq!(outcome.stdout, lives, "{outcome}");
    assert!(
        outcome.stderr.contains("k/app was restarted after exit code 1 (attempt 3)"),
        "{outcome}"
    );
}

/// More rotations than files are kept, while a follower cannot look: what it has not seen is told.
#[test]
fn files_that_a_stopped_follower_has_missed_are_told() {
    let bed = bed();
    let mut running = bed.crilet("logs -f web/app").start();
    running.read_stdout_until("seven\n");
    running.stop();
    let log = |name: &str| bed.path(&format!("web-log/{name}"));
    for second in 1..=4 {
        fs::rename(log("app.log"), log(&format!("app.log.20260102-00000{second}"))).unwrap();
        bed.write("web-log/app.log", &format!("2026-01-01T00:01:0{second}Z stdout F {second}\n"));
        if second > 1 {
            fs::remove_file(log(&format!("app.log.20260102-00000{}", second - 1))).unwrap();
        }
    }
    // Undone, and done again under another name.
    fs::rename(log("app.log"), log("app.log.20260102-000005")).unwrap();
    fs::rename(log("app.log.20260102-000005"), log("app.log")).unwrap();
    running.signal(Signal::SIGCONT);
    running.read_stdout_until("4\n");
    assert!(bed.fake.exit_container("app", 0));
    let outcome = running.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(outcome.stderr, "2 files were removed before they could be read\n", "{outcome}");
}

#[test]
fn an_interrupted_follower_has_written_what_was_there() {
    let bed = bed();
    let mut running = bed.crilet("logs -f web/app").start();
    running.read_stdout_until("seven\n");
    running.signal(Signal::SIGINT);
    let outcome = running.wait();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{outcome}");
    assert_eq!(outcome.code(), None, "it was ended by the signal: {outcome}");
}

/// A file of nothing but NULs, an archive of one line, thousands of files: none is held in memory.
#[test]
fn memory_is_bounded_whatever_is_read() {
    let bed = bed();
    let nothing = fs::File::create(bed.path("nul.log")).unwrap();
    nothing.set_len(128 << 20).unwrap();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(b"2026-01-01T00:00:07Z stdout F ").unwrap();
    for _ in 0..64 {
        bomb.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    bed.write("bomb/a.log", "2026-01-01T00:00:08Z stdout F live\n");
    fs::write(bed.path("bomb/a.log.20260101-000000.gz"), bomb.finish().unwrap()).unwrap();
    bed.write("many/a.log", "2026-01-01T00:00:08Z stdout F live\n");
    for number in 0..3000 {
        let name = format!("many/a.log.20260101-00{:02}{:02}", number / 60, number % 60);
        bed.write(&name, "2026-01-01T00:00:07Z stdout F rotated\n");
    }
    for file in ["nul.log", "bomb/a.log", "many/a.log"] {
        for more in ["", "--tail 2", "--grep live", "-o json --limit-bytes 1Mi"] {
            let out = fs::File::create("/dev/null").unwrap();
            let read = bed.crilet(&format!("logs --file {file} {more}")).run_into(out);
            assert_eq!(read.code(), Some(0), "{read}");
        }
    }
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN);
    let peak = usage.unwrap().max_rss();
    assert!(peak < 64 << 10, "{peak} KiB");
}
