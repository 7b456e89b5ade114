//! Taking the embedded runtime down, whatever is left of it.
//!
//! Pods are stopped through the CRI while it answers. What follows works from what is on the host,
//! so it also finishes the work of a runtime that was killed, and may be repeated:
//!
//! ```text
//! stop pods ─► supervisor, containerd ─► shims and containers ─► control groups ─► mounts
//!          ─► bridge ─► chains ─► results kept for plugins ─► state directory [─► root directory]
//! ```

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crilet_cni::{BRIDGE, NETWORK, SharedChains, clean_chains, remove_bridge};
use crilet_core::ErrorChain;
use crilet_cri::{Client, is_full_id, v1};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    Layout, RuntimeError,
    process::Process,
    up::{is_supervised, lock, require_root, stop_supervisor},
};

/// Where libcni keeps the result of each addition; containerd has no setting for it.
const RESULTS: &str = "/var/lib/cni/results";

/// Directories that containerd's shims and libcni make, wherever containerd keeps its own things;
/// each before the one around it.
const SHARED_DIRECTORIES: [&str; 3] = [RESULTS, "/run/containerd/s", "/run/containerd"];

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Where containerd puts the control groups of pods that name no other place.
const DEFAULT_GROUP: &str = "k8s.io";

/// Directory of containerd's shims, below its state directory.
const TASKS: &str = "containerd/io.containerd.runtime.v2.task/k8s.io";

/// Directory of network namespaces, below its state directory.
const NAMESPACES: &str = "containerd/io.containerd.grpc.v1.cri";

const PATIENCE: Duration = Duration::from_secs(10);

/// What `down` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownReport {
    /// Whether anything was there to be taken down.
    pub was_up: bool,
    /// Pods that were stopped, as `namespace/name`.
    pub pods: Vec<String>,
    /// Ids of all sandboxes that were found, also of those that the runtime did not answer for.
    pub sandboxes: BTreeSet<String>,
    /// Whether images were removed, too.
    pub purged: bool,
}

/// Stops all pods, ends the runtime and removes everything it made on this host, except the images
/// and settings below its root directory, which `purge` removes as well.
///
/// Containers have `grace` to end by themselves.
///
/// # Errors
/// When something stays; everything else is removed all the same, and calling it again goes on.
pub async fn down(
    layout: &Layout,
    grace: Duration,
    purge: bool,
) -> Result<DownReport, RuntimeError> {
    require_root()?;
    let mut report = DownReport { was_up: layout.state().exists(), ..DownReport::default() };
    if !layout.root().exists() && !report.was_up {
        return Ok(report);
    }
    fs::create_dir_all(layout.root())
        .map_err(RuntimeError::file("create directory", layout.root()))?;
    let lock = lock(layout).await?;
    let mut problems = Problems::default();
    if report.was_up {
        let stopped = stop_pods(layout, grace, &mut problems).await;
        report.sandboxes = take_down(layout, &mut problems).await;
        for (id, name) in stopped {
            report.sandboxes.insert(id);
            report.pods.push(name);
        }
        report.pods.sort_unstable();
    }
    if purge {
        report.purged = true;
        problems.note("remove", layout.root(), remove_tree(layout.root()));
        if let Some(parent) = layout.root().parent() {
            remove_if_empty(parent);
        }
    }
    drop(lock);
    problems.into_result().map(|()| report)
}

/// What went wrong so far; the work goes on.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn note(&mut self, action: &'static str, path: &Path, result: io::Result<()>) {
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.0.push(format!("{action} `{}`: {error}", path.display()));
            }
            _ => {}
        }
    }

    fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.0.push(ErrorChain(error).to_string());
    }

    fn into_result(self) -> Result<(), RuntimeError> {
        if self.0.is_empty() { Ok(()) } else { Err(RuntimeError::Leftovers { problems: self.0 }) }
    }
}

/// Stops and removes all pods through the CRI, so that their processes end in peace and the network
/// plugins do their part. A runtime that does not answer leaves that to the steps that follow.
async fn stop_pods(
    layout: &Layout,
    grace: Duration,
    problems: &mut Problems,
) -> Vec<(String, String)> {
    let Ok(client) = Client::connect(&layout.endpoint()).await else { return Vec::new() };
    let listed = tokio::try_join!(client.list_pod_sandboxes(None), client.list_containers(None));
    let (sandboxes, containers) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            tracing::debug!(error = %ErrorChain(&error), "the runtime does not list its pods");
            return Vec::new();
        }
    };
    let mut stops = JoinSet::new();
    for container in containers {
        if container.state() == v1::ContainerState::ContainerRunning {
            let client = client.clone();
            stops.spawn(async move { client.stop_container(&container.id, grace).await });
        }
    }
    // What does not end by itself is killed with its sandbox; that step tells of failures.
    stops.join_all().await;
    let mut removals = JoinSet::new();
    let mut pods = Vec::new();
    for sandbox in sandboxes {
        let metadata = sandbox.metadata.unwrap_or_default();
        pods.push((sandbox.id.clone(), format!("{}/{}", metadata.namespace, metadata.name)));
        let client = client.clone();
        removals.spawn(async move {
            client.stop_pod_sandbox(&sandbox.id).await?;
            client.remove_pod_sandbox(&sandbox.id).await
        });
    }
    for result in removals.join_all().await {
        if let Err(error) = result {
            problems.error(&error);
        }
    }
    pods
}

