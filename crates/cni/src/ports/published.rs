//! Ports that are published on pods that run already.
//!
//! The rules are those of the `portmap` plugin, in the pod's own chain, so that any portmap takes
//! them away with the pod. What was published is kept in `/run/crilet/published/CONTAINER.json`:
//! by that it is listed and taken back, and crilet's plugins take it away with pods that have no
//! `portmap` in their network. No process keeps them; they stay when the runtime is restarted, and
//! go with the machine's uptime like the pods.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crilet_core::fs::replace_quickly;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    conflict::{self, Look},
    making,
    mapping::PortMapping,
    rules::{self, Mode, Target},
    script::Options,
};
use crate::{
    cache::{self, RESULTS},
    lock::Lock,
    netfilter::maker::{Chosen, Maker},
    protocol::PluginError,
};

const DIRECTORY: &str = "/run/crilet/published";
/// Form of the file.
const VERSION: u32 = 1;

/// A pod whose ports are to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPorts {
    /// Id of the sandbox, which is the container of CNI.
    pub sandbox: String,
    /// Its addresses as the runtime tells them.
    pub addresses: Vec<IpAddr>,
}

/// What was published on a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    version: u32,
    /// Name of the pod's network.
    pub network: String,
    /// Id of the sandbox.
    pub sandbox: String,
    addresses: Vec<IpNet>,
    /// The mappings.
    pub ports: Vec<PortMapping>,
}

/// Why a port could not be published, or taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The pod has no network of its own that CNI has made.
    #[error("pod has no CNI network: nothing about {sandbox} in `{directory}`")]
    NoNetwork {
        /// Id of the sandbox.
        sandbox: String,
        /// Where runtimes keep what they know.
        directory: &'static str,
    },
    /// What a runtime keeps about the pod cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pod has no address of the family that the mapping is for.
    #[error("pod has no {family} address that {mapping} could lead to")]
    NoAddress {
        /// The mapping.
        mapping: PortMapping,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// It is published already.
    #[error("{mapping} is published already")]
    Already {
        /// The mapping.
        mapping: PortMapping,
    },
    /// It is not published.
    #[error("port {port} is not published by `crilet publish`{}", others(published))]
    NotPublished {
        /// What was to be taken back.
        port: String,
        /// What is published.
        published: Vec<PortMapping>,
    },
    /// What is published could not be kept.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The rules could not be made or taken away, or somebody else has the port.
    #[error(transparent)]
    Rules(#[from] PluginError),
}

fn others(published: &[PortMapping]) -> String {
    if published.is_empty() {
        return String::new();
    }
    let list: Vec<_> = published.iter().map(ToString::to_string).collect();
    format!(" (published are {})", list.join(", "))
}

/// Publishes a port of a pod.
///
/// # Errors
/// When somebody has the port, naming the owner; when the pod has no network; when the rules cannot
/// be made. Then nothing is left.
pub fn publish(pod: &PodPorts, mapping: PortMapping) -> Result<(), PublishError> {
    let _lock = Lock::acquire("netfilter")?;
    let mut record = match read(&pod.sandbox)? {
        Some(record) => record,
        None => attachment(pod)?,
    };
    if record.ports.contains(&mapping) {
        return Err(PublishError::Already { mapping });
    }
    let wanted = |net: &&IpNet| mapping.is_for(net.addr().is_ipv4());
    let addresses: Vec<IpNet> = record.addresses.iter().filter(wanted).copied().collect();
    if addresses.is_empty() {
        let is_v4 = mapping.host_ip.is_none_or(|address| address.is_ipv4());
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        return Err(PublishError::NoAddress { mapping, family });
    }
    let network = record.network.clone();
    let target = Target { network: &network, container: &pod.sandbox, addresses: &addresses };
    refuse_own(target, &mapping)?;
    conflict::refuse(target, &[mapping], Look::Whole)?;
    // Kept before the rules are made: what is kept is taken away with the pod.
    record.ports.push(mapping);
    write(&record)?;
    let by = Maker::start(Chosen::new(None));
    let made = making::add(target, &[mapping], &Options::default(), by, Mode::Append);
    if let Err(failure) = made {
        record.ports.pop();
        write(&record)?;
        return Err(failure.into());
    }
    Ok(())
}

/// A port that the pod's own files map is no port to publish.
fn refuse_own(target: Target<'_>, mapping: &PortMapping) -> Result<(), PublishError> {
    if rules::check(target, &[*mapping]).is_ok() {
        return Err(PublishError::Already { mapping: *mapping });
    }
    Ok(())
}

/// Takes published ports of a pod back: all that `is_wanted` picks; gives them. `port` is what to
/// call them when there are none.
///
/// # Errors
/// When none is published, and when the rules cannot be taken away.
pub fn unpublish(
    sandbox: &str,
    port: &str,
    is_wanted: impl Fn(&PortMapping) -> bool,
) -> Result<Vec<PortMapping>, PublishError> {
    let _lock = Lock::acquire("netfilter")?;
    let Some(mut record) = read(sandbox)? else {
        return Err(PublishError::NotPublished { port: port.to_owned(), published: Vec::new() });
    };
    let (gone, kept): (Vec<_>, Vec<_>) = record.ports.iter().partition(|one| is_wanted(one));
    if gone.is_empty() {
        return Err(PublishError::NotPublished { port: port.to_owned(), published: kept });
    }
    let network = record.network.clone();
    let addresses = record.addresses.clone();
    let target = Target { network: &network, container: sandbox, addresses: &addresses };
    rules::remove_some(target, &gone)?;
    record.ports = kept;
    write(&record)?;
    Ok(gone)
}

/// What is published, on all pods; what cannot be read is left out.
#[must_use]
pub fn published() -> Vec<Published> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let sandboxes = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
    sandboxes.filter_map(|sandbox| read(&sandbox).ok().flatten()).collect()
}

