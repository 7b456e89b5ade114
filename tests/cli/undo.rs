//! Pods that cannot be brought up: what was made is removed again, or named.

use crilet_cri::{Code, fake::Fault};

use crate::bed::Bed;

fn no_luck() -> Fault {
    Fault::fail(Code::Unknown, "no luck")
}

#[test]
fn whatever_fails_on_the_way_is_undone() {
    for method in ["RunPodSandbox", "CreateContainer", "StartContainer"] {
        let bed = Bed::with_app();
        bed.pod("web", "");
        bed.fake.fault(method, no_luck());
        let outcome = bed.crilet("run web").run();
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(1), ""), "{outcome}");
        bed.assert_clean();
        insta::assert_snapshot!(method, outcome);
    }
}

#[test]
fn what_cannot_be_undone_is_named_and_can_be_removed_later() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.fake.fault("StartContainer", no_luck());
    bed.fake.fault("StopPodSandbox", Fault::fail(Code::Unknown, "the network is busy").always());
    insta::assert_snapshot!(bed.crilet("run web").run());
    bed.fake.heal();
    bed.prepare("rm default/web");
    bed.assert_clean();
}

#[test]
fn a_replacement_that_fails_says_that_the_former_pod_is_gone() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.prepare("run web");
    bed.fake.fault("StartContainer", no_luck());
    insta::assert_snapshot!(bed.crilet("run web --replace").run());
    bed.assert_clean();
}

#[test]
fn a_replacement_whose_image_cannot_be_had_costs_nothing() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.prepare("run web");
    let outcome = bed.crilet("run web --replace --pull always").run();
    assert_eq!(outcome.code(), Some(5), "{outcome}");
    assert_eq!(bed.fake.counts(), (1, 1));
}

#[test]
fn a_runtime_that_goes_away_is_told_with_the_call_that_was_lost() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.fake.fault("CreateContainer", Fault::drop_connection());
    insta::assert_snapshot!(bed.crilet("run web").run());
    bed.assert_clean();
}
