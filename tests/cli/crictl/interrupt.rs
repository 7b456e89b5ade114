//! Ctrl-C and SIGTERM while crictl's commands wait for the runtime.

use crilet_cri::fake::{Fake, Fault, Outcome};
use nix::sys::signal::Signal;

use super::{crictl, ends_with, one_pod};
use crate::bed::Bed;

/// What was asked of the runtime is taken back, and told as what has failed.
fn interrupted(bed: &Bed, arguments: &str, method: &str, words: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        bed.fake.heal();
        bed.fake.clear_calls();
        bed.fake.fault(method, Fault::hang());
        let running = crictl(bed, arguments).start();
        bed.wait_for_call(method);
        running.signal(signal);
        let outcome = ends_with(1, running.wait());
        assert_eq!(outcome.stdout, "", "{outcome}");
        let whole = format!("level=fatal msg=\"{words}interrupted: context canceled\"\n");
        assert!(outcome.stderr.ends_with(&whole), "no `{whole}`: {outcome}");
        bed.until(|| {
            let calls = bed.fake.calls();
            let mut calls = calls.iter().filter(|call| call.method == method);
            calls.all(|call| call.outcome == Outcome::Cancelled)
        });
    }
}

#[test]
fn what_was_interrupted_is_told() {
    let (bed, pod, container) = one_pod();
    interrupted(
        &bed,
        "ps",
        "ListContainers",
        "listing containers: list containers: call list containers RPC: ",
    );
    interrupted(
        &bed,
        "pods",
        "ListPodSandbox",
        "listing pod sandboxes: list pod sandboxes: call list sandboxes RPC: ",
    );
    let words = "execing command in container ";
    let exec = format!("exec {container} true");
    interrupted(&bed, &exec, "Exec", &format!("{words}{container}: "));
    let exec = format!("exec -s {container} true");
    let words = format!("{words}{container} synchronously: ");
    interrupted(&bed, &exec, "ExecSync", &words);
    let words = "creating container: ";
    let create = format!("create --no-pull {pod} main.yaml pod.yaml");
    interrupted(&bed, &create, "CreateContainer", words);
}

#[test]
fn an_interrupted_pull_is_told() {
    let bed = Bed::new(Fake::builder().registry_image("app:1"));
    interrupted(&bed, "pull app:1", "PullImage", "pulling image: ");
}
