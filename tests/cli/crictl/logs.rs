//! `crictl logs` of a file that nobody writes.

use nix::sys::signal::Signal;

use super::{crictl, ends_with};
use crate::bed::Bed;

/// A container that has written this; gives its id.
fn with_log(bed: &Bed, records: &str) -> String {
    let log = bed.path("log");
    std::fs::create_dir(&log).unwrap();
    let log = log.display();
    bed.write(
        "pod.yaml",
        &format!("metadata: {{name: p, namespace: n, uid: u}}\nlog_directory: {log}\n"),
    );
    bed.write("main.yaml", "metadata: {name: m}\nimage: {image: \"app:1\"}\nlog_path: m.log\n");
    let id = ends_with(0, crictl(bed, "run --no-pull main.yaml pod.yaml").run()).stdout;
    bed.write("log/m.log", records);
    id.trim().to_owned()
}

const RECORDS: &str = "2026-01-02T03:04:05Z stdout F one\n2026-01-02T03:04:06Z stderr F two\n\
                       2026-01-02T03:04:07Z stdout P end\n";

/// What a program wrote is what is shown: a last line without its end has none here either.
#[test]
fn a_last_line_without_an_end_is_shown_without_one() {
    let bed = Bed::with_app();
    let id = with_log(&bed, RECORDS);
    let shown = |options: &str| ends_with(0, crictl(&bed, &format!("logs {options} {id}")).run());
    let whole = shown("");
    assert_eq!((whole.stdout.as_str(), whole.stderr.as_str()), ("one\nend", "two\n"));
    assert_eq!(shown("-t --tail 1").stdout, "2026-01-02T03:04:07Z end");
    assert_eq!(shown("--since 99999999999").stdout, "");
    let wrong = ends_with(1, crictl(&bed, &format!("logs --since 1e3 {id}")).run());
    assert!(wrong.stderr.contains("failed to parse value"), "{wrong}");
}

#[test]
fn a_signal_ends_what_follows_and_is_no_failure() {
    let bed = Bed::with_app();
    let id = with_log(&bed, RECORDS);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut following = crictl(&bed, &format!("logs -f {id}")).start();
        following.read_stdout_until("one");
        following.signal(signal);
        ends_with(0, following.wait());
    }
}