/// Gives the ids of the sandboxes that it found.
async fn take_down(layout: &Layout, problems: &mut Problems) -> BTreeSet<String> {
    stop_supervisor(layout).await;
    if is_supervised(layout) {
        problems.0.push("the supervisor does not end".to_owned());
    }
    let pods = Remains::find(layout);
    end_shims(layout).await;
    for group in &pods.control_groups {
        remove_control_group(group, problems).await;
    }
    for group in control_group_directories(Path::new(DEFAULT_GROUP)) {
        remove_if_empty(&group);
    }
    for socket in &pods.sockets {
        problems.note("remove", socket, fs::remove_file(socket));
    }
    unmount_below(&[layout.state(), layout.root()], problems);
    if let Err(error) = remove_bridge(BRIDGE).await {
        problems.error(&error);
    }
    let before: Option<SharedChains> =
        fs::read(layout.chains_record()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // Without a record, somebody else's chains cannot be told from ours, so they stay.
    let before = before.unwrap_or(SharedChains { ipv4: true, ipv6: true });
    if let Err(error) = clean_chains(NETWORK, before).await {
        problems.error(&error);
    }
    remove_results(&pods.ids, problems);
    problems.note("remove", layout.state(), remove_tree(layout.state()));
    crilet_cni::remove_state();
    if let Some(parent) = layout.state().parent() {
        remove_if_empty(parent);
    }
    for directory in SHARED_DIRECTORIES {
        remove_if_empty(Path::new(directory));
    }
    pods.ids
}

/// What containerd's state directory says about containers that may still run.
#[derive(Debug, Default)]
struct Remains {
    ids: BTreeSet<String>,
    control_groups: Vec<PathBuf>,
    /// Sockets of shims, which a shim that is killed leaves.
    sockets: Vec<PathBuf>,
}

impl Remains {
    fn find(layout: &Layout) -> Self {
        let mut remains = Self::default();
        for directory in [layout.state().join(TASKS), sandboxes(layout)] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                remains.ids.extend(entry.file_name().into_string());
                let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
                remains.sockets.extend(shim_socket(&address));
                let spec = fs::read(entry.path().join("config.json")).unwrap_or_default();
                if let Some(path) =
                    control_group(&serde_json::from_slice(&spec).unwrap_or_default())
                {
                    remains.control_groups.extend(control_group_directories(&path));
                }
            }
        }
        remains
    }
}

/// The socket that a shim's address names, in the directory that all shims of a host share.
fn shim_socket(address: &str) -> Option<PathBuf> {
    let path = PathBuf::from(address.trim().strip_prefix("unix://")?);
    (path.parent() == Some(Path::new(SHARED_DIRECTORIES[1]))).then_some(path)
}

fn sandboxes(layout: &Layout) -> PathBuf {
    layout.state().join(NAMESPACES).join("sandboxes")
}

/// The control group that an OCI runtime specification names, relative to the hierarchies.
fn control_group(spec: &Value) -> Option<PathBuf> {
    let path = Path::new(spec.get("linux")?.get("cgroupsPath")?.as_str()?);
    let relative = path.strip_prefix("/").ok()?;
    let is_plain =
        relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    (is_plain && !relative.as_os_str().is_empty()).then(|| relative.to_owned())
}

/// The directories of a control group in all hierarchies that have it.
fn control_group_directories(path: &Path) -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUP_ROOT);
    let hierarchies = fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = std::iter::once(root.clone()).chain(hierarchies).map(|base| base.join(path));
    all.filter(|directory| directory.join("cgroup.procs").exists()).collect()
}

/// Kills what still runs in a control group, and removes it with those below it.
async fn remove_control_group(group: &Path, problems: &mut Problems) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            Box::pin(remove_control_group(&entry.path(), problems)).await;
        }
    }
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        if let Some(process) = Process::find(pid) {
            process.signal(Signal::SIGKILL);
            process.is_gone_within(PATIENCE).await;
        }
    }
    problems.note("remove control group", group, fs::remove_dir(group));
}

/// Kills the shims that serve this runtime's socket. They are told by their arguments, for a shim
/// belongs to no parent. The path there must lead the shim to the directory to which it leads us: beside
/// another root or mount namespace, the same path may be another runtime's.
async fn end_shims(layout: &Layout) {
    let socket = layout.socket().to_string_lossy().into_owned();
    let own = identity(layout.state());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<_> =
            arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let program = arguments.first().map(|path| Path::new(path.as_ref()).to_owned());
        let is_shim = program.is_some_and(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("containerd-shim"))
        });
        let is_ours = arguments.windows(2).any(|pair| pair[0] == "-address" && pair[1] == socket);
        if is_shim
            && is_ours
            && identity(&seen_by(&entry.path(), layout.state())) == own
            && let Some(process) = Process::find(pid)
        {
            process.signal(Signal::SIGKILL);
            process.is_gone_within(PATIENCE).await;
        }
    }
}

