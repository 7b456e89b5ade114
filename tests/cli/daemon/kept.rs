//! Verbs of the runtime leave to the daemon what is the daemon's.

use crilet_api::{Desired, Phase, PodRef, Source, StopRequest};
use crilet_daemon::fake::{Call, FakeNode};

use super::bed::{DaemonBed, web};

/// `web` runs and is kept, `lone` runs and is not.
fn bed() -> DaemonBed {
    let bed = DaemonBed::new();
    for name in ["web", "lone"] {
        bed.pod(name, "");
        bed.prepare(&format!("run {name}"));
    }
    bed.node.put(FakeNode::pod_named("default", "web"));
    bed
}

#[test]
fn stop_asks_the_daemon_for_what_it_keeps_and_the_runtime_for_the_rest() {
    let bed = bed();
    let outcome = bed.crilet("stop web lone").run();
    assert_eq!(outcome.stdout, "default/web\ndefault/lone\n");
    assert_eq!(bed.node.calls(), [Call::Stop(web(), StopRequest { grace_seconds: None })]);
    assert_eq!(bed.count("StopPodSandbox"), 1);
    bed.prepare("stop --all -g 3");
    assert_eq!(bed.node.calls().len(), 2, "the kept one again");
}

#[test]
fn stop_finds_a_kept_pod_without_a_sandbox() {
    let bed = bed();
    bed.node.put(FakeNode::pod_named("default", "pending"));
    bed.node.edit(&PodRef::new("default", "pending"), |pod| {
        pod.sandbox = None;
        pod.phase = Phase::Pending;
    });
    assert_eq!(bed.prepare("stop pending").stdout, "default/pending\n");
    insta::assert_snapshot!(bed.crilet("stop pendign").run());
}

#[test]
fn rm_and_run_refuse_what_the_daemon_keeps() {
    let bed = bed();
    insta::assert_snapshot!("rm_applied", bed.crilet("rm lone web").run());
    insta::assert_snapshot!("run_kept", bed.crilet("run web --replace").run());
    bed.node.edit(&web(), |pod| {
        pod.source = Source::File { file: "/etc/crilet/pods/web.yaml".to_owned(), line: Some(3) };
    });
    insta::assert_snapshot!("rm_of_file", bed.crilet("rm --all").run());
    assert_eq!((bed.fake.counts(), bed.count("StopPodSandbox")), ((2, 2), 0));
    assert_eq!(bed.prepare("rm lone").stdout, "default/lone\n");
}

#[test]
fn run_hands_a_pod_to_the_daemon() {
    let bed = DaemonBed::new();
    bed.pod("new", "");
    insta::assert_snapshot!(bed.crilet("run --supervise new").run());
    let calls = bed.node.calls();
    let [Call::Apply(request)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(request.sources.len(), 1, "all files are one pod");
    assert_eq!(bed.fake.counts(), (0, 0), "the runtime is the daemon's to ask");
    let outcome = bed.crilet("run --supervise --pull always new").run();
    assert_eq!(outcome.code(), Some(64), "{outcome}");
}

#[test]
fn a_pod_that_was_brought_up_without_the_daemon_is_not_brought_up_twice() {
    let bed = bed();
    let outcome = bed.crilet("run --supervise lone").run();
    insta::assert_snapshot!("not_the_daemons", outcome);
    let calls = bed.node.calls();
    let applied = calls.iter().any(|call| matches!(call, Call::Apply(one) if !one.dry_run));
    assert!(!applied, "{calls:?}");
    bed.prepare("rm lone");
    bed.prepare("run --supervise lone");
}

#[test]
fn a_pod_that_the_daemon_takes_down_is_left_to_it() {
    let bed = bed();
    bed.node.edit(&web(), |pod| pod.desired = Desired::Deleted);
    insta::assert_snapshot!("leaving", bed.crilet("rm web").run());
    assert_eq!(bed.count("StopPodSandbox"), 0);
}

#[test]
fn a_daemon_that_may_not_be_asked_is_no_reason_to_act_without_it() {
    let bed = bed();
    let socket = bed.path("state/other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // Something else listens there: it takes the connection and closes it.
    let other = std::thread::spawn(move || drop(listener.accept()));
    let outcome = bed.crilet("stop lone --socket state/other.sock").run();
    other.join().unwrap();
    assert_eq!((outcome.code(), bed.count("StopPodSandbox")), (Some(8), 0), "{outcome}");
}
