//! `crilet stop` and `crilet rm`.

use crilet_cri::{Code, fake::Fault, v1};

use crate::bed::Bed;

fn two_pods() -> Bed {
    let bed = Bed::with_app();
    for pod in ["web", "db"] {
        bed.pod(pod, "");
        bed.prepare(&format!("run {pod}"));
    }
    bed
}

#[test]
fn pods_are_stopped_and_removed_by_name_id_and_its_beginning() {
    let bed = two_pods();
    insta::assert_snapshot!("stop_twice", bed.crilet("stop web default/db web").run());
    assert_eq!(bed.count("StopPodSandbox"), 2, "one that is named twice is stopped once");
    assert_eq!(bed.fake.counts(), (2, 2));
    let outcome = bed.prepare("stop web");
    assert_eq!(outcome.stdout, "default/web\n", "stopping again is fine");
    let (web, db) = (bed.id("web"), bed.id("db"));
    bed.prepare(&format!("rm {web} {}", db.get(..6).unwrap()));
    bed.assert_clean();
}

#[test]
fn all_pods_are_taken_down() {
    let bed = two_pods();
    insta::assert_snapshot!("rm_all", bed.crilet("rm --all").run());
    bed.assert_clean();
    insta::assert_snapshot!("rm_all_again", bed.crilet("rm --all").run());
}

#[test]
fn one_failure_does_not_keep_the_others() {
    let bed = two_pods();
    let stuck = || Fault::fail(Code::Unknown, "the network is busy").on(&bed.id("db")).always();
    bed.fake.fault("StopPodSandbox", stuck());
    insta::assert_snapshot!("stop_one_fails", bed.crilet("stop db web").run());
    insta::assert_snapshot!("rm_one_fails", bed.crilet("rm db web").run());
    assert_eq!(bed.fake.counts(), (1, 1));
    bed.fake.heal();
    bed.prepare("rm db");
    bed.assert_clean();
}

#[test]
fn an_unknown_name_stops_nothing() {
    let bed = two_pods();
    insta::assert_snapshot!("similar", bed.crilet("stop web dv").run());
    insta::assert_snapshot!("nothing_like_it", bed.crilet("rm something-else").run());
    assert_eq!((bed.count("StopPodSandbox"), bed.fake.counts()), (0, (2, 2)));
}

#[test]
fn a_name_in_two_namespaces_is_ambiguous() {
    let bed = Bed::with_app();
    for namespace in ["blue", "green"] {
        bed.pod_in(namespace, "web", "");
        bed.container("web", "main", "app:1");
        bed.prepare("run web");
    }
    insta::assert_snapshot!(bed.crilet("rm web").run());
    assert_eq!(bed.fake.counts(), (2, 2));
    assert_eq!(bed.prepare("rm green/web").stdout, "green/web\n");
}

#[test]
fn the_grace_period_is_passed_on_in_whole_seconds() {
    let cases =
        [("", 10), ("--grace 0", 0), ("--grace 1500ms", 2), ("--grace 2m", 120), ("-g 7", 7)];
    for (arguments, expected) in cases {
        let bed = Bed::with_app();
        bed.pod("web", "");
        bed.prepare("run web");
        let outcome = bed.crilet(&format!("stop web {arguments}")).run();
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        let calls = bed.fake.calls();
        let stop = calls.iter().find(|call| call.method == "StopContainer").unwrap();
        let request: v1::StopContainerRequest = stop.request().unwrap();
        assert_eq!(request.timeout, expected, "{arguments}");
    }
}
