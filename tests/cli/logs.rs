//! `crilet logs` and `crilet log` with files that nobody writes.

use std::{fs, io::Write, os::unix::fs::symlink};

use crilet_cri::{Client, Code, fake::Fault, v1};

use crate::bed::{Bed, closed_pipe};

/// A pod `web` with containers `app` and `side` that have run, and whose logs are there.
pub(crate) fn bed() -> Bed {
    let bed = Bed::with_app();
    let directory = bed.path("web-log");
    pod(&bed, "web", "", &["app", "side"]);
    bed.write(
        "web-log/app.log.20260101-000001",
        "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:03Z stderr F three\n\
         2026-01-01T00:00:05Z stdout P fi\n",
    );
    bed.write(
        "web-log/app.log",
        "2026-01-01T00:00:06Z stdout F ve\n2026-01-01T00:00:07Z stdout F seven\n",
    );
    bed.write("web-log/side.log", "2026-01-01T00:00:02Z stdout F two\nno record\n");
    assert!(directory.is_dir());
    bed
}

pub(crate) fn pod(bed: &Bed, name: &str, more: &str, containers: &[&str]) {
    let log = bed.path(&format!("{name}-log"));
    bed.pod_in("default", name, &format!("log_directory: {}\n{more}", log.display()));
    for container in containers {
        let text = format!(
            "metadata: {{name: {container}}}\nimage: {{image: \"app:1\"}}\nlog_path: {container}.log\n"
        );
        bed.write(&format!("{name}/{container}.yaml"), &text);
    }
    bed.prepare(&format!("run {name}"));
}

#[test]
fn logs_are_read_with_all_their_files() {
    let bed = bed();
    insta::assert_snapshot!("one", bed.crilet("logs web/app").run());
    insta::assert_snapshot!("both", bed.crilet("logs web").run());
    insta::assert_snapshot!("colored", bed.crilet("logs web --color always --tail 1 -t").run());
    insta::assert_snapshot!("json", bed.crilet("logs default/web/app -o json --grep five").run());
    insta::assert_snapshot!("cri", bed.crilet("logs web/app -o cri --stream stderr").run());
    let since = bed
        .crilet("logs web --since 2026-01-01T00:00:03Z --until 2026-01-01T00:00:06Z -o raw")
        .run();
    assert_eq!(since.stdout, "three\nfive\n", "{since}");
    let bytes = bed.crilet("logs web/app --limit-bytes 6").run();
    assert_eq!(bytes.stdout, "one\nth", "{bytes}");
}

#[test]
fn a_file_is_read_without_a_runtime() {
    let bed = bed();
    let path = bed.path("web-log/app.log").display().to_string();
    let all = bed.crilet(&format!("-r /nonexistent.sock logs --file {path}")).run();
    assert_eq!((all.code(), all.stdout.as_str()), (Some(0), "one\nthree\nfive\nseven\n"), "{all}");
    let part = bed.crilet(&format!("logs --file {path}.20260101-000001 --tail 2")).run();
    assert_eq!(part.stdout, "three\nfi\n", "{part}");
    insta::assert_snapshot!("file_missing", bed.crilet("logs --file nosuch.log").run());
    insta::assert_snapshot!("file_directory", bed.crilet("logs --file web-log").run());
}

#[test]
fn pods_are_merged_by_time_with_names_in_colours() {
    let bed = bed();
    pod(&bed, "db", "", &["app"]);
    bed.write("db-log/app.log", "2026-01-01T00:00:04Z stderr F four\n");
    insta::assert_snapshot!("pods", bed.crilet("logs web db/app --color always").run());
    insta::assert_snapshot!(
        "all_pods_json",
        bed.crilet("logs -o json --since 2026-01-01T00:00:04Z").run()
    );
    let plain = bed.crilet("logs web db --color always").env("NO_COLOR", "1").run();
    assert!(plain.stdout.contains('\x1b'), "the flag counts: {plain}");
    let plain = bed.crilet("logs web db").run();
    assert!(!plain.stdout.contains('\x1b'), "no terminal, no colours: {plain}");
}

