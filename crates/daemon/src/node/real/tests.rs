//! The whole node against the fake runtime: files and commands in, containers of the runtime out.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use crilet_api::{
    Action, ApiError, ApplyRequest, ContainerState, Desired, ErrorCode, ManifestFile,
    ManifestSource, Phase, Pod, PodRef, ProbeResult, RestartRequest, StopRequest,
};
use crilet_cri::{
    Client,
    fake::{Builder, Fake, FakeHandle},
    inventory::{self, Detail},
};
use crilet_pod::images::{Credentials, Environment};

use super::{Foundation, RealNode, StartError};
use crate::{Config, Node};

mod second;
mod wrong;

/// Often enough for tests that wait for it.
const RELIST: Duration = Duration::from_millis(200);
/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(100);

struct Bed {
    directory: tempfile::TempDir,
    fake: FakeHandle,
    node: Arc<RealNode>,
    relist: Duration,
}

fn web(image_command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  \
         - {{name: a, image: busybox, imagePullPolicy: IfNotPresent, command: [{image_command}]}}\n  \
         - {{name: b, image: busybox, imagePullPolicy: IfNotPresent}}\n"
    )
}

impl Bed {
    async fn start() -> Self {
        Self::with(Fake::builder(), RELIST).await
    }

    async fn with(fake: Builder, relist: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fake = fake.image("busybox").start(&directory.path().join("cri.sock")).unwrap();
        let node = Self::node(&directory, &fake, relist).await;
        Self { directory, fake, node, relist }
    }

    async fn node(
        directory: &tempfile::TempDir,
        fake: &FakeHandle,
        relist: Duration,
    ) -> Arc<RealNode> {
        Self::try_node(directory, "manifests", fake, relist).unwrap()
    }

    fn try_node(
        directory: &tempfile::TempDir,
        manifests: &str,
        fake: &FakeHandle,
        relist: Duration,
    ) -> Result<Arc<RealNode>, StartError> {
        let config = Config {
            pods_dir: directory.path().join(manifests),
            relist_interval: relist,
            ..Config::default()
        };
        let foundation = Foundation {
            client: Client::later(fake.endpoint()),
            embedded: false,
            data: directory.path().join("data"),
            state: directory.path().join("state"),
            logs: directory.path().join("logs"),
            credentials: Credentials::Files(Environment::default()),
        };
        fs::create_dir_all(&config.pods_dir).unwrap();
        fs::set_permissions(&config.pods_dir, fs::Permissions::from_mode(0o755)).unwrap();
        RealNode::start(&config, foundation)
    }

    /// The daemon ends and another one takes over.
    async fn restart(&mut self) {
        self.node.shutdown().await;
        self.node = Self::node(&self.directory, &self.fake, self.relist).await;
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.directory.path().join("manifests").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // As careful people do it.
        let temporary = self.manifest(&format!(".{name}"));
        let text =
            text.replace("spec:", &format!("  # {}\nspec:", self.directory.path().display()));
        fs::write(&temporary, text).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(&temporary, self.manifest(name)).unwrap();
    }

