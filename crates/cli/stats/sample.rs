//! Looking at the runtime and the kernel, again and again.

use std::collections::{BTreeMap, HashMap};

use crilet_cri::{
    Client,
    inventory::{self, Container, ContainerState, Detail, Pod, PodState},
    v1,
};
use tokio::time::Instant;

use super::{
    kernel::{self, Hierarchies},
    usage::{Kind, Measured, Network, Usage},
};
use crate::{errors::CliError, ps, target, values};

/// Measures pods and containers, and remembers what is needed for rates.
#[derive(Debug)]
pub(crate) struct Sampler {
    client: Client,
    hierarchies: Hierarchies,
    /// First processes by the ids of sandboxes and containers that run; 0 where none is told.
    pids: HashMap<String, u32>,
    /// Sandboxes on the host's network, whose counters are no pod's.
    of_host: HashMap<String, bool>,
    before: HashMap<String, Usage>,
    looked: Option<Instant>,
}

/// What the runtime tells, by ids.
#[derive(Debug, Default)]
struct Told {
    containers: HashMap<String, Usage>,
    networks: HashMap<String, Network>,
}

impl Sampler {
    /// Nothing was measured yet.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            hierarchies: Hierarchies::read(),
            pids: HashMap::new(),
            of_host: HashMap::new(),
            before: HashMap::new(),
            looked: None,
        }
    }

    /// Measures what is named, or else all that runs: each pod, followed by its containers.
    pub(crate) async fn measure(&mut self, names: &[String]) -> Result<Vec<Measured>, CliError> {
        let pods = inventory::read(&self.client, Detail::Lists).await?;
        let chosen = choose(&pods, names)?;
        let told = tell(&self.client).await?;
        self.find_processes(chosen.iter().map(|chosen| chosen.pod)).await?;
        let now = Instant::now();
        let elapsed = self.looked.replace(now).map(|before| now.duration_since(before));
        let elapsed = elapsed.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let mut measured = Vec::new();
        for chosen in &chosen {
            self.measure_pod(chosen, &told, elapsed, &mut measured);
        }
        self.before = measured.iter().map(|one| (one.id.clone(), one.usage)).collect();
        Ok(measured)
    }

    fn measure_pod(&self, chosen: &Chosen<'_>, told: &Told, elapsed: u64, all: &mut Vec<Measured>) {
        let pod = chosen.pod;
        let containers: Vec<_> =
            chosen.containers.iter().map(|one| self.container(pod, one, told, elapsed)).collect();
        if chosen.whole {
            let usages: Vec<_> = containers.iter().map(|container| container.usage).collect();
            let mut usage = Usage { network: self.network(pod, told), ..Usage::sum(&usages) };
            if let Some(before) = self.before.get(&pod.id) {
                usage.rate(before, elapsed);
            }
            let (name, id) = (pod.full_name(), pod.id.clone());
            all.push(Measured { name, kind: Kind::Pod, id, restarts: ps::restarts(pod), usage });
        }
        all.extend(containers);
    }

    fn container(&self, pod: &Pod, container: &Container, told: &Told, elapsed: u64) -> Measured {
        let runtime = told.containers.get(&container.id).copied().unwrap_or_default();
        let kernel = match self.pids.get(&container.id) {
            Some(&pid) if pid > 0 => self.hierarchies.usage(pid, values::now()),
            _ => Usage::default(),
        };
        let mut usage = runtime.or(kernel);
        if let Some(before) = self.before.get(&container.id) {
            usage.rate(before, elapsed);
        }
        Measured {
            name: format!("{}/{}", pod.full_name(), container.name),
            kind: Kind::Container,
            id: container.id.clone(),
            restarts: container.attempt,
            usage,
        }
    }

    /// What the runtime tells, or else what the kernel counts where the pod's first process is.
    fn network(&self, pod: &Pod, told: &Told) -> Option<Network> {
        if self.of_host.get(&pod.id).copied().unwrap_or_default() {
            return None;
        }
        let pids = pod.containers.iter().map(|container| &container.id).chain([&pod.id]);
        let pid = || pids.filter_map(|id| self.pids.get(id)).copied().find(|pid| *pid > 0);
        told.networks.get(&pod.id).copied().or_else(|| kernel::network(pid()?).ok())
    }

    /// Learns the processes of what was not seen before, which costs a call for each.
    async fn find_processes(&mut self, pods: impl Iterator<Item = &Pod>) -> Result<(), CliError> {
        let mut unknown = Vec::new();
        for pod in pods {
            let runs = |container: &&Container| container.state == ContainerState::Running;
            let mut ids = pod.containers.iter().filter(runs).map(|container| &container.id);
            if !self.pids.contains_key(&pod.id)
                || ids.any(|id| !self.pids.contains_key(id.as_str()))
            {
                unknown.push(pod.clone());
            }
        }
        for pod in inventory::describe(&self.client, unknown, Detail::Full).await? {
            let details = pod.details.unwrap_or_default();
            self.of_host.insert(pod.id.clone(), details.host_network);
            self.pids.insert(pod.id, details.pid.unwrap_or_default());
            for container in
                pod.containers.into_iter().filter(|c| c.state == ContainerState::Running)
            {
                let pid = container.details.and_then(|details| details.pid);
                self.pids.insert(container.id, pid.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// What is to be measured of a pod.
struct Chosen<'a> {
    pod: &'a Pod,
    whole: bool,
    containers: Vec<&'a Container>,
}

/// Whatever is named, once; without names all pods that are up.
fn choose<'a>(pods: &'a [Pod], names: &[String]) -> Result<Vec<Chosen<'a>>, CliError> {
    let runs = |container: &&Container| container.state == ContainerState::Running;
    if names.is_empty() {
        let up = pods.iter().filter(|pod| pod.state == PodState::Ready);
        let whole = |pod: &'a Pod| Chosen {
            pod,
            whole: true,
            containers: pod.containers.iter().filter(runs).collect(),
        };
        let mut chosen: Vec<_> = up.map(whole).collect();
        chosen.sort_by_key(|chosen| chosen.pod.full_name());
        return Ok(chosen);
    }
    let mut chosen: BTreeMap<&str, Chosen<'a>> = BTreeMap::new();
    for name in names {
        let wanted = target::find_target(pods, name)?;
        let entry = chosen.entry(&wanted.pod.id).or_insert_with(|| Chosen {
            pod: wanted.pod,
            whole: false,
            containers: Vec::new(),
        });
        entry.whole |= wanted.whole;
        for container in wanted.containers.into_iter().filter(runs) {
            if !entry.containers.iter().any(|known| known.id == container.id) {
                entry.containers.push(container);
            }
        }
    }
    Ok(chosen.into_values().collect())
}

