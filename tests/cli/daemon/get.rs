use std::collections::BTreeMap;

use crilet_api::{
    Condition, ConditionStatus, Container, ContainerKind, ContainerState, EventKind, Finding,
    Mount, Phase, Pod, PodRef, Port, ProbeKind, ProbeResult, ProbeStatus, Problem, Resources,
    Source, Terminated, Volume,
};
use crilet_daemon::{NewEvent, Node, fake::FakeNode};

use super::bed::{DaemonBed, web};

/// A pod with everything that can be shown.
fn rich() -> Pod {
    let now = jiff::Timestamp::now();
    let ago = |seconds| now - jiff::SignedDuration::from_secs(seconds);
    let crashed = Terminated {
        exit_code: 137,
        reason: "OOMKilled".to_owned(),
        finished_at: Some(ago(65)),
        ..Terminated::default()
    };
    let waiting = ContainerState::Waiting {
        reason: "CrashLoopBackOff".to_owned(),
        message: Some("back-off 40s".to_owned()),
    };
    let mysql = Container {
        name: "mysql".to_owned(),
        image: "mysql:9".to_owned(),
        image_id: Some(format!("sha256:{}", "a".repeat(64))),
        id: Some("b".repeat(64)),
        attempt: 4,
        state: waiting,
        last_termination: Some(crashed),
        restarts: 4,
        restart_reason: Some("back-off 40s, exit 137, out of memory".to_owned()),
        next_restart_at: Some(now + jiff::SignedDuration::from_secs(100_000)),
        probes: vec![ProbeStatus {
            kind: ProbeKind::Liveness,
            question: "exec `mysqladmin ping` every 10s".to_owned(),
            result: ProbeResult::Failure,
            in_a_row: 3,
            last_at: Some(ago(65)),
            message: Some("status 1".to_owned()),
        }],
        resources: Resources {
            cpu_request_millis: Some(250),
            memory_limit_bytes: Some(512 << 20),
            ..Resources::default()
        },
        command: vec!["mysqld".to_owned(), "--skip-name-resolve".to_owned()],
        mounts: vec![Mount {
            source: "data".to_owned(),
            target: "/var/lib/mysql".to_owned(),
            read_only: false,
        }],
        log_path: Some("/var/log/pods/default_blog_1/mysql/4.log".to_owned()),
        ..Container::default()
    };
    let main = FakeNode::pod_named("default", "blog").containers.remove(0);
    let setup = Container {
        name: "setup".to_owned(),
        kind: ContainerKind::Init,
        image: "tool:1".to_owned(),
        state: ContainerState::Terminated(Terminated {
            reason: "Completed".to_owned(),
            finished_at: Some(ago(7300)),
            ..Terminated::default()
        }),
        ..Container::default()
    };
    let ready = Condition {
        kind: "Ready".to_owned(),
        status: ConditionStatus::False,
        since: ago(65),
        reason: Some("ContainersNotReady".to_owned()),
        message: Some("mysql is not ready".to_owned()),
    };
    let port = |name: Option<&str>, container_port, host_port| Port {
        name: name.map(ToOwned::to_owned),
        container_port,
        host_port,
        ..Port::default()
    };
    let problem = Problem {
        reason: "InvalidManifest".to_owned(),
        message: "the manifest cannot be used; the pod runs on as it was".to_owned(),
        since: ago(65),
        findings: vec![Finding {
            file: Some("/etc/crilet/pods/blog.yaml".to_owned()),
            line: Some(7),
            column: Some(3),
            path: "spec.contaners".to_owned(),
            message: "unknown field".to_owned(),
            hint: Some("did you mean `containers`?".to_owned()),
            ..Finding::default()
        }],
    };
    Pod {
        source: Source::File { file: "/etc/crilet/pods/blog.yaml".to_owned(), line: Some(1) },
        labels: BTreeMap::from([("app".to_owned(), "blog".to_owned())]),
        created_at: ago(7300),
        started_at: Some(ago(7300)),
        ips: vec!["10.88.0.7".parse().unwrap()],
        ports: vec![port(Some("http"), 80, Some(8080)), port(None, 3306, None)],
        conditions: vec![ready],
        containers: vec![setup, main, mysql],
        volumes: vec![Volume {
            name: "data".to_owned(),
            kind: "hostPath".to_owned(),
            detail: "/root/blog/data".to_owned(),
        }],
        problems: vec![problem],
        ..FakeNode::pod_named("default", "blog")
    }
}

fn rich_bed() -> DaemonBed {
    let bed = DaemonBed::with_pods();
    bed.node.put(rich());
    for (kind, reason, container, message) in [
        (EventKind::Normal, "Started", Some("main"), "container started"),
        (
            EventKind::Warning,
            "BackOff",
            Some("mysql"),
            "back-off 40s restarting a failed container",
        ),
        (
            EventKind::Warning,
            "BackOff",
            Some("mysql"),
            "back-off 40s restarting a failed container",
        ),
    ] {
        bed.node.events().record(NewEvent {
            kind,
            reason: reason.to_owned(),
            pod: Some(PodRef::new("default", "blog")),
            container: container.map(ToOwned::to_owned),
            message: message.to_owned(),
        });
    }
    bed
}