    /// Waits until a pod is as it should be.
    async fn until(&self, what: &str, is: impl Fn(Option<&Pod>) -> bool) -> Option<Arc<Pod>> {
        let key = PodRef::new("default", "web");
        let mut revision = self.node.revision();
        let wait = async {
            loop {
                revision.borrow_and_update();
                let pod = self.node.pod(&key);
                if is(pod.as_deref()) {
                    return pod;
                }
                revision.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(BOUND, wait).await {
            Ok(pod) => pod,
            Err(_) => panic!("not {what}: {:#?}", self.node.pod(&key)),
        }
    }

    async fn ready(&self) -> Arc<Pod> {
        self.until("ready", |pod| pod.is_some_and(Pod::is_ready)).await.unwrap()
    }

    async fn gone(&self) {
        self.until("gone", |pod| pod.is_none()).await;
        let left = inventory::read(&self.client().await, Detail::Lists).await.unwrap();
        assert_eq!(left, [], "left in the runtime");
    }

    async fn client(&self) -> Client {
        Client::connect(self.fake.endpoint()).await.unwrap()
    }

    async fn apply(
        &self,
        text: &str,
        change: impl FnOnce(&mut ApplyRequest),
    ) -> Vec<(String, Action)> {
        let file = ManifestFile { name: "web.yaml".into(), text: text.into() };
        let sources = vec![ManifestSource { files: vec![file] }];
        let mut request = ApplyRequest { sources, ..ApplyRequest::default() };
        change(&mut request);
        let report = self.node.apply(request).await.unwrap();
        report.pods.into_iter().map(|pod| (pod.name, pod.action)).collect()
    }
}

fn key() -> PodRef {
    PodRef::new("default", "web")
}

fn ids(pod: &Pod) -> Vec<String> {
    pod.containers.iter().map(|container| container.id.clone().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_file_is_a_pod_and_its_edits_and_end_are_followed() {
    let bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    let first = bed.ready().await;
    assert_eq!(first.phase, Phase::Running);
    bed.write("web.yaml", &web("sleep, more"));
    let second = bed
        .until("edited", |pod| pod.is_some_and(|pod| pod.is_ready() && ids(pod) != ids(&first)))
        .await
        .unwrap();
    assert_ne!(ids(&first)[0], ids(&second)[0]);
    assert_eq!(ids(&first)[1], ids(&second)[1], "the other container was left alone");
    assert_eq!(first.sandbox, second.sandbox);
    fs::remove_file(bed.manifest("web.yaml")).unwrap();
    bed.gone().await;
}

#[tokio::test]
async fn what_ends_is_started_again() {
    let bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    assert!(bed.fake.exit_container("a", 3));
    let again = bed
        .until("started again", |pod| pod.is_some_and(|pod| pod.is_ready() && pod.restarts() == 1))
        .await
        .unwrap();
    let last = again.containers[0].last_termination.as_ref().unwrap();
    assert_eq!(last.exit_code, 3);
    assert!(bed.fake.exit_container("a", 4));
    let waiting = |pod: &Pod| match &pod.containers[0].state {
        ContainerState::Waiting { reason, .. } => reason == "CrashLoopBackOff",
        _ => false,
    };
    let pod = bed.until("waiting", |pod| pod.is_some_and(waiting)).await.unwrap();
    assert!(pod.containers[0].next_restart_at.is_some());
    bed.node.restart(key(), RestartRequest { container: Some("a".into()) }).await.unwrap();
    bed.until("restarted", |pod| pod.is_some_and(|pod| pod.is_ready() && pod.restarts() == 2))
        .await;
}

/// Nothing but the runtime's events tells of it: the fake's containers have no processes.
#[tokio::test]
async fn what_the_runtime_tells_of_is_not_left_to_the_relist() {
    let fake = Fake::builder().with_method("GetContainerEvents");
    let bed = Bed::with(fake, Duration::from_secs(3600)).await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    let restarted = |number| {
        move |pod: Option<&Pod>| pod.is_some_and(|pod| pod.is_ready() && pod.restarts() == number)
    };
    assert!(bed.fake.exit_container("a", 3));
    bed.until("started again", restarted(1)).await;
    assert!(bed.fake.exit_container("b", 3));
    bed.until("started again", restarted(2)).await;
}

#[tokio::test]
async fn last_words_are_told() {
    let bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    let pod = bed.ready().await;
    let file = bed.directory.path().join(format!("data/pods/{}/containers/a/0", pod.uid));
    fs::write(file, "the disk is on fire\n").unwrap();
    assert!(bed.fake.exit_container("a", 3));
    let again = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.restarts() == 1 && pod.is_ready());
    let pod = bed.until("started again", again).await.unwrap();
    let last = pod.containers[0].last_termination.as_ref().unwrap();
    assert_eq!(last.message.as_deref(), Some("the disk is on fire\n"));
}

#[tokio::test]
async fn a_pod_that_fills_a_volume_makes_way_and_comes_back_with_it_emptied() {
    let bed = Bed::start().await;
    let volumes = "volumes: [{name: v, emptyDir: {sizeLimit: 64Ki}}]\n  containers:";
    let mount = "command: [sleep], volumeMounts: [{name: v, mountPath: /v}]";
    let text = web("sleep").replace("command: [sleep]", mount).replace("containers:", volumes);
    bed.write("web.yaml", &text);
    let first = bed.ready().await;
    let volume = bed.directory.path().join(format!("data/pods/{}/volumes/v", first.uid));
    fs::write(volume.join("little"), vec![1; 1000]).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let same = bed.ready().await;
    assert_eq!(ids(&same), ids(&first), "it is within its limit");
    fs::write(volume.join("much"), vec![1; 100_000]).unwrap();
    let anew = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.is_ready() && ids(pod) != ids(&first));
    bed.until("made anew", anew).await;
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 0);
    let (_, events) = bed.node.events().since(None);
    let evicted = events.iter().find(|event| event.reason == "Evicted").unwrap();
    assert!(evicted.message.contains("volume `v` holds"), "{evicted:?}");
}

#[tokio::test]
async fn what_probes_are_answered_is_shown() {
    let bed = Bed::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = format!("readinessProbe: {{tcpSocket: {{host: 127.0.0.1, port: {port}}}}}");
    bed.write("web.yaml", &web("sleep").replace("command: [sleep]", &probe));
    bed.ready().await;
    let pod = bed.node.pod(&key()).unwrap();
    let shown = &pod.containers[0].probes[0];
    assert_eq!((shown.result, shown.in_a_row), (ProbeResult::Success, 1), "{shown:?}");
    assert!(shown.last_at.is_some() && shown.message.is_none());
    assert_eq!(bed.node.pods().items[0].containers, pod.containers);
}

#[tokio::test]
async fn an_edit_that_cannot_be_used_leaves_the_pod_alone_even_over_a_restart() {
    let mut bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    let first = bed.ready().await;
    bed.write("web.yaml", &web("sleep").replace("image:", "imgae:"));
    let is_told = |pod: Option<&Pod>| pod.is_some_and(|pod| !pod.problems.is_empty());
    let told = bed.until("told", is_told).await.unwrap();
    assert_eq!(told.problems[0].reason, "InvalidManifest");
    assert!(told.problems[0].message.contains("imgae"), "{:?}", told.problems);
    assert_eq!(ids(&told), ids(&first));
    bed.restart().await;
    let after = bed
        .until("told again", |pod| is_told(pod) && pod.is_some_and(Pod::is_ready))
        .await
        .unwrap();
    assert_eq!(ids(&after), ids(&first));
    bed.write("web.yaml", &web("sleep"));
    let mended = bed.until("mended", |pod| pod.is_some_and(|pod| pod.problems.is_empty())).await;
    assert_eq!(ids(&mended.unwrap()), ids(&first));
}

#[tokio::test]
async fn what_nobody_wants_any_more_goes_when_the_daemon_is_back() {
    let mut bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    bed.node.shutdown().await;
    fs::remove_file(bed.manifest("web.yaml")).unwrap();
    bed.restart().await;
    let client = bed.client().await;
    let wait = async {
        while !inventory::read(&client, Detail::Lists).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("the orphan is removed");
}

/// Logs of a pod that is gone are kept, also over a restart, and go when they have been for long
/// enough; those of one that is there do not.
#[tokio::test]
async fn logs_of_gone_pods_are_kept_for_a_while() {
    let mut bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    let logs = bed.directory.path().join("logs");
    let directories = || fs::read_dir(&logs).unwrap().flatten().count();
    assert_eq!(directories(), 1);
    let record = fs::read_dir(bed.directory.path().join("data/logs")).unwrap().flatten().next();
    let record = record.unwrap().path();
    fs::remove_file(bed.manifest("web.yaml")).unwrap();
    bed.gone().await;
    let since = || fs::read_to_string(&record).unwrap_or_default();
    let noted = async {
        while since().contains("null") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, noted).await.expect("it is noted that the pod is gone");
    assert_eq!(directories(), 1, "its logs are kept");

    // It comes back, and goes again; long ago, as far as the daemon can tell.
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    let forgotten = async {
        while !since().contains("null") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, forgotten).await.expect("it is noted that the pod is there again");
    fs::remove_file(bed.manifest("web.yaml")).unwrap();
    bed.gone().await;
    bed.node.shutdown().await;
    let mut noted: serde_json::Value = serde_json::from_str(&since()).unwrap();
    noted["goneSince"] = "2020-01-01T00:00:00Z".into();
    fs::write(&record, noted.to_string()).unwrap();
    bed.restart().await;
    let removed = async {
        while directories() > 0 || record.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, removed).await.expect("its logs are removed");
    let (_, events) = bed.node.events().since(None);
    assert!(
        events.iter().any(|event| event.message.contains("of a pod that is gone: it is too old"))
    );
}

#[tokio::test]
async fn an_applied_pod_lives_in_the_daemon() {
    let mut bed = Bed::start().await;
    let created = vec![("web".to_owned(), Action::Created)];
    assert_eq!(bed.apply(&web("sleep"), |request| request.dry_run = true).await, created);
    assert!(bed.node.pod(&key()).is_none());
    assert_eq!(bed.apply(&web("sleep"), |_| ()).await, created);
    let first = bed.ready().await;
    assert_eq!(bed.apply(&web("sleep"), |_| ()).await[0].1, Action::Unchanged);
    assert_eq!(bed.apply(&web("sleep, more"), |_| ()).await[0].1, Action::Changed);
    bed.until("edited", |pod| pod.is_some_and(|pod| pod.is_ready() && ids(pod) != ids(&first)))
        .await;
    bed.node.stop(key(), StopRequest { grace_seconds: Some(0) }).await.unwrap();
    bed.until("stopped", |pod| pod.is_some_and(|pod| pod.phase == Phase::Stopped)).await;
    bed.restart().await;
    let stopped = bed
        .until("still stopped", |pod| pod.is_some_and(|pod| pod.phase == Phase::Stopped))
        .await
        .unwrap();
    assert_eq!(stopped.desired, Desired::Stopped);
    bed.node.start(key()).await.unwrap();
    bed.ready().await;
    bed.node.delete(key(), StopRequest::default()).await.unwrap();
    bed.gone().await;
    let missing = bed.node.delete(key(), StopRequest::default()).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NoSuchPod);
}

#[tokio::test]
async fn what_was_applied_and_cannot_be_read_any_more_is_told_and_runs_on() {
    let mut bed = Bed::start().await;
    bed.apply(&web("sleep"), |_| ()).await;
    bed.ready().await;
    bed.node.shutdown().await;
    let path = bed.directory.path().join("data/applied/default/web.json");
    let written = fs::read(&path).unwrap();
    fs::write(&path, &written[..written.len() / 2]).unwrap();
    bed.restart().await;
    let told = async {
        while bed.node.info().problems.is_empty() || bed.node.info().runtime.version.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BOUND, told).await.expect("it is told");
    let problems = bed.node.info().problems;
    assert_eq!(problems[0].reason, "LostManifest");
    assert!(problems[0].message.contains(&path.display().to_string()), "{problems:?}");
    let left = inventory::read(&bed.client().await, Detail::Lists).await.unwrap();
    assert_eq!(left.len(), 1, "it runs on");
    bed.apply(&web("sleep"), |_| ()).await;
    let again = bed.ready().await;
    assert_eq!(again.sandbox.as_ref().unwrap().id, left[0].id);
    assert!(bed.node.info().problems.is_empty());
}

#[tokio::test]
async fn sets_are_pruned_and_files_are_not_the_apis() {
    let bed = Bed::start().await;
    bed.apply(&web("sleep"), |request| request.set = Some("shop".into())).await;
    bed.ready().await;
    let other = web("sleep").replace("name: web", "name: other").replace("web", "other");
    let report = bed
        .apply(&other, |request| {
            request.set = Some("shop".into());
            request.prune = true;
        })
        .await;
    assert_eq!(report, [("other".into(), Action::Created), ("web".into(), Action::Pruned)]);
    bed.until("pruned", |pod| pod.is_none()).await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    let refused = |error: ApiError| (error.code, error.message.contains("web.yaml"));
    let error = bed.node.delete(key(), StopRequest::default()).await.unwrap_err();
    assert_eq!(refused(error), (ErrorCode::OwnedByFile, true));
}

#[tokio::test]
async fn two_pods_cannot_have_one_port() {
    let bed = Bed::start().await;
    let with_port = |name: &str| {
        let port = "command: [sleep], ports: [{containerPort: 80, hostPort: 8080}]";
        web("sleep")
            .replace("command: [sleep]", port)
            .replace("name: web", &format!("name: {name}"))
    };
    bed.write("a.yaml", &with_port("web"));
    bed.ready().await;
    bed.write("b.yaml", &with_port("late"));
    let wait = async {
        while bed.node.info().problems.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("the conflict is told");
    let problems = bed.node.info().problems;
    let expected = "pod `default/late` wants 8080->80/tcp, but pod `default/web` has 8080->80/tcp";
    assert_eq!(problems[0].message, expected);
    assert!(bed.node.pod(&PodRef::new("default", "late")).is_none());
}

#[tokio::test]
async fn a_runtime_that_comes_later_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("cri.sock");
    let start = || Fake::builder().image("busybox").start(&socket).unwrap();
    // Only to have a handle for the bed; it goes before anybody asks it.
    let fake = start();
    let node = Bed::node(&directory, &fake, RELIST).await;
    drop(fake);
    let unreachable = || {
        let health = node.health();
        let runtime = health.checks.iter().find(|check| check.name == "runtime").unwrap().clone();
        (health.ready, runtime)
    };
    let until = async |ready: bool| {
        let wait = async {
            while unreachable().0 != ready || unreachable().1.ok != ready {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(BOUND, wait).await;
        assert!(waited.is_ok(), "not {ready}: {:?}", unreachable());
    };
    until(false).await;
    let message = unreachable().1.message;
    assert!(message.contains("cri.sock"), "{message}");
    let fake = start();
    until(true).await;
    let bed = Bed { directory, fake, node, relist: RELIST };
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
}
