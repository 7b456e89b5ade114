//! Trees as tar archives, and back.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, unistd::linkat};
use tar::{Archive, Builder, Entry, EntryType, Header};

use super::{
    Copied, FileError, Options, Root,
    node::{Attributes, Identity, Kind, Node, Place, write_sparse},
    root::{open_beneath, reopen},
    tree::{existing_directory, find, name, names, not_too_deep},
};

/// How much of a file that does not tell how long it is goes into an archive, in bytes.
const LONGEST: u64 = 64 << 20;

/// Writes a file, a link or a directory with all that is in it as a tar archive, under the source's name.
///
/// Owners are numbered as the container numbers them.
///
/// # Errors
/// [`FileError`]; the archive is then not complete.
pub fn pack(
    (root, source): (&Root, &Path),
    output: impl Write,
    options: Options,
) -> Result<Copied, FileError> {
    let (node, contents) = find(root, source, options.follow)?;
    if node.kind == Kind::Other {
        return Err(FileError::Special { path: source.to_owned() });
    }
    let own = name(source).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let within = if contents { PathBuf::from(".") } else { own };
    let builder = Builder::new(output);
    let (firsts, copied) = (HashMap::new(), Copied::default());
    let mut packer = Packer { root, depth: 0, builder, firsts, copied };
    packer.node(&node, source, &within)?;
    packer.builder.finish().map_err(write)?;
    let mut output = packer.builder.into_inner().map_err(write)?;
    output.flush().map_err(write)?;
    Ok(packer.copied)
}

fn write(cause: io::Error) -> FileError {
    FileError::Archive { doing: "write", cause }
}

fn read(cause: io::Error) -> FileError {
    FileError::Archive { doing: "read", cause }
}

struct Packer<'a, W: Write> {
    root: &'a Root,
    depth: usize,
    builder: Builder<W>,
    /// Under which name a file with several stands in the archive.
    firsts: HashMap<Identity, PathBuf>,
    copied: Copied,
}

impl<W: Write> Packer<'_, W> {
    fn node(&mut self, node: &Node, source: &Path, within: &Path) -> Result<(), FileError> {
        let mut header = self.header(node);
        match (node.kind, self.firsts.get(&node.identity)) {
            (Kind::File, Some(first)) => {
                header.set_entry_type(EntryType::Link);
                self.builder.append_link(&mut header, within, first).map_err(write)?;
            }
            (Kind::File, None) if node.size == 0 => {
                // Files of /proc do not tell how long they are.
                let mut data = Vec::new();
                let failed = |cause| FileError::io("read", source, cause);
                node.open(source)?.take(LONGEST).read_to_end(&mut data).map_err(failed)?;
                let size = u64::try_from(data.len()).unwrap_or_default();
                header.set_size(size);
                self.builder.append_data(&mut header, within, data.as_slice()).map_err(write)?;
                self.copied.bytes += size;
            }
            (Kind::File, None) => {
                header.set_size(node.size);
                // A file that shrinks meanwhile is filled up: its size was written before.
                let mut data = node.open(source)?.chain(io::repeat(0)).take(node.size);
                self.builder.append_data(&mut header, within, &mut data).map_err(write)?;
                self.copied.bytes += node.size;
            }
            (Kind::Directory, _) => {
                let directory = within.join("");
                self.builder.append_data(&mut header, directory, io::empty()).map_err(write)?;
                let open = node.open(source)?;
                self.depth += 1;
                not_too_deep(self.depth, source)?;
                for name in names(&open, source)? {
                    let (source, within) = (source.join(&name), within.join(&name));
                    match Node::child(&open, &name, &source) {
                        Err(error) if error.is_missing() => {}
                        child => self.node(&child?, &source, &within)?,
                    }
                }
                self.depth -= 1;
            }
            (Kind::Link, _) => {
                let target = node.target(source)?;
                self.builder.append_link(&mut header, within, target).map_err(write)?;
            }
            (Kind::Fifo, _) => {
                self.builder.append_data(&mut header, within, io::empty()).map_err(write)?;
            }
            (Kind::Other, _) => {
                self.copied.skipped.push(source.to_owned());
                return Ok(());
            }
        }
        if node.has_other_names() {
            self.firsts.entry(node.identity).or_insert_with(|| within.to_owned());
        }
        self.copied.entries += 1;
        Ok(())
    }

    fn header(&self, node: &Node) -> Header {
        let (user, group) = self.root.inward(node.attributes.owner);
        let mut header = Header::new_gnu();
        header.set_entry_type(match node.kind {
            Kind::Directory => EntryType::Directory,
            Kind::Link => EntryType::Symlink,
            Kind::Fifo => EntryType::Fifo,
            Kind::File | Kind::Other => EntryType::Regular,
        });
        header.set_size(0);
        header.set_mode(node.attributes.mode);
        header.set_uid(user.into());
        header.set_gid(group.into());
        header.set_mtime(u64::try_from(node.attributes.modified.0).unwrap_or_default());
        header
    }
}

/// Takes a tar archive apart in a directory, which must be there.
///
/// # Errors
/// [`FileError`]; entries before the one that failed stay.
pub fn unpack(
    input: impl Read,
    (root, destination): (&Root, &Path),
    options: Options,
) -> Result<Copied, FileError> {
    let directory = existing_directory(root, destination)?;
    let mut unpacker =
        Unpacker { root, directory, destination, options, copied: Copied::default(), late: vec![] };
    let mut archive = Archive::new(input);
    for entry in archive.entries().map_err(read)? {
        unpacker.entry(&mut entry.map_err(read)?)?;
    }
    // What comes after the end must be taken, too, for whoever writes it.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(read)?;
    // Directories are finished last: theirs may be a mode that keeps us out.
    for (directory, attributes, path) in unpacker.late.iter().rev() {
        attributes.apply(directory, path)?;
    }
    Ok(unpacker.copied)
}