#[test]
fn pods_are_listed_in_every_form() {
    let bed = rich_bed();
    insta::assert_snapshot!("table", bed.crilet("get").run());
    insta::assert_snapshot!("wide", bed.crilet("get pods -o wide").run());
    insta::assert_snapshot!("name", bed.crilet("get -o name blog default/db").run());
    let list: serde_json::Value = serde_json::from_str(&bed.prepare("get -o json").stdout).unwrap();
    assert_eq!(list["items"][0]["name"], "blog");
    let one: serde_json::Value =
        serde_json::from_str(&bed.prepare("get blog -o json").stdout).unwrap();
    assert_eq!(one, list["items"][0], "one that is named is no list");
    let yaml = bed.prepare("get blog -o yaml").stdout;
    let read = crilet_core::yaml::parse(yaml.as_bytes()).unwrap().documents.remove(0);
    assert!(yaml.starts_with("namespace: default\nname: blog\n"), "{yaml}");
    assert!(read.get("containers").is_some(), "{yaml}");
    insta::assert_snapshot!("unknown", bed.crilet("get wbe").run());
    insta::assert_snapshot!("unlike_any", bed.crilet("get something-else").run());
}

#[test]
fn a_pod_is_found_by_the_beginning_of_its_sandboxes_id_and_names_may_be_ambiguous() {
    let bed = DaemonBed::new();
    bed.node.put(FakeNode::pod_named("blue", "web"));
    assert_eq!(bed.prepare("get -o name 5555").stdout, "blue/web\n");
    bed.node.put(FakeNode::pod_named("green", "web"));
    insta::assert_snapshot!(bed.crilet("get web").run());
}

#[test]
fn nothing_is_said_as_such() {
    insta::assert_snapshot!(DaemonBed::new().crilet("get").run());
}

#[test]
fn a_manifest_that_no_pod_could_be_made_of_is_told_beside_the_pods() {
    let bed = DaemonBed::with_pods();
    let finding = Finding {
        file: Some("/etc/crilet/pods/new.yaml".to_owned()),
        line: Some(4),
        column: Some(7),
        path: "spec.containers[0].imag".to_owned(),
        message: "unknown field".to_owned(),
        hint: Some("did you mean `image`?".to_owned()),
        ..Finding::default()
    };
    let problem = |message: &str, findings| Problem {
        message: message.to_owned(),
        findings,
        ..Problem::default()
    };
    bed.node.describe(|node| {
        node.problems = vec![
            problem("the manifest cannot be used: …", vec![finding]),
            problem("pod `default/new` wants 80/tcp, but pod `default/web` has 80/tcp", Vec::new()),
        ];
    });
    insta::assert_snapshot!("problems", bed.crilet("get").run());
    for quiet in ["get web", "get -o json", "get -o name"] {
        assert_eq!(bed.prepare(quiet).stderr, "", "{quiet}");
    }
}

#[test]
fn everything_about_a_pod_is_described() {
    let bed = rich_bed();
    insta::assert_snapshot!("described", bed.crilet("describe blog").run());
    insta::assert_snapshot!("described_plain", bed.crilet("describe web").run());
}

#[test]
fn events_are_listed() {
    let bed = rich_bed();
    insta::assert_snapshot!("events", bed.crilet("events").run());
    let lines = bed.prepare("events blog -o json").stdout;
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["count"], &last["type"]), (&2.into(), &"Warning".into()));
    insta::assert_snapshot!("no_events", bed.crilet("events web").run());
    let gone = bed.crilet("events default/gone").run();
    assert_eq!(gone.code(), Some(0), "a pod that is gone may have events: {gone}");
}

#[test]
fn changes_are_followed_over_a_restart_of_the_daemon() {
    let mut bed = DaemonBed::with_pods();
    let mut running = bed.crilet("get -w").start();
    running.read_stdout_until("default/web  Running");
    bed.node.edit(&web(), |pod| pod.phase = Phase::Failed);
    running.read_stdout_until("default/web  Failed");
    bed.served = None;
    running.read_stderr_until("waiting for it to come back\n");
    bed.node.remove(&PodRef::new("default", "db"));
    bed.serve();
    running.read_stdout_until("default/db   Deleted");
    bed.node.put(FakeNode::pod_named("other", "new"));
    running.read_stdout_until("other/new    Running");
    running.kill();
}

#[test]
fn a_watch_ends_when_nobody_reads_it() {
    let bed = DaemonBed::with_pods();
    let outcome = bed.crilet("get -w").run_into(crate::bed::closed_pipe());
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn events_are_followed_over_a_restart_of_the_daemon() {
    let mut bed = DaemonBed::new();
    let record = |bed: &DaemonBed, reason: &str| {
        bed.node.events().record(NewEvent {
            reason: reason.to_owned(),
            pod: Some(web()),
            message: "it happened".to_owned(),
            ..NewEvent::default()
        });
    };
    record(&bed, "Pulled");
    let mut running = bed.crilet("events -w").start();
    running.read_stdout_until("Pulled");
    bed.served = None;
    running.read_stderr_until("waiting for it to come back\n");
    record(&bed, "Meanwhile");
    bed.serve();
    running.read_stdout_until("Meanwhile");
    record(&bed, "Started");
    running.read_stdout_until("Started");
    running.kill();
}
