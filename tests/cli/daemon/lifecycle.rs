use crilet_api::{
    Condition, ConditionStatus, Desired, ImageGcReport, ImageGcRequest, Phase, RemovedImage,
    RestartRequest, Source, StopRequest,
};
use crilet_daemon::fake::{Call, FakeNode};

use super::bed::{DaemonBed, web};
use crate::bed::Bed;

#[test]
fn every_verb_says_that_there_is_no_daemon() {
    let bed = Bed::with_app();
    bed.pod("pod", "");
    let verbs = [
        "apply -f pod",
        "get",
        "get -w",
        "describe web",
        "delete web",
        "delete -f pod",
        "start web",
        "restart web",
        "wait web --for ready",
        "run --supervise pod",
        "image gc",
    ];
    let outcomes = verbs.map(|arguments| {
        let outcome = bed.crilet(arguments).run();
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(8), ""), "{outcome}");
        outcome.stderr
    });
    assert!(outcomes.iter().all(|stderr| *stderr == outcomes[0]), "{outcomes:?}");
    insta::assert_snapshot!(outcomes[0]);
}

#[test]
fn pods_are_stopped_started_restarted_and_deleted() {
    let bed = DaemonBed::with_pods();
    assert_eq!(bed.prepare("stop web --grace 1500ms").stdout, "default/web\n");
    assert_eq!(bed.prepare("start web --wait").stdout, "default/web\n");
    assert_eq!(bed.prepare("restart web default/db/main").stdout, "default/web\ndefault/db/main\n");
    assert_eq!(bed.prepare("restart web/main --wait").stdout, "default/web/main\n");
    assert_eq!(bed.prepare("delete web db --grace 0").stdout, "default/db\ndefault/web\n");
    let grace = |seconds| StopRequest { grace_seconds: Some(seconds) };
    let db = crilet_api::PodRef::new("default", "db");
    let main = RestartRequest { container: Some("main".to_owned()) };
    assert_eq!(
        bed.node.calls(),
        [
            Call::Stop(web(), grace(2)),
            Call::Start(web()),
            Call::Restart(web(), RestartRequest::default()),
            Call::Restart(db.clone(), main.clone()),
            Call::Restart(web(), main),
            Call::Delete(db, grace(0)),
            Call::Delete(web(), grace(0)),
        ]
    );
    assert_eq!(bed.prepare("get -o name").stdout, "");
}

#[test]
fn what_cannot_be_restarted_is_told() {
    let bed = DaemonBed::with_pods();
    bed.node.put(FakeNode::pod_named("web", "main"));
    let outcomes = ["restart wbe", "restart web/mian", "restart a/b/c", "start db wbe"];
    let outcomes = outcomes.map(|arguments| bed.crilet(arguments).run().to_string());
    insta::assert_snapshot!(outcomes.join("\n"));
    assert_eq!(bed.node.calls(), []);
    bed.prepare("restart web/main default/web/main");
    let main = RestartRequest { container: Some("main".to_owned()) };
    let pod = crilet_api::PodRef::new("web", "main");
    assert_eq!(
        bed.node.calls(),
        [Call::Restart(pod, RestartRequest::default()), Call::Restart(web(), main)],
        "a pod of that name goes before a container"
    );
}

#[test]
fn stop_and_delete_wait_until_it_is_done() {
    let bed = DaemonBed::with_pods();
    bed.node.hold(true);
    let running = bed.crilet("stop web").start();
    bed.until(|| bed.node.calls().len() == 1);
    bed.node.edit(&web(), |pod| pod.phase = Phase::Stopped);
    assert_eq!(running.wait().stdout, "default/web\n");
    let running = bed.crilet("delete web").start();
    bed.until(|| bed.node.calls().len() == 2);
    bed.node.remove(&web());
    assert_eq!(running.wait().stdout, "default/web\n");
    assert_eq!(bed.prepare("delete db --no-wait").stdout, "default/db\n");
    insta::assert_snapshot!(bed.crilet("delete db --timeout 3s").run());
}

