//! What can go wrong; `code`, `hint` and `report` say with which status a command then ends, what to do
//! about it, and how it is told.

mod code;
mod hint;
mod report;

use std::{io, path::PathBuf};

use crilet_api::ClientError;
use crilet_cni::{InstallError as PluginsError, PublishError};
use crilet_core::{ErrorChain, fs::WriteError};
use crilet_cri::{
    CriError, InvalidEndpoint, config::Findings, discovery::DiscoveryError,
    inventory::ContainerState,
};
use crilet_daemon::{ConfigError, InstallError, RunError};
use crilet_log::{InvalidSetting, LogError};
use crilet_network::snapshot::SnapshotError;
use crilet_pod::{Failure, FindError, LaunchError, images::CredentialsError};
use crilet_runtime::{RuntimeError, image::LoadError};
use crilet_stream::{StreamError, files::FileError};

pub(crate) use self::report::{report, report_failure, tell, usage};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The process itself could not get going.
    #[error("failed to start")]
    Start {
        #[source]
        cause: io::Error,
    },
    /// Standard output cannot be written to.
    #[error("failed to write to standard output")]
    Output(#[source] io::Error),
    /// Input files that cannot be used.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// No runtime.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The daemon's configuration names something that is no socket.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// The runtime refused.
    #[error(transparent)]
    Runtime(#[from] CriError),
    /// Credentials that cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No such pod.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A pod could not be brought up.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The embedded runtime could not be managed.
    #[error(transparent)]
    Embedded(#[from] RuntimeError),
    /// An image could not be loaded or made.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What crilet wrote for a pod cannot be removed.
    #[error("failed to remove `{}`", path.display())]
    PodFiles {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The embedded runtime's log cannot be read.
    #[error("failed to read `{}`", path.display())]
    Log {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The daemon cannot be asked, refused or failed.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// The daemon keeps no such pod.
    #[error(transparent)]
    FindKept(FindError),
    /// A manifest cannot be read.
    #[error("failed to read `{}`", path.display())]
    Manifest {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A manifest is no text.
    #[error("`{}` is not text in UTF-8", path.display())]
    NotText { path: PathBuf },
    /// A directory without manifests.
    #[error("`{}` holds no manifest", path.display())]
    NoManifests { path: PathBuf },
    /// Manifests are not fetched from elsewhere.
    #[error("`{url}` is not on this machine")]
    Url { url: String },
    /// A pod will not come to what it was waited for.
    #[error("pod `{pod}` {how}{}", because(why))]
    Never { pod: String, how: &'static str, why: String },
    /// Pods did not come to what they were waited for in time.
    #[error("not {goal} within {} s: pod {}", limit.as_secs_f64(), pods.join("; pod "))]
    Late { pods: Vec<String>, goal: &'static str, limit: std::time::Duration },
    /// The daemon keeps pods that were to be removed behind its back.
    #[error("the daemon keeps pod `{pod}` and would bring it up again")]
    Kept { pod: String, hint: String },
    /// The daemon takes a pod down already.
    #[error("the daemon is taking pod `{pod}` down")]
    Leaving { pod: String },
    /// A pod was to be handed to the daemon that somebody else has brought up.
    #[error("pod `{pod}` is there already, and not the daemon's")]
    NotTheDaemons { pod: String },
    /// Some images could not be removed; each failure has been told.
    #[error("{failed} images could not be removed")]
    Images { failed: usize },
    /// The daemon could not start.
    #[error("failed to serve: {}", ErrorChain(.0))]
    Serve(RunError),
    /// The daemon's configuration, which is asked for limits, cannot be read.
    #[error("failed to {}", ErrorChain(.0))]
    Config(ConfigError),
    /// Units and configuration could not be written or removed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Logs could not be read or rotated.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// A pattern that cannot be used.
    #[error("invalid value for --grep: {0}")]
    Pattern(String),
    /// A value of an option that cannot be used.
    #[error("invalid value `{}` for --{option}: expected {}", cause.value, cause.expected)]
    Setting { option: &'static str, cause: InvalidSetting },
    /// Nothing of that name or id is on this machine.
    #[error("no {kind} `{name}`")]
    NothingNamed { kind: &'static str, name: String },
    /// A page of the manual cannot be written.
    #[error("failed to write `{}`", path.display())]
    Man {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// An image could not be pulled.
    #[error("failed to {}", ErrorChain(.0))]
    Pull(Failure),
    /// Some images could not be pulled; each failure has been told.
    #[error("{failed} of {total} images could not be pulled")]
    Pulls { failed: usize, total: usize },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A pod has no such container.
    #[error("pod `{pod}` has no container `{container}`{}", has(names))]
    NoContainer { pod: String, container: String, names: Vec<String> },
    /// Nothing of what was named has a log.
    #[error("`{target}` has no {}log", if *previous { "previous " } else { "" })]
    NoLog { target: String, previous: bool },
    /// Somebody else looks after a pod's logs.
    #[error("pod `{pod}` is a kubelet's, which rotates its logs itself")]
    KubeletsPod { pod: String },
    /// The network of the node cannot be told.
    #[error(transparent)]
    Network(#[from] SnapshotError),
    /// The node could not be looked at.
    #[error(transparent)]
    NotLooked(Box<CliError>),
    /// The network looks empty to whoever is not root.
    #[error("only root can read the node's network")]
    Sightless,
    /// Something could not be read, so that it is not known what belongs to live pods.
    #[error("nothing was mended, for not all could be read: {problem}")]
    Blind { problem: String },
    /// Changes need a person's word, or --yes.
    #[error("nothing was mended, for standard input is no terminal to ask at")]
    NobodyToAsk,
    /// A person said no.
    #[error("nothing was mended, for the answer was not yes")]
    Declined,
    /// Rules changed each time between looking and mending.
    #[error("nothing was mended, for the packet filter changes all the time")]
    RulesChange,
    /// A way that a packet cannot be sent.
    #[error("invalid value `{value}`: expected {expected}")]
    Trace { value: String, expected: &'static str },
    /// A pod whose network is not known, or more than one.
    #[error("{}", if *count == 0 { format!("no pod `{pod}` with a network of its own") } else { format!("`{pod}` is {count} pods") })]
    NoNamespace { pod: String, count: usize },
    /// A file of the user's cannot be written.
    #[error("failed to {}", ErrorChain(.0))]
    Write(WriteError),
    /// crilet's plugins could not be installed or taken away.
    #[error("failed to change the plugins")]
    Plugins(#[from] PluginsError),
    /// A port could not be published or taken back.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The pod shares the host's network.
    #[error("pod `{pod}` has the host's network, so its ports are the host's")]
    HostNetwork { pod: String },
    /// The pod does not run.
    #[error("pod `{pod}` does not run")]
    NotRunning { pod: String },
    /// The container does not run.
    #[error("container `{container}` is {state}")]
    ContainerState { container: String, state: ContainerState },
    /// A pod has several containers, and none was named.
    #[error("pod `{pod}` has several containers: {}", names.join(", "))]
    SeveralContainers { pod: String, names: Vec<String> },
    /// A command, a terminal or a port of a pod cannot be reached.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A terminal was asked for where there is none.
    #[error("standard input is not a terminal")]
    NoTerminal,
    /// The whole terminal was asked for where there is none.
    #[error("standard input and output are not a terminal")]
    NoScreen,
    /// The terminal cannot be used.
    #[error("failed to use the terminal")]
    Terminal(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("failed to read standard input")]
    Input(#[source] io::Error),
    /// A port of this machine cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        cause: io::Error,
    },
    /// Two ports of a pod would have one local port.
    #[error("local port {port} is given twice")]
    PortTwice { port: u16 },
    /// A pod ended while its ports were forwarded.
    #[error("pod `{pod}` has ended")]
    PodEnded { pod: String },
    /// Files could not be copied.
    #[error("failed to copy: {}", ErrorChain(.0))]
    Files(FileError),
    /// Neither end of a copy is in a container.
    #[error("neither `{from}` nor `{to}` is in a container")]
    NoContainerPath { from: String, to: String },
    /// The container went away while its root was looked for.
    #[error("container `{container}` has ended")]
    ContainerEnded { container: String },
    /// A pod is there already and is not what was asked for.
    #[error("pod `{pod}` {state}")]
    Exists { pod: String, state: &'static str },
    /// Some of the pods could not be handled; each failure has been told.
    #[error("{failed} of {total} pods could not be {done}")]
    Some { failed: usize, total: usize, done: &'static str },
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::Files(error)
    }
}

impl From<WriteError> for CliError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::Serve(error)
    }
}

/// Tells what there is instead.
fn has(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}
