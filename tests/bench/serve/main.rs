//! Measures `crilet serve` beside the raw calls over one open connection.
//!
//! The outer run makes an isolated host with crilet's own runtime and starts this program again
//! inside it. A container tells that it runs by making a file, in the raw pod and in the kept one
//! alike, so that nobody's own word is taken for it.

#[path = "../host.rs"]
mod host;
mod many;
mod one;
#[path = "../report.rs"]
mod report;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use crilet_cri::{Client, Endpoint, v1};
use crilet_pod::{
    manifest::{self, ReadOptions, Text},
    render::{self, ImageUser, NodeFacts, SandboxFacts, StartFacts, dns},
    volumes::{self, Roots},
};
use host::{IMAGE, SOCKET};
use tokio::time::Instant;

/// Turns of every contender, unless `--rounds N` says otherwise.
const ROUNDS: usize = 15;
/// Where manifests are, and where containers tell that they run.
const PODS: &str = "/root/pods";
const TOLD: &str = "/root/told";
/// What the daemon says.
const LOG: &str = "/root/daemon.log";

fn main() -> Result<ExitCode> {
    host::run(ROUNDS, inside)
}

fn inside(crilet: &Path, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        fs::create_dir_all(PODS)?;
        fs::create_dir_all(TOLD)?;
        let client = Client::connect(&Endpoint::new(SOCKET)).await?;
        let mut daemon = Daemon::start(crilet)?;
        daemon.until_ready().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        report::print(&format!("{:<34}{}", "daemon without pods", daemon.weight().await?));
        one::measure(&client, rounds).await?;
        many::measure(&client, &mut daemon).await
    })
}

/// `crilet serve`, ended with this value.
struct Daemon {
    crilet: PathBuf,
    child: Child,
    began: Instant,
}

impl Daemon {
    #[expect(clippy::disallowed_methods, reason = "the daemon is run as a service manager would")]
    fn start(crilet: &Path) -> Result<Self> {
        let began = Instant::now();
        let child = Command::new(crilet)
            .args(["-r", SOCKET, "serve", "--pods-dir", PODS])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .env("CRILET_LOG", "crilet_pod::sync::worker::exits=debug,info")
            .stderr(fs::File::create(LOG)?)
            .spawn()?;
        Ok(Self { crilet: crilet.to_owned(), child, began })
    }

    /// Another daemon in its place, killed and not asked.
    fn replace(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        let next = Self::start(&self.crilet)?;
        drop(std::mem::replace(self, next));
        Ok(())
    }

