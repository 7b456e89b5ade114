use std::{path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{ApiVersion, Client, Code, CriError, inventory, v1};

/// A fake and a client of it.
struct Bed {
    fake: FakeHandle,
    client: Client,
    _directory: TempDir,
}

async fn bed(builder: Builder) -> Bed {
    let directory = tempfile::tempdir().unwrap();
    let fake = builder.start(&directory.path().join("fake.sock")).unwrap();
    let client = Client::connect(fake.endpoint()).await.unwrap();
    Bed { fake, client, _directory: directory }
}

fn pod(name: &str) -> v1::PodSandboxConfig {
    let metadata = v1::PodSandboxMetadata {
        name: name.to_owned(),
        uid: "uid".to_owned(),
        namespace: "default".to_owned(),
        attempt: 3,
    };
    let port = v1::PortMapping { container_port: 80, host_port: 8080, ..Default::default() };
    v1::PodSandboxConfig {
        metadata: Some(metadata),
        hostname: name.to_owned(),
        log_directory: "/var/log/blog".to_owned(),
        port_mappings: vec![port],
        labels: [("app".to_owned(), name.to_owned())].into(),
        ..Default::default()
    }
}

fn container(name: &str) -> v1::ContainerConfig {
    let env = v1::KeyValue { key: "A".to_owned(), value: b"b c".to_vec() };
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(image("busybox")),
        envs: vec![env],
        log_path: format!("{name}.log"),
        ..Default::default()
    }
}

fn image(name: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: name.to_owned(), ..Default::default() }
}

impl Bed {
    async fn run(&self, name: &str) -> String {
        self.client.run_pod_sandbox(pod(name), "").await.unwrap()
    }

    async fn create(&self, sandbox: &str, name: &str) -> Result<String, CriError> {
        self.client.create_container(sandbox, container(name), pod("web")).await
    }

    async fn start(&self, sandbox: &str, name: &str) -> String {
        let id = self.create(sandbox, name).await.unwrap();
        self.client.start_container(&id).await.unwrap();
        id
    }

    async fn state(&self, id: &str) -> v1::ContainerState {
        self.client.container_status(id, false).await.unwrap().status.unwrap().state()
    }
}

