use std::{io, path::PathBuf};

use nix::errno::Errno;

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The root of a container's process cannot be had.
    #[error("open the root of process {pid}")]
    Root {
        /// The process.
        pid: u32,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The source, or the directory that the destination is to be in, is not there.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// Something that is no directory stands where one is needed.
    #[error("`{}` is not a directory", path.display())]
    NotDirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// A directory stands where a file or a link is to be put.
    #[error("`{}` is a directory", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The source is a socket or a device.
    #[error("`{}` is neither file nor directory", path.display())]
    Special {
        /// What it is about.
        path: PathBuf,
    },
    /// A directory was to be copied to a place within itself.
    #[error("`{}` lies within `{}`, which is to be copied", destination.display(), path.display())]
    IntoItself {
        /// The directory.
        path: PathBuf,
        /// Where to.
        destination: PathBuf,
    },
    /// Directories within directories without end.
    #[error("`{}` lies more than {most} directories deep", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// How deep is copied.
        most: usize,
    },
    /// The source has no name that the copy could have.
    #[error("`{}` has no name to copy it by", path.display())]
    NoName {
        /// The source.
        path: PathBuf,
    },
    /// A name or a link of an archive leads out of the destination.
    #[error("`{}` in the archive leads out of the destination", path.display())]
    Escapes {
        /// The entry's name, or the target of the hard link.
        path: PathBuf,
    },
    /// The archive cannot be read or written.
    #[error("{doing} the archive")]
    Archive {
        /// `read` or `write`.
        doing: &'static str,
        /// What is wrong with it.
        #[source]
        cause: io::Error,
    },
    /// The kernel refused.
    #[error("{doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

impl FileError {
    /// An error of the kernel's, sorted.
    pub(super) fn of(doing: &'static str, path: impl Into<PathBuf>, cause: Errno) -> Self {
        let path = path.into();
        match cause {
            Errno::ENOENT => Self::Missing { path },
            Errno::ENOTDIR | Errno::ELOOP => Self::NotDirectory { path },
            Errno::EISDIR => Self::IsDirectory { path },
            cause => Self::Io { doing, path, cause: cause.into() },
        }
    }

    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { doing, path: path.into(), cause }
    }

    /// Whether it is about what is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
