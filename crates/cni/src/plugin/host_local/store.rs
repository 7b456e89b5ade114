//! Leases of a network: a file for each address.
//!
//! A file's name is the address, its content `CONTAINER\r\nLINK` without an end of line, mode 0600.
//! `last_reserved_ip.N` holds the address that set number N gave last. All of it is changed under
//! flock(2) of `lock`, by the reference plugin too. Older leases may hold only the container.
//!
//! A lease is made whole under a name that no reader sees and then linked to its place. It is not
//! flushed to disk: a lease is worth nothing without its pod, and pods do not survive a power cut.
//! What such a cut can leave is a file of no bytes. Since every writer holds the lock while it
//! writes, such a file that is seen under the lock belongs to nobody.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    net::IpAddr,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, open},
    sys::stat::{Mode, fstatat},
    unistd::linkat,
};

use super::index::{Index, Lease, Mark};
use crate::protocol::{Attachment, Code, PluginError};

const LOCK: &str = "lock";
const LAST: &str = "last_reserved_ip.";

/// The leases of a network, locked.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    index: Index,
    /// Whether the index has what others have changed, too.
    is_known: bool,
    _lock: Flock<File>,
}

/// What became of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Done,
    /// Who has the address.
    Taken(String),
}

impl Store {
    /// Opens and locks the leases of a network; makes the directory when it is missing.
    pub(super) fn open(directory: &Path) -> Result<Self, PluginError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(|cause| failed("make directory", directory, &cause))?;
        Self::lock(directory)
    }

    /// As [`Store::open`]; `None` when the network never had a lease.
    pub(super) fn open_existing(directory: &Path) -> Result<Option<Self>, PluginError> {
        match fs::metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", directory, &error)),
            Ok(_) => Self::lock(directory).map(Some),
        }
    }

    fn lock(directory: &Path) -> Result<Self, PluginError> {
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o750);
        let file = options.open(&path).map_err(|cause| failed("open", &path, &cause))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| failed("lock", &path, &errno.into()))?;
        let index = Index::load(directory);
        let is_known = index.is_current(directory);
        Ok(Self { directory: directory.to_owned(), index, is_known, _lock: lock })
    }

    /// Keeps the index for the next call. What is not kept is only read again.
    pub(super) fn finish(&self) {
        if self.is_known {
            self.index.save(&self.directory);
        }
    }

    /// Whether [`Store::seen_addresses_of`] are all.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Addresses that an attachment had when all leases were looked at last, and has still.
    pub(super) fn seen_addresses_of(&self, owner: &Attachment) -> Vec<IpAddr> {
        let content = content_of(owner);
        let mut addresses = self.index.addresses_of(&content);
        addresses.retain(|address| self.is_lease(*address, &content));
        addresses
    }

    /// Takes an address for an attachment, unless it is taken, and remembers it as the set's last.
    pub(super) fn claim(
        &mut self,
        address: IpAddr,
        set: usize,
        owner: &Attachment,
    ) -> Result<Claim, PluginError> {
        let path = self.directory.join(address.to_string());
        let content = content_of(owner);
        loop {
            match create(&self.directory, &path, content.as_bytes()) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    match fs::read_to_string(&path) {
                        Ok(text) if text.trim().is_empty() => remove(&path)?,
                        Ok(text) => return Ok(Claim::Taken(describe(&text))),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(cause) => return Err(failed("read lease", &path, &cause)),
                    }
                }
                Err(cause) => return Err(failed("write lease", &path, &cause)),
            }
        }
        let mark = fs::metadata(&path).map_or_else(|_| Mark::default(), |file| Mark::of(&file));
        self.index.add(&Lease { address, text: content, mark });
        let last = self.directory.join(format!("{LAST}{set}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&last).and_then(|mut file| write_all(&mut file, &address));
        if let Err(cause) = written {
            self.give_back(address)?;
            return Err(failed("write", &last, &cause));
        }
        Ok(Claim::Done)
    }

    /// Frees an address again that this call has claimed.
    pub(super) fn give_back(&mut self, address: IpAddr) -> Result<(), PluginError> {
        self.index.remove(address);
        remove(&self.directory.join(address.to_string()))
    }

    /// The address that a set gave last.
    pub(super) fn last_reserved(&self, set: usize) -> Option<IpAddr> {
        let text = fs::read_to_string(self.directory.join(format!("{LAST}{set}"))).ok()?;
        text.trim().parse().ok()
    }

    /// Addresses that an attachment has. What was read for it is kept by [`Store::finish`].
    pub(super) fn addresses_of(&mut self, owner: &Attachment) -> Result<Vec<IpAddr>, PluginError> {
        if !self.is_known {
            self.index.refresh(self.marks()?.into_iter(), |address| {
                read(address, &self.directory.join(address.to_string()))
            })?;
            self.is_known = true;
        }
        Ok(self.seen_addresses_of(owner))
    }

    /// As [`Store::addresses_of`], for who does nothing else with the leases.
    pub(super) fn look_up(&mut self, owner: &Attachment) -> Result<Vec<IpAddr>, PluginError> {
        let was_known = self.is_known;
        let addresses = self.addresses_of(owner)?;
        if !was_known {
            self.finish();
        }
        Ok(addresses)
    }

    fn is_lease(&self, address: IpAddr, content: &str) -> bool {
        let text = fs::read_to_string(self.directory.join(address.to_string()));
        text.is_ok_and(|text| text.trim() == content)
    }

    /// Frees all addresses of an attachment; leases that name only its container as well, when
    /// none names both.
    pub(super) fn release(&mut self, owner: &Attachment) -> Result<(), PluginError> {
        let mut own = self.addresses_of(owner)?;
        if own.is_empty() {
            // The index may have missed one that another program made in the same moment.
            let leases = self.read_all()?;
            let content = content_of(owner);
            let find = |wanted: &str| -> Vec<IpAddr> {
                let found = leases.iter().filter(|lease| lease.text == wanted);
                found.map(|lease| lease.address).collect()
            };
            own = find(&content);
            if own.is_empty() {
                own = find(owner.container_id.trim());
            }
            self.index.rebuild(&leases);
            self.is_known = true;
        }
        for address in own {
            self.give_back(address)?;
        }
        self.finish();
        Ok(())
    }

    /// Frees all addresses of attachments that are not among `valid`, and files of no bytes.
    pub(super) fn keep_only(&mut self, valid: &[Attachment]) -> Result<(), PluginError> {
        let keep: HashSet<String> = valid.iter().map(content_of).collect();
        let containers: HashSet<&str> = valid.iter().map(|a| a.container_id.as_str()).collect();
        let leases = self.read_all()?;
        self.index.rebuild(&leases);
        self.is_known = true;
        for Lease { address, text, .. } in leases {
            if !keep.contains(&text) && !containers.contains(text.as_str()) {
                self.give_back(address)?;
            }
        }
        self.finish();
        Ok(())
    }

    /// Addresses that have an owner.
    pub(super) fn taken(&self) -> Result<HashSet<IpAddr>, PluginError> {
        let leases = self.read_all()?.into_iter();
        Ok(leases.filter(|lease| !lease.text.is_empty()).map(|lease| lease.address).collect())
    }

    /// All leases. Files whose name is no address are no leases.
    fn read_all(&self) -> Result<Vec<Lease>, PluginError> {
        let files = self.files()?.into_iter();
        files.filter_map(|(address, path)| read(address, &path).transpose()).collect()
    }

    /// Names of all files with their marks. Beside a thousand leases the paths of all, put together and walked
    /// one by one, take more time than all else of a call.
    fn marks(&self) -> Result<Vec<(String, Mark)>, PluginError> {
        let failed = |cause: Errno| failed("read", &self.directory, &cause.into());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = open(&self.directory, flags, Mode::empty()).map_err(failed)?;
        let mut directory = Dir::openat(&place, ".", flags, Mode::empty()).map_err(failed)?;
        let mut marks = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            // What is gone by now is no lease.
            if let Ok(file) = fstatat(&place, entry.file_name(), AtFlags::empty()) {
                let (seconds, nanoseconds) = (file.st_ctime, file.st_ctime_nsec);
                let mark = Mark { number: file.st_ino, seconds, nanoseconds };
                marks.push((name.to_owned(), mark));
            }
        }
        Ok(marks)
    }

    fn files(&self) -> Result<Vec<(IpAddr, PathBuf)>, PluginError> {
        let failed = |cause| failed("read", &self.directory, &cause);
        let entries = fs::read_dir(&self.directory).map_err(failed)?;
        let files = entries.map(|entry| {
            let entry = entry.map_err(failed)?;
            let address = entry.file_name().to_str().and_then(|name| name.parse().ok());
            Ok(address.map(|address| (address, entry.path())))
        });
        files.filter_map(Result::transpose).collect()
    }
}