#[test]
fn images_are_collected() {
    let bed = DaemonBed::new();
    let image = |id: &str, names: &[&str]| RemovedImage {
        id: id.to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        ..RemovedImage::default()
    };
    let report = ImageGcReport {
        used_percent: 91,
        freed_bytes: 123_456_789,
        removed: vec![image("sha256:1", &["a:1", "a:2"]), image("sha256:2", &[])],
        ..ImageGcReport::default()
    };
    bed.node.collects(report.clone());
    insta::assert_snapshot!("gc_dry_run", bed.crilet("image gc --dry-run").run());
    let failures = vec!["failed to remove image `b`: it is busy".to_owned()];
    bed.node.collects(ImageGcReport { failures, ..report });
    insta::assert_snapshot!("gc_fails", bed.crilet("image gc --all").run());
    let request = |dry_run, all| Call::CollectImages(ImageGcRequest { dry_run, all });
    assert_eq!(bed.node.calls(), [request(true, false), request(false, true)]);
}

#[test]
fn the_pods_of_files_are_deleted() {
    let bed = DaemonBed::with_pods();
    bed.write("both.yaml", "metadata: {name: web}\n---\nmetadata: {name: never-applied}\n");
    assert_eq!(bed.prepare("delete -f both.yaml").stdout, "default/web\n");
    assert_eq!(bed.prepare("get -o name").stdout, "default/db\n");
    assert_eq!(bed.prepare("delete -f both.yaml").stdout, "", "again is fine");
}

#[test]
fn a_pod_of_a_file_is_not_deleted_and_does_not_keep_the_others() {
    let bed = DaemonBed::with_pods();
    bed.node.edit(&web(), |pod| {
        pod.source = Source::File { file: "/etc/crilet/pods/web.yaml".to_owned(), line: Some(3) };
    });
    insta::assert_snapshot!("owned_by_file", bed.crilet("delete web").run());
    insta::assert_snapshot!("one_of_two", bed.crilet("delete web db").run());
}

#[test]
fn states_are_waited_for() {
    let bed = DaemonBed::with_pods();
    for goal in ["ready", "running"] {
        assert_eq!(bed.prepare(&format!("wait web --for {goal}")).stdout, "default/web\n");
    }
    assert_eq!(bed.prepare("wait nobody --for deleted").stdout, "");
    let running = bed.crilet("wait web db --for stopped").start();
    bed.node.edit(&web(), |pod| pod.phase = Phase::Succeeded);
    bed.node.edit(&crilet_api::PodRef::new("default", "db"), |pod| pod.phase = Phase::Stopped);
    assert_eq!(running.wait().stdout, "default/web\ndefault/db\n");
    let running = bed.crilet("wait web --for deleted").start();
    bed.node.remove(&web());
    assert_eq!(running.wait().code(), Some(0));
    bed.node.put(FakeNode::pod_named("default", "web"));
    bed.node.edit(&web(), |pod| {
        pod.phase = Phase::Stopped;
        pod.desired = Desired::Stopped;
    });
    insta::assert_snapshot!("stopped_is_never_ready", bed.crilet("wait web --for ready").run());
    insta::assert_snapshot!("late_stop", bed.crilet("wait web --for deleted --timeout 3.0").run());
    insta::assert_snapshot!("nobody", bed.crilet("wait nobody").run());
}

#[test]
fn waiting_goes_on_over_a_restart_of_the_daemon() {
    let mut bed = DaemonBed::with_pods();
    bed.node.edit(&web(), |pod| pod.conditions.clear());
    let mut running = bed.crilet("wait web").start();
    // It has connected, or it will find no daemon and say so at once.
    bed.until(|| std::sync::Arc::strong_count(&bed.node) > 3);
    bed.served = None;
    running.read_stderr_until("waiting for it to come back\n");
    let kind = "Ready".to_owned();
    let ready = Condition { kind, status: ConditionStatus::True, ..Condition::default() };
    bed.node.edit(&web(), |pod| pod.conditions = vec![ready]);
    bed.serve();
    assert_eq!(running.wait().stdout, "default/web\n");
}
