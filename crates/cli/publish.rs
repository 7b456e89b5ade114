//! `crilet publish` and `crilet unpublish`: host ports of pods that run.

use std::{net::IpAddr, process::ExitCode};

use clap::{ArgGroup, Args};
use crilet_cni::{PodPorts, PortMapping, PublishError, forget_gone, publish, published, unpublish};
use crilet_cri::inventory::{self, Detail, Pod, PodState};

use crate::{connect, errors::CliError, global::Global, output};

/// Options of `crilet publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Pod: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pod: String,
    /// Ports, such as 8080:80 or 53:53/udp
    #[arg(value_name = "HOST:POD", required = true)]
    ports: Vec<PortMapping>,
    /// Only this address of the host, instead of all
    #[arg(long, value_name = "IP")]
    host_ip: Option<IpAddr>,
}

/// Options of `crilet unpublish`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true),
    override_usage = "crilet unpublish [OPTIONS] <POD> <PORT|--all>"
)]
pub(crate) struct UnpublishArgs {
    /// Pod: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pod: String,
    /// Ports of the host, or what was published, such as 8080, 53/udp or 8080:80
    #[arg(value_name = "PORT", group = "which")]
    ports: Vec<HostPort>,
    /// Everything that was published on the pod
    #[arg(short, long, group = "which")]
    all: bool,
}

/// A port of the host, perhaps with what it leads to.
#[derive(Debug, Clone)]
struct HostPort {
    text: String,
    host: u16,
    container: Option<u16>,
    protocol: Option<crilet_cni::Protocol>,
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, Some(protocol)),
            None => (text, None),
        };
        let protocol = protocol.map(|name| {
            crilet_cni::Protocol::parse(name)
                .ok_or_else(|| format!("`{name}` is none of tcp, udp, sctp"))
        });
        let (host, container) = match ports.split_once(':') {
            Some((host, container)) => (host, Some(container)),
            None => (ports, None),
        };
        let port = |text: &str| {
            let number = text.parse::<u16>().ok().filter(|port| *port != 0);
            number.ok_or_else(|| format!("`{text}` is no port between 1 and 65535"))
        };
        Ok(Self {
            text: text.to_owned(),
            host: port(host)?,
            container: container.map(port).transpose()?,
            protocol: protocol.transpose()?,
        })
    }
}

impl HostPort {
    fn means(&self, mapping: &PortMapping) -> bool {
        mapping.host_port == self.host
            && self.container.is_none_or(|port| port == mapping.container_port)
            && self.protocol.is_none_or(|protocol| protocol == mapping.protocol)
    }
}

/// Publishes ports of a pod that runs, and prints what leads where.
pub(crate) async fn run(global: &Global, args: PublishArgs) -> Result<ExitCode, CliError> {
    let pod = running_pod(global, &args.pod).await?;
    let details = pod.details.clone().unwrap_or_default();
    if details.host_network {
        return Err(CliError::HostNetwork { pod: pod.full_name() });
    }
    blocking(|| forget_gone().map_err(PublishError::from)).await?;
    for mapping in &args.ports {
        let mapping = PortMapping { host_ip: args.host_ip, ..*mapping };
        let target = PodPorts { sandbox: pod.id.clone(), addresses: details.ips.clone() };
        blocking(move || publish(&target, mapping)).await?;
        output::line(&mapping.to_string()).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes published ports back, and prints them.
pub(crate) async fn run_unpublish(
    global: &Global,
    args: UnpublishArgs,
) -> Result<ExitCode, CliError> {
    let pod = running_pod(global, &args.pod).await?;
    let mut gone = Vec::new();
    if args.all {
        let id = pod.id.clone();
        gone = match blocking(move || unpublish(&id, "a port", |_| true)).await {
            // It is so already.
            Err(CliError::Publish(PublishError::NotPublished { .. })) => Vec::new(),
            taken => taken?,
        };
    }
    for port in args.ports {
        let id = pod.id.clone();
        let taken =
            blocking(move || unpublish(&id, &port.text, |mapping| port.means(mapping))).await?;
        gone.extend(taken);
    }
    for mapping in gone {
        output::line(&mapping.to_string()).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What waits for locks and programs must not hold up the one thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, CliError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CliError::Start { cause: error.into() })?.map_err(CliError::from)
}

async fn running_pod(global: &Global, query: &str) -> Result<Pod, CliError> {
    let client = connect::client(global).await?;
    let pods = inventory::read(&client, Detail::Pods).await?;
    let found = crilet_pod::find(&pods, query)?;
    let running = found.iter().find(|pod| pod.state == PodState::Ready);
    match (running, found.first()) {
        (Some(pod), _) => Ok((*pod).clone()),
        (None, Some(pod)) => Err(CliError::NotRunning { pod: pod.full_name() }),
        (None, None) => Err(CliError::NotRunning { pod: query.to_owned() }),
    }
}

/// Adds what was published to the ports of pods.
pub(crate) fn add_published(pods: &mut [Pod]) {
    for record in published() {
        let Some(pod) = pods.iter_mut().find(|pod| pod.id == record.sandbox) else { continue };
        let Some(details) = &mut pod.details else { continue };
        details.ports.extend(record.ports.iter().map(listed));
    }
}

/// A host port as pods have it that are listed.
pub(crate) fn listed(mapping: &PortMapping) -> inventory::PortMapping {
    inventory::PortMapping {
        protocol: match mapping.protocol {
            crilet_cni::Protocol::Tcp => inventory::Protocol::Tcp,
            crilet_cni::Protocol::Udp => inventory::Protocol::Udp,
            crilet_cni::Protocol::Sctp => inventory::Protocol::Sctp,
        },
        host_ip: mapping.host_ip,
        host_port: mapping.host_port,
        container_port: mapping.container_port,
    }
}
