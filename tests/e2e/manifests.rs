//! A pod of Kubernetes, read, rendered and made by hand on a real runtime: inside, it is what its
//! manifest says.
//!
//! Volumes are mounts, and those have to be made where the runtime lives. So the test runs itself
//! once more, within the isolated host.

use std::{
    collections::BTreeMap,
    env, fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crilet_cri::{Client, Endpoint, inventory, v1};
use crilet_pod::{
    manifest::{ReadOptions, sources},
    model::{Container, Pod},
    render::{self, ImageUser, NodeFacts, SandboxFacts, StartFacts},
    volumes::{self, Roots},
};
use crilet_testkit::{SystemContainerd, fixtures, wait_until};

use crate::support::{assert_contains, ends_with, host_with_containerd};

/// Says that this is the run within the host.
const INSIDE: &str = "CRILET_TEST_INSIDE";
const NAME: &str = "manifests::a_pod_is_inside_what_its_manifest_says";
const MANIFEST: &str = "/root/pods/everything.yaml";
/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn a_pod_is_inside_what_its_manifest_says() {
    if env::var_os(INSIDE).is_some() {
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(inside());
    }
    let (host, _containerd) = host_with_containerd();
    let text = fs::read_to_string(fixtures("manifests").join("everything.yaml")).unwrap();
    host.write(MANIFEST, text).unwrap();
    let again = host.command(env::current_exe().unwrap());
    let again = again.args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1").bound(3 * BOUND);
    let output = ends_with(0, again);
    assert_contains(&output.stdout, "1 passed");
}

/// The pod with all that a daemon would hold for it.
struct Bed {
    client: Client,
    pod: Pod,
    node: NodeFacts,
    roots: Roots,
    volumes: BTreeMap<String, PathBuf>,
    sandbox: String,
    config: v1::PodSandboxConfig,
    addresses: Vec<IpAddr>,
    hosts: PathBuf,
}

fn read() -> Pod {
    let [source] = sources::list(Path::new("/root/pods")).unwrap().try_into().unwrap();
    let options = ReadOptions { log_root: "/root/log".into(), ..Default::default() };
    match sources::read(&source, &options, SystemTime::now() + Duration::from_secs(5)) {
        sources::Reading::Read { manifests, .. } => manifests.pods.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

impl Bed {
    async fn start() -> Self {
        let endpoint = Endpoint::new(Path::new(SystemContainerd::SOCKET));
        let client = Client::connect(&endpoint).await.unwrap();
        let pod = read();
        let node = NodeFacts::read(Path::new("/")).unwrap();
        let roots = Roots::below(Path::new("/run/crilet"));
        let volumes = volumes::materialise(&pod, &roots, &node).unwrap();
        let (dns, _) = render::dns::resolve(&pod, "", None);
        let config = render::sandbox_config(&pod, SandboxFacts { dns, ..Default::default() });
        let sandbox = client.run_pod_sandbox(config.clone(), "").await.unwrap();
        let status = client.pod_sandbox_status(&sandbox, false).await.unwrap().status.unwrap();
        let addresses = vec![status.network.unwrap().ip.parse().unwrap()];
        let hosts = roots.pod(&pod.uid).join("hosts");
        fs::write(&hosts, render::hosts_file(&pod, &addresses, "", &[])).unwrap();
        Self { client, pod, node, roots, volumes, sandbox, config, addresses, hosts }
    }

    async fn start_container(&self, container: &Container) -> String {
        let (uid, name) = (&self.pod.uid, &container.name);
        let last_word = volumes::termination_file(&self.roots, uid, name, 0).unwrap();
        let mut facts = StartFacts {
            attempt: 0,
            pod_ips: &self.addresses,
            host_ips: &[],
            node: &self.node,
            volumes: &self.volumes,
            sub_paths: &BTreeMap::new(),
            hosts_file: Some(&self.hosts),
            termination_file: Some(&last_word),
            image_user: ImageUser::Unset,
        };
        let mut parts = BTreeMap::new();
        for (index, part) in render::sub_paths(container, &facts).unwrap() {
            let target = volumes::sub_path_target(&self.roots, uid, name, index);
            volumes::bind(&self.volumes[&container.mounts[index].volume], &part, &target).unwrap();
            parts.insert(index, target);
        }
        facts.sub_paths = &parts;
        let config = render::container_config(&self.pod, container, &facts).unwrap();
        let created = self.client.create_container(&self.sandbox, config, self.config.clone());
        let id = created.await.unwrap();
        self.client.start_container(&id).await.unwrap();
        id
    }

    /// What a script says in the main container.
    async fn shell(&self, id: &str, script: &str) -> String {
        let command = ["sh", "-c", script].map(ToOwned::to_owned).to_vec();
        let answer = self.client.exec_sync(id, command, BOUND).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(answer.exit_code, 0, "{script}: {}", text(&answer.stderr));
        text(&answer.stdout)
    }
}

async fn inside() {
    let bed = Bed::start().await;
    let prepare = bed.start_container(&bed.pod.init[0]).await;
    ended(&bed.client, &prepare).await;
    bed.start_container(&bed.pod.init[1]).await;
    let main = bed.start_container(&bed.pod.containers[0]).await;

    environment_and_user(&bed, &main).await;
    mounts(&bed, &main).await;
    network(&bed, &main).await;
    kernel(&bed, &main).await;
    update(&bed, &main).await;
    resize(&bed, &main).await;
    marks(&bed).await;
    end(bed, &main).await;
}

async fn ended(client: &Client, id: &str) {
    for _ in 0..1200 {
        let status = client.container_status(id, false).await.unwrap().status.unwrap();
        if status.state() == v1::ContainerState::ContainerExited {
            assert_eq!(status.exit_code, 0, "{status:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("container {id} did not end");
}

async fn environment_and_user(bed: &Bed, main: &str) {
    let env = bed.shell(main, "env").await;
    let address = format!("POD_IP={}", bed.addresses[0]);
    for line in [
        "WHO=world",
        "NUMBER=8080",
        "GREETING=$(WHO) is world",
        "CFG_greeting=hello $(WHO)",
        "COLOR=blue",
        "TOKEN=geheim",
        "POD=everything",
        "TIER=test",
        "MEMORY=64",
        &address,
    ] {
        assert!(env.lines().any(|found| found == line), "no `{line}` in:\n{env}");
    }
    let id = bed.shell(main, "id; pwd").await;
    assert_contains(&id, "uid=1000 gid=1001");
    for group in ["2000", "3000"] {
        assert_contains(&id, group);
    }
    assert_contains(&id, "\n/tmp\n");
    let log = wait_until("the first line of the log", BOUND, || {
        let directory = &bed.config.log_directory;
        let log = fs::read_to_string(Path::new(directory).join("main/0.log"));
        log.map_err(|error| error.to_string())
            .and_then(|log| if log.contains("world started") { Ok(log) } else { Err(log) })
    });
    log.unwrap();
}

async fn mounts(bed: &Bed, main: &str) {
    let said = bed
        .shell(
            main,
            "cat /scratch/prepared /settings/color /settings/nested.conf /one.conf /keys/token \
             /about/labels /about/cpu /mixed/secret/token /mixed/name; echo; \
             stat -c '%n %a %g' /scratch /settings/color /keys/token /memory /data; \
             stat -c %s /settings/deep/raw; grep ' /memory ' /proc/mounts",
        )
        .await;
    let part = "prepared\nblueport = 8080\nport = 8080\ngeheimapp=\"everything\"\n\
                tier=\"test\"500geheimeverything\n";
    assert_contains(&said, part);
    for line in ["/scratch 2777 2000", "/memory 3777 2000", "/data 2777 2000"] {
        assert_contains(&said, line);
    }
    // Files that the group may read, whatever their mode says.
    assert_contains(&said, "/keys/token 777");
    assert_contains(&said, "size=1024k");
    let kept = "echo here >/part/log; echo kept >/data/file; ! touch /settings/x 2>/dev/null; \
                ! touch /new 2>/dev/null; ! touch /host/x 2>/dev/null; \
                echo last word >/dev/last-word";
    bed.shell(main, kept).await;
    let part = bed.volumes["scratch"].join("everything/logs/log");
    assert_eq!(fs::read_to_string(part).unwrap(), "here\n", "subPathExpr");
    assert_eq!(fs::metadata(bed.volumes["data"].join("file")).unwrap().gid(), 2000);
    let file = bed.roots.pod(&bed.pod.uid).join("containers/main/0");
    assert_eq!(volumes::last_word(&file).as_deref(), Some("last word\n"));
}

async fn network(bed: &Bed, main: &str) {
    let said = bed.shell(main, "hostname; cat /etc/hosts /etc/resolv.conf").await;
    let own = format!("\n{}\tevery.thing.lab.svc.cluster.local\tevery\n", bed.addresses[0]);
    for part in ["every\n", &own, "\n192.0.2.10\tdb\tdb.example\n", "nameserver 192.0.2.53\n"] {
        assert_contains(&said, part);
    }
    assert_contains(&said, "search lab.example\n");
    assert_contains(&said, "options ndots:2 edns0\n");
}

async fn kernel(bed: &Bed, main: &str) {
    let said = bed
        .shell(
            main,
            "cat /proc/sys/net/ipv4/ip_local_port_range; grep -E 'CapBnd|NoNewPrivs|Seccomp:' \
             /proc/self/status; cat /proc/1/oom_score_adj",
        )
        .await;
    assert_contains(&said, "20000\t30000");
    // NET_BIND_SERVICE, bit 10, and no other.
    assert_contains(&said, "CapBnd:\t0000000000000400");
    assert_contains(&said, "NoNewPrivs:\t1");
    assert_contains(&said, "Seccomp:\t2");
    let numbers = bed.client.container_status(main, true).await.unwrap();
    let info = numbers.info.get("info").cloned().unwrap_or_default();
    for part in ["\"limit\":67108864", "\"quota\":50000", "\"shares\":102"] {
        assert_contains(&info.replace(": ", ":"), part);
    }
    let limit = cgroup_file(&info, "memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(limit, "67108864");
}

/// A number of the container's own control group, in either version of cgroups.
fn cgroup_file(info: &str, controller: &str, old: &str, new: &str) -> String {
    let pid = info.split("\"pid\":").nth(1).unwrap().trim_start();
    let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |wanted: &str| {
        let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines
            .find(|parts| parts[1].split(',').any(|name| name == wanted))
            .map(|parts| parts[2].to_owned())
    };
    let path = match of(controller) {
        Some(group) => format!("/sys/fs/cgroup/{controller}{group}/{old}"),
        None => format!("/sys/fs/cgroup{}/{new}", of("").unwrap()),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

/// An edit of a Secret that is mounted shows in place, and needs nothing anew.
async fn update(bed: &Bed, main: &str) {
    let text = fs::read_to_string(MANIFEST).unwrap();
    fs::write(MANIFEST, text.replace("password: cGFzcw==", "password: bmV3")).unwrap();
    let edited = read();
    assert_eq!(edited.sandbox_hash, bed.pod.sandbox_hash);
    assert_eq!(edited.containers[0].hash, bed.pod.containers[0].hash);
    assert_eq!(bed.shell(main, "cat /keys/password").await, "pass");
    assert!(volumes::refresh(&edited, &bed.roots, &bed.node).unwrap());
    assert!(!volumes::refresh(&edited, &bed.roots, &bed.node).unwrap());
    assert_eq!(bed.shell(main, "cat /keys/password; ls /keys").await, "newpassword\ntoken\n");
}

/// A limit that was edited holds for the file system that is there.
async fn resize(bed: &Bed, main: &str) {
    let text = fs::read_to_string(MANIFEST).unwrap();
    fs::write(MANIFEST, text.replace("sizeLimit: 1Mi", "sizeLimit: 2Mi")).unwrap();
    let edited = read();
    assert_ne!(edited.containers[0].hash, bed.pod.containers[0].hash);
    volumes::materialise(&edited, &bed.roots, &bed.node).unwrap();
    assert_contains(&bed.shell(main, "grep ' /memory ' /proc/mounts").await, "size=2048k");
}

/// What was made is found again by what it is marked with.
async fn marks(bed: &Bed) {
    let pods = inventory::read(&bed.client, inventory::Detail::Lists).await.unwrap();
    let [pod] = pods.as_slice() else { panic!("{pods:#?}") };
    assert_eq!(pod.full_name(), "lab/everything");
    assert_eq!(pod.labels[render::MANAGED_BY], render::MANAGER);
    assert_eq!(pod.annotations[render::SANDBOX_HASH], bed.pod.sandbox_hash);
    let containers = bed.client.list_containers(None).await.unwrap();
    let main = containers.iter().find(|found| found.labels[render::CONTAINER_NAME] == "main");
    let main = main.unwrap();
    let marks = render::Marks::read(&main.labels, &main.annotations);
    assert_eq!(marks.hash.as_deref(), Some(bed.pod.containers[0].hash.as_str()));
    assert_eq!(marks.grace, Some(Duration::from_secs(3)));
}

async fn end(bed: Bed, main: &str) {
    bed.client.stop_container(main, bed.pod.grace).await.unwrap();
    bed.client.stop_pod_sandbox(&bed.sandbox).await.unwrap();
    bed.client.remove_pod_sandbox(&bed.sandbox).await.unwrap();
    volumes::remove(&bed.roots, &bed.pod.uid).unwrap();
    assert_eq!(volumes::list(&bed.roots).unwrap(), Vec::<String>::new());
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounted.contains("/run/crilet/pods"), "{mounted}");
    assert_eq!(fs::read_to_string(bed.volumes["data"].join("file")).unwrap(), "kept\n");
    assert!(Path::new("/root/host").is_dir(), "what is the host's stays");
}
