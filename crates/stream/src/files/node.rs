//! One file, directory or link: what it is like, and putting one at its place.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat},
    libc,
    sys::{
        stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, mkdirat, mknodat, utimensat},
        time::TimeSpec,
    },
    unistd::{Gid, Uid, UnlinkatFlags, Whence, fchownat, linkat, lseek, symlinkat, unlinkat},
};
use xattr::FileExt as _;

use super::{FileError, root::reopen};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    /// A socket or a device.
    Other,
}

/// What an entry has besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// User and group as we see them.
    pub(super) owner: (u32, u32),
    /// Permissions and the bits above them.
    pub(super) mode: u32,
    /// Seconds and nanoseconds since 1970.
    pub(super) modified: (i64, i64),
    pub(super) extended: Vec<(OsString, Vec<u8>)>,
}

/// Device and number of a file.
pub(super) type Identity = (u64, u64);

/// An entry that was looked at and not opened.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) handle: OwnedFd,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Device and number: of no two files the same.
    pub(super) identity: Identity,
    /// How many names it has.
    pub(super) names: u64,
    pub(super) attributes: Attributes,
}

impl Node {
    /// Looks at what a descriptor without effect is of.
    pub(super) fn of(handle: OwnedFd, path: &Path) -> Result<Self, FileError> {
        let stat = fstat(&handle).map_err(|cause| FileError::of("look at", path, cause))?;
        let kind = kind(&stat);
        let mut attributes = attributes(&stat);
        if matches!(kind, Kind::File | Kind::Directory) {
            attributes.extended = extended(&handle);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let (identity, names) = ((stat.st_dev, stat.st_ino), stat.st_nlink);
        Ok(Self { handle, kind, size, identity, names, attributes })
    }

    /// Whether it is a file that may have another name in the same tree.
    pub(super) fn has_other_names(&self) -> bool {
        self.kind == Kind::File && self.names > 1
    }

    /// Looks at an entry of a directory.
    pub(super) fn child(
        directory: impl AsFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<Self, FileError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(directory, name, flags, Mode::empty());
        Self::of(handle.map_err(|cause| FileError::of("look at", path, cause))?, path)
    }

    /// Opens it to be read.
    pub(super) fn open(&self, path: &Path) -> Result<File, FileError> {
        let opened = reopen(&self.handle, OFlag::O_RDONLY);
        opened.map(File::from).map_err(|cause| FileError::of("open", path, cause))
    }

    /// Where a link leads to.
    pub(super) fn target(&self, path: &Path) -> Result<OsString, FileError> {
        readlinkat(&self.handle, "").map_err(|cause| FileError::of("read the link", path, cause))
    }
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFIFO => Kind::Fifo,
        _ => Kind::Other,
    }
}

fn attributes(stat: &FileStat) -> Attributes {
    Attributes {
        owner: (stat.st_uid, stat.st_gid),
        mode: stat.st_mode & 0o7777,
        modified: (stat.st_mtime, stat.st_mtime_nsec),
        extended: Vec::new(),
    }
}

/// Extended attributes; none where the file system has none, or does not show them.
fn extended(handle: &OwnedFd) -> Vec<(OsString, Vec<u8>)> {
    // The calls by descriptor do not take one without effect, those by path do not mind.
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let Ok(names) = xattr::list_deref(&path) else { return Vec::new() };
    let value = |name: OsString| {
        let value = xattr::get_deref(&path, &name).ok()??;
        Some((name, value))
    };
    names.filter_map(value).collect()
}

/// An entry's future place: a directory and a name in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    /// For messages.
    pub(super) path: &'a Path,
}

