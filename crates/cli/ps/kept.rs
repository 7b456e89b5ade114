//! Addresses and ports of pods by what libcni keeps of their networks.
//!
//! For a verbose status, which is the CRI's only word for ports, containerd asks the shim: a millisecond
//! for each pod. libcni's files tell the same; whoever they do not tell of for certain is asked for.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crilet_cni::cache::{self, Cached};
use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail, Pod, PodDetails, PodState},
};

use crate::publish;

/// What runtimes call the link in a pod; the pod's addresses are this link's.
const LINK: &str = "eth0";

/// Adds addresses and ports to pods of a list, and leaves out those that are gone.
pub(super) async fn describe(client: &Client, mut pods: Vec<Pod>) -> Result<Vec<Pod>, CriError> {
    let mut kept = read(&cache::DIRECTORIES.map(PathBuf::from), &pods);
    for pod in &mut pods {
        let cached = kept.remove(&pod.id);
        pod.details = cached.and_then(|cached| details(pod, &cached, crilet_cni::is_namespace));
    }
    order(client, &mut pods).await;
    inventory::describe(client, pods, Detail::Pods).await
}

/// What is kept of these pods, by their ids.
fn read(directories: &[PathBuf], pods: &[Pod]) -> BTreeMap<String, Cached> {
    let is_wanted = |name: &str| {
        let mut parts = name.rsplitn(3, '-');
        let (link, id) = (parts.next(), parts.next());
        link == Some(LINK) && pods.iter().any(|pod| Some(pod.id.as_str()) == id)
    };
    let mut kept = BTreeMap::new();
    let mut twice = Vec::new();
    let files = directories.iter().flat_map(|directory| cache::read(directory, is_wanted));
    for cached in files.filter_map(|(_, read)| read.ok().flatten()) {
        let id = cached.container.clone();
        if kept.insert(id.clone(), cached).is_some() {
            twice.push(id);
        }
    }
    // Which of them the runtime means is not known.
    kept.retain(|id, _| !twice.contains(id));
    kept
}

/// What is kept of a pod, if it is this very pod and its network is still there.
fn details(pod: &Pod, cached: &Cached, is_namespace: impl Fn(&Path) -> bool) -> Option<PodDetails> {
    let is_it = pod.state == PodState::Ready
        && cached.container == pod.id
        && cached.link == LINK
        && cached.pod() == Some((&pod.namespace, &pod.name));
    let namespace = cached.namespace_path().filter(|path| is_it && is_namespace(path))?;
    let mut ports: Vec<_> = cached.ports().iter().map(publish::listed).collect();
    ports.sort_unstable_by_key(|port| (port.host_port, port.protocol, port.host_ip));
    let ips = cached.own_addresses();
    let network_namespace = Some(namespace.to_owned());
    let has_address = !ips.is_empty();
    has_address.then(|| PodDetails { ips, ports, network_namespace, ..PodDetails::default() })
}

/// Which of a pod's addresses is its main one, and stands first. That is the runtime's choice: containerd
/// takes the first of IPv4, or what its `ip_pref` says; CRI-O leaves them as the plugins gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Main {
    First,
    V4,
    V6,
}

impl Main {
    /// What makes the one list into the other.
    fn between(kept: &[IpAddr], told: &[IpAddr]) -> Option<Self> {
        [Self::First, Self::V4, Self::V6].into_iter().find(|main| main.before(kept) == told)
    }

    fn before(self, ips: &[IpAddr]) -> Vec<IpAddr> {
        let at = match self {
            Self::First => None,
            Self::V4 => ips.iter().position(IpAddr::is_ipv4),
            Self::V6 => ips.iter().position(IpAddr::is_ipv6),
        };
        let mut ips = ips.to_vec();
        if let Some(before) = at.and_then(|at| ips.get_mut(..=at)) {
            before.rotate_right(1);
        }
        ips
    }
}

/// Puts the main address of each pod first, as the runtime does; one pod with both families, of which it
/// is asked, tells it of all. If it tells something else of that, nothing that is kept is believed.
async fn order(client: &Client, pods: &mut [Pod]) {
    let mut both: Vec<_> = pods.iter_mut().filter(|pod| has_both(pod)).collect();
    let Some((id, kept)) = both.first().map(|pod| (pod.id.clone(), ips(pod).to_vec())) else {
        return;
    };
    let told = client.pod_sandbox_status(&id, false).await.ok();
    let told = told.map(|answer| inventory::pod_details(answer).ips).unwrap_or_default();
    let main = Main::between(&kept, &told);
    for pod in &mut both {
        pod.details = pod
            .details
            .take()
            .zip(main)
            .map(|(details, main)| PodDetails { ips: main.before(&details.ips), ..details });
    }
}