/// A lease; none when it is gone, for whoever removes a file without the lock is no reason to fail.
fn read(address: IpAddr, path: &Path) -> Result<Option<Lease>, PluginError> {
    let read = || {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok::<_, io::Error>(Lease { address, text, mark: Mark::of(&file.metadata()?) })
    };
    match read() {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", path, &cause)),
    }
}

/// What a lease of an attachment holds.
pub(super) fn content_of(owner: &Attachment) -> String {
    format!("{}\r\n{}", owner.container_id.trim(), owner.link)
}

fn describe(content: &str) -> String {
    match content.trim().split_once("\r\n") {
        Some((container, link)) => format!("container {container} ({link})"),
        None => format!("container {}", content.trim()),
    }
}

fn write_all(file: &mut File, address: &IpAddr) -> io::Result<()> {
    file.write_all(address.to_string().as_bytes())
}

/// Makes a file whole, or fails when there is one.
fn create(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut nameless = OpenOptions::new();
    nameless.write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits());
    match nameless.open(directory) {
        Ok(mut file) => {
            file.write_all(content)?;
            let source = PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()));
            linkat(AT_FDCWD, &source, AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
            Ok(())
        }
        // Not every file system can.
        Err(error) if is_unsupported(&error) => {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(content).inspect_err(|_| drop(fs::remove_file(path)))
        }
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let numbers = [Errno::EOPNOTSUPP, Errno::EISDIR, Errno::EINVAL];
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|e| *e as i32 == number))
}

fn remove(path: &Path) -> Result<(), PluginError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove lease", path, &error))
        }
        _ => Ok(()),
    }
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> PluginError {
    PluginError::new(Code::Io, format!("failed to {action} `{}`: {cause}", path.display()))
}
