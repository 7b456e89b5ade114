use std::path::PathBuf;

use super::{Hidden, LateValue};
use crate::images::PullPolicy;

/// A volume of a pod: made before its containers, removed with the pod unless it is the host's or
/// a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Unique within the pod.
    pub name: String,
    /// What it is made of.
    pub source: VolumeSource,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A path of the host.
    HostPath {
        /// The path, absolute.
        path: PathBuf,
        /// What has to be there, or is made.
        kind: HostPathType,
    },
    /// An empty directory that lives as long as the pod.
    EmptyDir {
        /// Where its contents are.
        medium: Medium,
        /// Most bytes it may hold. On disk it is watched, in memory the kernel enforces it.
        size_limit: Option<u64>,
    },
    /// Files out of ConfigMaps, Secrets and facts about the pod, kept up to date in place.
    Files(FileSet),
    /// A PersistentVolumeClaim: a directory that outlives pods and that several can share.
    Claim {
        /// Its name, unique in the pod's namespace.
        name: String,
    },
    /// The root file system of an image, read only; the runtime mounts it.
    Image {
        /// The image.
        reference: String,
        /// When it is pulled.
        pull_policy: PullPolicy,
    },
}

/// What has to be at a `hostPath`, by its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostPathType {
    /// `""`: no check. The runtime makes a directory of what is missing.
    #[default]
    Unchecked,
    /// `DirectoryOrCreate`: a directory; a missing one is made with mode 0755.
    DirectoryOrCreate,
    /// `Directory`: a directory that is there.
    Directory,
    /// `FileOrCreate`: a file; a missing one is made with mode 0644, its directory is not.
    FileOrCreate,
    /// `File`: a file that is there.
    File,
    /// `Socket`: a unix socket that is there.
    Socket,
    /// `CharDevice`: a character device that is there.
    CharDevice,
    /// `BlockDevice`: a block device that is there.
    BlockDevice,
}

/// Where an emptyDir has its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// On disk.
    Disk,
    /// In memory (tmpfs).
    Memory,
    /// In huge pages of this size in bytes; nothing for the machine's default size.
    HugePages(Option<u64>),
}

/// Files that are replaced together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSet {
    /// The files, sorted by path; no path occurs twice or lies below another.
    pub files: Vec<VolumeFile>,
    /// Whether they are secrets: those are kept in memory.
    pub secret: bool,
}

/// One file of a [`FileSet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative to the volume, without `..`.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// These bytes.
    Bytes(Hidden<Vec<u8>>),
    /// What the machine says.
    Late(LateValue),
}

/// The group that a pod's volumes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsGroup {
    /// Its number; also a supplementary group of every container.
    pub gid: u32,
    /// When ownership is changed.
    pub policy: FsGroupPolicy,
}

/// When the ownership of a volume is changed to the pod's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FsGroupPolicy {
    /// Each time.
    #[default]
    Always,
    /// Only when its root does not have group and permissions yet.
    OnRootMismatch,
}
