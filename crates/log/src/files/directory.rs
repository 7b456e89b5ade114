//! A directory that is held open, and the one way to reach the files in it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, readlinkat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstatat},
        statvfs::fstatvfs,
    },
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};

use super::sys::rename_no_replace;

/// Symbolic links that one path may have; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// What the kernel says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Size in bytes.
    pub size: u64,
    /// Bytes on disk.
    pub allocated: u64,
    /// Which file it is, whatever it is called: device and inode.
    pub id: (u64, u64),
    /// How many names it has.
    pub links: u64,
    /// Whether it is a file, and no directory, link, pipe or device.
    pub is_file: bool,
    /// When it was last written.
    pub modified: SystemTime,
}

impl Meta {
    /// Why something is not to be touched: it is nobody's log, or it is somewhere else as well.
    pub(crate) fn strange(&self) -> Option<&'static str> {
        match self {
            Self { is_file: false, .. } => Some("is no regular file"),
            Self { links: 2.., .. } => Some("has another name elsewhere (a hard link)"),
            _ => None,
        }
    }

    fn new(stat: &FileStat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        Self {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            allocated: u64::try_from(stat.st_blocks).unwrap_or_default() * 512,
            id: (stat.st_dev, stat.st_ino),
            links: stat.st_nlink,
            is_file: kind == SFlag::S_IFREG,
            modified: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds),
        }
    }
}

/// Size of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) available: u64,
    /// Whether a file can be made; one that counts no files always can.
    pub(crate) takes_files: bool,
}

/// A directory, held open.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens `root/below`, where whoever owns `root` may be an enemy.
    ///
    /// On the way to `root` a symbolic link is followed only when root, or the user of this process,
    /// has made it. Below, none is, and neither is `..`.
    ///
    /// # Errors
    /// The first component that is no directory, or such a link (`ELOOP`).
    pub fn open_below(root: &Path, below: &Path) -> io::Result<Self> {
        let mut handle = open_trusted(root)?;
        for component in below.components() {
            match component {
                Component::Normal(name) => handle = enter(handle.as_fd(), name)?,
                Component::CurDir => {}
                _ => return Err(Errno::EXDEV.into()),
            }
        }
        Ok(Self { handle, path: root.join(below) })
    }

    /// Opens a directory as the kernel does, through any link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// The path by which it was found, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where other calls find this very directory, whatever its path leads to by now.
    pub(crate) fn kernel_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// Which directory it is: device and inode.
    pub(crate) fn id(&self) -> io::Result<(u64, u64)> {
        let stat = nix::sys::stat::fstat(&self.handle)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// The directory that has its place by now, if somebody has put another one there. Links on the way
    /// are followed only where root, or the user of this process, has made them.
    pub(crate) fn successor(&self) -> Option<Self> {
        let there = nix::sys::stat::stat(&self.path).ok()?;
        if self.id().ok()? == (there.st_dev, there.st_ino) {
            return None;
        }
        let other = Self::open_below(&self.path, Path::new("")).ok()?;
        (other.id().ok()? != self.id().ok()?).then_some(other)
    }

    /// What there is under a name; nothing when there is nothing. A link is not followed.
    pub(crate) fn meta(&self, name: &OsStr) -> io::Result<Option<Meta>> {
        match fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Meta::new(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file for reading. What is no file is refused without being touched.
    pub(crate) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // Opening a pipe or a device may wait or do something; this does neither.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.handle, checked(name)?, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::EINVAL.into()) }
    }

    /// Opens a file that has this name and no other one anywhere (`ELOOP` where it has): whoever owns the
    /// directory can give a name in it to a file of somebody else.
    pub(crate) fn open_own(&self, name: &OsStr) -> io::Result<File> {
        let file = self.open_file(name)?;
        // In this order: a name that was taken away again leaves a file with one name, but not this one.
        let named = self.meta(name)?.ok_or(io::ErrorKind::NotFound)?;
        let opened = nix::sys::stat::fstat(&file)?;
        let is_own = named.id == (opened.st_dev, opened.st_ino) && named.strange().is_none();
        if is_own { Ok(file) } else { Err(Errno::ELOOP.into()) }
    }

    /// Makes a file that was not there, with these permissions.
    pub(crate) fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        Ok(File::from(openat(&self.handle, checked(name)?, flags, mode)?))
    }

    /// Renames a file within the directory; fails with `EEXIST` when the new name is taken.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let (from, to) = (checked(from)?, checked(to)?);
        match rename_no_replace(self.handle.as_fd(), from, to) {
            // Not every file system can refuse to replace; whoever else renames here is not there
            // in the moment between the two calls.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                if self.meta(to)?.is_some() {
                    return Err(Errno::EEXIST.into());
                }
                Ok(nix::fcntl::renameat(&self.handle, from, &self.handle, to)?)
            }
            other => Ok(other?),
        }
    }

    /// Removes a name; one that is not there is fine.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.handle, checked(name)?, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Flushes the names to disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.handle)?)
    }

    /// All names in it.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        // A descriptor of its own: the position of a duplicate is that of the original.
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.handle, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(std::os::unix::ffi::OsStringExt::from_vec(name));
            }
        }
        Ok(names)
    }

    /// The size of its file system.
    pub(crate) fn space(&self) -> io::Result<Space> {
        let stat = fstatvfs(&self.handle)?;
        let unit = stat.fragment_size();
        Ok(Space {
            total: stat.blocks() * unit,
            available: stat.blocks_available() * unit,
            takes_files: stat.files() == 0 || stat.files_available() > 0,
        })
    }
}

