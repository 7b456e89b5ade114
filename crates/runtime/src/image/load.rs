//! What an archive holds, and how it gets into containerd.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use crilet_core::ImageName;
use crilet_cri::Client;
use serde::Deserialize;

use super::{
    LoadError, Source,
    archive::{Archive, Part},
    store::{BlobInfo, Store, WriteError},
};
use crate::{
    digest::{Digest, Summed},
    oci::{
        Blob, CONTAINERD_NAME, Descriptor, GZIP_LAYER_TYPE, Image, Index, LAYER_TYPE,
        MANIFEST_TYPE, Manifest, REF_NAME, architecture, blob_path,
    },
};

/// How long the CRI may take to see a new image, in seconds.
const SEEN_WITHIN: u64 = 15;
const POLL: Duration = Duration::from_millis(10);

/// Indexes within indexes that are followed; real ones have one level.
const DEPTH: u32 = 4;

const LABEL: &str = "containerd.io/gc.ref.content";

/// An image that is there now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LoadedImage {
    /// Its full name.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its id: the digest of its configuration.
    pub id: Digest,
}

/// An image found in an archive, ready to be written.
#[derive(Debug)]
struct Found {
    names: Vec<ImageName>,
    /// The manifest's bytes are in memory, for those of docker archives are made here.
    manifest: Blob,
    media_type: String,
    config: Piece,
    layers: Vec<Piece>,
}

/// A blob and the entry that holds it.
#[derive(Debug, Clone)]
struct Piece {
    entry: String,
    digest: Digest,
    size: u64,
}

/// An element of `manifest.json` as `docker save` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) async fn load(
    client: &Client,
    source: Source<'_>,
    name: Option<&ImageName>,
) -> Result<Vec<LoadedImage>, LoadError> {
    require_containerd(client).await?;
    let name = name.cloned();
    let owned = OwnedSource::from(source);
    let (archive, found) = blocking(move || {
        let archive = Archive::open(owned.source())?;
        let found = find_images(&archive, name)?;
        Ok((archive, found))
    })
    .await?;
    let store = Store::open(client.endpoint()).await?;
    let written = write_all(&store, &archive, &found).await;
    let closed = store.close().await;
    let loaded = written?;
    closed?;
    wait_until_seen(client, &loaded).await?;
    Ok(loaded)
}

pub(super) async fn import(
    client: &Client,
    name: &ImageName,
    image: &Image,
) -> Result<LoadedImage, LoadError> {
    require_containerd(client).await?;
    let store = Store::open(client.endpoint()).await?;
    let written = write_image(&store, name, image).await;
    let closed = store.close().await;
    let loaded = written?;
    closed?;
    wait_until_seen(client, std::slice::from_ref(&loaded)).await?;
    Ok(loaded)
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| LoadError::Worker { cause })?
}

enum OwnedSource {
    Path(std::path::PathBuf),
    Stdin,
}

impl From<Source<'_>> for OwnedSource {
    fn from(source: Source<'_>) -> Self {
        match source {
            Source::Path(path) => Self::Path(path.to_owned()),
            Source::Stdin => Self::Stdin,
        }
    }
}

impl OwnedSource {
    fn source(&self) -> Source<'_> {
        match self {
            Self::Path(path) => Source::Path(path),
            Self::Stdin => Source::Stdin,
        }
    }
}

async fn require_containerd(client: &Client) -> Result<(), LoadError> {
    let runtime = client.version().await?.runtime_name;
    if runtime == "containerd" { Ok(()) } else { Err(LoadError::NotContainerd { runtime }) }
}

