use std::{io, path::PathBuf};

use crate::protocol::{Code, PluginError};

/// Why the kernel did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// A request over netlink was refused.
    #[error("failed to {action}")]
    Refused {
        /// What was asked for.
        action: String,
        #[source]
        cause: io::Error,
    },
    /// A network namespace cannot be opened or entered.
    #[error("failed to open netns `{}`", path.display())]
    Namespace {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A setting below `/proc/sys` cannot be read or written.
    #[error("failed to {action} `{}`", path.display())]
    Setting {
        action: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl KernelError {
    /// The kernel's number for the failure.
    pub(crate) fn errno(&self) -> Option<i32> {
        let (Self::Refused { cause, .. }
        | Self::Namespace { cause, .. }
        | Self::Setting { cause, .. }) = self;
        cause.raw_os_error()
    }

    /// Whether it is one of these numbers of nix.
    pub(crate) fn is(&self, wanted: &[nix::errno::Errno]) -> bool {
        self.errno().is_some_and(|number| wanted.iter().any(|errno| *errno as i32 == number))
    }
}

impl From<KernelError> for PluginError {
    fn from(error: KernelError) -> Self {
        let code = match error {
            KernelError::Namespace { .. } => Code::InvalidNamespace,
            _ => Code::Internal,
        };
        Self::new(code, crilet_core::ErrorChain(&error).to_string())
    }
}
