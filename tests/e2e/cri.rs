//! The client against a real containerd, in both versions of the CRI, and a runtime that is not
//! crilet's own.

use std::path::Path;

use crilet_cri::{ApiVersion, Client, Code, CriError, Endpoint, inventory, v1};
use crilet_testkit::{Host, Snapshot, SystemContainerd, wait_until};

use crate::support::{
    assert_contains, busybox, crilet, crilet_ends_with, ends_with, host_with_containerd, write_pod,
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: std::time::Duration = std::time::Duration::from_secs(120);

/// Runs `future` on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn client(containerd: &SystemContainerd, version: ApiVersion) -> Client {
    let endpoint = Endpoint::new(containerd.socket());
    Client::connect(&endpoint).await.unwrap().with_api_version(version)
}

fn sandbox(log_directory: &str) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "raw".to_owned(),
            uid: "raw-uid".to_owned(),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        log_directory: log_directory.to_owned(),
        port_mappings: vec![v1::PortMapping {
            container_port: 80,
            host_port: 8081,
            ..Default::default()
        }],
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..Default::default()
    }
}

fn container() -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".to_owned(), attempt: 0 }),
        image: Some(v1::ImageSpec {
            image: "crilet.test/busybox:1".to_owned(),
            ..Default::default()
        }),
        command: vec!["sh".to_owned(), "-c".to_owned(), "echo hello; exec sleep 1000".to_owned()],
        log_path: "main.log".to_owned(),
        linux: Some(v1::LinuxContainerConfig::default()),
        ..Default::default()
    }
}

/// A pod from its first call to its last one.
async fn live_and_die(host: &Host, client: &Client) {
    let version = client.version().await.unwrap();
    assert_eq!(version.runtime_name, "containerd");
    let config = sandbox("/root/raw");
    let pod = client.run_pod_sandbox(config.clone(), "").await.unwrap();
    let id = client.create_container(&pod, container(), config).await.unwrap();
    client.start_container(&id).await.unwrap();

    let pods = client.list_pod_sandboxes(None).await.unwrap();
    assert_eq!(pods.iter().map(|found| &found.id).collect::<Vec<_>>(), [&pod]);
    let status = client.container_status(&id, true).await.unwrap();
    assert_eq!(status.status.unwrap().state(), v1::ContainerState::ContainerRunning);
    wait_until("a line in the log", BOUND, || {
        let log = host.read("/root/raw/main.log").map_err(|error| format!("{error:#}"))?;
        if log.contains("stdout F hello") { Ok(()) } else { Err(log) }
    })
    .unwrap();

    let images = client.list_images(None).await.unwrap();
    let tags: Vec<_> = images.iter().flat_map(|image| &image.repo_tags).collect();
    assert!(tags.iter().any(|tag| *tag == "crilet.test/busybox:1"), "{tags:?}");

    assert_inventory(host, client, &pod).await;
    client.stop_pod_sandbox(&pod).await.unwrap();
    client.remove_pod_sandbox(&pod).await.unwrap();
    let pods = client.list_pod_sandboxes(None).await.unwrap();
    assert_eq!(pods, []);
}

/// What the runtime tells in its verbose statuses is what the kernel says.
async fn assert_inventory(host: &Host, client: &Client, sandbox: &str) {
    let pods = inventory::read(client, inventory::Detail::Full).await.unwrap();
    let [pod] = pods.as_slice() else { panic!("{pods:#?}") };
    assert_eq!((pod.id.as_str(), pod.state), (sandbox, inventory::PodState::Ready));
    let details = pod.details.as_ref().unwrap();
    assert_eq!(details.log_directory.as_deref(), Some(Path::new("/root/raw")));
    let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["8081->80/tcp"]);

    let [container] = pod.containers.as_slice() else { panic!("{pod:#?}") };
    let inside = container.details.as_ref().unwrap();
    assert_eq!(inside.log_path.as_deref(), Some(Path::new("/root/raw/main.log")));
    let namespace = details.network_namespace.as_ref().unwrap().display();
    let (pause, main) = (details.pid.unwrap(), inside.pid.unwrap());
    let same = format!(
        "stat -L -c %i {namespace} /proc/{pause}/ns/net /proc/{main}/ns/net | uniq | wc -l\n\
         nsenter --net={namespace} ip -o address show eth0"
    );
    let kernel = host.shell(&same).success().unwrap();
    assert!(kernel.starts_with("1\n"), "one network namespace: {kernel}");
    assert!(!details.ips.is_empty());
    for ip in &details.ips {
        assert_contains(&kernel, &format!(" {ip}/"));
    }
}

