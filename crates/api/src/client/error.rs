use std::{io, path::PathBuf, time::Duration};

use crate::ApiError;

/// Why the daemon could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers at the socket.
    #[error("failed to reach the daemon at `{}`", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The connection was lost before the answer was complete.
    #[error("lost the connection to the daemon at `{}`", socket.display())]
    Lost {
        /// The socket.
        socket: PathBuf,
        /// What happened to it.
        #[source]
        cause: hyper::Error,
    },
    /// No answer in time.
    #[error("the daemon at `{}` did not answer within {} s", socket.display(), limit.as_secs())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long it was waited.
        limit: Duration,
    },
    /// What answered is not a crilet daemon, or one of another age.
    #[error("what answers at `{}` is not this crilet's daemon: {reason}", socket.display())]
    Foreign {
        /// The socket.
        socket: PathBuf,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The daemon refused or failed.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl ClientError {
    /// Whether no daemon is there at all: no socket, or nobody behind it.
    pub fn is_absent(&self) -> bool {
        let absent = |kind| {
            matches!(
                kind,
                io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::NotADirectory
            )
        };
        matches!(self, Self::Unreachable { cause, .. } if absent(cause.kind()))
    }

    /// Whether asking again later may help: the daemon is not there, or went away, be it while the
    /// connection waited to be taken.
    pub fn is_passing(&self) -> bool {
        let went = |kind| {
            matches!(
                kind,
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        };
        match self {
            Self::Lost { .. } => true,
            Self::Unreachable { cause, .. } => self.is_absent() || went(cause.kind()),
            _ => self.is_absent(),
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some("run it as root, or as a member of the group in `api.group`".to_owned())
            }
            Self::Unreachable { .. } => {
                Some("`crilet serve` starts the daemon; --socket names another socket".to_owned())
            }
            Self::Foreign { .. } => {
                Some("restart the daemon after an upgrade; --socket names another".to_owned())
            }
            Self::Refused(error) => error.hint.clone(),
            Self::Lost { .. } | Self::Silent { .. } => None,
        }
    }
}
