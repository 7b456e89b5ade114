use crilet_api::{
    Action, ApiError, AppliedPod, ApplyReport, Condition, ConditionStatus, ContainerAction,
    ContainerChange, ErrorCode, Finding, Phase, Severity,
};
use crilet_daemon::fake::Call;

use super::bed::{DaemonBed, web};

const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";

#[test]
fn pods_are_created_changed_and_left_as_they_are() {
    let bed = DaemonBed::new();
    bed.write("web.yaml", WEB);
    insta::assert_snapshot!("created", bed.crilet("apply -f web.yaml").run());
    insta::assert_snapshot!("unchanged", bed.crilet("apply -f web.yaml").run());
    bed.write("web.yaml", &format!("{WEB}spec: {{}}\n"));
    insta::assert_snapshot!("dry_run", bed.crilet("apply -f web.yaml --dry-run").run());
    insta::assert_snapshot!("json", bed.crilet("apply -f - -o json").input(WEB).run());
}

#[test]
fn a_diff_tells_what_changes_and_what_restarts() {
    let bed = DaemonBed::new();
    bed.write("web.yaml", WEB);
    let change = |name: &str, action| ContainerChange { name: name.to_owned(), action };
    let changed = |name: &str| AppliedPod {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        action: Action::Changed,
        diff: "@@ spec.containers[0] @@\n-image: app:1\n+image: app:2\n".to_owned(),
        ..AppliedPod::default()
    };
    let some = vec![
        change("main", ContainerAction::Recreated),
        change("helper", ContainerAction::Recreated),
        change("new", ContainerAction::Added),
    ];
    let pruned = AppliedPod { action: Action::Pruned, diff: String::new(), ..changed("old") };
    let warning = Finding {
        severity: Severity::Warning,
        file: Some("web.yaml".to_owned()),
        line: Some(4),
        column: Some(3),
        path: "spec.nodeName".to_owned(),
        message: "means nothing on one node".to_owned(),
        ..Finding::default()
    };
    bed.node.report(Ok(ApplyReport {
        dry_run: true,
        pods: vec![
            AppliedPod { recreates_sandbox: true, ..changed("web") },
            AppliedPod { containers: some, ..changed("db") },
            changed("quiet"),
            pruned,
        ],
        warnings: vec![warning],
    }));
    let outcome = bed.crilet("apply -f web.yaml --dry-run --diff --prune --set blog").run();
    insta::assert_snapshot!(outcome);
    let calls = bed.node.calls();
    let [Call::Apply(request)] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(request.dry_run && request.prune && request.set.as_deref() == Some("blog"));
}

#[test]
fn files_of_a_directory_are_one_pod_or_a_manifest_each() {
    let bed = DaemonBed::new();
    bed.pod("cri", "");
    bed.write("kube/a.yaml", WEB);
    bed.write("kube/b.yml", WEB);
    bed.write("kube/.hidden.yaml", WEB);
    bed.write("kube/README.md", "text");
    let outcome = bed.crilet("apply -f cri -f kube").run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    let calls = bed.node.calls();
    let [Call::Apply(request)] = calls.as_slice() else { panic!("{calls:?}") };
    let files: Vec<Vec<_>> = request
        .sources
        .iter()
        .map(|source| source.files.iter().map(|file| file.name.as_str()).collect())
        .collect();
    let expected = [vec!["cri/main.yaml", "cri/pod.yaml"], vec!["kube/a.yaml"], vec!["kube/b.yml"]];
    assert_eq!(files, expected);
}

#[test]
fn what_is_wrong_with_manifests_is_told_and_nothing_is_touched() {
    let bed = DaemonBed::new();
    bed.write("broken.yaml", "metadata: {name: web\n");
    bed.write("empty/README.md", "text");
    let error = ApiError::new(ErrorCode::InvalidManifest, "the manifests cannot be used");
    let finding = |line, path: &str, hint: Option<&str>| Finding {
        file: Some("pod.yaml".to_owned()),
        line: Some(line),
        column: Some(3),
        path: path.to_owned(),
        message: "unknown field".to_owned(),
        hint: hint.map(ToOwned::to_owned),
        ..Finding::default()
    };
    let error = error.details(vec![
        finding(3, "spec.contaners", Some("did you mean `containers`?")),
        finding(9, "spec.x", None),
    ]);
    bed.write("pod.yaml", WEB);
    bed.node.report(Err(error));
    let outcomes = [
        "apply -f pod.yaml",
        "apply -f broken.yaml",
        "apply -f none.yaml",
        "apply -f empty",
        "apply -f http://example.org/pod.yaml",
        "apply -f -",
    ]
    .map(|arguments| bed.crilet(arguments).run().to_string());
    insta::assert_snapshot!(outcomes.join("\n"));
    std::fs::write(bed.path("binary.yaml"), [0x66, 0xFF]).unwrap();
    let outcome = bed.crilet("apply -f binary.yaml").run();
    assert_eq!((outcome.code(), outcome.stderr.contains("is not text in UTF-8")), (Some(2), true));
    assert_eq!(bed.prepare("get -o name").stdout, "");
}

#[test]
fn waiting_ends_when_the_pods_are_ready() {
    let bed = DaemonBed::new();
    bed.write("web.yaml", WEB);
    bed.node.hold(true);
    let running = bed.crilet("apply -f web.yaml --wait").start();
    bed.until(|| !bed.node.calls().is_empty());
    bed.node.edit(&web(), |pod| pod.phase = Phase::Running);
    let ready = Condition {
        kind: "Ready".to_owned(),
        status: ConditionStatus::True,
        ..Condition::default()
    };
    bed.node.edit(&web(), |pod| pod.conditions = vec![ready]);
    let outcome = running.wait();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), "default/web created\n"));
}

#[test]
fn waiting_ends_when_a_pod_never_will_be_ready_or_time_is_up() {
    let bed = DaemonBed::new();
    bed.write("web.yaml", WEB);
    bed.node.hold(true);
    insta::assert_snapshot!("late", bed.crilet("apply -f web.yaml --wait --timeout 3s").run());
    let running = bed.crilet("wait web").start();
    bed.node.edit(&web(), |pod| {
        pod.phase = Phase::Failed;
        pod.message = Some("container main ended with status 3".to_owned());
    });
    insta::assert_snapshot!("never", running.wait());
}
