//! Volumes of pods: made before their containers, kept up to date, removed with them.
//!
//! ```text
//! ROOT/pods/UID/volumes/NAME              emptyDir, configMap, secret, downwardAPI, projected
//! ROOT/pods/UID/sub-paths/CONTAINER/N     the part of a volume that mount N of a container is
//! ROOT/pods/UID/containers/CONTAINER/N    the last word of start N of a container
//! ROOT/volumes/NAMESPACE/NAME             claims, which outlive pods
//! ```
//!
//! [`plan`] says purely what has to be there; [`materialise`] makes it so. Every step looks first
//! and can be done again, so that being killed between any two of them, or in one, costs nothing:
//! the next run finishes what is unfinished. Files of ConfigMaps and the like are replaced all at
//! once, the kubelet's way ([`files`]); [`refresh`] does that for an edited pod whose containers run.
//!
//! Containers can write to volumes while crilet works in them as root. So nothing below a volume's
//! own root is touched by its path: every step down is made on open directories and follows no link
//! that could lead out.

pub mod files;
mod mounts;
mod own;
mod remove;
mod sub_path;
mod termination;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{dir::Dir, fcntl::OFlag, mount::MsFlags, sys::stat::Mode};

pub use self::{
    remove::{list, remove, remove_claim, remove_volume},
    sub_path::{bind, sub_path_target},
    termination::{last_lines, last_word, termination_file, termination_path},
};
use crate::{
    model::{FileContent, FsGroup, HostPathType, Medium, Pod, VolumeSource},
    render::NodeFacts,
};

/// Permission bits of directories that programs of any user write into, as the kubelet has them.
const SHARED: u32 = 0o777;
/// Of crilet's own directories around them: nobody else of the machine gets to them.
const OWN: u32 = 0o700;

/// Where volumes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Directories of pods; `/var/lib/crilet/pods`.
    pub pods: PathBuf,
    /// Claims; `/var/lib/crilet/volumes`.
    pub claims: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::below(Path::new("/var/lib/crilet"))
    }
}

impl Roots {
    /// Both below one directory.
    pub fn below(root: &Path) -> Self {
        Self { pods: root.join("pods"), claims: root.join("volumes") }
    }

    /// The directory of a pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods.join(component(uid))
    }

    /// A volume in it.
    pub fn volume(&self, uid: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(component(name))
    }

    /// A claim.
    pub fn claim(&self, namespace: &str, name: &str) -> PathBuf {
        self.claims.join(component(namespace)).join(component(name))
    }
}

/// Makes one component of a path of a name, whatever it is.
fn component(name: &str) -> String {
    let safe = name.replace('/', "_");
    if safe.is_empty() || safe.starts_with('.') { format!("_{safe}") } else { safe }
}

/// Why a volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A `hostPath` is not what its type says.
    #[error("volume `{volume}`: `{}` is not {expected}", path.display())]
    HostPath {
        /// The volume.
        volume: String,
        /// The path.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A `subPath` leads out of its volume.
    #[error("`{sub_path}` leads out of its volume `{}`", volume.display())]
    Escapes {
        /// The volume's directory.
        volume: PathBuf,
        /// The part of it.
        sub_path: String,
    },
    /// Something is still mounted where a directory is to be removed.
    #[error("`{}` is still mounted", path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{action} `{}`", path.display())]
    Io {
        /// What was to be done, as a verb.
        action: &'static str,
        /// What with.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: io::Error,
    },
}

/// One thing that has to be so; done in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A directory that programs of any user write into.
    Directory {
        /// Where.
        path: PathBuf,
    },
    /// A file system in memory.
    Tmpfs {
        /// Where.
        path: PathBuf,
        /// Most bytes in it; nothing for the kernel's own limit.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
    /// A file system of huge pages.
    HugePages {
        /// Where.
        path: PathBuf,
        /// Size of a page; nothing for the machine's default.
        page: Option<u64>,
        /// Most bytes in it.
        size: Option<u64>,
    },
    /// Something of the host.
    HostPath {
        /// The volume, for messages.
        volume: String,
        /// Where.
        path: PathBuf,
        /// What has to be there.
        kind: HostPathType,
    },
    /// Files that are replaced together.
    Files {
        /// In which directory.
        path: PathBuf,
        /// The files.
        payload: files::Payload,
    },
    /// A group that owns everything in it.
    Own {
        /// Where.
        path: PathBuf,
        /// The group.
        group: FsGroup,
    },
}