    /// Waits until all pods are known; gives how long that took from the start on.
    async fn until_ready(&self) -> Result<Duration> {
        loop {
            if ready().await {
                return Ok(self.began.elapsed());
            }
            ensure!(self.began.elapsed() < Duration::from_secs(60), "the daemon is not ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Resident memory, and how much of a processor it takes over ten seconds.
    async fn weight(&self) -> Result<String> {
        let before = self.ticks()?;
        let span = Duration::from_secs(30);
        tokio::time::sleep(span).await;
        let ticks = self.ticks()?.saturating_sub(before);
        // A clock tick is 10 ms wherever Linux runs (sysconf(3), _SC_CLK_TCK).
        let percent = f64::from(u32::try_from(ticks)?) / span.as_secs_f64();
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let memory = |key: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            let kibibytes: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).trim().parse()?;
            Ok(kibibytes * 1024.0 / 1e6)
        };
        let (now, own, peak) = (memory("VmRSS")?, memory("RssAnon")?, memory("VmHWM")?);
        Ok(format!("{now:.1} MB ({own:.1} its own, peak {peak:.1}), {percent:.2} % of a processor"))
    }

    fn ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        // utime and stime, fields 14 and 15 of proc_pid_stat(5).
        let ticks = after.split(' ').skip(11).take(2).map(str::parse::<u64>);
        ticks.sum::<Result<u64, _>>().map_err(Into::into)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether the daemon says that it knows all pods.
async fn ready() -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let ask = async {
        let mut stream = tokio::net::UnixStream::connect("/run/crilet/crilet.sock").await?;
        let request = "GET /readyz HTTP/1.1\r\nHost: crilet\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    ask.await.is_ok_and(|answer| answer.ends_with(b"200"))
}

/// A container that makes the file `TEXT` when it runs and ends at once when it is told to.
fn command(text: &str) -> Vec<String> {
    let script = format!("trap 'exit 0' TERM; touch {TOLD}/{text}; sleep 1000 & wait $!");
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
}

/// The manifest of a pod with such a container.
fn manifest(namespace: &str, name: &str, text: &str) -> String {
    let command = command(text).pop().unwrap_or_default();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec:\n  volumes:\n  \
         - {{name: told, hostPath: {{path: {TOLD}}}}}\n  containers:\n  - name: main\n    \
         image: {IMAGE}\n    imagePullPolicy: IfNotPresent\n    command: [/bin/sh, -c, \"{command}\"]\n    \
         volumeMounts: [{{name: told, mountPath: {TOLD}}}]\n"
    )
}

/// Puts a manifest in its place as careful people do.
fn write(name: &str, text: &str) -> Result<()> {
    let hidden = format!("{PODS}/.{name}");
    fs::write(&hidden, manifest("default", name, text))?;
    Ok(fs::rename(hidden, format!("{PODS}/{name}.yaml"))?)
}

/// The messages that the daemon sends for the same pod, so that the runtime has the same to do: the
/// same namespaces, filters of system calls and mounted files. What marks a pod as the daemon's is
/// taken off.
fn raw_pod(name: &str, text: &str) -> Result<(v1::PodSandboxConfig, v1::ContainerConfig)> {
    let content = manifest("raw", name, text).into_bytes();
    let text = Text { file: "raw.yaml".into(), content };
    let options = ReadOptions { log_root: "/root/log".into(), ..ReadOptions::default() };
    let pod = manifest::read(&[text], &options)?.pods.pop().context("no pod")?;
    let container = pod.containers.first().context("no container")?;
    let node = NodeFacts::read(Path::new("/root"))?;
    let roots = Roots::below(Path::new("/root/raw"));
    let (_, volumes) = volumes::plan(&pod, &roots, &node);
    let hosts = Path::new("/root/raw-hosts");
    fs::write(hosts, "127.0.0.1\tlocalhost\n")?;
    let last_word = volumes::termination_file(&roots, &pod.uid, &container.name, 0)?;
    let facts = StartFacts {
        attempt: 0,
        pod_ips: &[],
        host_ips: &[],
        node: &node,
        volumes: &volumes,
        sub_paths: &BTreeMap::new(),
        hosts_file: Some(hosts),
        termination_file: Some(&last_word),
        image_user: ImageUser::Unset,
    };
    let mut config = render::container_config(&pod, container, &facts)?;
    let resolver = dns::host_text(|path| fs::read_to_string(path))?;
    let (dns, _) = dns::resolve(&pod, &resolver, None);
    let mut sandbox = render::sandbox_config(&pod, SandboxFacts { dns, ..SandboxFacts::default() });
    for of_daemon in
        [&mut sandbox.labels, &mut sandbox.annotations, &mut config.labels, &mut config.annotations]
    {
        of_daemon.clear();
    }
    fs::create_dir_all(Path::new(&sandbox.log_directory).join(&container.name))?;
    Ok((sandbox, config))
}

/// When the daemon last saw the end of a process, by its log.
fn seen() -> Result<SystemTime> {
    let log = fs::read_to_string(LOG)?;
    let line = log.lines().rfind(|line| line.contains("the end of a process was seen"));
    let time = line.and_then(|line| line.split(' ').next()).context("no end was seen")?;
    Ok(time.parse::<jiff::Timestamp>()?.into())
}

/// Waits until a container has told that it runs.
async fn told(text: &str) -> Result<()> {
    let begin = Instant::now();
    while !is_told(text) {
        ensure!(begin.elapsed() < Duration::from_secs(60), "`{text}` was never told");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}

fn is_told(text: &str) -> bool {
    fs::symlink_metadata(format!("{TOLD}/{text}")).is_ok()
}

/// Takes a raw pod down. containerd 1.6 may fail to stop a pod one of whose containers was killed
/// just now, and can when it is asked again.
async fn take_down(client: &Client, id: &str) -> Result<()> {
    if client.stop_pod_sandbox(id).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.stop_pod_sandbox(id).await?;
    }
    Ok(client.remove_pod_sandbox(id).await?)
}

/// Waits until the runtime has no pod of a namespace.
async fn gone(client: &Client, namespace: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        let all = client.list_pod_sandboxes(None).await?;
        let of = |one: &v1::PodSandbox| {
            one.metadata.as_ref().is_some_and(|metadata| metadata.namespace == namespace)
        };
        if !all.iter().any(of) {
            return Ok(());
        }
        ensure!(begin.elapsed() < Duration::from_secs(120), "pods of `{namespace}` stay");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