/// A log with every kind of damage: nothing is fatal, nothing is held back, all is counted.
#[test]
fn damaged_logs_are_read_as_far_as_they_go() {
    let bed = bed();
    let mut archive = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for number in 0..5000_u64 {
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(archive, "2026-01-01T00:00:00Z stdout F {number} {noise:x}").unwrap();
    }
    let archive = archive.finish().unwrap();
    fs::create_dir_all(bed.path("torn")).unwrap();
    let torn = bed.path("torn/app.log.20260101-000000.gz");
    fs::write(torn, &archive[..archive.len() / 2]).unwrap();
    let mut live = b"2026-01-01T00:00:01Z stdout F nul \0 in it\n\xff\xfe binary\n".to_vec();
    live.extend(b"2026-01-01T00:00:02Z stdout F ");
    live.extend(vec![b'x'; 10_000_000]);
    fs::write(bed.path("torn/app.log"), live).unwrap();
    let out = fs::File::create(bed.path("out")).unwrap();
    let outcome = bed.crilet("logs --file torn/app.log --output raw").run_into(out);
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    insta::assert_snapshot!("damaged", outcome);
    let read = fs::read(bed.path("out")).unwrap();
    assert!(read.starts_with(b"0 0\n1 9e37"), "what can be read of the archive");
    let middle = b"\nnul \0 in it\n\xff\xfe binary\nxxxx";
    assert!(read.windows(middle.len()).any(|window| window == middle));
    assert!(read.ends_with(b"xxxx\n") && read.len() > 10_000_000);
}

#[test]
fn what_is_not_there_is_told() {
    let bed = bed();
    pod(&bed, "mute", "", &["app"]);
    insta::assert_snapshot!("no_pod", bed.crilet("logs wbe").run());
    insta::assert_snapshot!("no_container", bed.crilet("logs web/ap").run());
    insta::assert_snapshot!("no_log", bed.crilet("logs mute").run());
    insta::assert_snapshot!("no_previous", bed.crilet("logs web --previous").run());
    insta::assert_snapshot!("wrong_pattern", bed.crilet("logs web --grep a(b").run());
    insta::assert_snapshot!("wrong_time", bed.crilet("logs web --since soon").run());
    insta::assert_snapshot!("wrong_size", bed.crilet("log rotate --once --max-size huge").run());
}

#[test]
fn the_log_before_is_found() {
    let bed = Bed::with_app();
    let log = bed.path("k-log");
    bed.pod_in("default", "k", &format!("log_directory: {}\n", log.display()));
    bed.write(
        "k/app.yaml",
        "metadata: {name: app, attempt: 2}\nimage: {image: \"app:1\"}\nlog_path: app/2.log\n",
    );
    bed.prepare("run k");
    bed.write("k-log/app/1.log", "2026-01-01T00:00:01Z stdout F before\n");
    bed.write("k-log/app/2.log", "2026-01-01T00:00:01Z stdout F now\n");
    assert_eq!(bed.crilet("logs k").run().stdout, "now\n");
    assert_eq!(bed.crilet("logs k --previous").run().stdout, "before\n");
}

#[test]
fn following_ends_with_the_container() {
    let bed = bed();
    let running = bed.crilet("logs -f web/app --tail 1").start();
    bed.wait_for_call("ListContainers");
    assert!(bed.fake.exit_container("app", 0));
    let outcome = running.wait();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), "seven\n"), "{outcome}");
    // All followers of one process share one inotify instance: users have 128.
    let both = bed.crilet("logs -f web/side web/side web/app").start();
    let instances = || {
        let entries = fs::read_dir(format!("/proc/{}/fd", both.id())).unwrap().flatten();
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("inotify")).count()
    };
    bed.until(|| instances() > 0);
    assert_eq!(instances(), 1);
    assert!(bed.fake.exit_container("side", 1));
    assert_eq!(both.wait().code(), Some(0));
    let both = bed.crilet("logs -f web -o raw").run();
    assert_eq!(both.stdout, "one\ntwo\nno record\nthree\nfive\nseven\n", "{both}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let bed = bed();
    let outcome = bed.crilet("logs web").run_into(closed_pipe());
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{outcome}");
}