impl Place<'_> {
    fn failed(&self, doing: &'static str, cause: Errno) -> FileError {
        FileError::of(doing, self.path, cause)
    }

    /// Makes a directory, or takes the one that is there.
    pub(super) fn directory(&self) -> Result<OwnedFd, FileError> {
        let made = mkdirat(self.directory, self.name, Mode::from_bits_truncate(0o700));
        match made {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(cause) => return Err(self.failed("make directory", cause)),
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(self.directory, self.name, flags, Mode::empty());
        opened.map_err(|cause| self.failed("open directory", cause))
    }

    /// Refuses to put a file where a device, a socket or a FIFO is: others may need it, and it is not known
    /// who reads it.
    fn not_special(&self) -> Result<(), FileError> {
        match Node::child(self.directory, self.name, self.path) {
            Ok(Node { kind: Kind::Fifo | Kind::Other, .. }) => {
                Err(FileError::Special { path: self.path.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Puts a file, written by `fill`, which gives how many bytes it is.
    pub(super) fn file(
        &self,
        attributes: &Attributes,
        mut fill: impl FnMut(&mut File) -> io::Result<u64>,
    ) -> Result<u64, FileError> {
        self.not_special()?;
        let failed = |cause| FileError::io("write", self.path, cause);
        let (name, made) = self.new_file()?;
        let mut guard = Unfinished { directory: self.directory, name };
        let mut file = File::from(made);
        let bytes = fill(&mut file).map_err(failed)?;
        attributes.apply(&file, self.path)?;
        if guard.name.is_none() {
            guard.name = Some(self.linked(&file)?);
        }
        match guard.finish(self.name) {
            // A file that is mounted there, such as /etc/hosts, is written where it is.
            Err(Errno::EBUSY) => self.in_place(fill),
            Err(cause) => Err(self.failed("put", cause)),
            Ok(()) => Ok(bytes),
        }
    }

    /// A file without a name, which is gone with us should we be killed; on file systems that have none
    /// such, one under a name that nobody has.
    fn new_file(&self) -> Result<(Option<OsString>, OwnedFd), FileError> {
        let mode = Mode::from_bits_truncate(0o600);
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        match openat(self.directory, ".", flags | OFlag::O_TMPFILE, mode) {
            Err(Errno::EOPNOTSUPP | Errno::EISDIR) => {}
            Err(cause) => return Err(self.failed("create", cause)),
            Ok(made) => return Ok((None, made)),
        }
        let flags = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let (name, made) = self.beside(|name| openat(self.directory, name, flags, mode))?;
        Ok((Some(name), made))
    }

    /// Gives an open file a name that nobody has.
    fn linked(&self, file: &impl AsRawFd) -> Result<OsString, FileError> {
        // As link(2) has it for files without a name of ours.
        let file = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flag = AtFlags::AT_SYMLINK_FOLLOW;
        let made =
            self.beside(|name| linkat(AT_FDCWD, file.as_str(), self.directory, name, flag))?;
        Ok(made.0)
    }

    fn in_place(
        &self,
        mut fill: impl FnMut(&mut File) -> io::Result<u64>,
    ) -> Result<u64, FileError> {
        let path = self.path;
        let there = Node::child(self.directory, self.name, path)?;
        if there.kind != Kind::File {
            return Err(self.failed("put", Errno::EBUSY));
        }
        let opened = reopen(&there.handle, OFlag::O_WRONLY | OFlag::O_TRUNC);
        let mut file = File::from(opened.map_err(|cause| self.failed("open", cause))?);
        fill(&mut file).map_err(|cause| FileError::io("write", path, cause))
    }

    /// Puts another name of a file, which was opened without effect.
    pub(super) fn another_name(&self, of: &OwnedFd) -> Result<(), FileError> {
        self.not_special()?;
        let name = Some(self.linked(of)?);
        let guard = Unfinished { directory: self.directory, name };
        guard.finish(self.name).map_err(|cause| self.failed("put", cause))
    }

    /// Puts a symbolic link.
    pub(super) fn link(&self, target: &OsStr, attributes: &Attributes) -> Result<(), FileError> {
        let (name, ()) = self.beside(|name| symlinkat(target, self.directory, name))?;
        self.finish_special(&name, attributes)
    }

    /// Puts a FIFO.
    pub(super) fn fifo(&self, attributes: &Attributes) -> Result<(), FileError> {
        let mode = Mode::from_bits_truncate(attributes.mode & 0o777);
        let (name, ()) =
            self.beside(|name| mknodat(self.directory, name, SFlag::S_IFIFO, mode, 0))?;
        self.finish_special(&name, attributes)
    }

    fn finish_special(&self, name: &OsStr, attributes: &Attributes) -> Result<(), FileError> {
        let guard = Unfinished { directory: self.directory, name: Some(name.to_owned()) };
        let (user, group) = attributes.owner;
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        let owned = fchownat(self.directory, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW);
        allowed(owned).map_err(|cause| self.failed("set the owner of", cause))?;
        let time = attributes.time();
        let flag = UtimensatFlags::NoFollowSymlink;
        utimensat(self.directory, name, &time, &time, flag)
            .map_err(|cause| self.failed("set the time of", cause))?;
        guard.finish(self.name).map_err(|cause| self.failed("put", cause))
    }

    /// Makes something under a name that nobody has.
    fn beside<T>(
        &self,
        make: impl Fn(&OsStr) -> Result<T, Errno>,
    ) -> Result<(OsString, T), FileError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for _ in 0..1024 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!(".crilet-cp-{}-{number}", std::process::id()));
            match make(&name) {
                Err(Errno::EEXIST) => {}
                Err(cause) => return Err(self.failed("create", cause)),
                Ok(made) => return Ok((name, made)),
            }
        }
        Err(self.failed("create", Errno::EEXIST))
    }
}

/// Something under another name than it is to have; removed if it does not get that.
struct Unfinished<'a> {
    directory: BorrowedFd<'a>,
    name: Option<OsString>,
}

impl Unfinished<'_> {
    fn finish(mut self, to: &OsStr) -> Result<(), Errno> {
        let Some(name) = &self.name else { return Ok(()) };
        renameat(self.directory, name.as_os_str(), self.directory, to)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The error that led here is told.
            unlinkat(self.directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir)
                .unwrap_or_default();
        }
    }
}

