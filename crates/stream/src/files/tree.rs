//! From one tree into another.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, sys::stat::fstat};

use super::{
    Copied, FileError, Options, Root,
    node::{Attributes, Identity, Kind, Node, Place, copy_sparse},
    root::reopen,
};

/// Copies a file, a link or a directory with all that is in it. Files that have several names in it have
/// them in the copy, too.
///
/// As with docker: into a destination that is a directory under the source's name, else as the
/// destination, whose directory must be there. A source that ends in `/.` means what is in it.
///
/// # Errors
/// [`FileError`]; what was copied before stays, and no file is left in part.
pub fn copy(
    (from, source): (&Root, &Path),
    (to, destination): (&Root, &Path),
    options: Options,
) -> Result<Copied, FileError> {
    let (node, contents) = find(from, source, options.follow)?;
    let (firsts, copied) = (HashMap::new(), Copied::default());
    let mut copier = Copier { from, to, options, depth: 0, firsts, copied };
    if contents {
        let directory = existing_directory(to, destination)?;
        not_within(&directory, &node, source, destination)?;
        copier.contents(&node, source, &directory, destination)?;
        return Ok(copier.copied);
    }
    if node.kind == Kind::Other {
        return Err(FileError::Special { path: source.to_owned() });
    }
    if node.kind == Kind::File
        && !to.is_container()
        && let Some(mut file) = written_into(destination)?
    {
        let failed = |cause| FileError::io("write", destination, cause);
        let bytes = io::copy(&mut node.open(source)?, &mut file).map_err(failed)?;
        return Ok(Copied { entries: 1, bytes, skipped: Vec::new() });
    }
    let (directory, name, path) = resolve(to, destination, source, node.kind)?;
    not_within(&directory, &node, source, &path)?;
    let place = Place { directory: directory.as_fd(), name: &name, path: &path };
    copier.node(&node, source, place)?;
    Ok(copier.copied)
}

/// The source, and whether only what is in it is meant.
pub(super) fn find(root: &Root, path: &Path, follow: bool) -> Result<(Node, bool), FileError> {
    let text = path.as_os_str().as_encoded_bytes();
    let contents = text.ends_with(b"/.") || text == b".";
    let follow = follow || contents || text.ends_with(b"/");
    let flags = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let handle = root.open(path, flags).map_err(|cause| FileError::of("open", path, cause))?;
    let node = Node::of(handle, path)?;
    if contents && node.kind != Kind::Directory {
        return Err(FileError::NotDirectory { path: path.to_owned() });
    }
    Ok((node, contents))
}

/// What of this machine is written into instead of being replaced: a device, a FIFO, and what a link leads
/// to, such as `/dev/stdout`. Nothing for all else.
fn written_into(path: &Path) -> Result<Option<File>, FileError> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(None) };
    if there.is_file() || fs::metadata(path).map_or(true, |behind| behind.is_dir()) {
        return Ok(None);
    }
    let opened = File::options().write(true).truncate(true).open(path);
    opened.map(Some).map_err(|cause| FileError::io("open", path, cause))
}

/// Refuses to copy a directory to somewhere in it.
fn not_within(
    directory: &OwnedFd,
    node: &Node,
    source: &Path,
    destination: &Path,
) -> Result<(), FileError> {
    let mut above = directory.try_clone().map_err(|cause| FileError::io("open", source, cause))?;
    let mut last = None;
    loop {
        let Node { handle, identity, .. } = Node::of(above, destination)?;
        if node.kind == Kind::Directory && identity == node.identity {
            let (path, destination) = (source.to_owned(), destination.to_owned());
            return Err(FileError::IntoItself { path, destination });
        }
        if last == Some(identity) {
            return Ok(());
        }
        last = Some(identity);
        above = Node::child(&handle, OsStr::new(".."), destination)?.handle;
    }
}

/// A directory that must be there.
pub(super) fn existing_directory(root: &Root, path: &Path) -> Result<OwnedFd, FileError> {
    let failed = |cause| FileError::of("open", path, cause);
    let handle = root.open(path, OFlag::O_DIRECTORY).map_err(failed)?;
    reopen(&handle, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)
}

/// Where the source is to be put: a directory, a name, and both as people write them.
fn resolve(
    root: &Root,
    destination: &Path,
    source: &Path,
    kind: Kind,
) -> Result<(OwnedFd, OsString, PathBuf), FileError> {
    let failed = |cause| FileError::of("open", destination, cause);
    match root.open(destination, OFlag::O_DIRECTORY) {
        Ok(handle) => {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let name = name(source).ok_or_else(|| FileError::NoName { path: source.to_owned() })?;
            let path = destination.join(name);
            Ok((reopen(&handle, flags).map_err(failed)?, name.to_owned(), path))
        }
        Err(Errno::ENOTDIR) if kind == Kind::Directory => Err(failed(Errno::ENOTDIR)),
        Err(Errno::ENOTDIR | Errno::ENOENT) => {
            if ends_in_slash(destination) && kind != Kind::Directory {
                return Err(failed(Errno::ENOENT));
            }
            let name = name(destination).ok_or_else(|| failed(Errno::ENOENT))?;
            let parent = destination.parent().unwrap_or_else(|| Path::new("."));
            let directory = existing_directory(root, parent)?;
            Ok((directory, name.to_owned(), destination.to_owned()))
        }
        Err(cause) => Err(failed(cause)),
    }
}

