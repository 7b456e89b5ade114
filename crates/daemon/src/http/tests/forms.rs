//! What others read: the kubelet's forms, and metrics.

use std::collections::BTreeMap;

use crilet_api::{
    Check, Condition, ConditionStatus, Container, ContainerKind, ContainerState, ContainerStats,
    Health, InterfaceStats, Phase, Pod, PodStats, Port, Protocol, Resources, Stats, Terminated,
    Usage,
};
use jiff::Timestamp;

use super::bed::Bed;
use crate::fake::FakeNode;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn pod() -> Pod {
    let failed = Terminated {
        exit_code: 137,
        reason: "OOMKilled".to_owned(),
        message: None,
        started_at: Some(time(10)),
        finished_at: Some(time(20)),
        container_id: Some("c0".to_owned()),
    };
    let main = Container {
        name: "main".to_owned(),
        image: "app:1".to_owned(),
        image_id: Some("sha256:1".to_owned()),
        id: Some("c1".to_owned()),
        state: ContainerState::Running { started_at: time(30) },
        last_termination: Some(failed),
        restarts: 1,
        started: true,
        ready: true,
        resources: Resources {
            cpu_request_millis: Some(250),
            cpu_limit_millis: Some(2000),
            memory_request_bytes: None,
            memory_limit_bytes: Some(1 << 28),
        },
        ..Container::default()
    };
    let waiting = ContainerState::Waiting {
        reason: "CrashLoopBackOff".to_owned(),
        message: Some("back-off 40s".to_owned()),
    };
    let init = Container {
        name: "setup".to_owned(),
        kind: ContainerKind::Init,
        image: "tool".to_owned(),
        state: ContainerState::Terminated(Terminated::default()),
        ..Container::default()
    };
    let other = Container { name: "side".to_owned(), state: waiting, ..Container::default() };
    Pod {
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        created_at: time(0),
        started_at: Some(time(5)),
        phase: Phase::Running,
        conditions: vec![Condition {
            kind: "Ready".to_owned(),
            status: ConditionStatus::False,
            since: time(6),
            reason: Some("ContainersNotReady".to_owned()),
            message: None,
        }],
        ips: vec!["10.1.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
        ports: vec![Port {
            container: Some("main".to_owned()),
            name: Some("http".to_owned()),
            container_port: 80,
            host_port: Some(8080),
            host_ip: None,
            protocol: Protocol::Tcp,
        }],
        containers: vec![init, main, other],
        ..FakeNode::pod_named("default", "web")
    }
}

fn usage(factor: u64) -> Usage {
    Usage {
        time: time(100),
        cpu_nanoseconds: Some(factor * 1_500_000_000),
        cpu_nanocores: Some(factor * 1_000_000),
        memory_bytes: Some(factor * 4096),
        memory_working_set_bytes: Some(factor * 2048),
        memory_rss_bytes: Some(factor * 1024),
        page_faults: Some(factor),
        major_page_faults: Some(0),
        processes: Some(factor),
        ..Usage::default()
    }
}

fn stats() -> Stats {
    let interface = InterfaceStats {
        name: "eth0".to_owned(),
        received_bytes: 10,
        receive_errors: 0,
        sent_bytes: 20,
        send_errors: 1,
    };
    let layer = Usage { writable_layer_bytes: Some(8192), ..usage(1) };
    let main = ContainerStats { name: "ma\"in".to_owned(), started_at: time(30), usage: layer };
    let bare = ContainerStats {
        name: "side".to_owned(),
        started_at: time(31),
        usage: Usage { time: time(100), ..Usage::default() },
    };
    let pod = PodStats {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "uid-of-web".to_owned(),
        usage: Usage { interfaces: vec![interface], ..usage(2) },
        containers: vec![main, bare],
    };
    Stats { node: usage(100), pods: vec![pod] }
}

fn pretty(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    format!("{value:#}")
}

#[tokio::test]
async fn the_kubelets_endpoints_have_its_forms() {
    let bed = Bed::start();
    bed.node.describe(|info| {
        info.started_at = time(-5);
        info.runtime.name = "containerd".to_owned();
    });
    bed.node.put(pod());
    let pods = bed.raw("GET /pods", "").await;
    insta::assert_snapshot!("pods", pretty(&pods.body));
    let missing = bed.raw("GET /stats/summary", "").await;
    assert_eq!(missing.status, 502, "{missing:?}");
    let missing = bed.raw("GET /metrics/resource", "").await;
    assert_eq!(missing.status, 200);
    insta::assert_snapshot!("resource_metrics_without_stats", missing.body);
    bed.node.measure(stats());
    let summary = bed.raw("GET /stats/summary", "").await;
    insta::assert_snapshot!("summary", pretty(&summary.body));
    let metrics = bed.raw("GET /metrics/resource", "").await;
    insta::assert_snapshot!("resource_metrics", metrics.body);
}

#[tokio::test]
async fn health_is_ok_or_says_what_is_wrong() {
    let bed = Bed::start();
    for path in ["GET /healthz", "GET /readyz"] {
        let answer = bed.raw(path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    let check = |name: &str, ok, message: &str| Check {
        name: name.to_owned(),
        ok,
        message: message.to_owned(),
    };
    let checks = vec![check("sources", true, ""), check("runtime", false, "does not answer")];
    bed.node.describe(|info| info.health = Health { live: true, ready: false, checks });
    assert_eq!(bed.raw("GET /healthz", "").await.status, 200);
    let answer = bed.raw("GET /readyz", "").await;
    let told = "[+]sources\n[-]runtime: does not answer\n";
    assert_eq!((answer.status, answer.body.as_str()), (503, told));
}

#[tokio::test]
async fn metrics_tell_of_pods_requests_and_the_daemon() {
    let bed = Bed::start();
    bed.node.put(pod());
    bed.raw("GET /v1/pods", "").await;
    bed.raw("GET /v1/pods/default/none", "").await;
    let metrics = bed.raw("GET /metrics", "").await;
    assert!(metrics.head.contains("application/openmetrics-text; version=1.0.0"), "{metrics:?}");
    let text = metrics.body;
    for line in [
        "# TYPE crilet_pod_phase gauge",
        "crilet_pod_phase{namespace=\"default\",pod=\"web\",phase=\"Running\"} 1",
        "crilet_pod_ready{namespace=\"default\",pod=\"web\"} 0",
        "crilet_container_restarts_total{namespace=\"default\",pod=\"web\",container=\"main\"} 1",
        "crilet_api_requests_total{operation=\"ListPods\",code=\"200\"} 1",
        "crilet_api_requests_total{operation=\"GetPod\",code=\"404\"} 1",
        "crilet_api_request_duration_seconds_count 2",
        "# TYPE process_cpu_seconds counter",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    let memory = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    assert!(memory.unwrap().parse::<u64>().unwrap() > 1_000_000);
}

#[tokio::test]
async fn the_document_is_served() {
    let bed = Bed::start();
    let answer = bed.raw("GET /v1/openapi.json", "").await;
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert_eq!(answer.body, crilet_api::OPENAPI);
}