/// What has to be there for a pod's containers, and where each volume is. Pure.
pub fn plan(pod: &Pod, roots: &Roots, node: &NodeFacts) -> (Vec<Step>, BTreeMap<String, PathBuf>) {
    let mut steps = Vec::new();
    let mut paths = BTreeMap::new();
    for volume in &pod.volumes {
        let own = roots.volume(&pod.uid, &volume.name);
        let path = match &volume.source {
            VolumeSource::HostPath { path, kind } => {
                let volume = volume.name.clone();
                steps.push(Step::HostPath { volume, path: path.clone(), kind: *kind });
                path.clone()
            }
            VolumeSource::EmptyDir { medium, size_limit } => {
                steps.push(empty_dir(&own, medium, *size_limit, pod));
                steps.extend(pod.fs_group.map(|group| Step::Own { path: own.clone(), group }));
                own
            }
            VolumeSource::Files(set) => {
                steps.push(if set.secret {
                    Step::Tmpfs { path: own.clone(), size: None, mode: 0o755 }
                } else {
                    Step::Directory { path: own.clone() }
                });
                let files = set.files.iter().map(|file| files::File {
                    path: file.path.clone(),
                    mode: file.mode,
                    content: match &file.content {
                        FileContent::Bytes(bytes) => bytes.clone(),
                        FileContent::Late(late) => {
                            crate::model::Hidden::new(node.text(*late).into_bytes())
                        }
                    },
                });
                let group = pod.fs_group.map(|group| group.gid);
                let payload = files::Payload { files: files.collect(), group };
                steps.push(Step::Files { path: own.clone(), payload });
                own
            }
            VolumeSource::Claim { name } => {
                let path = roots.claim(&pod.namespace, name);
                steps.push(Step::Directory { path: path.clone() });
                steps.extend(pod.fs_group.map(|group| Step::Own { path: path.clone(), group }));
                path
            }
            VolumeSource::Image { .. } => continue,
        };
        paths.insert(volume.name.clone(), path);
    }
    (steps, paths)
}

fn empty_dir(path: &Path, medium: &Medium, size_limit: Option<u64>, pod: &Pod) -> Step {
    let path = path.to_owned();
    match medium {
        Medium::Disk => Step::Directory { path },
        Medium::Memory => {
            // What is in it counts against the containers' memory; more could never be filled.
            let limits = pod.all_containers().map(|container| container.resources.memory_limit);
            let limits: Option<u64> =
                limits.into_iter().try_fold(0_u64, |sum, limit| sum.checked_add(limit?));
            let size = size_limit.into_iter().chain(limits).min();
            Step::Tmpfs { path, size, mode: SHARED | 0o1000 }
        }
        Medium::HugePages(page) => Step::HugePages { path, page: *page, size: size_limit },
    }
}

/// Makes a pod's volumes, or brings them up to date. Idempotent.
///
/// # Errors
/// The first volume that cannot be had; what was made before stays for the next try.
pub fn materialise(
    pod: &Pod,
    roots: &Roots,
    node: &NodeFacts,
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let (steps, paths) = plan(pod, roots, node);
    own_directory(&roots.pod(&pod.uid))?;
    own_directory(&roots.claims)?;
    steps.iter().try_for_each(act)?;
    Ok(paths)
}

/// Brings the files of a running pod up to date and touches nothing else: ownership of other
/// volumes is given at a pod's start alone. Tells whether anything changed.
///
/// # Errors
/// The first volume that cannot be brought up to date.
pub fn refresh(pod: &Pod, roots: &Roots, node: &NodeFacts) -> Result<bool, VolumeError> {
    let (steps, _) = plan(pod, roots, node);
    let mut changed = false;
    for step in &steps {
        if let Step::Files { path, payload } = step {
            changed |= files::write(path, payload)?;
        }
    }
    Ok(changed)
}

/// The emptyDirs on disk that hold more than they may, with the bytes that they hold. In memory the
/// kernel sees to it.
///
/// # Errors
/// When one of them cannot be looked at.
pub fn over_limit(pod: &Pod, roots: &Roots) -> Result<Vec<(String, u64)>, VolumeError> {
    let mut over = Vec::new();
    for volume in &pod.volumes {
        let VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: Some(limit) } =
            volume.source
        else {
            continue;
        };
        let path = roots.volume(&pod.uid, &volume.name);
        let used = usage(&path).context("look at", &path)?;
        if used > limit {
            over.push((volume.name.clone(), used));
        }
    }
    Ok(over)
}