#[test]
fn a_pod_lives_and_dies_over_v1_and_over_v1alpha2() {
    let (host, containerd) = host_with_containerd();
    block_on(async {
        for version in [ApiVersion::V1, ApiVersion::V1Alpha2] {
            let client = client(&containerd, version).await;
            live_and_die(&host, &client).await;
            assert_eq!(client.api_version(), version);
        }
    });
}

#[test]
fn errors_name_the_method_and_the_object() {
    let (_host, containerd) = host_with_containerd();
    block_on(async {
        let client = client(&containerd, ApiVersion::V1).await;
        let error = client.container_status("nosuch", false).await.unwrap_err();
        assert!(matches!(&error, CriError::Call { code: Code::NotFound, .. }), "{error:?}");
        assert_contains(&error.to_string(), "ContainerStatus");
        assert_contains(&error.to_string(), "nosuch");
    });
}

#[test]
fn the_hosts_own_containerd_is_found_and_used() {
    let (host, _containerd) = host_with_containerd();
    let version = crilet_ends_with(0, &host, &["version"]);
    assert_contains(&version.stdout, SystemContainerd::SOCKET);
    assert_contains(&version.stdout, "containerd");

    let before = host.snapshot().unwrap();
    write_pod(&host, "crilet.test/busybox:1");
    crilet_ends_with(0, &host, &["run", "/root/pod"]);
    let address: serde_json::Value =
        serde_json::from_str(&crilet_ends_with(0, &host, &["ps", "-o", "json"]).stdout).unwrap();
    assert_contains(&address.to_string(), "10.11.");
    crilet_ends_with(0, &host, &["rm", "one"]);
    // containerd's shim ends behind the answer.
    await_nothing_new(&host, &before, |line| line.contains("veth") || line.contains("shim"));
}

#[test]
fn the_embedded_runtime_stands_beside_the_hosts_own() {
    let (host, _containerd) = host_with_containerd();
    let before = host.snapshot().unwrap();
    let up = crilet_ends_with(0, &host, &["runtime", "up"]);
    assert_contains(&up.stderr, "/run/crilet/runtime/containerd.sock");
    let embedded = ["--runtime-endpoint", "unix:///run/crilet/runtime/containerd.sock"];
    let archive = busybox();
    let load = crilet(&host, &embedded).args(["image", "load"]).arg(&archive);
    ends_with(0, load);
    write_pod(&host, "crilet.test/busybox:1");
    ends_with(0, crilet(&host, &embedded).args(["run", "/root/pod"]));

    // Each has its own pods: the host's own containerd knows nothing of this one.
    assert_eq!(crilet_ends_with(0, &host, &["ps", "--all", "--quiet"]).stdout, "");
    ends_with(0, crilet(&host, &embedded).args(["rm", "one"]));
    crilet_ends_with(0, &host, &["runtime", "down"]);
    await_nothing_new(&host, &before, |line| !line.contains(" route "));
}

/// Waits until nothing differs that counts.
fn await_nothing_new(host: &Host, before: &Snapshot, counts: impl Fn(&str) -> bool) {
    wait_until("nothing to be left", BOUND, || {
        let difference = before.difference(&host.snapshot().unwrap());
        let left: Vec<_> = difference.lines().iter().filter(|line| counts(line)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
    })
    .unwrap();
}
