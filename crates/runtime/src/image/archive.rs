//! Archives of images as files by name, whatever they are packed in.
//!
//! Nothing is unpacked to paths that an archive names: entries of a tar are read where they lie in
//! the file, and what is gzipped or comes from a pipe is first unrolled into an unnamed file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Component, Path, PathBuf},
};

use super::{LoadError, Source};

const GZIP: &[u8] = &[0x1f, 0x8b];
/// Compressions that are recognised to be refused by their name.
const OTHERS: [(&[u8], &str); 3] =
    [(&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2")];

/// Longest JSON file that is read whole, in bytes; an entry that claims more is no manifest.
const LONGEST_JSON: u64 = 16 << 20;

/// An opened archive.
#[derive(Debug)]
pub(super) struct Archive {
    /// How errors call it.
    pub(super) name: String,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Tar { file: File, entries: HashMap<String, Entry> },
    Directory(PathBuf),
}

#[derive(Debug)]
enum Entry {
    File { offset: u64, size: u64 },
    Link(String),
}

/// A range of an open file: one entry's bytes.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    offset: u64,
    pub(super) size: u64,
}

impl Archive {
    /// Opens an archive; reads all of a pipe, and the headers of a file.
    pub(super) fn open(source: Source<'_>) -> Result<Self, LoadError> {
        let name = match source {
            Source::Path(path) => path.display().to_string(),
            Source::Stdin => "standard input".to_owned(),
        };
        let storage = match source {
            Source::Path(path) if path.is_dir() => Ok(Storage::Directory(path.to_owned())),
            Source::Path(path) => File::open(path).and_then(open_file),
            Source::Stdin => spool(io::stdin().lock()).and_then(open_file),
        };
        match storage {
            Ok(storage) => Ok(Self { name, storage }),
            Err(cause) => Err(LoadError::Read { archive: name, cause }),
        }
    }

    /// The bytes of an entry; `None` when there is none of that name.
    pub(super) fn find(&self, entry: &str) -> Result<Option<Part>, LoadError> {
        let read = |cause| LoadError::Read { archive: self.name.clone(), cause };
        match &self.storage {
            Storage::Directory(directory) => {
                let Some(relative) = plain(Path::new(entry)) else { return Ok(None) };
                match File::open(directory.join(relative)) {
                    Ok(file) => {
                        let size = file.metadata().map_err(read)?.len();
                        Ok(Some(Part { file, offset: 0, size }))
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(read(error)),
                }
            }
            Storage::Tar { file, entries } => {
                let Some((offset, size)) = resolve(entries, entry) else { return Ok(None) };
                let file = file.try_clone().map_err(read)?;
                Ok(Some(Part { file, offset, size }))
            }
        }
    }

    /// The bytes of an entry that must be there.
    pub(super) fn part(&self, entry: &str) -> Result<Part, LoadError> {
        self.find(entry)?.ok_or_else(|| self.problem(entry, "is missing"))
    }

    /// A JSON entry that must be there.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, entry: &str) -> Result<T, LoadError> {
        let bytes = self.small(entry)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.problem(entry, &format!("is not what it should be: {error}")))
    }

    /// All bytes of a small entry that must be there.
    pub(super) fn small(&self, entry: &str) -> Result<Vec<u8>, LoadError> {
        let part = self.part(entry)?;
        if part.size > LONGEST_JSON {
            return Err(self.problem(entry, &format!("has {} bytes, too many", part.size)));
        }
        let mut bytes = Vec::new();
        let read = part.reader().and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map_err(|cause| LoadError::Read { archive: self.name.clone(), cause })?;
        Ok(bytes)
    }

    pub(super) fn problem(&self, entry: &str, problem: &str) -> LoadError {
        LoadError::Entry {
            archive: self.name.clone(),
            entry: entry.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

impl Part {
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, offset: 0, size })
    }

    pub(super) fn reader(mut self) -> io::Result<impl Read + Send> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        Ok(self.file.take(self.size))
    }

    pub(super) fn is_gzipped(&self) -> io::Result<bool> {
        use std::os::unix::fs::FileExt;
        let mut magic = [0; 2];
        let length = self.file.read_at(&mut magic, self.offset)?;
        Ok(self.size >= 2 && magic.get(..length) == Some(GZIP))
    }
}

fn open_file(mut file: File) -> io::Result<Storage> {
    let mut magic = Vec::new();
    (&mut file).take(6).read_to_end(&mut magic)?;
    file.rewind()?;
    if let Some((_, compression)) = OTHERS.iter().find(|(bytes, _)| magic.starts_with(bytes)) {
        let message = format!("it is compressed with {compression}; decompress it first");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    if magic.starts_with(GZIP) {
        file = spool(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)))?;
    }
    let entries = list(&file)?;
    Ok(Storage::Tar { file, entries })
}

