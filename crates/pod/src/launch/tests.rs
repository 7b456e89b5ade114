use std::{path::Path, time::Duration};

use crilet_cri::{
    Code, Endpoint,
    fake::{Builder, Fake, FakeHandle, Fault},
    inventory::ContainerState,
    v1,
};
use tempfile::TempDir;

use super::*;
use crate::{FindError, images::Environment};

/// A fake runtime with a client and a place for pods' files.
struct Bed {
    fake: FakeHandle,
    client: Client,
    directory: TempDir,
}

async fn bed(builder: Builder) -> Bed {
    let directory = tempfile::tempdir().unwrap();
    let fake = builder.start(&directory.path().join("fake.sock")).unwrap();
    let client = Client::connect(fake.endpoint()).await.unwrap();
    Bed { fake, client, directory }
}

async fn blog_bed() -> Bed {
    bed(Fake::builder().image("wordpress:latest").registry_image("mysql:5.7")).await
}

fn spec() -> PodSpec {
    let metadata = v1::PodSandboxMetadata {
        name: "blog".into(),
        namespace: "default".into(),
        uid: "u".into(),
        attempt: 3,
    };
    let port = v1::PortMapping { container_port: 80, host_port: 80, ..Default::default() };
    PodSpec {
        sandbox: v1::PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: "/var/log/blog".into(),
            port_mappings: vec![port],
            ..Default::default()
        },
        containers: vec![container("wordpress", "wordpress:latest"), container("db", "mysql:5.7")],
    }
}

fn container(name: &str, image: &str) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: image.into(), ..Default::default() }),
        ..Default::default()
    }
}

impl Bed {
    fn options(&self) -> LaunchOptions {
        LaunchOptions {
            pull: PullPolicy::Missing,
            credentials: Credentials::Files(Environment::default()),
            replace: false,
            grace: Duration::ZERO,
            handler: String::new(),
            state: StateDir::new(self.directory.path().join("pods")),
        }
    }

    async fn launch(&self, options: &LaunchOptions) -> Result<Launched, LaunchError> {
        launch(&self.client, spec(), options, &NoObserver, &CancellationToken::new()).await
    }

    async fn created(&self) -> Pod {
        match self.launch(&self.options()).await.unwrap() {
            Launched::Created(pod) => pod,
            Launched::Existing(pod, existing) => panic!("{existing:?}: {pod:?}"),
        }
    }

    fn pod_files(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("pods")).map_or(0, Iterator::count)
    }

    /// Neither the runtime nor the disk has anything of a pod.
    fn assert_clean(&self, after: &str) {
        assert_eq!(self.fake.counts(), (0, 0), "after {after}: {:#?}", self.fake.call_lines());
        assert_eq!(self.pod_files(), 0, "files are left after {after}");
    }
}

fn steps(failures: &[Failure]) -> Vec<String> {
    failures.iter().map(|failure| failure.step.to_string()).collect()
}

#[tokio::test]
async fn a_pod_comes_up_with_images_hosts_file_and_all_containers() {
    let bed = blog_bed().await;
    let pod = bed.created().await;
    let mut states: Vec<_> =
        pod.containers.iter().map(|container| (container.name.as_str(), container.state)).collect();
    states.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(states, [("db", ContainerState::Running), ("wordpress", ContainerState::Running)]);
    let ip = pod.details.unwrap().ips[0];
    let hosts = std::fs::read_to_string(bed.options().state.hosts_file(&pod.id)).unwrap();
    assert!(hosts.ends_with(&format!("{ip}\tblog\n")), "{hosts}");
    let calls = bed.fake.calls();
    let pulled: Vec<_> = calls.iter().filter(|call| call.method == "PullImage").collect();
    assert_eq!(pulled.len(), 1, "only what was missing: {pulled:?}");
    let created = calls.iter().find(|call| call.method == "CreateContainer").unwrap();
    let config = created.request::<v1::CreateContainerRequest>().unwrap().config.unwrap();
    assert_eq!(config.mounts[0].container_path, "/etc/hosts");
}

