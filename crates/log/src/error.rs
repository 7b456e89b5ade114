use std::{io, path::PathBuf};

use crilet_cri::CriError;

/// Why logs could not be read, followed or rotated.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A log's directory cannot be opened.
    #[error("cannot open the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said; `ELOOP` for a symbolic link of somebody who is not trusted.
        #[source]
        cause: io::Error,
    },
    /// A log cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// What the kernel, or the decompressor, said.
        #[source]
        cause: io::Error,
    },
    /// There is no log there.
    #[error("no log at `{}`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// What was read could not be handed on.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// A lock that keeps two rotators apart cannot be had.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The file that is locked.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The runtime could not be asked.
    #[error(transparent)]
    Runtime(#[from] CriError),
}

impl LogError {
    /// Whether whoever reads what is written has gone away.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
