//! With which status a command ends. `docs/errors.md` explains them to users; keep both alike.

use crilet_api::{ClientError, ErrorCode};
use crilet_cri::{CriError, discovery::DiscoveryError};
use crilet_daemon::RunError;
use crilet_log::LogError;
use crilet_pod::{Cause, Failure, LaunchError, Step};
use crilet_runtime::{RuntimeError, image::LoadError};
use crilet_stream::StreamError;

use super::CliError;

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
pub(super) const USAGE: u8 = 64;
/// Interrupted by Ctrl-C; everything was undone (128 + SIGINT).
const INTERRUPTED: u8 = 130;

impl CliError {
    /// The status that the command ends with.
    pub(super) fn code(&self) -> u8 {
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
            Self::Exists { .. }
            | Self::Kept { .. }
            | Self::Leaving { .. }
            | Self::NotTheDaemons { .. } => EXISTS,
            Self::Daemon(error) => daemon_code(error),
            Self::Manifest { .. }
            | Self::NotText { .. }
            | Self::NoManifests { .. }
            | Self::Url { .. }
            | Self::Serve(RunError::Config(_))
            | Self::Blind { .. }
            | Self::Sightless
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
