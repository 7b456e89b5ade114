use std::{error::Error, io};

use crilet_core::InvalidImageName;
use crilet_cri::CriError;

use crate::{digest::Digest, oci::ImageError};

/// Why an image could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The runtime has no API for it.
    #[error("{runtime} takes no images over its socket")]
    NotContainerd {
        /// Name the runtime gives itself.
        runtime: String,
    },
    /// The archive cannot be read.
    #[error("failed to read image archive `{archive}`")]
    Read {
        /// The file or directory, or `standard input`.
        archive: String,
        /// What was found.
        #[source]
        cause: io::Error,
    },
    /// The archive is neither an OCI layout nor what `docker save` writes.
    #[error(
        "`{archive}` holds neither `index.json` (OCI layout) nor `manifest.json` (docker save)"
    )]
    NoImage {
        /// The file or directory, or `standard input`.
        archive: String,
    },
    /// An entry is missing, cut short, or not what it should be.
    #[error("`{entry}` in `{archive}` {problem}")]
    Entry {
        /// The file or directory, or `standard input`.
        archive: String,
        /// Path within the archive.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The contents of a blob are not those its digest names.
    #[error("`{entry}` in `{archive}` is broken: its digest is {found}, not {expected}")]
    Digest {
        /// The file or directory, or `standard input`.
        archive: String,
        /// Path within the archive.
        entry: String,
        /// What the archive says.
        expected: Digest,
        /// What was found.
        found: Digest,
    },
    /// The archive has no image for this machine.
    #[error("`{archive}` has no image for linux/{architecture}, only for {available}")]
    Platform {
        /// The file or directory, or `standard input`.
        archive: String,
        /// This machine's architecture.
        architecture: &'static str,
        /// What the archive has.
        available: String,
    },
    /// An image of the archive has no name.
    #[error("an image in `{archive}` has no name")]
    Unnamed {
        /// The file or directory, or `standard input`.
        archive: String,
    },
    /// A name was given for an archive with several images.
    #[error("`{archive}` has {count} images; one name does not fit them all")]
    OneName {
        /// The file or directory, or `standard input`.
        archive: String,
        /// How many images it has.
        count: usize,
    },
    /// A name in the archive is none.
    #[error(transparent)]
    Name(#[from] InvalidImageName),
    /// The image could not be made of its root file system.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// containerd refused.
    #[error("containerd refuses to {action} `{object}`")]
    Containerd {
        /// What was asked: `write`, `name`.
        action: &'static str,
        /// Digest, name or id.
        object: String,
        /// Its answer.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The CRI does not see the image.
    #[error("image `{name}` is loaded, but the CRI does not show it within {seconds} s")]
    Unseen {
        /// The image.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The runtime answered with an error.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// A thread of ours ended early.
    #[error("read the image in the background")]
    Worker {
        /// How it ended.
        #[source]
        cause: tokio::task::JoinError,
    },
}

impl LoadError {
    /// A line of advice that helps with this error, if any.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotContainerd { .. } => Some(
                "give it to the storage beside the runtime: \
                 `skopeo copy oci-archive:FILE containers-storage:NAME`, or `podman load -i FILE`"
                    .to_owned(),
            ),
            Self::Unnamed { .. } => Some("name it with --name NAME".to_owned()),
            Self::Cri(error) => error.hint(),
            _ => None,
        }
    }
}