async fn write_all(
    store: &Store,
    archive: &Archive,
    found: &[Found],
) -> Result<Vec<LoadedImage>, LoadError> {
    for image in found {
        for piece in image.layers.iter().chain([&image.config]) {
            let part = archive.part(&piece.entry)?;
            let read = |cause| LoadError::Read { archive: archive.name.clone(), cause };
            let written = store.write(piece.info(), part.reader().map_err(read)?).await;
            written.map_err(|error| explain(error, &archive.name, piece))?;
        }
        write_manifest(store, &archive.name, image).await?;
    }
    // Names last: nothing is visible before all of it is there.
    let mut loaded = Vec::new();
    for image in found {
        let (digest, size) = (&image.manifest.digest, image.manifest.size());
        for name in &image.names {
            store.name(&name.to_string(), &image.media_type, digest, size).await?;
            let id = image.config.digest.clone();
            loaded.push(LoadedImage { name: name.to_string(), digest: digest.clone(), id });
        }
    }
    Ok(loaded)
}

async fn write_manifest(store: &Store, archive: &str, image: &Found) -> Result<(), LoadError> {
    let manifest = &image.manifest;
    let children = std::iter::once(&image.config).chain(&image.layers);
    let info = manifest_info(manifest, children.map(|piece| &piece.digest));
    let piece = Piece {
        entry: blob_path(&manifest.digest),
        digest: manifest.digest.clone(),
        size: manifest.size(),
    };
    let written = store.write(info, io::Cursor::new(manifest.bytes.clone())).await;
    written.map_err(|error| explain(error, archive, &piece))
}

async fn write_image(
    store: &Store,
    name: &ImageName,
    image: &Image,
) -> Result<LoadedImage, LoadError> {
    let (manifest, config, layer) = image.parts();
    let path: &Path = &layer.path;
    let archive = path.display().to_string();
    let read = |cause| LoadError::Read { archive: archive.clone(), cause };
    let piece = Piece { entry: archive.clone(), digest: layer.digest.clone(), size: layer.size };
    let part = Part::of_file(path).map_err(read)?;
    let written = store.write(piece.info(), part.reader().map_err(read)?).await;
    written.map_err(|error| explain(error, &archive, &piece))?;
    for (blob, children) in [(config, Vec::new()), (manifest, vec![&config.digest, &layer.digest])]
    {
        let info = manifest_info(blob, children.into_iter());
        let written = store.write(info, io::Cursor::new(blob.bytes.clone())).await;
        written.map_err(|error| explain(error, &archive, &piece))?;
    }
    let (full, size) = (name.to_string(), manifest.size());
    store.name(&full, MANIFEST_TYPE, &manifest.digest, size).await?;
    Ok(LoadedImage { name: full, digest: manifest.digest.clone(), id: config.digest.clone() })
}

/// A manifest's labels tell containerd's collector what belongs to it.
fn manifest_info<'a>(manifest: &Blob, children: impl Iterator<Item = &'a Digest>) -> BlobInfo {
    let labels = children
        .enumerate()
        .map(|(index, digest)| (format!("{LABEL}.{index}"), digest.to_string()));
    BlobInfo { digest: manifest.digest.clone(), size: manifest.size(), labels: labels.collect() }
}

fn explain(error: WriteError, archive: &str, piece: &Piece) -> LoadError {
    let archive = archive.to_owned();
    match error {
        WriteError::Read(cause) => LoadError::Read { archive, cause },
        WriteError::Containerd(error) => error,
        WriteError::Digest(found) => LoadError::Digest {
            archive,
            entry: piece.entry.clone(),
            expected: piece.digest.clone(),
            found,
        },
    }
}