struct Unpacker<'a> {
    root: &'a Root,
    directory: OwnedFd,
    destination: &'a Path,
    options: Options,
    copied: Copied,
    late: Vec<(File, Attributes, PathBuf)>,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), FileError> {
        let named = entry.path().map_err(read)?.into_owned();
        let within = inside(&named).ok_or_else(|| FileError::Escapes { path: named.clone() })?;
        let attributes = self.attributes(entry.header())?;
        let path = self.destination.join(&within);
        let Some(name) = within.file_name() else {
            return Ok(());
        };
        let parent = self.parent(within.parent().unwrap_or_else(|| Path::new("")), &named)?;
        let place = Place { directory: parent.as_fd(), name, path: &path };
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.copied.bytes += self.file(entry, place, &attributes)?;
            }
            EntryType::Directory => {
                let directory = File::from(place.directory()?);
                self.late.push((directory, attributes, path));
            }
            EntryType::Symlink => {
                place.link(target(entry)?.as_os_str(), &attributes)?;
            }
            EntryType::Fifo => place.fifo(&attributes)?,
            EntryType::Link => self.hard_link(&target(entry)?, place)?,
            _ => {
                self.copied.skipped.push(named);
                return Ok(());
            }
        }
        self.copied.entries += 1;
        Ok(())
    }

    fn file(
        &self,
        entry: &mut Entry<'_, impl Read>,
        place: Place<'_>,
        attributes: &Attributes,
    ) -> Result<u64, FileError> {
        // An archive can be read once only: what was written for a place that turns out to be
        // mounted is there to be read again.
        let mut written: Option<File> = None;
        place.file(attributes, |to| match &written {
            None => {
                let bytes = write_sparse(entry, to)?;
                let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(to));
                written = Some(File::open(path)?);
                Ok(bytes)
            }
            Some(file) => super::node::copy_sparse(file, to),
        })
    }

    /// The directory that an entry is in, made if the archive does not name it.
    fn parent(&self, within: &Path, named: &Path) -> Result<OwnedFd, FileError> {
        let mut so_far = PathBuf::new();
        let mut parent = self.beneath(Path::new(""), named)?;
        for component in within.components() {
            so_far.push(component);
            parent = match self.beneath(&so_far, named) {
                Err(FileError::Missing { .. }) => {
                    let path = self.destination.join(&so_far);
                    let name = component.as_os_str();
                    let made =
                        Place { directory: parent.as_fd(), name, path: &path }.directory()?;
                    let attributes = Attributes {
                        owner: self.root.outward(self.options.owner.unwrap_or((0, 0))),
                        mode: 0o755,
                        modified: now(),
                        extended: Vec::new(),
                    };
                    attributes.apply(&File::from(made), &path)?;
                    self.beneath(&so_far, named)?
                }
                other => other?,
            };
        }
        Ok(parent)
    }

    fn beneath(&self, path: &Path, named: &Path) -> Result<OwnedFd, FileError> {
        let failed = |cause| match cause {
            Errno::EXDEV => FileError::Escapes { path: named.to_owned() },
            cause => FileError::of("open", self.destination.join(path), cause),
        };
        let handle = open_beneath(&self.directory, path, OFlag::O_DIRECTORY).map_err(failed)?;
        reopen(&handle, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)
    }

    fn hard_link(&self, target: &Path, place: Place<'_>) -> Result<(), FileError> {
        let escapes = || FileError::Escapes { path: target.to_owned() };
        let within = inside(target).ok_or_else(escapes)?;
        let name = within.file_name().ok_or_else(escapes)?;
        let parent = self.parent(within.parent().unwrap_or_else(|| Path::new("")), target)?;
        let failed = |cause| FileError::of("link", place.path, cause);
        let link =
            |()| linkat(&parent, name, place.directory, place.name, nix::fcntl::AtFlags::empty());
        match link(()) {
            Err(Errno::EEXIST) => {
                let flag = nix::unistd::UnlinkatFlags::NoRemoveDir;
                nix::unistd::unlinkat(place.directory, place.name, flag).map_err(failed)?;
                link(()).map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    fn attributes(&self, header: &Header) -> Result<Attributes, FileError> {
        let number = |id: u64| u32::try_from(id).map_err(|_| read(Errno::EOVERFLOW.into()));
        let stored = (number(header.uid().map_err(read)?)?, number(header.gid().map_err(read)?)?);
        let seconds = header.mtime().map_err(read)?;
        Ok(Attributes {
            owner: self.root.outward(self.options.owner.unwrap_or(stored)),
            mode: header.mode().map_err(read)? & 0o7777,
            modified: (i64::try_from(seconds).unwrap_or(i64::MAX), 0),
            extended: Vec::new(),
        })
    }
}

fn now() -> (i64, i64) {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(now.as_secs()).unwrap_or_default(), 0)
}

fn target(entry: &Entry<'_, impl Read>) -> Result<PathBuf, FileError> {
    let name = entry.link_name().map_err(read)?;
    name.map(std::borrow::Cow::into_owned).ok_or_else(|| read(Errno::EINVAL.into()))
}

/// An entry's name as one below the destination; absolute ones are, too, as with tar.
fn inside(named: &Path) -> Option<PathBuf> {
    let mut within = PathBuf::new();
    for component in named.components() {
        match component {
            Component::Normal(name) => within.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(within)
}
