//! Makes an image of a root file system: configuration, manifest, one layer.
//!
//! The layer is the tar as it was given, gzipped or not, so nothing is copied or packed again. The
//! same input gives the same digests: no time of making is recorded.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crilet_core::ImageName;

use crate::digest::{Digest, Summed};

pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP_LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
pub(crate) const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What an image says about running it, in the words of the OCI image configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Program with leading arguments; a container's `command` takes its place.
    pub entrypoint: Vec<String>,
    /// Arguments after the entry point; a container's `args` take their place.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// Directory in which the program starts; empty means `/`.
    pub working_dir: String,
    /// `user`, `uid` or `user:group` that runs the program; empty means root.
    pub user: String,
    /// Ports as `80/tcp`; told to people and tools, opened by nobody.
    pub exposed_ports: Vec<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Signal that asks the program to end, such as `SIGINT`; empty means `SIGTERM`.
    pub stop_signal: String,
}

/// Why no image could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The root file system cannot be read, or is no tar.
    #[error("failed to read root file system `{}`", path.display())]
    Rootfs {
        /// The tar that was given.
        path: PathBuf,
        /// What was found instead.
        #[source]
        cause: io::Error,
    },
    /// The image cannot be written.
    #[error("write image `{}`", path.display())]
    Write {
        /// Archive or directory that was to be written.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The image's name is none.
    #[error(transparent)]
    Name(#[from] crilet_core::InvalidImageName),
}

/// An image made of one root file system: small blobs in memory, the layer still in its file.
#[derive(Debug, Clone)]
pub struct Image {
    manifest: Blob,
    config: Blob,
    layer: Layer,
}

/// Some JSON and its address.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    diff_id: Digest,
    media_type: &'static str,
}

/// Reference to a blob, as manifests and indexes hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u8,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u8,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Serialize)]
struct ConfigFile {
    architecture: &'static str,
    os: &'static str,
    config: RunConfig,
    rootfs: RootFs,
    history: Vec<History>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
struct History {
    created_by: &'static str,
}

/// The name by which images call this machine's architecture, as the Go tools spell it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// Writes an image as an OCI archive: one tar that skopeo (`oci-archive:`), podman, ctr and crilet
/// read.
///
/// `rootfs_tar` is the whole root file system, gzipped or not; `name` is completed as docker does.
/// Gives the digest of the manifest.
///
/// # Errors
/// When the name is none, `rootfs_tar` cannot be read or is no tar, or `out` cannot be written.
pub fn write_archive(
    rootfs_tar: &Path,
    name: &str,
    config: &ImageConfig,
    out: &Path,
) -> Result<Digest, ImageError> {
    let name: ImageName = name.parse()?;
    let image = Image::from_rootfs(rootfs_tar, config)?;
    let write_error = |cause| ImageError::Write { path: out.to_owned(), cause };
    let file = File::create(out).map_err(write_error)?;
    image.write_tar(&name, io::BufWriter::new(file)).map_err(write_error)?;
    Ok(image.manifest.digest)
}

/// Writes an image as an OCI layout directory (skopeo's `oci:`), which is created.
///
/// Takes and gives what [`write_archive`] does.
///
/// # Errors
/// As [`write_archive`].
pub fn write_layout(
    rootfs_tar: &Path,
    name: &str,
    config: &ImageConfig,
    directory: &Path,
) -> Result<Digest, ImageError> {
    let name: ImageName = name.parse()?;
    let image = Image::from_rootfs(rootfs_tar, config)?;
    let write_error = |cause| ImageError::Write { path: directory.to_owned(), cause };
    image.write_directory(&name, directory).map_err(write_error)?;
    Ok(image.manifest.digest)
}

impl Image {
    /// Reads a root file system once to learn its digests, and describes it.
    ///
    /// # Errors
    /// When the file cannot be read or is no tar, gzipped or not.
    pub fn from_rootfs(rootfs_tar: &Path, config: &ImageConfig) -> Result<Self, ImageError> {
        let layer = Layer::read(rootfs_tar)
            .map_err(|cause| ImageError::Rootfs { path: rootfs_tar.to_owned(), cause })?;
        let config = Blob::of(&config_file(config, &layer));
        let manifest = Blob::of(&Manifest::new(&config, vec![layer.descriptor()]));
        Ok(Self { manifest, config, layer })
    }

    /// Digest of the manifest: what `image@sha256:…` names.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.manifest.digest
    }

    /// Manifest, configuration, layer.
    pub(crate) fn parts(&self) -> (&Blob, &Blob, &Layer) {
        (&self.manifest, &self.config, &self.layer)
    }

    /// Writes the OCI archive of this image.
    ///
    /// # Errors
    /// When writing fails, or the layer's file changed or vanished meanwhile.
    pub(crate) fn write_tar(&self, name: &ImageName, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        append_bytes(&mut archive, "oci-layout", LAYOUT_FILE)?;
        append_bytes(&mut archive, "index.json", &self.index(name).bytes)?;
        for blob in [&self.manifest, &self.config] {
            append_bytes(&mut archive, &blob_path(&blob.digest), &blob.bytes)?;
        }
        let mut layer = Summed::new(self.layer.open()?);
        append(&mut archive, &blob_path(&self.layer.digest), &mut layer, self.layer.size)?;
        self.layer.check(layer)?;
        archive.into_inner()?.flush()
    }

