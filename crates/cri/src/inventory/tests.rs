use std::path::Path;

use super::*;

fn verbose(info: &str) -> v1::PodSandboxStatusResponse {
    v1::PodSandboxStatusResponse {
        status: Some(v1::PodSandboxStatus {
            network: Some(v1::PodSandboxNetworkStatus {
                ip: "10.88.0.7".into(),
                additional_ips: vec![v1::PodIp { ip: "fd00::7".into() }],
            }),
            ..Default::default()
        }),
        info: [("info".to_owned(), info.to_owned())].into(),
        ..Default::default()
    }
}

/// The shape of containerd 1.6, cut to what matters; absent and null fields as Go prints them.
const CONTAINERD: &str = r#"{"pid":4242,"processStatus":"running","netNamespaceClosed":false,
"image":"registry.k8s.io/pause:3.6","runtimeType":"io.containerd.runc.v2",
"config":{"metadata":{"name":"blog-sandbox","uid":"u","namespace":"default","attempt":3},
 "hostname":"blog-sandbox","log_directory":"/root/blog/log",
 "port_mappings":[{"container_port":53,"protocol":1,"host_port":5353,"host_ip":"127.0.0.1"},
                  {"container_port":80,"host_port":80},{"container_port":81}],
 "linux":{"cgroup_parent":"/pods/a"}},
"runtimeSpec":{"annotations":null,"linux":{"namespaces":[{"type":"pid"},
 {"type":"network","path":"/var/run/netns/cni-1"}]}},"cniResult":{"Interfaces":{}}}"#;

/// The shape of CRI-O.
const CRIO: &str = r#"{"image":"registry.k8s.io/pause:3.9","pid":77,"runtimeSpec":{
"annotations":{"io.kubernetes.cri-o.HostName":"web",
 "io.kubernetes.cri-o.LogPath":"/var/log/pods/default_web_u/abc.log",
 "io.kubernetes.cri-o.CgroupParent":"kubepods.slice",
 "io.kubernetes.cri-o.PortMappings":"[{\"HostPort\":8080,\"ContainerPort\":80,\"Protocol\":\"TCP\",\"HostIP\":\"\"}]"},
"linux":{"namespaces":[{"type":"network","path":"/var/run/netns/x"}]}}}"#;

#[test]
fn containerd_tells_ports_logs_namespace_and_pid() {
    let details = pod_details(verbose(CONTAINERD));
    let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["80->80/tcp", "127.0.0.1:5353->53/udp"]);
    assert_eq!(details.pid, Some(4242));
    assert_eq!(details.log_directory.as_deref(), Some(Path::new("/root/blog/log")));
    assert_eq!(details.network_namespace.as_deref(), Some(Path::new("/var/run/netns/cni-1")));
    assert_eq!(details.hostname.as_deref(), Some("blog-sandbox"));
    assert_eq!(details.cgroup_parent.as_deref(), Some("/pods/a"));
    let ips: Vec<_> = details.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.88.0.7", "fd00::7"]);
}

#[test]
fn containerds_container_tells_the_log_directory_of_its_pod() {
    let details = |log_path: &str, below: &str| {
        let info =
            format!(r#"{{"pid":1,"config":{{"metadata":{{"name":"a"}},"log_path":{below:?}}}}}"#);
        to_container_details(v1::ContainerStatusResponse {
            status: Some(v1::ContainerStatus { log_path: log_path.into(), ..Default::default() }),
            info: [("info".to_owned(), info)].into(),
        })
    };
    for (log_path, below, directory) in [
        ("/pods/web/app/0.log", "app/0.log", Some("/pods/web")),
        ("/pods/web/app/0.log", "./app//0.log", Some("/pods/web")),
        ("/pods/web/0.log", "0.log", Some("/pods/web")),
        ("/pods/0.log", "x/../../0.log", None),
        ("/pods/web/0.log", "1.log", None),
        ("/pods/web/0.log", "", None),
    ] {
        let found = details(log_path, below).log_directory;
        assert_eq!(found.as_deref(), directory.map(Path::new), "{log_path} {below}");
    }
}

#[test]
fn crio_tells_the_same_through_annotations() {
    let details = pod_details(verbose(CRIO));
    assert_eq!(details.ports[0].to_string(), "8080->80/tcp");
    assert_eq!(details.pid, Some(77));
    assert_eq!(details.log_directory.as_deref(), Some(Path::new("/var/log/pods/default_web_u")));
    assert_eq!(details.hostname.as_deref(), Some("web"));
    assert_eq!(details.cgroup_parent.as_deref(), Some("kubepods.slice"));
}

#[test]
fn what_cannot_be_read_is_missing_not_fatal() {
    for info in ["", "not json", "[]", r#"{"pid":-1}"#, r#"{"config":null,"runtimeSpec":null}"#] {
        let details = pod_details(verbose(info));
        assert_eq!((details.pid, details.ports.len(), details.ips.len()), (None, 0, 2), "{info}");
    }
}

#[test]
fn containers_join_their_sandbox_in_order() {
    let sandbox =
        |id: &str, created_at| v1::PodSandbox { id: id.into(), created_at, ..Default::default() };
    let container = |id: &str, pod: &str, created_at| v1::Container {
        id: id.into(),
        pod_sandbox_id: pod.into(),
        created_at,
        ..Default::default()
    };
    let pods = join(
        vec![sandbox("old", 1), sandbox("new", 9)],
        vec![container("b", "new", 12), container("a", "new", 11), container("x", "gone", 3)],
    );
    let shape: Vec<(&str, Vec<&str>)> = pods
        .iter()
        .map(|pod| (pod.id.as_str(), pod.containers.iter().map(|c| c.id.as_str()).collect()))
        .collect();
    assert_eq!(shape, [("new", vec!["a", "b"]), ("old", vec![])]);
}