/// Asks the runtime, by pods where it can and by containers where it cannot. That it has no numbers is no
/// error: the kernel has most of them, too.
async fn tell(client: &Client) -> Result<Told, CliError> {
    let mut told = Told::default();
    let pods = match client.list_pod_sandbox_stats(None).await {
        Ok(pods) => pods,
        Err(error) if error.is_unreachable() => return Err(error.into()),
        // containerd fails all of it for one sandbox that is going away.
        Err(_) => Vec::new(),
    };
    for pod in pods {
        let id = pod.attributes.unwrap_or_default().id;
        let linux = pod.linux.unwrap_or_default();
        told.networks.extend(linux.network.as_ref().and_then(network).map(|network| (id, network)));
        told.add(&linux.containers);
    }
    match client.list_container_stats(None).await {
        Ok(containers) => told.add(&containers),
        Err(error) if error.is_unreachable() => return Err(error.into()),
        Err(_) => {}
    }
    Ok(told)
}

impl Told {
    fn add(&mut self, containers: &[v1::ContainerStats]) {
        for stats in containers {
            let id = stats.attributes.clone().unwrap_or_default().id;
            let known = self.containers.remove(&id).unwrap_or_default();
            self.containers.insert(id, known.or(usage(stats)));
        }
    }
}

fn usage(stats: &v1::ContainerStats) -> Usage {
    let value = |value: Option<v1::UInt64Value>| value.map(|value| value.value);
    let cpu = stats.cpu.unwrap_or_default();
    let memory = stats.memory.unwrap_or_default();
    let cpu_time = value(cpu.usage_core_nano_seconds).map(|used| (used, cpu.timestamp));
    // containerd's own rate is zero for whoever asks first, and for others since somebody asked.
    let cpu_nanocores = value(cpu.usage_nano_cores).filter(|_| cpu_time.is_none());
    Usage {
        cpu_time,
        cpu_nanocores,
        memory_bytes: value(memory.working_set_bytes),
        ..Usage::default()
    }
}

/// All interfaces together; nothing where the runtime counts none.
fn network(usage: &v1::NetworkUsage) -> Option<Network> {
    let interfaces: Vec<_> = usage.default_interface.iter().chain(&usage.interfaces).collect();
    let sum = |of: fn(&v1::NetworkInterfaceUsage) -> Option<v1::UInt64Value>| {
        interfaces.iter().filter_map(|one| Some(of(one)?.value)).reduce(u64::saturating_add)
    };
    let (received_bytes, sent_bytes) = (sum(|one| one.rx_bytes), sum(|one| one.tx_bytes));
    received_bytes.or(sent_bytes)?;
    Some(Network { received_bytes, sent_bytes, ..Network::default() })
}
