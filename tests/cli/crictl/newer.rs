//! What containerd 1.6 does not have: checkpoints, and metrics through the CRI.

use crilet_cri::{fake::Fake, v1};
use nix::sys::signal::Signal;

use super::{crictl, ends_with, one_pod, one_pod_in};
use crate::bed::Bed;

fn newer() -> (Bed, String, String) {
    let methods = ["CheckpointContainer", "ListMetricDescriptors", "ListPodSandboxMetrics"];
    let builder = Fake::builder().image("app:1");
    one_pod_in(Bed::new(methods.into_iter().fold(builder, |fake, name| fake.with_method(name))))
}

/// The runtime is told what crictl tells it: the id as it was given, and the time that calls have.
#[test]
fn containers_are_checkpointed() {
    let (bed, _, container) = newer();
    let short = container.get(..13).unwrap().to_owned();
    for (options, timeout) in [("", 240), ("--timeout 7s ", 7)] {
        bed.fake.clear_calls();
        let line = format!("{options}checkpoint -e /tmp/one.tar {short} {container}");
        let outcome = ends_with(0, crictl(&bed, &line).run());
        assert_eq!(outcome.stdout, format!("{short}\n{container}\n"));
        assert_eq!(outcome.stderr, "");
        let calls = bed.fake.calls();
        let calls = calls.iter().filter(|call| call.method == "CheckpointContainer");
        let requests: Vec<v1::CheckpointContainerRequest> =
            calls.map(|call| call.request().unwrap()).collect();
        let wanted = |id: &str| v1::CheckpointContainerRequest {
            container_id: id.to_owned(),
            location: "/tmp/one.tar".to_owned(),
            timeout,
        };
        assert_eq!(requests, [wanted(&short), wanted(&container)]);
    }
    // What cannot be checkpointed ends it, with those before done.
    let line = format!("checkpoint --export=/tmp/one.tar {container} nope {container}");
    let failed = ends_with(1, crictl(&bed, &line).run());
    assert_eq!(failed.stdout, format!("{container}\n"));
    let words = "checkpointing the container \\\"nope\\\" failed: rpc error: code = NotFound";
    assert!(failed.stderr.contains(words), "{failed}");
    let none = ends_with(1, crictl(&bed, "checkpoint --export=/tmp/one.tar").run());
    assert!(none.stderr.contains("ID cannot be empty"), "{none}");
}

#[test]
fn metrics_of_pods_are_shown() {
    let (bed, pod, container) = newer();
    let told = |arguments: &str| {
        bed.fake.clear_calls();
        let outcome = ends_with(0, crictl(&bed, arguments).run());
        assert_eq!(outcome.stderr, "");
        let stdout = outcome.stdout.replace(&pod, "[POD]").replace(&container, "[CONTAINER]");
        let calls = bed.fake.call_lines();
        (stdout, calls.last().cloned().unwrap())
    };
    for (name, arguments, method) in [
        ("descriptors_json", "metricdescs", "ListMetricDescriptors"),
        ("descriptors_yaml", "metricdescs -o yaml", "ListMetricDescriptors"),
        ("metrics_json", "metricsp --output json", "ListPodSandboxMetrics"),
        ("metrics_yaml", "metricsp -o yaml", "ListPodSandboxMetrics"),
    ] {
        let (stdout, call) = told(arguments);
        assert_eq!(call, method);
        insta::assert_snapshot!(name, stdout);
    }
    // Help, and no failure, for what it does not know.
    for arguments in ["metricdescs -o table", "metricsp x"] {
        let outcome = ends_with(0, crictl(&bed, arguments).run());
        assert!(outcome.stdout.contains("USAGE:"), "{outcome}");
    }
    let mut watched = crictl(&bed, "metricsp -w").start();
    watched.read_stdout_until("podMetrics");
    watched.read_stdout_until("podMetrics");
    watched.signal(Signal::SIGINT);
    ends_with(0, watched.wait());
}

/// Most runtimes of today have none of it.
#[test]
fn runtimes_without_them_are_told_as_such() {
    let (bed, _, container) = one_pod();
    let missing = |method: &str| {
        format!(
            "rpc error: code = Unimplemented desc = unknown method {method} for service \
             runtime.v1.RuntimeService"
        )
    };
    for (arguments, words, method) in [
        (
            format!("checkpoint -e /tmp/one.tar {container}"),
            format!("checkpointing the container \\\"{container}\\\" failed: "),
            "CheckpointContainer",
        ),
        (
            "metricdescs".to_owned(),
            "get metric descriptors: list metric descriptors: ".to_owned(),
            "ListMetricDescriptors",
        ),
        (
            "metricsp".to_owned(),
            "get pod metrics: list pod sandbox metrics: ".to_owned(),
            "ListPodSandboxMetrics",
        ),
    ] {
        let outcome = ends_with(1, crictl(&bed, &arguments).run());
        assert_eq!(outcome.stdout, "", "{outcome}");
        let whole = format!("{words}{}", missing(method));
        assert!(outcome.stderr.contains(&whole), "no `{whole}`: {outcome}");
    }
}