#[tokio::test]
async fn whatever_call_fails_nothing_is_left() {
    let expected = [
        ("PullImage", "pull image `mysql:5.7`"),
        ("RunPodSandbox", "create the sandbox of `default/blog`"),
        ("PodSandboxStatus", "see what runs"),
        ("CreateContainer", "create container `"),
        ("StartContainer", "start container `"),
    ];
    for (method, step) in expected {
        let bed = blog_bed().await;
        bed.fake.fault(method, Fault::fail(Code::Internal, "no luck"));
        let error = bed.launch(&bed.options()).await.unwrap_err();
        assert_eq!(error.failures.len(), 1, "{method}: {error:?}");
        assert!(steps(&error.failures)[0].starts_with(step), "{method}: {error:?}");
        assert!(error.left.is_empty(), "{method}: {error:?}");
        bed.assert_clean(method);
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_no_sandbox_behind() {
    for method in ["RunPodSandbox", "CreateContainer", "StartContainer"] {
        let bed = blog_bed().await;
        bed.fake.fault(method, Fault::lose_answer());
        let error = bed.launch(&bed.options()).await.unwrap_err();
        assert!(error.left.is_empty(), "{method}: {error:?}");
        bed.assert_clean(method);
    }
}

#[tokio::test]
async fn all_failures_are_told_and_what_cannot_be_undone_too() {
    let bed = blog_bed().await;
    bed.fake.fault("StartContainer", Fault::fail(Code::Unknown, "no luck").always());
    bed.fake.fault("StopPodSandbox", Fault::fail(Code::Unknown, "stuck").always());
    let error = bed.launch(&bed.options()).await.unwrap_err();
    let mut failed = steps(&error.failures);
    failed.sort_unstable();
    assert_eq!(failed, ["start container `db`", "start container `wordpress`"]);
    assert_eq!(steps(&error.left), ["stop the sandbox of `default/blog`"]);
    bed.fake.heal();
    let pods = inventory::read(&bed.client, Detail::Lists).await.unwrap();
    let pod = find(&pods, "blog").unwrap()[0];
    teardown::remove(&bed.client, pod, Duration::ZERO, &bed.options().state).await.unwrap();
    bed.assert_clean("the second try");
}

#[tokio::test]
async fn an_interrupted_pull_is_given_up_at_once() {
    let bed = blog_bed().await;
    bed.fake.fault("PullImage", Fault::hang());
    let cancel = CancellationToken::new();
    let options = bed.options();
    let launched = launch(&bed.client, spec(), &options, &NoObserver, &cancel);
    let interrupt = async {
        while !bed.fake.call_lines().iter().any(|line| line.contains("PullImage")) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(launched, interrupt);
    assert!(result.unwrap_err().is_interrupted());
    bed.assert_clean("an interrupted pull");
}

#[tokio::test]
async fn a_second_run_reports_and_a_replacement_replaces() {
    let bed = blog_bed().await;
    let first = bed.created().await;
    let existing = |launched| match launched {
        Launched::Existing(pod, existing) => (pod.id, existing),
        Launched::Created(pod) => panic!("created {}", pod.id),
    };
    let again = existing(bed.launch(&bed.options()).await.unwrap());
    assert_eq!(again, (first.id.clone(), Existing::Running));

    let mut changed = spec();
    changed.containers[0].args.push("--other".into());
    let cancel = CancellationToken::new();
    let other = launch(&bed.client, changed, &bed.options(), &NoObserver, &cancel).await.unwrap();
    assert_eq!(existing(other), (first.id.clone(), Existing::RunningOther));

    assert!(bed.fake.exit_container(&first.containers[0].id, 1));
    let broken = existing(bed.launch(&bed.options()).await.unwrap());
    assert_eq!(broken.1, Existing::Incomplete);

    let replaced = bed.launch(&LaunchOptions { replace: true, ..bed.options() }).await.unwrap();
    let Launched::Created(second) = replaced else { panic!("{replaced:?}") };
    assert_ne!(second.id, first.id);
    assert_eq!(bed.fake.counts(), (1, 2));
    assert_eq!(bed.pod_files(), 1);
}

#[tokio::test]
async fn a_replacement_that_cannot_be_pulled_costs_nothing() {
    let bed = blog_bed().await;
    let first = bed.created().await;
    bed.fake.fault("PullImage", Fault::fail(Code::Unavailable, "no registry").always());
    let options = LaunchOptions { replace: true, pull: PullPolicy::Always, ..bed.options() };
    let error = bed.launch(&options).await.unwrap_err();
    assert!(!error.former_removed);
    assert_eq!(error.failures.len(), 2, "{error:?}");
    let pods = inventory::read(&bed.client, Detail::Lists).await.unwrap();
    assert_eq!(find(&pods, "default/blog").unwrap()[0].id, first.id);
    assert_eq!(bed.fake.counts(), (1, 2));
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_owner() {
    let bed = blog_bed().await;
    bed.created().await;
    let mut other = spec();
    other.sandbox.metadata.as_mut().unwrap().name = "other".into();
    let cancel = CancellationToken::new();
    let error = launch(&bed.client, other, &bed.options(), &NoObserver, &cancel).await.unwrap_err();
    let cause = error.failures[0].cause.to_string();
    assert_eq!(cause, "pod `default/blog` has 80->80/tcp already");
    assert_eq!(bed.fake.counts(), (1, 2));
}

#[tokio::test]
async fn never_pulling_is_obeyed() {
    let bed = blog_bed().await;
    let options = LaunchOptions { pull: PullPolicy::Never, ..bed.options() };
    let error = bed.launch(&options).await.unwrap_err();
    assert!(matches!(error.failures[0].cause, Cause::NotPresent), "{error:?}");
    assert!(!bed.fake.call_lines().iter().any(|line| line.contains("PullImage")));
}

#[tokio::test]
async fn taking_down_goes_on_past_failures() {
    let bed = blog_bed().await;
    let pod = bed.created().await;
    bed.fake.fault("StopContainer", Fault::fail(Code::Unknown, "stuck"));
    let failures = teardown::stop(&bed.client, &pod, Duration::ZERO).await.unwrap_err();
    assert_eq!(failures.len(), 1);
    assert!(bed.fake.call_lines().iter().any(|line| line.contains("StopPodSandbox")));
    teardown::remove(&bed.client, &pod, Duration::ZERO, &bed.options().state).await.unwrap();
    teardown::remove(&bed.client, &pod, Duration::ZERO, &bed.options().state).await.unwrap();
    bed.assert_clean("removing twice");
}

#[tokio::test]
async fn an_absent_runtime_is_told_by_its_socket() {
    let missing = Endpoint::new(Path::new("/nonexistent/x.sock"));
    let error = Client::connect(&missing).await.unwrap_err();
    assert!(error.is_unreachable());
    assert!(matches!(find(&[], "x"), Err(FindError::NotFound { .. })));
}