fn text(error: &CriError) -> String {
    match error {
        CriError::Call { code, message, .. } => format!("{code}: {message}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_lives_and_dies() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let sandbox = bed.run("web").await;
    assert_eq!(sandbox.len(), 64);
    let id = bed.create(&sandbox, "one").await.unwrap();
    assert_eq!(bed.state(&id).await, v1::ContainerState::ContainerCreated);
    bed.client.start_container(&id).await.unwrap();
    assert_eq!(bed.state(&id).await, v1::ContainerState::ContainerRunning);
    let again = bed.client.start_container(&id).await.unwrap_err();
    assert_eq!(
        text(&again),
        format!(
            "Unknown: failed to set starting state for container \"{id}\": container is in \
             CONTAINER_RUNNING state"
        )
    );
    bed.client.stop_container(&id, Duration::from_secs(10)).await.unwrap();
    let status =
        bed.client.container_status(id.get(..8).unwrap(), false).await.unwrap().status.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (143, "Error"));
    assert_eq!(status.log_path, "/var/log/blog/one.log");
    assert!(status.created_at < status.started_at && status.started_at < status.finished_at);

    let other = bed.start(&sandbox, "two").await;
    bed.client.stop_pod_sandbox(&sandbox).await.unwrap();
    assert_eq!(bed.state(&other).await, v1::ContainerState::ContainerExited);
    let status = bed.client.pod_sandbox_status(&sandbox, false).await.unwrap().status.unwrap();
    assert_eq!(status.state(), v1::PodSandboxState::SandboxNotready);
    assert_eq!(status.network.unwrap().ip, "");
    bed.client.remove_pod_sandbox(&sandbox).await.unwrap();
    assert_eq!(bed.fake.counts(), (0, 0));
    bed.client.remove_pod_sandbox(&sandbox).await.unwrap();
    bed.client.remove_container(&other).await.unwrap();
}

#[tokio::test]
async fn errors_of_containerd() {
    let bed = bed(Fake::builder()).await;
    let sandbox = bed.run("web").await;
    let taken = bed.client.run_pod_sandbox(pod("web"), "").await.unwrap_err();
    assert_eq!(
        text(&taken),
        format!(
            "Unknown: failed to reserve sandbox name \"web_default_uid_3\": name \
             \"web_default_uid_3\" is reserved for \"{sandbox}\""
        )
    );
    assert_eq!(taken.name_holder(), Some(sandbox.as_str()));
    let missing = bed.create(&sandbox, "one").await.unwrap_err();
    assert_eq!(text(&missing), "NotFound: failed to resolve image \"busybox\": not found");
    let missing = bed.client.pod_sandbox_status("abc", true).await.unwrap_err();
    assert_eq!(text(&missing), "NotFound: an error occurred when try to find sandbox: not found");
    assert!(bed.client.stop_pod_sandbox("abc").await.unwrap_err().is_not_found());
    assert!(bed.client.stop_container("abc", Duration::ZERO).await.unwrap_err().is_not_found());
    assert!(bed.client.container_status("abc", true).await.unwrap_err().is_not_found());
    let handler = bed.client.run_pod_sandbox(pod("kata"), "kata").await.unwrap_err();
    assert!(text(&handler).contains("no runtime for \"kata\" is configured"));
    let mut nameless = pod("web");
    nameless.metadata = None;
    let nameless = bed.client.run_pod_sandbox(nameless, "").await.unwrap_err();
    assert_eq!(text(&nameless), "Unknown: sandbox config must include metadata");
}

#[tokio::test]
async fn habits_of_crio() {
    let bed = bed(Fake::builder().crio().image("busybox")).await;
    assert_eq!(bed.client.version().await.unwrap().runtime_name, "cri-o");
    let sandbox = bed.run("web").await;
    assert_eq!(bed.run("web").await, sandbox, "the one that has the name");
    assert_eq!(bed.create(&sandbox, "a").await.unwrap(), bed.create(&sandbox, "a").await.unwrap());
    bed.client.stop_pod_sandbox("nowhere").await.unwrap();
    bed.client.stop_container("nowhere", Duration::ZERO).await.unwrap();
    assert!(bed.client.pod_sandbox_status("abc", true).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn both_tell_the_inventory_the_same() {
    let mut seen = Vec::new();
    for builder in [Fake::builder(), Fake::builder().crio()] {
        let bed = bed(builder.image("busybox")).await;
        let sandbox = bed.run("web").await;
        let container = bed.start(&sandbox, "one").await;
        let pod = inventory::read_pod(&bed.client, &sandbox, inventory::Detail::Full).await;
        let details = pod.unwrap().unwrap().details.unwrap();
        assert_eq!(details.ports[0].to_string(), "8080->80/tcp");
        assert_eq!(details.log_directory, Some(PathBuf::from("/var/log/blog")));
        let status = bed.client.container_status(&container, true).await.unwrap();
        let info: serde_json::Value = serde_json::from_str(&status.info["info"]).unwrap();
        assert_eq!(info["sandboxID"], sandbox.as_str());
        assert!(info["pid"].as_u64() > Some(4_194_304), "{info}");
        if let Some(config) = info.get("config") {
            assert_eq!(config["envs"][0]["value"], "b c");
        }
        seen.push((details.network_namespace, details.hostname, details.ips, details.pid));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_second_look_asks_only_for_what_may_have_changed() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let sandbox = bed.run("web").await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let config = v1::ContainerConfig {
            labels: [("app".into(), "web".into())].into(),
            ..container(name)
        };
        let id = bed.client.create_container(&sandbox, config, pod("web")).await.unwrap();
        bed.client.start_container(&id).await.unwrap();
        ids.push(id);
    }
    let again = async |known: &[inventory::Pod]| {
        bed.fake.clear_calls();
        let found = inventory::read_labelled_again(&bed.client, ("app", "web"), known).await;
        let mut statuses = bed.fake.call_lines();
        statuses.retain(|line| line.contains("Status"));
        (found.unwrap(), statuses.len())
    };
    let (first, statuses) = again(&[]).await;
    assert_eq!(statuses, 3, "one sandbox, two containers");
    let (second, statuses) = again(&first).await;
    assert_eq!((statuses, &second), (0, &first));

    bed.fake.exit_container(&ids[0], 7);
    let (third, statuses) = again(&second).await;
    assert_eq!(statuses, 1, "the one that has ended");
    let code = |pods: &[inventory::Pod]| pods[0].containers[0].details.clone().unwrap().exit_code;
    assert_eq!((code(&second), code(&third)), (None, Some(7)));
    assert_eq!(again(&third).await, (third, 0));

    bed.client.stop_pod_sandbox(&sandbox).await.unwrap();
    let (stopped, statuses) = again(&second).await;
    assert_eq!(statuses, 3, "nothing is as it was");
    assert_eq!(stopped[0].details.clone().unwrap().pid, None);
    assert_eq!(again(&stopped).await.1, 1, "a sandbox that is not ready loses its network yet");
}

#[tokio::test]
async fn lists_are_filtered() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let (web, db) = (bed.run("web").await, bed.run("db").await);
    let one = bed.start(&web, "one").await;
    bed.start(&db, "two").await;
    bed.client.stop_pod_sandbox(&db).await.unwrap();
    let state = v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() };
    let ready = v1::PodSandboxFilter { state: Some(state), ..Default::default() };
    let labelled = v1::PodSandboxFilter {
        label_selector: [("app".to_owned(), "web".to_owned())].into(),
        ..Default::default()
    };
    for filter in [ready, labelled] {
        let found = bed.client.list_pod_sandboxes(Some(filter)).await.unwrap();
        assert_eq!(found.iter().map(|pod| pod.id.as_str()).collect::<Vec<_>>(), [web.as_str()]);
    }
    let filter = v1::ContainerFilter { pod_sandbox_id: web, ..Default::default() };
    let found = bed.client.list_containers(Some(filter)).await.unwrap();
    assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), [one.as_str()]);
    assert_eq!(bed.client.list_containers(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn images_are_pulled_with_credentials() {
    let builder = Fake::builder().image("local:1").registry_image("busybox").private_image(
        "127.0.0.1:5000/app:2",
        "me",
        "secret",
    );
    let bed = bed(builder).await;
    let pull = async |name: &str, auth| bed.client.pull_image(image(name), auth, None).await;
    let reference = pull("busybox", None).await.unwrap();
    let status = bed.client.image_status(&reference, false).await.unwrap().image.unwrap();
    assert_eq!(status.repo_tags, ["docker.io/library/busybox:latest"]);
    assert!(bed.client.image_status("nothing", false).await.unwrap().image.is_none());

    let auth = |password: &str| {
        let (username, password) = ("me".to_owned(), password.to_owned());
        Some(v1::AuthConfig { username, password, ..Default::default() })
    };
    let refused = pull("127.0.0.1:5000/app:2", auth("wrong")).await.unwrap_err();
    assert_eq!(
        text(&refused),
        "Unknown: failed to pull and unpack image \"127.0.0.1:5000/app:2\": failed to resolve \
         reference \"127.0.0.1:5000/app:2\": unexpected status code [manifests 2]: 401 Unauthorized"
    );
    assert!(refused.hint().unwrap().contains("--creds"));
    assert!(pull("127.0.0.1:5000/app:2", None).await.is_err());
    pull("127.0.0.1:5000/app:2", auth("secret")).await.unwrap();
    let encoded = v1::AuthConfig { auth: "bWU6c2VjcmV0".to_owned(), ..Default::default() };
    pull("127.0.0.1:5000/app:2", Some(encoded)).await.unwrap();
    let missing = pull("nowhere", None).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");

    assert_eq!(bed.client.list_images(None).await.unwrap().len(), 3);
    bed.client.remove_image("local:1").await.unwrap();
    bed.client.remove_image("local:1").await.unwrap();
    assert_eq!(bed.client.list_images(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn either_version_of_the_cri_alone() {
    for (version, other) in
        [(ApiVersion::V1, ApiVersion::V1Alpha2), (ApiVersion::V1Alpha2, ApiVersion::V1)]
    {
        let bed = bed(Fake::builder().only(version)).await;
        let client = bed.client.clone().with_api_version(other);
        client.run_pod_sandbox(pod("web"), "").await.unwrap();
        assert_eq!(client.api_version(), version);
        assert_eq!(bed.fake.call_lines(), ["RunPodSandbox web"], "the refusal is no call");
        assert_eq!(bed.fake.calls()[0].version, version);
    }
}

#[tokio::test]
async fn faults_happen_when_they_are_due() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let sandbox = bed.run("web").await;
    let full = || Fault::fail(Code::ResourceExhausted, "no space left");
    bed.fake.fault("CreateContainer", full().after(1));
    let first = bed.create(&sandbox, "one").await.unwrap();
    let failed = bed.create(&sandbox, "two").await.unwrap_err();
    assert_eq!(text(&failed), "ResourceExhausted: no space left");
    bed.create(&sandbox, "two").await.unwrap();

    bed.fake.fault("CreateContainer", full().on("four").times(2));
    bed.create(&sandbox, "three").await.unwrap();
    bed.create(&sandbox, "four").await.unwrap_err();
    bed.create(&sandbox, "four").await.unwrap_err();
    bed.create(&sandbox, "four").await.unwrap();

    bed.fake.fault("StartContainer", full().always());
    for _ in 0..3 {
        bed.client.start_container(&first).await.unwrap_err();
    }
    bed.fake.heal();
    bed.client.start_container(&first).await.unwrap();
    let failed = bed.fake.calls().into_iter().filter(|call| call.method == "StartContainer");
    let outcomes: Vec<_> = failed.map(|call| call.outcome).collect();
    assert_eq!(outcomes[2], Outcome::Failed(Code::ResourceExhausted));
    assert!(matches!(outcomes[3], Outcome::Answered(_)));

    bed.fake.clear_calls();
    let (fault, gate) = Fault::hold();
    bed.fake.fault("Version", fault);
    let others = async {
        bed.client.status(false).await.unwrap();
        drop(gate);
    };
    let (version, ()) = tokio::join!(bed.client.version(), others);
    version.unwrap();
    let calls = bed.fake.calls();
    let answered = |method: &str| match calls.iter().find(|call| call.method == method) {
        Some(CallRecord { outcome: Outcome::Answered(at), .. }) => *at,
        other => panic!("no answer: {other:?}"),
    };
    assert!(answered("Version") > answered("Status"), "{calls:?}");
}

#[tokio::test]
async fn a_call_given_up_is_cancelled() {
    let bed = bed(Fake::builder()).await;
    bed.fake.fault("RunPodSandbox", Fault::hang());
    {
        let call = bed.client.run_pod_sandbox(pod("web"), "");
        let asked = async {
            while bed.fake.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // The call is dropped once it is known to have come.
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            () = asked => {}
        }
    }
    let ended = async {
        loop {
            match bed.fake.calls()[0].outcome {
                Outcome::Pending => tokio::time::sleep(Duration::from_millis(1)).await,
                outcome => return outcome,
            }
        }
    };
    let last = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    assert_eq!(last, Outcome::Cancelled);
    assert_eq!(bed.fake.counts(), (0, 0));
    bed.run("web").await;
}

#[tokio::test]
async fn connections_are_lost_before_or_after() {
    let bed = bed(Fake::builder()).await;
    bed.fake.fault("RunPodSandbox", Fault::drop_connection());
    bed.client.run_pod_sandbox(pod("web"), "").await.unwrap_err();
    assert_eq!(bed.fake.counts(), (0, 0));
    bed.fake.fault("RunPodSandbox", Fault::lose_answer());
    bed.client.run_pod_sandbox(pod("web"), "").await.unwrap_err();
    assert_eq!(bed.fake.counts(), (1, 0), "it was done");
    // The client connects anew by itself.
    assert_eq!(bed.client.list_pod_sandboxes(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_only_asks_survives_a_restart_of_the_runtime() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let (client, fake) = (&bed.client, &bed.fake);
    let sandbox = bed.run("web").await;
    let id = bed.start(&sandbox, "one").await;
    for round in 0..20 {
        fake.drop_connections();
        match round % 9 {
            0 => client.version().await.map(drop),
            1 => client.status(false).await.map(drop),
            2 => client.list_pod_sandboxes(None).await.map(drop),
            3 => client.pod_sandbox_status(&sandbox, false).await.map(drop),
            4 => client.list_containers(None).await.map(drop),
            5 => client.container_status(&id, false).await.map(drop),
            6 => client.list_images(None).await.map(drop),
            7 => client.image_status("busybox", false).await.map(drop),
            _ => client.image_fs_info().await.map(drop),
        }
        .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
    }
}

#[tokio::test]
async fn a_question_is_repeated_once_and_no_more() {
    let bed = bed(Fake::builder()).await;
    bed.fake.fault("Version", Fault::drop_connection());
    bed.client.version().await.unwrap();
    assert_eq!(bed.fake.call_lines(), ["Version", "Version"]);
    bed.fake.clear_calls();
    bed.fake.fault("Version", Fault::drop_connection().always());
    let error = bed.client.version().await.unwrap_err();
    assert!(matches!(error, CriError::Lost { method: "Version", .. }), "{error:?}");
    assert!(error.is_unreachable() && error.hint().is_some(), "{error:?}");
    assert_eq!(bed.fake.call_lines(), ["Version", "Version"]);
}

#[tokio::test]
async fn what_changes_something_is_never_repeated() {
    let methods = [
        "RunPodSandbox",
        "CreateContainer",
        "StartContainer",
        "StopContainer",
        "RemoveContainer",
        "StopPodSandbox",
        "RemovePodSandbox",
        "PullImage",
        "RemoveImage",
        "ReopenContainerLog",
        "ExecSync",
    ];
    let bed = bed(Fake::builder()).await;
    let client = &bed.client;
    for method in methods {
        bed.fake.clear_calls();
        bed.fake.fault(method, Fault::drop_connection());
        let result = match method {
            "RunPodSandbox" => client.run_pod_sandbox(pod("web"), "").await.map(drop),
            "CreateContainer" => bed.create("x", "one").await.map(drop),
            "StartContainer" => client.start_container("x").await,
            "StopContainer" => client.stop_container("x", Duration::ZERO).await,
            "RemoveContainer" => client.remove_container("x").await,
            "StopPodSandbox" => client.stop_pod_sandbox("x").await,
            "RemovePodSandbox" => client.remove_pod_sandbox("x").await,
            "PullImage" => client.pull_image(image("x"), None, None).await.map(drop),
            "RemoveImage" => client.remove_image("x").await,
            "ReopenContainerLog" => client.reopen_container_log("x").await,
            _ => client.exec_sync("x", Vec::new(), Duration::ZERO).await.map(drop),
        };
        let error = result.unwrap_err();
        assert!(matches!(error, CriError::Lost { .. }), "{method}: {error:?}");
        let calls = bed.fake.call_lines();
        assert_eq!(calls.iter().filter(|line| line.starts_with(method)).count(), 1, "{calls:?}");
        // A question brings the connection back for the next round.
        client.version().await.unwrap();
    }
}

#[tokio::test]
async fn a_runtime_that_does_not_come_back_is_told_as_such() {
    let bed = bed(Fake::builder()).await;
    let Bed { fake, client, _directory } = bed;
    drop(fake);
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, CriError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn calls_tell_what_was_asked() {
    let bed = bed(Fake::builder().image("busybox")).await;
    let sandbox = bed.run("web").await;
    let id = bed.start(&sandbox, "one").await;
    let expected = [
        "RunPodSandbox web".to_owned(),
        format!("CreateContainer {sandbox} one"),
        format!("StartContainer {id}"),
    ];
    assert_eq!(bed.fake.call_lines(), expected);
    let calls = bed.fake.calls();
    assert!(calls.is_sorted_by_key(|call| call.began));
    let request: v1::CreateContainerRequest = calls[1].request().unwrap();
    assert_eq!(request.config.unwrap().envs[0].value, b"b c");
}

#[tokio::test]
async fn methods_that_containerd_1_6_lacks() {
    let path = |fake: &FakeHandle| fake.endpoint().path().to_owned();
    let plain = bed(Fake::builder()).await;
    let error = raw(&path(&plain.fake), "RuntimeConfig").await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unimplemented);
    assert_eq!(
        error.message(),
        "unknown method RuntimeConfig for service runtime.v1.RuntimeService"
    );
    let newer = bed(Fake::builder().with_method("RuntimeConfig")).await;
    raw(&path(&newer.fake), "RuntimeConfig").await.unwrap();
}

#[tokio::test]
async fn events_are_streamed() {
    let bed = bed(Fake::builder().image("busybox").with_method("GetContainerEvents")).await;
    let mut grpc = tonic::client::Grpc::new(channel(bed.fake.endpoint().path()).await);
    grpc.ready().await.unwrap();
    let path = "/runtime.v1.RuntimeService/GetContainerEvents".parse().unwrap();
    let codec =
        tonic_prost::ProstCodec::<v1::GetEventsRequest, v1::ContainerEventResponse>::default();
    let request = tonic::Request::new(v1::GetEventsRequest {});
    let mut events = grpc.server_streaming(request, path, codec).await.unwrap().into_inner();
    let sandbox = bed.run("web").await;
    let id = bed.start(&sandbox, "one").await;
    assert!(bed.fake.exit_container("one", 3));
    assert!(!bed.fake.exit_container("one", 3), "it has ended already");
    let mut seen = Vec::new();
    for _ in 0..5 {
        let event = events.message().await.unwrap().unwrap();
        let exit = event.containers_statuses.first().map(|status| status.exit_code);
        seen.push((event.container_id.clone(), event.container_event_type(), exit));
    }
    use v1::ContainerEventType::{
        ContainerCreatedEvent as Created, ContainerStartedEvent as Started,
        ContainerStoppedEvent as Stopped,
    };
    assert_eq!(
        seen,
        [
            (sandbox.clone(), Created, None),
            (sandbox, Started, None),
            (id.clone(), Created, Some(0)),
            (id.clone(), Started, Some(0)),
            (id, Stopped, Some(3)),
        ]
    );
}

#[test]
fn dropping_the_handle_removes_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("fake.sock");
    for _ in 0..2 {
        let fake = Fake::builder().start(&socket).unwrap();
        assert!(socket.exists());
        drop(fake);
        assert!(!socket.exists());
    }
}

async fn channel(path: &std::path::Path) -> tonic::transport::Channel {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connect).await.unwrap()
}

/// Calls a method that the client does not have.
async fn raw(
    path: &std::path::Path,
    method: &str,
) -> Result<v1::RuntimeConfigResponse, tonic::Status> {
    let mut grpc = tonic::client::Grpc::new(channel(path).await);
    grpc.ready().await.unwrap();
    let path = format!("/runtime.v1.RuntimeService/{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::default();
    let request = tonic::Request::new(v1::RuntimeConfigRequest {});
    grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
}