/// Whether a file was not opened because something else has its name: a link, a directory, a pipe.
pub(crate) fn is_planted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::ELOOP | nix::libc::EINVAL | nix::libc::ENXIO))
}

/// A name that stays within its directory.
fn checked(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    let inside = !bytes.is_empty() && !bytes.contains(&b'/') && bytes != b"." && bytes != b"..";
    if inside { Ok(name) } else { Err(Errno::EINVAL.into()) }
}

fn enter(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(handle) => Ok(handle),
        // What a link is called when a directory is asked for.
        Err(Errno::ENOTDIR) if is_link(directory, name) => Err(Errno::ELOOP.into()),
        Err(error) => Err(error.into()),
    }
}

fn link(directory: BorrowedFd<'_>, name: &OsStr) -> Option<FileStat> {
    let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    (kind == SFlag::S_IFLNK).then_some(stat)
}

fn is_link(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    link(directory, name).is_some()
}

/// Opens an absolute path, following links of root and of this process's user only.
fn open_trusted(path: &Path) -> io::Result<OwnedFd> {
    if !path.is_absolute() {
        return Err(Errno::EINVAL.into());
    }
    let slash = || -> io::Result<OwnedFd> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(nix::fcntl::open("/", flags, Mode::empty())?)
    };
    let mut handle = slash()?;
    let mut links = 0;
    let mut pending: Vec<OsString> = components(path);
    while let Some(name) = pending.pop() {
        match enter(handle.as_fd(), &name) {
            Ok(entered) => handle = entered,
            Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
                let trusted = link(handle.as_fd(), &name)
                    .is_some_and(|link| link.st_uid == 0 || link.st_uid == geteuid().as_raw());
                links += 1;
                if !trusted || links > MOST_LINKS {
                    return Err(error);
                }
                let target = PathBuf::from(readlinkat(&handle, name.as_os_str())?);
                if target.is_absolute() {
                    handle = slash()?;
                }
                pending.extend(components(&target));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(handle)
}

/// The components of a path, the first one last.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.rev().collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_below_the_root_are_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, outside) = (scratch.path().join("logs"), scratch.path().join("outside"));
        fs::create_dir_all(root.join("real/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("planted")).unwrap();
        symlink("../../outside", root.join("real/up")).unwrap();
        let open = |below: &str| Directory::open_below(&root, Path::new(below));
        assert!(open("").is_ok() && open("real/deep").is_ok() && open("./real").is_ok());
        for below in ["planted", "real/up"] {
            let error = open(below).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP), "{below}: {error}");
        }
        assert!(open("../outside").is_err() && open("real/../..").is_err());
        // The user's own link on the way to the root is the user's wish.
        symlink(&root, scratch.path().join("alias")).unwrap();
        assert!(Directory::open_below(&scratch.path().join("alias"), Path::new("real")).is_ok());
    }

    #[test]
    fn only_files_are_opened_and_names_stay_inside() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("secret"), "s").unwrap();
        let root = scratch.path().join("logs");
        fs::create_dir_all(root.join("directory")).unwrap();
        symlink(scratch.path().join("secret"), root.join("link")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
        let directory = Directory::open_below(&root, Path::new("")).unwrap();
        for name in ["link", "pipe", "directory", "../secret", "..", "", "absent"] {
            assert!(directory.open_file(OsStr::new(name)).is_err(), "{name}");
        }
        fs::hard_link(scratch.path().join("secret"), root.join("second")).unwrap();
        fs::write(root.join("own"), "o").unwrap();
        let own = |name: &str| directory.open_own(OsStr::new(name));
        assert!(directory.open_file(OsStr::new("second")).is_ok() && own("own").is_ok());
        assert!(is_planted(&own("second").unwrap_err()) && is_planted(&own("link").unwrap_err()));
        assert_eq!(own("absent").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!directory.meta(OsStr::new("link")).unwrap().unwrap().is_file);
        assert!(directory.rename(OsStr::new("link"), OsStr::new("../x")).is_err());
        assert!(directory.remove(OsStr::new("../secret")).is_err());
    }

    #[test]
    fn renaming_never_replaces() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::open(scratch.path()).unwrap();
        for name in ["a", "b"] {
            fs::write(scratch.path().join(name), name).unwrap();
        }
        let error = directory.rename(OsStr::new("a"), OsStr::new("b")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(scratch.path().join("b")).unwrap(), b"b");
    }
}