/// Unrolls a stream into a file without a name, which vanishes with its last user.
fn spool(mut reader: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut reader, &mut file)?;
    file.rewind()?;
    Ok(file)
}

fn list(file: &File) -> io::Result<HashMap<String, Entry>> {
    let length = file.metadata()?.len();
    let mut entries = HashMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let entry = entry.map_err(|error| no_entry(entries.len(), &error))?;
        let Some(name) = plain(&entry.path()?) else { continue };
        let name = name.to_string_lossy().into_owned();
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            let message = format!("entry `{name}` is cut short");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        let kind = entry.header().entry_type();
        if kind.is_file() {
            entries.insert(name, Entry::File { offset, size });
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name()?.unwrap_or_default();
            let target = if kind.is_symlink() {
                Path::new(&name).parent().unwrap_or_else(|| Path::new("")).join(target)
            } else {
                target.into_owned()
            };
            if let Some(target) = normal(&target) {
                entries.insert(name, Entry::Link(target));
            }
        }
    }
    Ok(entries)
}

/// Errors of the tar crate quote what they stumble over, which may be anything.
fn no_entry(before: usize, error: &io::Error) -> io::Error {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let message = match before {
        0 => "it is no tar archive".to_owned(),
        _ => format!("the header after its first {before} entries is broken: {text}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Follows the links by which old `docker save` archives share layers; at most one step, as docker
/// writes them.
fn resolve(entries: &HashMap<String, Entry>, name: &str) -> Option<(u64, u64)> {
    let name = plain(Path::new(name))?;
    let target = match entries.get(name.to_str()?)? {
        Entry::File { offset, size } => return Some((*offset, *size)),
        Entry::Link(target) => entries.get(target)?,
    };
    match target {
        Entry::File { offset, size } => Some((*offset, *size)),
        Entry::Link(_) => None,
    }
}

/// A relative path without `.` and `..`; `None` for any other.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => relative.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!relative.as_os_str().is_empty()).then_some(relative)
}

/// A path within the archive with `..` taken out; `None` when it leads outside.
fn normal(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, entries: &[(&str, &[u8])]) {
        let mut archive = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            // Written raw, for the crate refuses to write what this test must read.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.finish().unwrap();
    }

    #[test]
    fn paths_that_lead_elsewhere_are_no_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        write(&path, &[("../up", b"1"), ("/abs", b"2"), ("./a/b", b"3"), ("c/../d", b"4")]);
        let archive = Archive::open(Source::Path(&path)).unwrap();
        for name in ["../up", "up", "/abs", "abs", "c/../d", "d", ""] {
            assert!(archive.find(name).unwrap().is_none(), "{name}");
        }
        assert_eq!(archive.small("a/b").unwrap(), b"3");
        fs::write(directory.path().join("secret"), "x").unwrap();
        fs::create_dir(directory.path().join("layout")).unwrap();
        let layout = directory.path().join("layout");
        let archive = Archive::open(Source::Path(&layout)).unwrap();
        assert!(archive.find("../secret").unwrap().is_none());
    }

    #[test]
    fn what_is_cut_short_names_its_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        write(&path, &[("first", b"1"), ("second", &[b'x'; 2000])]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..2000]).unwrap();
        let error = Archive::open(Source::Path(&path)).unwrap_err();
        let text = crilet_core::ErrorChain(&error).to_string();
        assert!(text.ends_with("a.tar`: entry `second` is cut short"), "{text}");
    }

    #[test]
    fn what_is_no_tar_is_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        fs::write(&path, "root:x:0:0:root:/root:/bin/sh\n".repeat(100)).unwrap();
        let error = Archive::open(Source::Path(&path)).unwrap_err();
        let text = crilet_core::ErrorChain(&error).to_string();
        assert!(text.ends_with("a.tar`: it is no tar archive"), "{text}");
    }

    #[test]
    fn other_compressions_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar.zst");
        fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0, 0]).unwrap();
        let error = Archive::open(Source::Path(&path)).unwrap_err();
        let text = crilet_core::ErrorChain(&error).to_string();
        assert!(text.ends_with("it is compressed with zstd; decompress it first"), "{text}");
    }

    #[test]
    fn links_between_layers_are_followed_within_the_archive() {
        assert_eq!(normal(Path::new("a/../b/layer.tar")).as_deref(), Some("b/layer.tar"));
        assert_eq!(normal(Path::new("a/../../b")), None);
        assert_eq!(normal(Path::new("/etc/passwd")), None);
    }
}
