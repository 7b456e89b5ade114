//! Standard output that nobody reads, or that is full.

use std::fs::File;

use crate::bed::{Bed, closed_pipe};

const CALLS: [&str; 7] =
    ["ps --all", "ps -o json", "ps -q", "version", "version -o json", "run web", "--help"];

fn bed() -> Bed {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.prepare("run web");
    bed
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let bed = bed();
    for arguments in CALLS {
        let outcome = bed.crilet(arguments).run_into(closed_pipe());
        assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{outcome}");
    }
}

#[test]
fn several_pods_are_stopped_even_if_nobody_reads_their_names() {
    let bed = bed();
    bed.pod("db", "");
    bed.prepare("run db");
    let outcome = bed.crilet("rm --all").run_into(closed_pipe());
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{outcome}");
    bed.assert_clean();
}

#[test]
fn nobody_who_reads_errors_changes_no_status() {
    let bed = bed();
    for (arguments, expected) in [("ps nothing", 4), ("bogus", 64), ("run nothing", 2)] {
        let outcome = bed.crilet(arguments).run_without_stderr();
        assert_eq!(outcome.code(), Some(expected), "{outcome}");
    }
}

#[test]
fn a_full_device_is_an_error() {
    let bed = bed();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for arguments in CALLS.iter().filter(|arguments| **arguments != "--help") {
        let outcome = bed.crilet(arguments).run_into(full());
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        assert!(outcome.stderr.contains("No space left on device"), "{outcome}");
    }
    insta::assert_snapshot!(bed.crilet("ps").run_into(full()));
    // What is read and written in one is told apart.
    bed.write("root/runtime/containerd.log", "it began\n");
    let outcome = bed.crilet("runtime logs").run_into(full());
    let said = "error: failed to write to standard output: No space left on device";
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(outcome.stderr.starts_with(said), "{outcome}");
}