async fn wait_until_seen(client: &Client, loaded: &[LoadedImage]) -> Result<(), LoadError> {
    for image in loaded {
        let seen = async {
            loop {
                let found = client.image_status(&image.name, false).await?.image;
                if found.is_some_and(|found| found.id == image.id.to_string()) {
                    return Ok::<(), LoadError>(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(SEEN_WITHIN), seen).await {
            Ok(result) => result?,
            Err(_elapsed) => {
                return Err(LoadError::Unseen { name: image.name.clone(), seconds: SEEN_WITHIN });
            }
        }
    }
    Ok(())
}

impl Piece {
    fn info(&self) -> BlobInfo {
        BlobInfo { digest: self.digest.clone(), size: self.size, labels: BTreeMap::new() }
    }

    fn of(archive: &Archive, descriptor: &Descriptor) -> Result<Self, LoadError> {
        let entry = blob_path(&descriptor.digest);
        let size = archive.part(&entry)?.size;
        if size != descriptor.size {
            let problem = format!("has {size} bytes, not {}", descriptor.size);
            return Err(archive.problem(&entry, &problem));
        }
        Ok(Self { entry, digest: descriptor.digest.clone(), size })
    }
}

fn find_images(archive: &Archive, name: Option<ImageName>) -> Result<Vec<Found>, LoadError> {
    let mut found = if archive.find("index.json")?.is_some() {
        find_oci(archive)?
    } else if archive.find("manifest.json")?.is_some() {
        find_docker(archive)?
    } else {
        return Err(LoadError::NoImage { archive: archive.name.clone() });
    };
    if let Some(name) = name {
        let [only] = found.as_mut_slice() else {
            let (archive, count) = (archive.name.clone(), found.len());
            return Err(LoadError::OneName { archive, count });
        };
        only.names = vec![name];
    }
    if found.is_empty() || found.iter().any(|image| image.names.is_empty()) {
        return Err(LoadError::Unnamed { archive: archive.name.clone() });
    }
    Ok(found)
}

fn find_oci(archive: &Archive) -> Result<Vec<Found>, LoadError> {
    let index: Index = archive.json("index.json")?;
    let mut by_digest: Vec<Found> = Vec::new();
    for entry in index.manifests {
        let name = oci_name(&entry)?;
        let Some((digest, media_type)) = choose_platform(archive, &entry, DEPTH)? else {
            continue;
        };
        // docker lists an image once for each of its names.
        if let Some(known) = by_digest.iter_mut().find(|known| known.manifest.digest == digest) {
            known.names.extend(name);
            continue;
        }
        by_digest.push(read_manifest(archive, &digest, media_type, name)?);
    }
    Ok(by_digest)
}

fn oci_name(entry: &Descriptor) -> Result<Option<ImageName>, LoadError> {
    let annotation = |key| entry.annotations.get(key).filter(|value: &&String| !value.is_empty());
    // A bare word in `ref.name` is a tag of a name that is not there.
    let reference = annotation(REF_NAME).filter(|name| name.contains(['/', ':']));
    Ok(annotation(CONTAINERD_NAME).or(reference).map(|name| name.parse()).transpose()?)
}

/// The manifest for this machine: the entry itself, or the one that an index names for it.
/// `None` for what is no image, such as a signature.
fn choose_platform(
    archive: &Archive,
    entry: &Descriptor,
    depth: u32,
) -> Result<Option<(Digest, String)>, LoadError> {
    let is_index = entry.media_type.contains("index") || entry.media_type.contains("manifest.list");
    if !is_index {
        let is_manifest = entry.media_type.is_empty() || entry.media_type.contains("manifest");
        let media_type =
            if entry.media_type.is_empty() { MANIFEST_TYPE } else { &entry.media_type };
        return Ok(is_manifest.then(|| (entry.digest.clone(), media_type.to_owned())));
    }
    let path = blob_path(&entry.digest);
    let bytes = checked(archive, &path, &entry.digest)?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| archive.problem(&path, &format!("is no index: {error}")))?;
    let fits = |child: &&Descriptor| {
        child.platform.as_ref().is_none_or(|platform| {
            platform.os == "linux" && platform.architecture == architecture()
        })
    };
    match index.manifests.iter().find(fits) {
        Some(child) if depth > 0 => choose_platform(archive, child, depth - 1),
        Some(_) => Err(archive.problem(&path, "nests indexes too deeply")),
        None => Err(wrong_platform(archive, &index)),
    }
}

fn wrong_platform(archive: &Archive, index: &Index) -> LoadError {
    let platforms = index.manifests.iter().filter_map(|child| child.platform.as_ref());
    let names: Vec<_> =
        platforms.map(|platform| format!("{}/{}", platform.os, platform.architecture)).collect();
    LoadError::Platform {
        archive: archive.name.clone(),
        architecture: architecture(),
        available: names.join(", "),
    }
}

fn read_manifest(
    archive: &Archive,
    digest: &Digest,
    media_type: String,
    name: Option<ImageName>,
) -> Result<Found, LoadError> {
    let path = blob_path(digest);
    let bytes = checked(archive, &path, digest)?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| archive.problem(&path, &format!("is no manifest: {error}")))?;
    let layers = manifest.layers.iter().map(|layer| Piece::of(archive, layer));
    Ok(Found {
        names: name.into_iter().collect(),
        media_type,
        config: Piece::of(archive, &manifest.config)?,
        layers: layers.collect::<Result<_, _>>()?,
        manifest: Blob { digest: digest.clone(), bytes },
    })
}

fn checked(archive: &Archive, path: &str, expected: &Digest) -> Result<Vec<u8>, LoadError> {
    let bytes = archive.small(path)?;
    let found = Digest::of(&bytes);
    if found == *expected {
        return Ok(bytes);
    }
    let (archive, entry) = (archive.name.clone(), path.to_owned());
    Err(LoadError::Digest { archive, entry, expected: expected.clone(), found })
}

fn find_docker(archive: &Archive) -> Result<Vec<Found>, LoadError> {
    let images: Vec<DockerImage> = archive.json("manifest.json")?;
    images.into_iter().map(|image| docker_image(archive, &image)).collect()
}

/// `docker save` writes no manifest that names its blobs, so one is made here.
fn docker_image(archive: &Archive, image: &DockerImage) -> Result<Found, LoadError> {
    let config_bytes = archive.small(&image.config)?;
    let diff_ids = diff_ids(archive, &image.config, &config_bytes)?;
    if diff_ids.len() != image.layers.len() {
        let problem = format!("names {} layers, not {}", diff_ids.len(), image.layers.len());
        return Err(archive.problem(&image.config, &problem));
    }
    let mut layers = Vec::new();
    let mut descriptors = Vec::new();
    for (entry, diff_id) in image.layers.iter().zip(&diff_ids) {
        let (piece, media_type) = docker_layer(archive, entry, diff_id)?;
        descriptors.push(Descriptor::new(media_type, piece.digest.clone(), piece.size));
        layers.push(piece);
    }
    let config = Blob { digest: Digest::of(&config_bytes), bytes: config_bytes };
    let manifest = Blob::of(&Manifest::new(&config, descriptors));
    let tags = image.repo_tags.iter().flatten();
    Ok(Found {
        names: tags.map(|tag| tag.parse()).collect::<Result<_, _>>()?,
        manifest,
        media_type: MANIFEST_TYPE.to_owned(),
        config: Piece { entry: image.config.clone(), size: config.size(), digest: config.digest },
        layers,
    })
}

fn diff_ids(archive: &Archive, entry: &str, config: &[u8]) -> Result<Vec<Digest>, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    let config: Config = serde_json::from_slice(config)
        .map_err(|error| archive.problem(entry, &format!("is no configuration: {error}")))?;
    Ok(config.rootfs.diff_ids)
}

/// Sums a layer up; a plain one must be what the configuration says. containerd checks the gzipped
/// ones when it unpacks them.
fn docker_layer(
    archive: &Archive,
    entry: &str,
    diff_id: &Digest,
) -> Result<(Piece, &'static str), LoadError> {
    let read = |cause| LoadError::Read { archive: archive.name.clone(), cause };
    let part = archive.part(entry)?;
    let is_gzipped = part.is_gzipped().map_err(read)?;
    let mut summed = Summed::new(part.reader().map_err(read)?);
    io::copy(&mut summed, &mut io::sink()).map_err(read)?;
    let (digest, size, _) = summed.finish();
    if !is_gzipped && digest != *diff_id {
        let (archive, entry, expected) = (archive.name.clone(), entry.to_owned(), diff_id.clone());
        return Err(LoadError::Digest { archive, entry, expected, found: digest });
    }
    let media_type = if is_gzipped { GZIP_LAYER_TYPE } else { LAYER_TYPE };
    Ok((Piece { entry: entry.to_owned(), digest, size }, media_type))
}

#[cfg(test)]
mod tests;
