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
}

impl Owner {
    fn of(call: &Call) -> Self {
        Self {
            network: call.network.clone(),
            container: call.container_id().to_owned(),
            link: call.link().to_owned(),
            namespace: call.environment.namespace.clone(),
            inode: call.environment.namespace().and_then(inode).unwrap_or_default(),
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

/// What was known of an address before it was claimed.
#[derive(Debug)]
pub(super) struct Claim(IpAddr, Option<Vec<u8>>);

/// All owners.
#[derive(Debug)]
pub(super) struct Owners {
    directory: PathBuf,
}

impl Owners {
    pub(super) fn open() -> Result<Self, PluginError> {
        Self::at(Path::new(DIRECTORY))
    }

    fn at(directory: &Path) -> Result<Self, PluginError> {
        fs::create_dir_all(directory)
            .map_err(|cause| failed("make directory", directory, &cause))?;
        Ok(Self { directory: directory.to_owned() })
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.directory.join(address.to_string())
    }

    /// Notes addresses as those of the call's attachment.
    pub(super) fn claim(&self, list: &[IpAddr], call: &Call) -> Result<Vec<Claim>, PluginError> {
        let content = serde_json::to_vec(&Owner::of(call))
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
    pub(super) fn of(&self, call: &Call) -> Result<Vec<IpAddr>, PluginError> {
        let all = self.read_all()?.into_iter();
        Ok(all.filter(|(_, owner)| owner.is(call)).map(|(address, _)| address).collect())
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
    ) -> Result<Vec<IpAddr>, PluginError> {
        let is_gone = |owner: &Owner| {
            let attachment =
                Attachment { container_id: owner.container.clone(), link: owner.link.clone() };
            owner.network == network && !valid.contains(&attachment)
        };
        let all = self.read_all()?.into_iter();
        Ok(all.filter(|(_, owner)| is_gone(owner)).map(|(address, _)| address).collect())
    }

    fn read_all(&self) -> Result<Vec<(IpAddr, Owner)>, PluginError> {
        let entries = fs::read_dir(&self.directory)
            .map_err(|cause| failed("read", &self.directory, &cause))?;
        let owners = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let address = entry.file_name().to_str()?.parse().ok()?;
            Some((address, read(&fs::read(entry.path()).ok()?)?))
        });
        Ok(owners.collect())
    }
}

/// What cannot be read tells of nobody.
fn read(bytes: &[u8]) -> Option<Owner> {
    serde_json::from_slice(bytes).ok()
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> PluginError {
    PluginError::new(Code::Io, format!("failed to {action} `{}`: {cause}", path.display()))
}
