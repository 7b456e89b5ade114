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
use crilet_daemon::config::RuntimeConfig;
use crilet_pod::{StateDir, images::Environment};
use crilet_runtime::Layout;

use crate::{errors::CliError, global::Global};

const CRICTL_CONFIG: &str = "/etc/crictl.yaml";

/// Connects to the runtime that is to be used.
pub(crate) async fn client(global: &Global) -> Result<Client, CliError> {
    Ok(found(global).await?.client)
}

/// Connects to the runtime that is to be used, and says why it is this one.
pub(crate) async fn found(global: &Global) -> Result<Found, CliError> {
    let search = search(global.runtime_endpoint.clone(), global.image_endpoint.clone());
    let mut found = discovery::discover(&search).await?;
    if let Some(limit) = global.timeout {
        let deadlines = Deadlines { query: limit, change: limit, pull: limit };
        found.client = found.client.with_deadlines(deadlines);
    }
    Ok(found)
}

/// Connects to the runtime that a daemon's configuration names, or else that is found.
pub(crate) async fn configured(runtime: &RuntimeConfig) -> Result<Found, CliError> {
    let endpoint = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
    let given: Option<Endpoint> = endpoint(&runtime.endpoint)?;
    let search = search(given, endpoint(&runtime.image_endpoint)?);
    let search = Search { may_come_later: true, ..search };
    Ok(discovery::discover(&search).await?)
}

fn search(given: Option<Endpoint>, given_images: Option<Endpoint>) -> Search {
    let config = env::var_os("CRI_CONFIG_FILE").filter(|path| !path.is_empty());
    Search {
        given,
        given_images,
        crictl_config: config.map_or_else(|| PathBuf::from(CRICTL_CONFIG), PathBuf::from),
        system: discovery::system_runtimes(),
        embedded: Endpoint::new(state_root().join("runtime/containerd.sock")),
        may_come_later: false,
    }
}

/// What lasts: `CRILET_ROOT`, by default `/var/lib/crilet`.
pub(crate) fn data_root() -> PathBuf {
    variable("CRILET_ROOT").unwrap_or_else(|| PathBuf::from("/var/lib/crilet"))
}

/// What may be lost at a reboot: `CRILET_STATE`, by default `/run/crilet`.
pub(crate) fn state_root() -> PathBuf {
    variable("CRILET_STATE").unwrap_or_else(|| PathBuf::from("/run/crilet"))
}

/// Where crilet's own runtime has its files.
pub(crate) fn layout() -> Layout {
    Layout::new(data_root(), state_root())
}

/// The daemon's socket: `--socket` or `CRILET_SOCKET`, by default in [`state_root`].
pub(crate) fn socket(global: &Global) -> PathBuf {
    global.socket.clone().unwrap_or_else(|| state_root().join("crilet.sock"))
}

/// The daemon's socket, if it was said where it is, be it by `CRILET_STATE`.
pub(crate) fn given_socket(global: &Global) -> Option<PathBuf> {
    let by_state = || variable("CRILET_STATE").map(|root| root.join("crilet.sock"));
    global.socket.clone().or_else(by_state)
}

/// What is to be logged, in the words of tracing's filters: `CRILET_LOG`.
pub(crate) fn log_filter() -> Option<String> {
    env::var("CRILET_LOG").ok().filter(|filter| !filter.is_empty())
}

/// The journal's stream, if a service manager has led stderr there.
pub(crate) fn journal_stream() -> Option<String> {
    env::var("JOURNAL_STREAM").ok()
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

/// Whether the user wants colours: `NO_COLOR` is not set (no-color.org), and the terminal is none that
/// has no colours.
pub(crate) fn wants_color() -> bool {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !dumb
}

/// A variable that crictl knows; one that is empty is there.
pub(crate) fn text_variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
