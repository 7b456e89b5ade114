//! What can go wrong, how it is told, and with which status the command ends.
//!
//! `docs/errors.md` explains the statuses to users; keep both alike.

use std::{io, path::PathBuf, process::ExitCode};

use crilet_api::{ClientError, ErrorCode};
use crilet_cni::{InstallError as PluginsError, PublishError};
use crilet_core::{ErrorChain, fs::WriteError};
use crilet_cri::{
    CriError, InvalidEndpoint, config::Findings, discovery::DiscoveryError,
    inventory::ContainerState,
};
use crilet_daemon::{ConfigError, InstallError, RunError};
use crilet_log::{InvalidSetting, LogError};
use crilet_network::snapshot::SnapshotError;
use crilet_pod::{Cause, Failure, FindError, LaunchError, Step, images::CredentialsError};
use crilet_runtime::{RuntimeError, image::LoadError};
use crilet_stream::{StreamError, files::FileError};

use crate::output;

/// The command did not do what it was asked, at run time.
const FAILED: u8 = 1;
/// The input files are wrong; nothing was touched.
const BAD_INPUT: u8 = 2;
/// No runtime can be reached.
const NO_RUNTIME: u8 = 3;
/// No such pod, or more than one.
const NO_POD: u8 = 4;
/// An image cannot be had.
const NO_IMAGE: u8 = 5;
/// A pod of that name is there and is not what was asked for.
const EXISTS: u8 = 6;
/// Something failed and could not be undone completely.
const LEFT_BEHIND: u8 = 7;
/// No daemon can be reached.
const NO_DAEMON: u8 = 8;
/// The command line is wrong (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;
/// Interrupted by Ctrl-C; everything was undone (128 + SIGINT).
const INTERRUPTED: u8 = 130;

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
    #[error(transparent)]
    Write(#[from] WriteError),
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

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::Serve(error)
    }
}

