//! Reading everything.

use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use crilet_core::ErrorChain;
use crilet_cri::{
    Client,
    inventory::{self, ContainerState, Detail, Pod, PodState},
};

use super::{
    Flows, Loaded, Mapping, Namespace, Protocol, Sandbox, Snapshot, SnapshotError, VERSION, enter,
    firewall, flows, loaded, lock, stores,
};
use crate::config;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of network configurations.
    pub configuration: PathBuf,
    /// Directories of plugins.
    pub plugins: Vec<PathBuf>,
    /// Directories of stores of host-local.
    pub stores: Vec<PathBuf>,
    /// Directories of results of libcni.
    pub results: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        Self {
            configuration: config::DIRECTORY.into(),
            plugins: paths(&config::BINARY_DIRECTORIES),
            stores: paths(&["/var/lib/cni/networks"]),
            results: paths(&["/var/lib/cni/results", "/var/lib/cni/cache/results"]),
        }
    }
}

/// Reads the network of this node, and of its pods.
///
/// Nothing is changed and no lock is taken. What cannot be read, but for the host's own network, is
/// told in [`Snapshot::problems`].
///
/// # Errors
/// When the kernel does not tell of the host's network.
pub async fn take(options: &Options, client: Option<&Client>) -> Result<Snapshot, SnapshotError> {
    let mut problems = Vec::new();
    let lock = lock::holder();
    let Known { runtime, loaded, sandboxes } = ask(client, &mut problems).await;
    let attachments = stores::attachments(&options.results, &mut problems);
    let known = sandboxes.iter().filter_map(|sandbox| sandbox.namespace.clone());
    let known = known.chain(attachments.iter().filter_map(|one| one.namespace.clone()));
    let paths = enter::find(known);
    let mut of_rules = Vec::new();
    let (read, firewall, configuration) = tokio::join!(
        enter::read(paths),
        firewall::read(&mut of_rules),
        config::read(&options.configuration, &options.plugins)
    );
    let read = read?;
    let mut host = read.host;
    host.firewall = firewall;
    problems.extend(of_rules);
    problems.extend(read.problems);
    let count = |name: &str| host.sysctls.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let flows = Flows {
        count: count("netfilter/nf_conntrack_count"),
        limit: count("netfilter/nf_conntrack_max"),
        rewritten: flows::read().unwrap_or_default(),
    };
    let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(Snapshot {
        version: VERSION,
        taken_at,
        node: node.trim().to_owned(),
        host,
        namespaces: read.others,
        flows,
        configuration,
        stores: stores::leases(&options.stores),
        attachments,
        runtime,
        loaded,
        sandboxes,
        xtables_lock: lock
            .filter(|before| lock::holder().is_some_and(|after| after.pid == before.pid)),
        problems,
    })
}

/// What the runtime knows.
#[derive(Default)]
struct Known {
    runtime: Option<String>,
    loaded: Option<Loaded>,
    sandboxes: Vec<Sandbox>,
}

async fn ask(client: Option<&Client>, problems: &mut Vec<String>) -> Known {
    let Some(client) = client else { return Known::default() };
    let told = tokio::try_join!(
        client.version(),
        client.status(true),
        inventory::read(client, Detail::Pods)
    );
    match told {
        Ok((version, status, pods)) => Known {
            runtime: Some(format!("{} {}", version.runtime_name, version.runtime_version)),
            loaded: loaded::read(&status.info),
            sandboxes: pods.into_iter().map(sandbox).collect(),
        },
        Err(error) => {
            problems.push(format!("the runtime does not tell its pods: {}", ErrorChain(&error)));
            Known::default()
        }
    }
}

fn sandbox(pod: Pod) -> Sandbox {
    let name = pod.full_name();
    let running = pod.containers.iter().filter(|one| one.state == ContainerState::Running);
    let containers = running.map(|one| one.name.clone()).collect();
    let details = pod.details.unwrap_or_default();
    Sandbox {
        id: pod.id,
        pod: name,
        ready: pod.state == PodState::Ready,
        host_network: details.host_network,
        namespace: details.network_namespace,
        addresses: details.ips,
        ports: details.ports.iter().filter_map(mapping).collect(),
        containers,
    }
}

fn mapping(port: &inventory::PortMapping) -> Option<Mapping> {
    Some(Mapping {
        protocol: Protocol::from_name(&port.protocol.to_string())?,
        host_ip: port.host_ip.filter(|address| !address.is_unspecified()),
        host_port: port.host_port,
        container_port: port.container_port,
    })
}

/// Reads the host's own links and routes, and nothing else.
///
/// # Errors
/// When the kernel does not tell of them.
pub async fn host() -> Result<Namespace, SnapshotError> {
    Ok(enter::read(Vec::new()).await?.host)
}