/// A path's last name; none for `/`, and none that leads elsewhere.
pub(super) fn name(path: &Path) -> Option<&OsStr> {
    path.file_name().filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/.."))
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

struct Copier<'a> {
    from: &'a Root,
    to: &'a Root,
    options: Options,
    depth: usize,
    /// Where the first name of a file with several was put, and what it is there.
    firsts: HashMap<Identity, (PathBuf, Identity)>,
    copied: Copied,
}

impl Copier<'_> {
    fn node(&mut self, node: &Node, source: &Path, place: Place<'_>) -> Result<(), FileError> {
        let attributes = self.attributes(&node.attributes);
        match node.kind {
            Kind::File if self.is_linked(node, place) => {}
            Kind::File => {
                let (file, mut made) = (node.open(source)?, None);
                self.copied.bytes += place.file(&attributes, |to| {
                    let stat = fstat(&*to)?;
                    made = Some((stat.st_dev, stat.st_ino));
                    copy_sparse(&file, to)
                })?;
                if let Some(made) = made.filter(|_| node.has_other_names()) {
                    self.firsts.insert(node.identity, (place.path.to_owned(), made));
                }
            }
            Kind::Directory => {
                let directory = place.directory()?;
                self.contents(node, source, &directory, place.path)?;
                attributes.apply(&File::from(directory), place.path)?;
            }
            Kind::Link => place.link(&node.target(source)?, &attributes)?,
            Kind::Fifo => place.fifo(&attributes)?,
            Kind::Other => {
                self.copied.skipped.push(source.to_owned());
                return Ok(());
            }
        }
        self.copied.entries += 1;
        Ok(())
    }

    /// Puts a file whose other name was put before as another name of that; tells whether it did. Where the
    /// one is not what it was, or cannot be linked to, the other is a file of its own.
    fn is_linked(&self, node: &Node, place: Place<'_>) -> bool {
        let Some((path, made)) = self.firsts.get(&node.identity) else { return false };
        let Ok(handle) = self.to.open(path, OFlag::O_NOFOLLOW) else { return false };
        let Ok(first) = Node::of(handle, path) else { return false };
        first.identity == *made && place.another_name(&first.handle).is_ok()
    }

    fn contents(
        &mut self,
        node: &Node,
        source: &Path,
        directory: &OwnedFd,
        destination: &Path,
    ) -> Result<(), FileError> {
        let from = node.open(source)?;
        self.depth += 1;
        not_too_deep(self.depth, source)?;
        for name in names(&from, source)? {
            let (source, path) = (source.join(&name), destination.join(&name));
            let child = match Node::child(&from, &name, &source) {
                // It was removed since it was listed.
                Err(error) if error.is_missing() => continue,
                other => other?,
            };
            let place = Place { directory: directory.as_fd(), name: &name, path: &path };
            self.node(&child, &source, place)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// What a copy has, of what the source has.
    fn attributes(&self, source: &Attributes) -> Attributes {
        let mut attributes = source.clone();
        let owner = self.options.owner.unwrap_or_else(|| self.from.inward(source.owner));
        attributes.owner = self.to.outward(owner);
        let leaves = self.from.is_container() && !self.to.is_container();
        if leaves && !self.options.keep_privileges {
            attributes.drop_privileges();
        }
        attributes
    }
}

/// Whoever works in a container can make directories without end: each takes three files and some of the
/// stack.
pub(super) fn not_too_deep(depth: usize, path: &Path) -> Result<(), FileError> {
    const MOST: usize = 300;
    let too_deep = || FileError::TooDeep { path: path.to_owned(), most: MOST };
    if depth > MOST { Err(too_deep()) } else { Ok(()) }
}

impl Attributes {
    /// Takes away what makes a file's user more than they are.
    pub(super) fn drop_privileges(&mut self) {
        self.mode &= 0o1777;
        self.extended.retain(|(name, _)| name != "security.capability");
    }
}

/// The names in a directory, in order.
pub(super) fn names(directory: &File, path: &Path) -> Result<Vec<OsString>, FileError> {
    let failed = |cause| FileError::of("list", path, cause);
    let own = directory.try_clone().map_err(|cause| FileError::io("list", path, cause))?;
    let mut listing = nix::dir::Dir::from_fd(own.into()).map_err(failed)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::os::unix::ffi::OsStringExt::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}