/// Tells what there is instead.
fn has(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Start { .. } | Self::Output(_) | Self::Some { .. } => FAILED,
            Self::Findings(_)
            | Self::Endpoint(_)
            | Self::Discovery(DiscoveryError::Config { .. })
            | Self::Config(_)
            | Self::Credentials(_) => BAD_INPUT,
            Self::Discovery(_) => NO_RUNTIME,
            Self::Runtime(CriError::NotCri { .. }) => NO_RUNTIME,
            Self::Runtime(error) if error.is_unreachable() => NO_RUNTIME,
            Self::Embedded(RuntimeError::Leftovers { .. }) | Self::PodFiles { .. } => LEFT_BEHIND,
            Self::Load(LoadError::Cri(error)) if error.is_unreachable() => NO_RUNTIME,
            Self::Runtime(_) | Self::Embedded(_) | Self::Load(_) | Self::Log { .. } => FAILED,
            Self::Logs(LogError::Runtime(error)) if error.is_unreachable() => NO_RUNTIME,
            Self::Logs(_) | Self::KubeletsPod { .. } => FAILED,
            Self::Pattern(_)
            | Self::NobodyToAsk
            | Self::Setting { .. }
            | Self::NoContainerPath { .. }
            | Self::Trace { .. }
            | Self::PortTwice { .. } => USAGE,
            Self::Stream(error) => stream_code(error),
            Self::NoTerminal
            | Self::Declined
            | Self::RulesChange
            | Self::NoScreen
            | Self::Terminal(_)
            | Self::Input(_)
            | Self::Listen { .. }
            | Self::PodEnded { .. }
            | Self::Man { .. }
            | Self::Files(_) => FAILED,
            Self::ContainerState { .. }
            | Self::SeveralContainers { .. }
            | Self::ContainerEnded { .. } => NO_POD,
            Self::Find(_)
            | Self::FindKept(_)
            | Self::NotRunning { .. }
            | Self::NoContainer { .. }
            | Self::NothingNamed { .. }
            | Self::NoNamespace { .. }
            | Self::NoLog { .. } => NO_POD,
            Self::Plugins(_) | Self::Publish(_) | Self::HostNetwork { .. } => FAILED,
            Self::Launch(error) => launch_code(error),
            Self::Pull(failure) => pull_code(failure),
            Self::Pulls { .. } => NO_IMAGE,
            Self::Interrupted => INTERRUPTED,
            Self::Exists { .. } | Self::Kept { .. } => EXISTS,
            Self::Daemon(error) => daemon_code(error),
            Self::Manifest { .. }
            | Self::NotText { .. }
            | Self::NoManifests { .. }
            | Self::Url { .. }
            | Self::Serve(RunError::Config(_))
            | Self::Blind { .. }
            | Self::NotLooked(_)
            | Self::Network(_) => BAD_INPUT,
            Self::Images { .. }
            | Self::Write(_)
            | Self::Never { .. }
            | Self::Late { .. }
            | Self::Serve(_)
            | Self::Install(_) => FAILED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Discovery(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Stream(error) => error.hint(),
            Self::NotLooked(error) => error.hint(),
            Self::NobodyToAsk => {
                Some("--dry-run shows what would be done, --yes does it".to_owned())
            }
            Self::SeveralContainers { pod, names } => {
                Some(format!("write {pod}/{}", names.first().map_or("CONTAINER", |name| name)))
            }
            Self::NothingNamed { .. } => {
                Some("`crilet ps --all` lists every pod, `crilet images` every image".to_owned())
            }
            Self::Listen { address, cause } => crate::port_forward::hint(*address, cause),
            Self::NoScreen => Some("`crilet stats` prints a table anywhere".to_owned()),
            Self::NoTerminal => Some("leave out --tty where input comes from elsewhere".to_owned()),
            Self::NoContainerPath { .. } => {
                Some("write POD[/CONTAINER]:PATH for a path in a container".to_owned())
            }
            Self::Credentials(error) => error.hint(),
            Self::Pull(failure) => failure.hint(),
            Self::Embedded(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Plugins(error) => error.hint().map(str::to_owned),
            Self::Log { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
                Some("`crilet runtime up` starts the embedded runtime".to_owned())
            }
            Self::Find(FindError::NotFound { suggestion: None, .. }) => {
                Some("`crilet ps --all` lists every pod".to_owned())
            }
            Self::Find(FindError::Ambiguous { .. }) => {
                Some("write NAMESPACE/NAME, or more of the id".to_owned())
            }
            Self::FindKept(FindError::NotFound { suggestion: None, .. }) => {
                Some("`crilet get` lists every pod that the daemon keeps".to_owned())
            }
            Self::FindKept(FindError::Ambiguous { .. }) => Some("write NAMESPACE/NAME".to_owned()),
            Self::Daemon(error) => error.hint(),
            Self::Url { .. } => Some("fetch it, look at it, then apply the file".to_owned()),
            Self::Never { pod, .. } => Some(format!("`crilet describe {pod}` tells more")),
            Self::Late { .. } => Some("--timeout waits longer".to_owned()),
            Self::Kept { hint, .. } => Some(hint.clone()),
            Self::Serve(error) => error.hint(),
            Self::KubeletsPod { .. } => Some("--kubelet-pods rotates them nevertheless".to_owned()),
            Self::NoLog { previous: false, .. } | Self::Logs(LogError::Missing { .. }) => Some(
                "a log needs log_directory in the pod's file and log_path in the container's"
                    .to_owned(),
            ),
            Self::Exists { .. } => {
                Some("--replace takes it down and brings up the new one".to_owned())
            }
            _ => None,
        }
    }
}

fn stream_code(error: &StreamError) -> u8 {
    match error {
        StreamError::Runtime(error) if error.is_unreachable() => NO_RUNTIME,
        StreamError::Start { code, .. } => *code,
        StreamError::NotUp { .. } => NO_POD,
        _ => FAILED,
    }
}

