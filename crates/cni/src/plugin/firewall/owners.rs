//! Who has the addresses that rules were made for.
//!
//! A file for each address in `/run/crilet/firewall`, which goes with the machine's uptime, as the
//! rules do. A pod that gets an address takes it over from the one that had it, so that a late DEL
//! of that one leaves the rules, which are the same for both, alone.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crilet_core::fs::replace_quickly;
use serde::{Deserialize, Serialize};

use crate::protocol::{Attachment, Call, Code, PluginError, all};

const DIRECTORY: &str = "/run/crilet/firewall";

/// An attachment that an address belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    network: String,
    container: String,
    link: String,
    /// Path of the pod's network namespace, and its number, which tells it from a later one.
    namespace: String,
    inode: u64,
    /// The zone of firewalld that the address is in; none when rules let it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
}

impl Owner {
    fn of(call: &Call, zone: Option<&str>) -> Self {
        Self {
            network: call.network.clone(),
            container: call.container_id().to_owned(),
            link: call.link().to_owned(),
            namespace: call.environment.namespace.clone(),
            inode: call.environment.namespace().and_then(inode).unwrap_or_default(),
            zone: zone.map(str::to_owned),
        }
    }

    fn is(&self, call: &Call) -> bool {
        let known = (self.network.as_str(), self.container.as_str(), self.link.as_str());
        known == (call.network.as_str(), call.container_id(), call.link())
    }

    fn is_alive(&self) -> bool {
        inode(Path::new(&self.namespace)) == Some(self.inode)
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// An address that is let through, and where: in a zone of firewalld, or by rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) address: IpAddr,
    pub(super) zone: Option<String>,
}

/// What was known of an address before it was claimed.
#[derive(Debug)]
pub(super) struct Claim(IpAddr, Option<Vec<u8>>);

/// All owners.
#[derive(Debug)]
pub(super) struct Owners {
    directory: PathBuf,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self { directory: DIRECTORY.into() }
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.directory.join(address.to_string())
    }

    /// Notes addresses as those of the call's attachment, and the zone that they come into.
    pub(super) fn claim(
        &self,
        list: &[IpAddr],
        call: &Call,
        zone: Option<&str>,
    ) -> Result<Vec<Claim>, PluginError> {
        fs::create_dir_all(&self.directory)
            .map_err(|cause| failed("make directory", &self.directory, &cause))?;
        let content = serde_json::to_vec(&Owner::of(call, zone))
            .map_err(|error| PluginError::because("note whose an address is", &error))?;
        let mut claims = Vec::new();
        for address in list {
            let path = self.path(*address);
            let before = fs::read(&path).ok();
            if let Err(cause) = replace_quickly(&path, &content, 0o600) {
                // What was noted before is what counts again; the failure is what to tell.
                drop(self.undo(claims));
                return Err(failed("write", &path, &cause));
            }
            claims.push(Claim(*address, before));
        }
        Ok(claims)
    }

    /// Makes claims undone.
    pub(super) fn undo(&self, claims: Vec<Claim>) -> Result<(), PluginError> {
        let undone = claims.into_iter().map(|Claim(address, before)| {
            let path = self.path(address);
            match before {
                Some(content) => replace_quickly(&path, &content, 0o600)
                    .map_err(|cause| failed("write", &path, &cause)),
                None => self.forget(&[address]),
            }
        });
        all(undone.filter_map(Result::err).collect())
    }

    /// Forgets whose addresses were.
    pub(super) fn forget(&self, addresses: &[IpAddr]) -> Result<(), PluginError> {
        let removed = addresses.iter().map(|address| {
            let path = self.path(*address);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("remove", &path, &error))
                }
                _ => Ok(()),
            }
        });
        all(removed.filter_map(Result::err).collect())
    }

    /// Addresses of the call's attachment.
    pub(super) fn of(&self, call: &Call) -> Result<Vec<Held>, PluginError> {
        self.held(|owner| owner.is(call))
    }

    /// Whether an address has come to another attachment whose pod is there.
    pub(super) fn is_of_another(&self, address: IpAddr, call: &Call) -> bool {
        let owner = fs::read(self.path(address)).ok().and_then(|bytes| read(&bytes));
        owner.is_some_and(|owner| !owner.is(call) && owner.is_alive())
    }

    /// Addresses of the network's attachments that are not valid.
    pub(super) fn without(
        &self,
        valid: &[Attachment],
        network: &str,
    ) -> Result<Vec<Held>, PluginError> {
        self.held(|owner| {
            let attachment =
                Attachment { container_id: owner.container.clone(), link: owner.link.clone() };
            owner.network == network && !valid.contains(&attachment)
        })
    }

    /// Addresses whose owner is wanted; none before the first claim.
    fn held(&self, is_wanted: impl Fn(&Owner) -> bool) -> Result<Vec<Held>, PluginError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|cause| failed("read", &self.directory, &cause))?,
        };
        let held = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let address = entry.file_name().to_str()?.parse().ok()?;
            let owner = read(&fs::read(entry.path()).ok()?).filter(&is_wanted)?;
            Some(Held { address, zone: owner.zone })
        });
        Ok(held.collect())
    }
}

/// What cannot be read tells of nobody.
fn read(bytes: &[u8]) -> Option<Owner> {
    serde_json::from_slice(bytes).ok()
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> PluginError {
    PluginError::new(Code::Io, format!("failed to {action} `{}`: {cause}", path.display()))
}