/// Takes everything back that is published on a pod that leaves a network. The caller holds no lock.
///
/// # Errors
/// When the rules cannot be taken away.
pub(crate) fn forget(network: &str, sandbox: &str) -> Result<(), PluginError> {
    if !path_of(sandbox).exists() {
        return Ok(());
    }
    let _lock = Lock::acquire("netfilter")?;
    if read(sandbox).ok().flatten().is_some_and(|record| record.network == network) {
        rules::remove(network, sandbox)?;
    }
    drop_record(network, sandbox);
    Ok(())
}

/// Takes everything back that is published on pods whose runtime keeps nothing about them any more.
/// The reference's portmap leaves rules of a pod without ports of its own; nobody else would find
/// them.
///
/// # Errors
/// When the rules cannot be taken away.
pub fn forget_gone() -> Result<(), PluginError> {
    let records = published();
    if records.is_empty() {
        return Ok(());
    }
    let entries = fs::read_dir(RESULTS).into_iter().flatten().filter_map(Result::ok);
    let names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    for record in records {
        let wanted = format!("{}-{}-", record.network, record.sandbox);
        if !names.iter().any(|name| name.starts_with(&wanted)) {
            forget(&record.network, &record.sandbox)?;
        }
    }
    Ok(())
}

/// Removes what is kept about a pod whose rules in a network are gone, unless it is about another
/// of its networks.
pub(crate) fn drop_record(network: &str, sandbox: &str) {
    if read(sandbox).ok().flatten().is_none_or(|record| record.network == network) {
        // It may not be there; and a later attempt finds no rules for what stays.
        drop(fs::remove_file(path_of(sandbox)));
    }
}

fn path_of(sandbox: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{sandbox}.json"))
}

fn read(sandbox: &str) -> Result<Option<Published>, PublishError> {
    let path = path_of(sandbox);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|cause| PublishError::Read { path, cause: cause.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(PublishError::Read { path, cause: cause.into() }),
    }
}

fn write(record: &Published) -> Result<(), PublishError> {
    let path = path_of(&record.sandbox);
    if record.ports.is_empty() {
        drop_record(&record.network, &record.sandbox);
        return Ok(());
    }
    let text = serde_json::json!(record).to_string();
    fs::create_dir_all(DIRECTORY)
        .and_then(|()| replace_quickly(&path, text.as_bytes(), 0o600))
        .map_err(|cause| PublishError::Write { path, cause })
}

/// The pod's network and addresses, from what its runtime keeps about the attachment.
fn attachment(pod: &PodPorts) -> Result<Published, PublishError> {
    for (path, read) in cache::of_container(&pod.sandbox) {
        let read = read.map_err(|cause| PublishError::Read { path, cause: cause.into() })?;
        let Some(cached) = read else { continue };
        let own = cached.addresses().into_iter();
        let mut addresses: Vec<IpNet> = Vec::new();
        for net in own.filter(|net| pod.addresses.contains(&net.addr())) {
            let is_v4 = net.addr().is_ipv4();
            if !addresses.iter().any(|other| other.addr().is_ipv4() == is_v4) {
                addresses.push(net);
            }
        }
        if !addresses.is_empty() {
            return Ok(Published {
                version: VERSION,
                network: cached.network,
                sandbox: pod.sandbox.clone(),
                addresses,
                ports: Vec::new(),
            });
        }
    }
    Err(PublishError::NoNetwork { sandbox: pod.sandbox.clone(), directory: RESULTS })
}
