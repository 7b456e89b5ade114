//! What a rotator tells.

use std::{fmt, io, path::PathBuf, time::Duration};

use crilet_core::ErrorChain;

use crate::{
    files::Stamp,
    rotate::{CompressError, RotateError, Why},
};

/// Something that happened to a log.
#[derive(Debug)]
pub enum Event {
    /// The live file was rotated away.
    Rotated {
        /// The log.
        log: PathBuf,
        /// What it is called now.
        stamp: Stamp,
        /// Its size in bytes.
        size: u64,
        /// From the renaming until the runtime wrote a new file.
        took: Duration,
    },
    /// A live file that was missing is written again.
    Reopened {
        /// The log.
        log: PathBuf,
    },
    /// A rotated file was compressed.
    Compressed {
        /// The log.
        log: PathBuf,
        /// Which file.
        stamp: Stamp,
    },
    /// A rotated file was removed.
    Removed {
        /// The log.
        log: PathBuf,
        /// Which file.
        stamp: Stamp,
        /// Its size in bytes.
        size: u64,
        /// What for.
        why: Why,
    },
    /// The logs of a pod that is gone were removed.
    Forgotten {
        /// Their directory.
        directory: PathBuf,
        /// Bytes on disk.
        size: u64,
        /// What for.
        why: Why,
    },
    /// What somebody who was killed had left was cleaned up.
    Recovered {
        /// The log.
        log: PathBuf,
        /// Which file.
        stamp: Stamp,
    },
    /// Something is wrong, or was not done.
    Problem {
        /// The log, or the node's for what concerns none.
        log: Option<PathBuf>,
        /// What.
        problem: Problem,
    },
}

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// An annotation that cannot be used; the default counts.
    #[error("annotation {cause}, of `{of}`")]
    Setting {
        /// The pod or the container of a pod: `namespace/pod/container`.
        of: String,
        /// Which, and what is wrong with it.
        cause: crate::rotate::InvalidSetting,
    },
    /// Something that is not touched.
    #[error("`{name}` {why}; it is left alone")]
    Strange {
        /// Its name.
        name: String,
        /// What is the matter with it.
        why: &'static str,
    },
    /// Somebody else rotates this log, too.
    #[error("somebody else rotates this log as well")]
    Foreign,
    /// A log's directory or files cannot be looked at.
    #[error("cannot look at it")]
    Look(#[source] io::Error),
    /// It was not rotated; it is tried again.
    #[error("not rotated, tried again in {} s", again.as_secs())]
    Rotate {
        /// When.
        again: Duration,
        /// Why.
        #[source]
        cause: RotateError,
    },
    /// A file was not compressed; it is as it was.
    #[error("not compressed")]
    Compress(#[source] CompressError),
    /// The live file of a container that has ended has another name.
    #[error("cannot give it its name back")]
    PutBack(#[source] io::Error),
    /// A file cannot be removed.
    #[error("cannot remove a file")]
    Remove(#[source] io::Error),
    /// There is too little room, and nothing left that may be removed.
    #[error("too little room for logs, and nothing left to remove")]
    Full,
    /// The runtime cannot be asked for its containers.
    #[error("cannot ask the runtime")]
    Runtime(#[source] crilet_cri::CriError),
    /// The locks cannot be used.
    #[error("cannot take turns with other rotators")]
    Lock(#[source] crate::LogError),
}

impl Event {
    /// Whether it tells of something that is wrong.
    pub fn is_problem(&self) -> bool {
        matches!(self, Self::Problem { .. })
    }
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Count => "there are newer ones enough",
        Why::Age => "it is too old",
        Why::Budget => "all logs together are over the budget",
        Why::Space => "too little space is free",
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotated { log, stamp, size, took } => {
                let took = took.as_secs_f64() * 1000.0;
                write!(out, "{}: rotated {size} bytes as {stamp} in {took:.1} ms", log.display())
            }
            Self::Reopened { log } => write!(out, "{}: reopened", log.display()),
            Self::Compressed { log, stamp } => write!(out, "{}: compressed {stamp}", log.display()),
            Self::Removed { log, stamp, size, why } => {
                let why = reason(*why);
                write!(out, "{}: removed {stamp}, {size} bytes: {why}", log.display())
            }
            Self::Forgotten { directory, size, why } => {
                let why = reason(*why);
                write!(
                    out,
                    "{}: removed, {size} bytes of a pod that is gone: {why}",
                    directory.display()
                )
            }
            Self::Recovered { log, stamp } => {
                write!(out, "{}: cleaned up {stamp}, which was half done", log.display())
            }
            Self::Problem { log: Some(log), problem } => {
                write!(out, "{}: {}", log.display(), ErrorChain(problem))
            }
            Self::Problem { log: None, problem } => write!(out, "{}", ErrorChain(problem)),
        }
    }
}