    fn write_directory(&self, name: &ImageName, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory.join("blobs/sha256"))?;
        fs::write(directory.join("oci-layout"), LAYOUT_FILE)?;
        for blob in [&self.manifest, &self.config] {
            fs::write(directory.join(blob_path(&blob.digest)), &blob.bytes)?;
        }
        let mut layer = Summed::new(self.layer.open()?);
        io::copy(&mut layer, &mut File::create(directory.join(blob_path(&self.layer.digest)))?)?;
        self.layer.check(layer)?;
        fs::write(directory.join("index.json"), &self.index(name).bytes)
    }

    /// The archive's table of contents; names the image for containerd and for skopeo.
    fn index(&self, name: &ImageName) -> Blob {
        let mut manifest = self.manifest.descriptor(MANIFEST_TYPE);
        manifest.platform = Some(Platform {
            architecture: architecture().to_owned(),
            os: "linux".to_owned(),
            variant: None,
        });
        manifest.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_string());
        if let Some(tag) = name.tag() {
            manifest.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        }
        Blob::of(&Index {
            schema_version: 2,
            media_type: INDEX_TYPE.to_owned(),
            manifests: vec![manifest],
        })
    }
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let (media_type, annotations) = (media_type.to_owned(), BTreeMap::new());
        Self { media_type, digest, size, platform: None, annotations }
    }
}

impl Manifest {
    pub(crate) fn new(config: &Blob, layers: Vec<Descriptor>) -> Self {
        let config = config.descriptor(CONFIG_TYPE);
        Self { schema_version: 2, media_type: MANIFEST_TYPE.to_owned(), config, layers }
    }
}

impl Blob {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        // Serialising plain structs with string keys cannot fail.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self { digest: Digest::of(&bytes), bytes }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    fn descriptor(&self, media_type: &str) -> Descriptor {
        Descriptor::new(media_type, self.digest.clone(), self.size())
    }
}

impl Layer {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let gzipped = starts_gzipped(&mut file)?;
        let mut raw = Summed::new(file);
        let (diff_id, media_type) = if gzipped {
            let mut plain =
                Summed::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(&mut raw)));
            check_tar(&mut plain)?;
            (plain.finish().0, GZIP_LAYER_TYPE)
        } else {
            let mut plain = Summed::new(&mut raw);
            check_tar(&mut plain)?;
            (plain.finish().0, LAYER_TYPE)
        };
        io::copy(&mut raw, &mut io::sink())?;
        let (digest, size, _) = raw.finish();
        Ok(Self { path: path.to_owned(), digest, size, diff_id, media_type })
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Refuses what was read just now when it is not what was read first.
    fn check<R>(&self, copied: Summed<R>) -> io::Result<()> {
        let (digest, ..) = copied.finish();
        if digest == self.digest {
            return Ok(());
        }
        let message = format!("`{}` changed while it was read", self.path.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type, self.digest.clone(), self.size)
    }
}

fn config_file(config: &ImageConfig, layer: &Layer) -> ConfigFile {
    let ports = config.exposed_ports.iter().map(|port| (port.clone(), BTreeMap::new()));
    ConfigFile {
        architecture: architecture(),
        os: "linux",
        config: RunConfig {
            user: config.user.clone(),
            exposed_ports: ports.collect(),
            env: config.env.clone(),
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            working_dir: config.working_dir.clone(),
            labels: config.labels.clone(),
            stop_signal: config.stop_signal.clone(),
        },
        rootfs: RootFs { r#type: "layers", diff_ids: vec![layer.diff_id.clone()] },
        history: vec![History { created_by: "crilet image import" }],
    }
}

fn starts_gzipped(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == GZIP_MAGIC)
}

/// Reads all of a tar, so that a broken one is found before an image is made of it.
fn check_tar(reader: &mut impl Read) -> io::Result<()> {
    let mut entries = 0_u64;
    let mut archive = tar::Archive::new(&mut *reader);
    for entry in archive.entries()? {
        let mut entry = match entry {
            // The tar crate quotes what it stumbles over, which may be anything.
            Err(_) if entries == 0 => break,
            entry => entry?,
        };
        let size = entry.size();
        if io::copy(&mut entry, &mut io::sink())? != size {
            let message = format!("entry `{}` is cut short", entry.path()?.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        entries += 1;
    }
    io::copy(reader, &mut io::sink())?;
    if entries == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no tar, or an empty one"));
    }
    Ok(())
}

pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    contents: impl Read,
    size: u64,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, contents)
}

fn append_bytes(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    bytes: &[u8],
) -> io::Result<()> {
    append(archive, path, bytes, u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