impl Attributes {
    fn time(&self) -> TimeSpec {
        TimeSpec::new(self.modified.0, self.modified.1)
    }

    /// Gives a file or directory its owner, mode, attributes and time.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), FileError> {
        let failed = |doing| move |cause| FileError::of(doing, path, cause);
        let (user, group) = self.owner;
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        allowed(nix::unistd::fchown(file, user, group)).map_err(failed("set the owner of"))?;
        for (name, value) in &self.extended {
            // Not all file systems have all of them.
            if let Err(error) = file.set_xattr(name, value) {
                tracing::debug!(%error, ?name, path = %path.display(), "attribute left out");
            }
        }
        fchmod(file, Mode::from_bits_truncate(self.mode)).map_err(failed("set the mode of"))?;
        let time = self.time();
        nix::sys::stat::futimens(file, &time, &time).map_err(failed("set the time of"))
    }
}

/// Who is not root keeps what they make.
fn allowed(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::EPERM) if !nix::unistd::geteuid().is_root() => Ok(()),
        other => other,
    }
}

/// Copies a file's data and leaves its holes holes. Gives its size.
pub(super) fn copy_sparse(from: &File, to: &mut File) -> io::Result<u64> {
    let size = from.metadata()?.len();
    if size == 0 {
        // Files of /proc do not tell how long they are.
        let mut reader = from;
        return io::copy(&mut reader, to);
    }
    let mut at = 0;
    while at < size {
        let Some(data) = seek(from, at, Whence::SeekData)? else { break };
        // Where holes are not told, all is data.
        let end = seek(from, data, Whence::SeekHole)?.unwrap_or(size).min(size);
        let mut reader = from;
        reader.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        let copied = io::copy(&mut reader.take(end.saturating_sub(data)), to)?;
        if copied == 0 {
            break;
        }
        at = data + copied;
    }
    to.set_len(size)?;
    Ok(size)
}

/// The next data or hole, or nothing when there is none.
fn seek(file: &File, from: u64, whence: Whence) -> io::Result<Option<u64>> {
    let offset = i64::try_from(from).map_err(io::Error::other)?;
    match lseek(file, offset, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        // Such as files of /proc: all data.
        Err(Errno::EINVAL) if matches!(whence, Whence::SeekData) => Ok(Some(from)),
        Err(Errno::EINVAL) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

/// Writes what is read and leaves out whole blocks of zeros. Gives how many bytes it is.
pub(super) fn write_sparse(reader: &mut impl Read, to: &mut File) -> io::Result<u64> {
    const BLOCK: usize = 64 << 10;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match reader.read(block.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                read => filled += read,
            }
        }
        let data = block.get(..filled).unwrap_or_default();
        if data.iter().any(|byte| *byte != 0) {
            to.write_all_at(data, at)?;
        }
        at += u64::try_from(filled).unwrap_or_default();
        if filled < BLOCK {
            to.set_len(at)?;
            return to.flush().map(|()| at);
        }
    }
}