/// Device and inode of what a path leads to; nothing, if to nothing.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Where a path leads a process, whose directory in /proc this is. Links on it are followed as we see
/// them.
fn seen_by(process: &Path, path: &Path) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    process.join("root").join(path.strip_prefix("/").unwrap_or(&path))
}

/// Unmounts everything below some directories, innermost first.
fn unmount_below(directories: &[&Path], problems: &mut Problems) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<PathBuf> = table.lines().filter_map(mount_point).collect();
    points.retain(|point| {
        directories.iter().any(|directory| point.starts_with(directory) && point != directory)
    });
    for point in points.iter().rev() {
        let unmounted = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        // A mount that went with the one around it is not there any more.
        if !matches!(unmounted, Err(nix::errno::Errno::EINVAL)) {
            problems.note("unmount", point, unmounted.map_err(io::Error::from));
        }
    }
}

/// Field 5 of a line of mountinfo, its octal escapes undone.
fn mount_point(line: &str) -> Option<PathBuf> {
    let field = line.split(' ').nth(4)?;
    let unescaped = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    Some(PathBuf::from(unescaped.replace("\\134", "\\")))
}

/// Removes what libcni remembers of this network, and of the loopback links of the given pods.
fn remove_results(pods: &BTreeSet<String>, problems: &mut Problems) {
    for entry in fs::read_dir(RESULTS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_own_result(&name, pods) {
            problems.note("remove", &entry.path(), fs::remove_file(entry.path()));
        }
    }
}

/// Results are named after network, sandbox and interface. The loopback network is every
/// containerd's, so its results are told by the sandbox.
fn is_own_result(name: &str, pods: &BTreeSet<String>) -> bool {
    let sandbox_of = |network: &str| {
        let rest = name.strip_prefix(network)?.strip_prefix('-')?;
        rest.split_once('-').map(|(sandbox, _)| sandbox)
    };
    // Anything but an id belongs to a network with a longer name.
    sandbox_of(NETWORK).is_some_and(is_full_id)
        || sandbox_of("cni-loopback").is_some_and(|id| pods.contains(id))
}

/// Removes a directory that others may keep things in, unless they do.
fn remove_if_empty(directory: &Path) {
    if let Err(error) = fs::remove_dir(directory) {
        tracing::debug!(directory = %directory.display(), %error, "the directory stays");
    }
}

/// Removes a directory that no mount is in any more.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let line = r"36 35 98:0 /root /mnt/a\040b\134c rw shared:1 - ext4 /dev/root rw";
        assert_eq!(mount_point(line).unwrap(), Path::new(r"/mnt/a b\c"));
        assert_eq!(mount_point(""), None);
    }

    #[test]
    fn only_control_groups_of_their_own_are_removed() {
        let group = |path: &str| control_group(&json!({"linux": {"cgroupsPath": path}}));
        assert_eq!(group("/pod/abc").unwrap(), Path::new("pod/abc"));
        // The root group, what leads out of the hierarchy, and systemd's notation.
        for path in ["/", "", "/../x", "relative", "a.slice:cri-containerd:abc"] {
            assert_eq!(group(path), None, "{path}");
        }
        assert_eq!(control_group(&json!({})), None);
    }

    #[test]
    fn only_sockets_of_shims_are_removed() {
        let socket = "/run/containerd/s/0a1b";
        assert_eq!(shim_socket(&format!("unix://{socket}\n")).unwrap(), Path::new(socket));
        for address in ["", socket, "unix:///run/containerd/containerd.sock", "unix:///etc/passwd"]
        {
            assert_eq!(shim_socket(address), None, "{address}");
        }
    }

    #[test]
    fn only_results_of_own_pods_are_removed() {
        let (own, other) = ("a".repeat(64), "b".repeat(64));
        let pods = BTreeSet::from([own.clone()]);
        let is_own = |name: &str| is_own_result(name, &pods);
        assert!(is_own(&format!("crilet-{own}-eth0")) && is_own(&format!("crilet-{other}-eth0")));
        assert!(is_own(&format!("cni-loopback-{own}-lo")));
        assert!(!is_own(&format!("cni-loopback-{other}-lo")));
        assert!(!is_own(&format!("crilet-2-{own}-eth0")) && !is_own(&format!("net-{own}-eth0")));
    }

    #[test]
    fn problems_are_all_reported_and_absence_is_none() {
        let mut problems = Problems::default();
        problems.note("remove", Path::new("/a"), Err(io::ErrorKind::NotFound.into()));
        problems.note("remove", Path::new("/b"), Err(io::Error::other("busy")));
        problems.note("unmount", Path::new("/c"), Err(io::Error::other("busy")));
        let text = problems.into_result().unwrap_err().to_string();
        assert!(text.ends_with("remove `/b`: busy; unmount `/c`: busy"), "{text}");
        Problems::default().into_result().unwrap();
    }
}
