//! From flags, environment and files to a connected client. The only place that reads the
//! environment.

use std::{
    env,
    path::{Path, PathBuf},
};

use crilet_cni::PROGRAM;
use crilet_cri::{
    Client, Deadlines, Endpoint,
    discovery::{self, Found, Search},
};
use crilet_pod::{StateDir, images::Environment};

use crate::{errors::CliError, global::Global};

const CRICTL_CONFIG: &str = "/etc/crictl.yaml";

/// Connects to the runtime that is to be used.
pub(crate) async fn client(global: &Global) -> Result<Client, CliError> {
    Ok(found(global).await?.client)
}

/// Connects to the runtime that is to be used, and says why it is this one.
pub(crate) async fn found(global: &Global) -> Result<Found, CliError> {
    let config = env::var_os("CRI_CONFIG_FILE").filter(|path| !path.is_empty());
    let search = Search {
        given: global.runtime_endpoint.clone(),
        given_images: global.image_endpoint.clone(),
        crictl_config: config.map_or_else(|| PathBuf::from(CRICTL_CONFIG), PathBuf::from),
        system: discovery::system_runtimes(),
        embedded: Endpoint::new(state_root().join("runtime/containerd.sock")),
    };
    let mut found = discovery::discover(&search).await?;
    if let Some(limit) = global.timeout {
        let deadlines = Deadlines { query: limit, change: limit, pull: limit };
        found.client = found.client.with_deadlines(deadlines);
    }
    Ok(found)
}

/// What lasts: `CRILET_ROOT`, by default `/var/lib/crilet`.
pub(crate) fn data_root() -> PathBuf {
    variable("CRILET_ROOT").unwrap_or_else(|| PathBuf::from("/var/lib/crilet"))
}

/// What may be lost at a reboot: `CRILET_STATE`, by default `/run/crilet`.
pub(crate) fn state_root() -> PathBuf {
    variable("CRILET_STATE").unwrap_or_else(|| PathBuf::from("/run/crilet"))
}

/// The program that crilet's network plugins are: beside crilet itself, or where packages put
/// programs that people do not call.
pub(crate) fn plugin_program() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    let beside = own.with_file_name(PROGRAM);
    let of_package = own.parent().and_then(Path::parent);
    let of_package = of_package.map(|prefix| prefix.join("libexec/crilet").join(PROGRAM));
    match of_package {
        Some(path) if !beside.exists() && path.exists() => path,
        _ => beside,
    }
}

/// Where pods' own files are.
pub(crate) fn pod_state() -> StateDir {
    StateDir::new(state_root().join("pods"))
}

/// Where credentials files are.
pub(crate) fn credentials_environment() -> Environment {
    Environment {
        registry_auth_file: variable("REGISTRY_AUTH_FILE"),
        docker_config: variable("DOCKER_CONFIG"),
        runtime_dir: variable("XDG_RUNTIME_DIR"),
        home: variable("HOME"),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
