use std::{fmt, io, path::PathBuf};

use crilet_cri::{CriError, inventory::PortMapping};

use crate::images::CredentialsError;

/// One thing that is done to bring a pod up or down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants read as what they do")]
pub enum Step {
    Inspect,
    FindImage { image: String },
    PullImage { image: String },
    PublishPort { port: PortMapping },
    RemoveFormer { pod: String },
    CreateSandbox { pod: String },
    WriteHosts { path: PathBuf },
    CreateContainer { container: String },
    StartContainer { container: String },
    StopContainer { container: String },
    StopSandbox { pod: String },
    RemoveSandbox { pod: String },
    RemoveFiles { path: PathBuf },
}

impl fmt::Display for Step {
    /// Reads after "failed to".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inspect => write!(formatter, "see what runs"),
            Self::FindImage { image } => write!(formatter, "find image `{image}`"),
            Self::PullImage { image } => write!(formatter, "pull image `{image}`"),
            Self::PublishPort { port } => write!(formatter, "publish port {port}"),
            Self::RemoveFormer { pod } => write!(formatter, "remove the former pod `{pod}`"),
            Self::CreateSandbox { pod } => write!(formatter, "create the sandbox of `{pod}`"),
            Self::WriteHosts { path } => write!(formatter, "write `{}`", path.display()),
            Self::CreateContainer { container } => {
                write!(formatter, "create container `{container}`")
            }
            Self::StartContainer { container } => {
                write!(formatter, "start container `{container}`")
            }
            Self::StopContainer { container } => write!(formatter, "stop container `{container}`"),
            Self::StopSandbox { pod } => write!(formatter, "stop the sandbox of `{pod}`"),
            Self::RemoveSandbox { pod } => write!(formatter, "remove the sandbox of `{pod}`"),
            Self::RemoveFiles { path } => write!(formatter, "remove `{}`", path.display()),
        }
    }
}

/// A step that did not succeed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct Failure {
    /// What was to be done.
    pub step: Step,
    /// What stood in the way.
    #[source]
    pub cause: Cause,
}

/// What stands in the way of a step.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] CriError),
    /// The host's files.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A registry's credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The pull policy forbids to fetch what is missing.
    #[error("it is not on this machine, and the pull policy is `never`")]
    NotPresent,
    /// Another pod has the port; a runtime would let both have it and one of them answer.
    #[error("pod `{pod}` has {port} already")]
    PortTaken {
        /// Who has it.
        pod: String,
        /// The mapping that it has.
        port: PortMapping,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// What the reader can do about it, where there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match &self.cause {
            Cause::Runtime(error) => error.hint(),
            Cause::Credentials(error) => error.hint(),
            Cause::NotPresent => {
                Some("--pull missing fetches it, `crilet image load` brings it from a file".into())
            }
            Cause::PortTaken { .. } => Some("give one of them another host_port or host_ip".into()),
            Cause::Io(_) | Cause::Interrupted => None,
        }
    }
}

/// Names the step that a fallible call belongs to.
pub(crate) trait AtStep<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<Cause>> AtStep<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|cause| Failure { step, cause: cause.into() })
    }
}