#[test]
fn sizes_and_limits_are_listed() {
    let bed = bed();
    pod(
        &bed,
        "set",
        "annotations: {crilet.dev/log-max-size: 1Mi, crilet.dev/log-max-files: many}\n",
        &["app"],
    );
    bed.write("set-log/app.log", &"2026-01-01T00:00:07Z stdout F x\n".repeat(4000));
    insta::assert_snapshot!("ls", bed.crilet("log ls").run());
    insta::assert_snapshot!("ls_json", bed.crilet("log ls web -o json").run());
    insta::assert_snapshot!("du", bed.crilet("log du").run());
}

#[test]
fn rotating_once_does_what_is_to_be_done_and_no_more() {
    let bed = bed();
    let state = bed.path("state").display().to_string();
    let rotate = |arguments: &str| {
        bed.crilet(&format!("log rotate --once {arguments}")).env("CRILET_STATE", &state)
    };
    let nothing = rotate("").run();
    assert_eq!((nothing.code(), nothing.stdout.as_str()), (Some(0), ""), "{nothing}");
    assert_eq!(bed.count("ReopenContainerLog"), 0);
    let outcome = rotate("web --max-size 40 --max-files 2").run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(bed.count("ReopenContainerLog"), 2, "{outcome}");
    let mut names: Vec<_> = fs::read_dir(bed.path("web-log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // The fake makes no files: what it was told to reopen is not there.
    assert_eq!(names.len(), 2, "{names:?} {outcome}");
    assert!(names.iter().all(|name| name.contains(".log.2")), "{names:?}");
    assert_eq!(bed.crilet("logs web/app").run().stdout, "ve\nseven\n");
}

#[test]
fn a_reopening_that_fails_leaves_everything_as_it_was() {
    let bed = bed();
    let state = bed.path("state").display().to_string();
    let fault = Fault::fail(Code::Unknown, "no").always();
    bed.fake.fault("ReopenContainerLog", fault);
    let outcome = bed.crilet("log rotate --once --max-size 50").env("CRILET_STATE", &state).run();
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("the runtime does not reopen it: ReopenContainerLog"),
        "{outcome}"
    );
    assert_eq!(bed.crilet("logs web/app").run().stdout, "one\nthree\nfive\nseven\n");
    assert!(bed.path("web-log/app.log").exists());
}

#[test]
fn a_reopening_that_hangs_does_not_hold_up_other_logs() {
    let bed = bed();
    let state = bed.path("state").display().to_string();
    bed.fake.fault("ReopenContainerLog", Fault::hang());
    let outcome = bed.crilet("log rotate --once --max-size 20").env("CRILET_STATE", &state).run();
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(outcome.stderr.contains("no answer within 1 s"), "{outcome}");
    assert_eq!(bed.count("ReopenContainerLog"), 2, "{outcome}");
    // One has its name back, the other one was rotated.
    let app = bed.path("web-log/app.log").exists();
    assert_ne!(app, bed.path("web-log/side.log").exists(), "{outcome}");
    assert_eq!(bed.crilet("logs web/app").run().stdout, "one\nthree\nfive\nseven\n");
    assert_eq!(bed.crilet("logs web/side").run().stdout, "two\nno record\n");
}

#[test]
fn what_is_planted_beside_a_log_is_not_touched() {
    let bed = bed();
    bed.write("secret", "the secret\n");
    bed.write("other/app.log", "2026-01-01T00:00:01Z stdout F other\n");
    let secret = bed.path("secret");
    for name in
        ["app.log.20250101-000000", "side.log.20250101-000000.gz", "app.log.20250101-000001.tmp"]
    {
        symlink(&secret, bed.path(&format!("web-log/{name}"))).unwrap();
    }
    fs::hard_link(&secret, bed.path("web-log/app.log.20250101-000002")).unwrap();
    fs::remove_file(bed.path("web-log/side.log")).unwrap();
    symlink(&secret, bed.path("web-log/side.log")).unwrap();
    let state = bed.path("state").display().to_string();
    let arguments = "log rotate --once --max-size 10 --max-files 2 --max-age 1h --budget 1";
    let outcome = bed.crilet(arguments).env("CRILET_STATE", &state).run();
    assert!(outcome.stderr.contains("is no regular file; it is left alone"), "{outcome}");
    assert!(
        outcome.stderr.contains("has another name elsewhere (a hard link); it is left alone"),
        "{outcome}"
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "the secret\n");
    assert!(bed.path("web-log/app.log.20250101-000002").exists());
    assert!(bed.path("web-log/side.log").is_symlink(), "{outcome}");
    let read = bed.crilet("logs web/side").run();
    assert!(!read.stdout.contains("secret"), "{read}");
    // The directory itself becomes a link. One of our own is followed; one of somebody who is not
    // trusted is not.
    let moved = bed.path("moved");
    fs::rename(bed.path("web-log"), &moved).unwrap();
    symlink(bed.path("other"), bed.path("web-log")).unwrap();
    let followed = bed.crilet("logs web/app").run();
    assert_eq!(followed.stdout, "other\n", "{followed}");
    if nix::unistd::geteuid().is_root() {
        let nobody = Some(nix::unistd::Uid::from_raw(65534));
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        nix::unistd::fchownat(nix::fcntl::AT_FDCWD, &bed.path("web-log"), nobody, None, flags)
            .unwrap();
        let refused = bed.crilet("logs web/app").run();
        assert_eq!(refused.code(), Some(1), "{refused}");
        let words = std::io::Error::from(nix::errno::Errno::ELOOP).to_string();
        assert!(refused.stderr.contains(&words), "{refused}");
    }
}

/// Makes a pod as a kubelet does: crilet has no part in it.
fn kubelets_pod(bed: &Bed) {
    let log_directory = bed.path("theirs-log").display().to_string();
    let config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "theirs".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            attempt: 0,
        }),
        log_directory,
        annotations: [("kubernetes.io/config.source".to_owned(), "file".to_owned())].into(),
        ..Default::default()
    };
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".to_owned(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: "app:1".to_owned(), ..Default::default() }),
        log_path: "0.log".to_owned(),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(bed.fake.endpoint()).await.unwrap();
        let sandbox = client.run_pod_sandbox(config.clone(), "").await.unwrap();
        let id = client.create_container(&sandbox, container, config).await.unwrap();
        client.start_container(&id).await.unwrap();
    });
    bed.write("theirs-log/0.log", "2026-01-01T00:00:01Z stdout F theirs\n");
    bed.fake.clear_calls();
}

#[test]
fn a_kubelets_pods_are_left_to_it() {
    let bed = Bed::with_app();
    kubelets_pod(&bed);
    let state = bed.path("state").display().to_string();
    let rotate = |arguments: &str| {
        let arguments = format!("log rotate --once --max-size 10 {arguments}");
        bed.crilet(&arguments).env("CRILET_STATE", &state).run()
    };
    insta::assert_snapshot!("kubelets_named", rotate("theirs"));
    insta::assert_snapshot!("kubelets_among_all", rotate(""));
    assert_eq!(bed.count("ReopenContainerLog"), 0);
    insta::assert_snapshot!("kubelets_listed", bed.crilet("log ls").run());
    let wanted = rotate("--kubelet-pods");
    assert_eq!(bed.count("ReopenContainerLog"), 1, "{wanted}");
}