fn ips(pod: &Pod) -> &[IpAddr] {
    pod.details.as_ref().map(|details| details.ips.as_slice()).unwrap_or_default()
}

fn has_both(pod: &Pod) -> bool {
    ips(pod).iter().any(IpAddr::is_ipv4) && ips(pod).iter().any(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, time::SystemTime};

    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        Pod {
            id: "a1".into(),
            name: "web".into(),
            namespace: "default".into(),
            uid: "u".into(),
            attempt: 0,
            state: PodState::Ready,
            created_at: SystemTime::UNIX_EPOCH,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            runtime_handler: String::new(),
            details: None,
            containers: Vec::new(),
        }
    }

    fn file() -> serde_json::Value {
        json!({
            "kind": "cniCacheV1", "containerId": "a1", "networkName": "my-net", "ifName": "eth0",
            "cniArgs": [["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]],
            "capabilityArgs": {"portMappings": [
                {"HostPort": 90, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
                {"HostPort": 53, "ContainerPort": 53, "Protocol": "udp", "HostIP": "127.0.0.1"},
            ]},
            "result": {"ips": [{"address": "10.88.0.2/16", "interface": 0}],
                "interfaces": [{"name": "eth0", "sandbox": "/run/netns/a"}]},
        })
    }

    fn told(pod: &Pod, file: &serde_json::Value, namespace: bool) -> Option<PodDetails> {
        let cached = Cached::parse(file.to_string().as_bytes()).unwrap()?;
        details(pod, &cached, |_| namespace)
    }

    #[test]
    fn what_is_kept_of_the_very_pod_is_told() {
        let details = told(&pod(), &file(), true).unwrap();
        let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["127.0.0.1:53->53/udp", "90->80/tcp"]);
        assert_eq!(details.ips, ["10.88.0.2".parse::<IpAddr>().unwrap()]);
        assert!(!details.host_network);
    }

    #[test]
    fn what_may_be_of_another_is_not_believed() {
        assert_eq!(told(&pod(), &file(), false), None, "the namespace is gone");
        let ended = Pod { state: PodState::NotReady, ..pod() };
        assert_eq!(told(&ended, &file(), true), None, "its network goes bit by bit");
        for (pointer, other) in [
            ("/kind", json!("cniCacheV2")),
            ("/containerId", json!("b2")),
            ("/ifName", json!("net1")),
            ("/cniArgs/0/1", json!("db")),
            ("/cniArgs/1/1", json!("other")),
            ("/cniArgs", json!(null)),
            ("/result", json!(null)),
            ("/result/ips", json!([])),
            ("/result/interfaces", json!([])),
        ] {
            let mut file = file();
            *file.pointer_mut(pointer).unwrap() = other;
            assert_eq!(told(&pod(), &file, true), None, "{pointer}");
        }
    }

    #[test]
    fn files_are_found_by_the_id_in_their_names() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = directories.each_ref().map(|directory| directory.path().to_owned());
        let write = |at: usize, name: &str, text: &str| {
            fs::write(paths[at].join(name), text).unwrap();
        };
        let ids = || -> Vec<String> { read(&paths, &[pod()]).into_keys().collect() };
        write(0, "my-net-a1-eth1", &file().to_string());
        write(0, "my-net-b2-eth0", &file().to_string());
        write(0, "my-net-a1-eth0", "{");
        assert_eq!(ids(), Vec::<String>::new());
        write(0, "my-net-a1-eth0", &file().to_string());
        assert_eq!(ids(), ["a1"]);
        write(1, "other-a1-eth0", &file().to_string());
        assert_eq!(ids(), Vec::<String>::new(), "two networks say that they are its own");
    }

    #[test]
    fn the_runtime_says_which_address_is_the_main_one() {
        let all = ["fd00::1", "10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let [six, four, other] = all;
        assert_eq!(Main::between(&all, &all), Some(Main::First));
        assert_eq!(Main::between(&all, &[four, six, other]), Some(Main::V4));
        assert_eq!(Main::between(&[four, other, six], &[six, four, other]), Some(Main::V6));
        assert_eq!(Main::between(&all, &[four]), None);
        assert_eq!(Main::between(&all, &[]), None);
    }
}
