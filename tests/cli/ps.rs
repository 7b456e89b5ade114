//! `crilet ps`.

use crate::bed::Bed;

/// Two pods that run, one of them with a container that has ended, and one that is stopped.
///
/// Each has one container: those of one pod are started side by side, in no order.
fn three_pods() -> Bed {
    let bed = Bed::with_app();
    bed.pod("web", "port_mappings: [{container_port: 80, host_port: 8080, host_ip: 127.0.0.1}]");
    bed.pod_in("default", "db", "labels: {tier: data}");
    bed.container("db", "side", "app:1");
    bed.pod("old", "");
    for pod in ["old", "db", "web"] {
        bed.prepare(&format!("run {pod}"));
    }
    bed.prepare("stop old");
    assert!(bed.fake.exit_container("side", 3));
    bed
}

#[test]
fn pods_are_listed_newest_first() {
    let bed = three_pods();
    insta::assert_snapshot!("running", bed.crilet("ps").run());
    insta::assert_snapshot!("all", bed.crilet("ps --all").run());
    insta::assert_snapshot!("named", bed.crilet("ps old default/web").run());
}

#[test]
fn pods_are_listed_for_programs() {
    let bed = three_pods();
    insta::assert_snapshot!("quiet", bed.crilet("ps -q").run());
    insta::assert_snapshot!("name", bed.crilet("ps -a -o name").run());
    insta::assert_snapshot!("json", bed.crilet("ps -o json web db").run());
}

#[test]
fn no_pods_are_an_empty_list() {
    let bed = Bed::with_app();
    insta::assert_snapshot!("none", bed.crilet("ps").run());
    let outcome = bed.crilet("ps -a -o json").run();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), "[]\n"), "{outcome}");
    let outcome = bed.crilet("ps -q").run();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), ""), "{outcome}");
}

#[test]
fn a_pod_that_is_not_there_is_told() {
    let bed = three_pods();
    insta::assert_snapshot!(bed.crilet("ps wbe").run());
}
