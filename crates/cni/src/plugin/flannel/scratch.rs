//! Files of the configurations that were made: one for each container, of its name.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use crilet_core::fs::write_durably;
use serde_json::Value;

use crate::protocol::{Attachment, Code, PluginError};

/// Keeps a configuration.
pub(super) fn write(directory: &Path, container: &str, config: &Value) -> Result<(), PluginError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|cause| failed("make directory", directory, &cause))?;
    let path = directory.join(container);
    write_durably(&path, config.to_string().as_bytes(), 0o600)
        .map_err(|error| PluginError::because("keep the configuration", &error))
}

/// The configuration of a container; `None` when there is none that can be read.
pub(super) fn read(directory: &Path, container: &str) -> Result<Option<Value>, PluginError> {
    let path = directory.join(container);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().filter(Value::is_object)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", &path, &cause)),
    }
}

/// Removes a container's file.
pub(super) fn remove(directory: &Path, container: &str) -> Result<(), PluginError> {
    let path = directory.join(container);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path, &error))
        }
        _ => Ok(()),
    }
}

/// Containers of the network with no valid attachment, and their configurations.
pub(super) fn without(
    directory: &Path,
    network: &str,
    valid: &[Attachment],
) -> Result<Vec<(String, Value)>, PluginError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed("read", directory, &cause)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let gone = names.filter(|name| !valid.iter().any(|pod| pod.container_id == *name));
    let files = gone.filter_map(|name| {
        let config = read(directory, &name).ok()??;
        (config.get("name")?.as_str()? == network).then_some((name, config))
    });
    Ok(files.collect())
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> PluginError {
    PluginError::new(Code::Io, format!("failed to {action} `{}`: {cause}", path.display()))
}
