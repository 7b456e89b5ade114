//! What links were before: a file for each attachment, in the reference's form.
//!
//! One key is added, which the reference ignores: whose the file is. Its name does not hold the
//! network, without which GC could not tell one network's files from another's. Files of the
//! reference lack the key; they go with DEL alone.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crilet_core::fs::replace_quickly;
use serde::{Deserialize, Serialize};
use serde_json::{Serializer, ser::PrettyFormatter};

use super::link::Aspects;
use crate::protocol::{Attachment, Call, Code, PluginError, all};

/// A file's content. What goes back first is first.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promisc: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allmulti: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_q_len: Option<u32>,
    crilet: Option<Owner>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Owner {
    network: String,
    container: String,
    link: String,
}

/// Writes what a link was, unless it is not to be changed.
pub(super) fn write(directory: &Path, before: &Aspects, call: &Call) -> Result<(), PluginError> {
    if before.is_empty() {
        return Ok(());
    }
    let Aspects { mac, promisc, mtu, allmulti, tx_q_len } = before.clone();
    let owner = Owner {
        network: call.network.clone(),
        container: call.container_id().to_owned(),
        link: call.link().to_owned(),
    };
    let file = File { mac, promisc, mtu, allmulti, tx_q_len, crilet: Some(owner) };
    let mut content = Vec::new();
    let formatter = PrettyFormatter::with_indent(b" ");
    file.serialize(&mut Serializer::with_formatter(&mut content, formatter))
        .map_err(|error| PluginError::because("write what a link was", &error))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|cause| failed("make directory", directory, &cause))?;
    let path = path(directory, call);
    replace_quickly(&path, &content, 0o600).map_err(|cause| failed("write", &path, &cause))
}

/// Reads what the attachment's link was; `None` when it was not changed. As in the reference, what
/// cannot be understood is nothing that could be put back.
pub(super) fn read(directory: &Path, call: &Call) -> Result<Option<Aspects>, PluginError> {
    let path = path(directory, call);
    match fs::read(&path) {
        Ok(bytes) => {
            let File { mac, promisc, mtu, allmulti, tx_q_len, .. } = parse(&bytes);
            Ok(Some(Aspects { mac, promisc, mtu, allmulti, tx_q_len }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", &path, &cause)),
    }
}

fn parse(bytes: &[u8]) -> File {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Removes the attachment's file.
pub(super) fn remove(directory: &Path, call: &Call) -> Result<(), PluginError> {
    remove_file(&path(directory, call))
}

/// Removes the files of the network's attachments that are not valid.
pub(super) fn keep_only(
    directory: &Path,
    network: &str,
    valid: &[Attachment],
) -> Result<(), PluginError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed("read", directory, &cause)),
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let gone = paths.filter(|path| {
        let owner = fs::read(path).ok().and_then(|bytes| parse(&bytes).crilet);
        owner.is_some_and(|owner| {
            let attachment = Attachment { container_id: owner.container, link: owner.link };
            owner.network == network && !valid.contains(&attachment)
        })
    });
    all(gone.filter_map(|path| remove_file(&path).err()).collect())
}

fn path(directory: &Path, call: &Call) -> PathBuf {
    directory.join(format!("{}_{}.json", call.container_id(), call.link()))
}

fn remove_file(path: &Path) -> Result<(), PluginError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> PluginError {
    PluginError::new(Code::Io, format!("failed to {action} `{}`: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference plugin writes it.
    #[test]
    fn the_form_is_the_references() {
        let file =
            parse(b"{\n \"mac\": \"02:00:00:00:00:01\",\n \"promisc\": false,\n \"mtu\": 1500\n}");
        assert_eq!(file.mac.as_deref(), Some("02:00:00:00:00:01"));
        assert_eq!((file.promisc, file.mtu, file.crilet), (Some(false), Some(1500), None));
        assert_eq!(parse(b"{}"), File::default());
        assert_eq!(parse(b"no JSON"), File::default());
    }
}