/// Bytes of disk below a directory; what vanishes meanwhile holds none.
fn usage(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            // Of the link itself, where it is one.
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks().saturating_mul(512);
            if meta.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

/// Does one step, if it is not done yet.
///
/// # Errors
/// What stands in the way.
pub fn act(step: &Step) -> Result<(), VolumeError> {
    match step {
        Step::Directory { path } => directory(path, SHARED),
        Step::Tmpfs { path, size, mode } => {
            directory(path, OWN)?;
            let options = size.map_or_else(String::new, |size| format!("size={size},"));
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(path, "tmpfs", flags, &format!("{options}mode={mode:o}"))?;
            size.map_or(Ok(()), |size| resize(path, size, flags))
        }
        Step::HugePages { path, page, size } => {
            directory(path, OWN)?;
            let page = page.map_or_else(String::new, |page| format!("pagesize={page},"));
            let size = size.map_or_else(String::new, |size| format!("size={size},"));
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(path, "hugetlbfs", flags, &format!("{page}{size}mode={SHARED:o}"))
        }
        Step::HostPath { volume, path, kind } => host_path(volume, path, *kind),
        Step::Files { path, payload } => files::write(path, payload).map(drop),
        Step::Own { path, group } => own::own(path, *group),
    }
}

/// Names what failed, and on what.
trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, VolumeError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, VolumeError> {
        self.map_err(|error| VolumeError::Io { action, path: path.to_owned(), cause: error.into() })
    }
}

/// The names in a directory.
fn names(directory: &OwnedFd) -> nix::Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(directory, ".", flags, Mode::empty())?;
    let names = listing.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let mut names = names.collect::<nix::Result<Vec<_>>>()?;
    names.retain(|name| !matches!(name.to_bytes(), b"." | b".."));
    Ok(names)
}

/// A directory of crilet's own, with all above it.
fn own_directory(path: &Path) -> Result<(), VolumeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(OWN).create(path).context("make directory", path)
}

/// A directory that stays as it is if it is there: its mode and contents are the pod's by then.
///
/// It gets its mode under another name, so that what is there is whole.
fn directory(path: &Path, mode: u32) -> Result<(), VolumeError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    own_directory(parent)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(drop).context("look at", path),
    }
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(name);
    let unfinished = parent.join(unfinished);
    own_directory(&unfinished)?;
    // Not by the mode of mkdir(2), which the umask cuts.
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(&unfinished, permissions).context("set mode of", &unfinished)?;
    fs::rename(&unfinished, path).context("make directory", path)
}

fn mount(path: &Path, kind: &str, flags: MsFlags, options: &str) -> Result<(), VolumeError> {
    if mounts::is_mounted(path)? {
        return Ok(());
    }
    nix::mount::mount(Some(kind), path, Some(kind), flags, Some(options)).context("mount", path)
}

/// Gives a file system in memory another size; the kernel refuses one that is too small for what
/// is in it.
fn resize(path: &Path, size: u64, flags: MsFlags) -> Result<(), VolumeError> {
    let found = nix::sys::statvfs::statvfs(path).context("look at", path)?;
    let page = found.fragment_size().max(1);
    if found.blocks() == size.div_ceil(page) {
        return Ok(());
    }
    let options = format!("size={size}");
    nix::mount::mount(
        None::<&str>,
        path,
        None::<&str>,
        flags | MsFlags::MS_REMOUNT,
        Some(options.as_str()),
    )
    .context("resize", path)
}

/// Checks or makes what a `hostPath` asks for (`pkg/volume/hostpath`).
fn host_path(volume: &str, path: &Path, kind: HostPathType) -> Result<(), VolumeError> {
    let found = fs::metadata(path);
    let missing = matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound);
    match kind {
        HostPathType::Unchecked => return Ok(()),
        HostPathType::DirectoryOrCreate if missing => {
            let mut builder = fs::DirBuilder::new();
            return builder
                .recursive(true)
                .mode(0o755)
                .create(path)
                .context("make directory", path);
        }
        HostPathType::FileOrCreate if missing => {
            let mut options = fs::OpenOptions::new();
            let made = options.write(true).create_new(true).mode(0o644).open(path);
            return made.map(drop).context("make file", path);
        }
        _ => {}
    }
    let of_type = found.as_ref().map(fs::Metadata::file_type);
    let fits = |check: fn(&fs::FileType) -> bool| of_type.as_ref().is_ok_and(check);
    let (fits, expected) = match kind {
        HostPathType::Unchecked => return Ok(()),
        HostPathType::Directory | HostPathType::DirectoryOrCreate => {
            (fits(fs::FileType::is_dir), "a directory")
        }
        HostPathType::File | HostPathType::FileOrCreate => (fits(fs::FileType::is_file), "a file"),
        HostPathType::Socket => (fits(FileTypeExt::is_socket), "a unix socket"),
        HostPathType::CharDevice => (fits(FileTypeExt::is_char_device), "a character device"),
        HostPathType::BlockDevice => (fits(FileTypeExt::is_block_device), "a block device"),
    };
    if fits {
        return Ok(());
    }
    Err(VolumeError::HostPath { volume: volume.to_owned(), path: path.to_owned(), expected })
}