fn daemon_code(error: &ClientError) -> u8 {
    let ClientError::Refused(error) = error else { return NO_DAEMON };
    match error.code {
        ErrorCode::InvalidManifest | ErrorCode::BadRequest | ErrorCode::TooLarge => BAD_INPUT,
        ErrorCode::NoSuchPod | ErrorCode::NoSuchContainer | ErrorCode::NoLog => NO_POD,
        ErrorCode::OwnedByFile | ErrorCode::Conflict => EXISTS,
        ErrorCode::RuntimeFailed => NO_RUNTIME,
        ErrorCode::Unauthorized
        | ErrorCode::NoSuchPath
        | ErrorCode::MethodNotAllowed
        | ErrorCode::Unavailable
        | ErrorCode::Internal => FAILED,
    }
}

fn pull_code(failure: &Failure) -> u8 {
    match &failure.cause {
        Cause::Runtime(error) if error.is_unreachable() => NO_RUNTIME,
        Cause::Credentials(error) if error.is_input() => BAD_INPUT,
        _ => NO_IMAGE,
    }
}

fn launch_code(error: &LaunchError) -> u8 {
    let image = |failure: &Failure| {
        matches!(failure.step, Step::FindImage { .. } | Step::PullImage { .. })
            && !matches!(&failure.cause, Cause::Runtime(error) if error.is_unreachable())
    };
    let input =
        |failure: &Failure| matches!(&failure.cause, Cause::Credentials(error) if error.is_input());
    if !error.left.is_empty() {
        LEFT_BEHIND
    } else if error.is_interrupted() {
        INTERRUPTED
    } else if error.failures.iter().all(input) {
        BAD_INPUT
    } else if error.failures.iter().any(image) {
        NO_IMAGE
    } else {
        FAILED
    }
}

/// Tells an error and its hint, and gives the status to end with.
pub(crate) fn report(error: &CliError) -> ExitCode {
    tell(error);
    ExitCode::from(error.code())
}

/// Tells an error and its hint.
pub(crate) fn tell(error: &CliError) {
    match error {
        CliError::Launch(launch) => report_launch(launch),
        CliError::Findings(findings) => report_findings(&findings.0),
        CliError::Serve(RunError::Config(ConfigError::Invalid { findings }))
        | CliError::Config(ConfigError::Invalid { findings }) => {
            report_findings(findings);
        }
        CliError::Daemon(ClientError::Refused(error)) if !error.details.is_empty() => {
            report_findings(&error.details);
        }
        _ => output::say(&format!("error: {}", ErrorChain(error))),
    }
    if let Some(hint) = error.hint() {
        output::say(&format!("hint: {hint}"));
    }
}

fn report_launch(error: &LaunchError) {
    if error.is_interrupted() {
        output::say(&format!("interrupted while bringing up pod `{}`", error.pod));
    } else {
        for failure in &error.failures {
            report_failure(failure);
        }
    }
    for failure in &error.left {
        report_failure(failure);
    }
    let former = if error.former_removed { "; the former pod is gone" } else { "" };
    if error.left.is_empty() {
        output::say(&format!("nothing of pod `{}` was left behind{former}", error.pod));
    } else {
        output::say(&format!(
            "error: pod `{pod}` could not be undone completely{former}\n\
             hint: `crilet rm {pod}` removes what is left",
            pod = error.pod
        ));
    }
}

/// Findings stand for themselves, at their places.
fn report_findings(findings: &[impl std::fmt::Display]) {
    for finding in findings {
        output::say(&finding.to_string());
    }
    let count = findings.len();
    let plural = if count == 1 { "" } else { "s" };
    output::say(&format!("error: {count} finding{plural} in the input; nothing was touched"));
}

/// Tells one failed step with its hint.
pub(crate) fn report_failure(failure: &Failure) {
    output::say(&format!("error: failed to {}", ErrorChain(failure)));
    if let Some(hint) = failure.hint() {
        output::say(&format!("hint: {hint}"));
    }
}

/// Tells what clap found wrong, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody listening is no reason to fail.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
