//! Ctrl-C and SIGTERM while a pod is being brought up.

use crilet_cri::fake::{Fake, Fault};
use nix::sys::signal::Signal;

use crate::bed::Bed;

#[test]
fn an_interrupted_pull_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let bed = Bed::new(Fake::builder().registry_image("app:1"));
        bed.pod("web", "");
        bed.fake.fault("PullImage", Fault::hang());
        let running = bed.crilet("run web").start();
        bed.wait_for_call("PullImage");
        running.signal(signal);
        insta::assert_snapshot!("pull", running.wait());
        bed.assert_clean();
    }
}

#[test]
fn what_was_made_before_the_interruption_is_undone() {
    let bed = Bed::new(Fake::builder().image("app:1"));
    bed.pod("web", "");
    let (fault, gate) = Fault::hold();
    bed.fake.fault("CreateContainer", fault);
    let mut running = bed.crilet("run web").start();
    bed.wait_for_call("CreateContainer");
    running.signal(Signal::SIGINT);
    // It has heard of the interruption when the container is made.
    running.read_stderr_until("again to leave at once\n");
    drop(gate);
    insta::assert_snapshot!(running.wait());
    assert_eq!(bed.count("StartContainer"), 0);
    bed.assert_clean();
}

#[test]
fn the_second_interruption_leaves_at_once() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.fake.fault("RunPodSandbox", Fault::hang());
    let mut running = bed.crilet("run web").start();
    bed.wait_for_call("RunPodSandbox");
    running.signal(Signal::SIGINT);
    running.read_stderr_until("again to leave at once\n");
    running.signal(Signal::SIGINT);
    insta::assert_snapshot!(running.wait());
    assert_eq!(bed.count("ListPodSandbox"), 1, "it went on to undo");
}
