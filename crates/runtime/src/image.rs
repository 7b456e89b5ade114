//! Images into containerd without a registry, through its own API on the same socket.

mod archive;
mod error;
mod load;
mod store;
mod transfers;

use std::path::Path;

use crilet_core::ImageName;
use crilet_cri::Client;

use crate::oci::{Image, ImageConfig};

pub use error::LoadError;
pub use load::LoadedImage;
pub(crate) use store::{NAMESPACE, api, connect};
pub use transfers::{Transfer, Transfers};

/// Where [`load()`] reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// An archive, gzipped or not, or the directory of an OCI layout.
    Path(&'a Path),
    /// An archive, gzipped or not, from standard input.
    Stdin,
}

/// Loads all images of an OCI layout or a `docker save` archive.
///
/// `name` is for an image that the archive gives no name, or another one. Nothing is visible before
/// everything is there and its digests are right; then it is waited until the CRI sees it.
///
/// # Errors
/// Names the file and the entry that is wrong, or what containerd refused; what was begun is
/// collected by containerd.
pub async fn load(
    client: &Client,
    source: Source<'_>,
    name: Option<&ImageName>,
) -> Result<Vec<LoadedImage>, LoadError> {
    load::load(client, source, name).await
}

/// Makes an image of a root file system (a tar, gzipped or not) and loads it.
///
/// # Errors
/// When the name is none, the file is no tar, or containerd refuses.
pub async fn import(
    client: &Client,
    rootfs_tar: &Path,
    name: &ImageName,
    config: &ImageConfig,
) -> Result<LoadedImage, LoadError> {
    let (path, config) = (rootfs_tar.to_owned(), config.clone());
    let image = load::blocking(move || Ok(Image::from_rootfs(&path, &config)?)).await?;
    load::import(client, name, &image).await
}
