use std::{io, path::PathBuf};

use crilet_cni::{CniError, InvalidConflist};
use crilet_core::{exec::ExecError, fs::WriteError};
use crilet_cri::CriError;

use crate::oci::ImageError;

/// Why the embedded runtime could not be brought up, down or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Mounts, networks and control groups belong to root.
    #[error("the embedded runtime can only be managed by root")]
    NotRoot,
    /// A program is missing or failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The host's network could not be read or changed.
    #[error(transparent)]
    Network(#[from] CniError),
    /// The shipped network configuration is broken.
    #[error("failed to read the shipped network configuration")]
    Conflist(#[from] InvalidConflist),
    /// The runtime answered with an error.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// A file could not be written whole.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The pause image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The pause image could not be loaded.
    #[error(transparent)]
    Load(#[from] crate::image::LoadError),
    /// A file or directory could not be read, made or removed.
    #[error("failed to {action} `{}`", path.display())]
    File {
        /// What was tried: `create directory`, `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// A path is too long for a socket.
    #[error("socket path `{}` is longer than the 107 bytes that the kernel takes; choose a shorter state directory", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
    },
    /// crilet's own network plugins could not be installed.
    #[error("failed to install network plugins")]
    Plugins(#[source] crilet_cni::InstallError),
    /// No directory holds all network plugins that are needed.
    #[error(
        "network plugin `{plugin}` is not in `{}` (Debian package `containernetworking-plugins` has it in /usr/lib/cni)", directory.display()
    )]
    NoPlugin {
        /// The first missing plugin.
        plugin: String,
        /// The directory that was named.
        directory: PathBuf,
    },
    /// containerd says something else than its version.
    #[error("`{} --version` answers `{answer}`, which holds no version", program.display())]
    Version {
        /// The program.
        program: PathBuf,
        /// What it said.
        answer: String,
    },
    /// The host mounts no control groups.
    #[error(
        "no control groups are mounted below /sys/fs/cgroup, so containers cannot be kept apart"
    )]
    NoCgroups,
    /// Another `up` or `down` is at work.
    #[error("another `crilet runtime up` or `down` is at work (it holds `{}`)", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// containerd ends as soon as it starts.
    #[error("containerd ends at its start ({ending}); the end of `{}` says:\n{tail}", log.display())]
    Crashing {
        /// How it ended.
        ending: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// containerd runs, but its CRI plugin does not.
    #[error("containerd runs without its CRI plugin; the end of `{}` says:\n{tail}", log.display())]
    NoCri {
        /// containerd's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The runtime did not become ready in time.
    #[error("the runtime is not ready after {seconds} s: {last}; the end of `{}` says:\n{tail}", log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What was seen last.
        last: String,
        /// containerd's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Some of the runtime could not be taken away; everything else was.
    #[error("the runtime is down, but not all of it is gone: {}", problems.join("; "))]
    Leftovers {
        /// What failed, each a sentence with its causes.
        problems: Vec<String>,
    },
}

impl RuntimeError {
    /// For `map_err` on file operations.
    pub(crate) fn file<'a>(
        action: &'static str,
        path: &'a std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |cause| Self::File { action, path: path.to_owned(), cause }
    }

    /// A line of advice that helps with this error, if any.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run it with sudo".to_owned()),
            Self::Cri(error) => error.hint(),
            Self::Plugins(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}
