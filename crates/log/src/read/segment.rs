//! The files of a log as a sequence to read, as they were at one moment.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use crate::{
    error::LogError,
    files::{Compression, Directory, Family, Form, Stamp},
};

/// Looks at a log that is rotated while it is looked at, until one look is of one moment.
const MOST_LOOKS: usize = 16;

/// One container's log: a directory, and the name of the live file in it.
#[derive(Debug, Clone)]
pub struct LogFile {
    pub(crate) directory: Arc<Directory>,
    pub(crate) name: std::ffi::OsString,
}

impl LogFile {
    /// A log in a directory that is open.
    pub fn new(directory: Arc<Directory>, name: impl Into<std::ffi::OsString>) -> Self {
        Self { directory, name: name.into() }
    }

    /// Its path, for messages.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Its directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether its name is that of a compressed file, and so no log that is written.
    pub fn is_archive(&self) -> bool {
        super::compression(&self.name).is_some()
    }

    /// The name of the live file.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// All its files.
    ///
    /// # Errors
    /// The kernel's.
    pub fn family(&self) -> Result<Family, LogError> {
        Family::read(&self.directory, &self.name).map_err(|cause| self.failed(cause))
    }

    pub(crate) fn failed(&self, cause: io::Error) -> LogError {
        LogError::Read { path: self.path(), cause }
    }
}

/// One file of a log.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    /// Rotated away; opened when its turn comes, in the form that it has then.
    Rotated(Stamp),
    /// Held open, up to a length in bytes.
    Open { file: Arc<File>, length: u64 },
    /// A file of its own that may be compressed, such as one that the user named.
    Named { name: std::ffi::OsString, compression: Option<Compression> },
}

/// The files of a log at one moment, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) log: LogFile,
    pub(crate) segments: Vec<Segment>,
    /// The last stamp that had been given.
    pub(crate) newest: Option<Stamp>,
    /// All files as they were listed.
    pub(crate) family: Family,
    /// The live file, which is the last segment, too.
    pub(crate) live: Option<Arc<File>>,
}

impl Snapshot {
    /// As [`Self::take`]; [`LogError::Missing`] where there is no file at all.
    pub(crate) fn of_log(log: &LogFile) -> Result<Self, LogError> {
        let snapshot = Self::take(log).map_err(|cause| log.failed(cause))?;
        match snapshot.segments.is_empty() {
            true => Err(LogError::Missing { path: log.path() }),
            false => Ok(snapshot),
        }
    }

    /// Opens the live file, lists the others, and makes sure that both are of one moment.
    pub(crate) fn take(log: &LogFile) -> io::Result<Self> {
        let mut looks = 0;
        loop {
            let live = match log.directory.open_file(&log.name) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let family = Family::read(&log.directory, &log.name)?;
            let opened = live.as_ref().map(id).transpose()?;
            // A live file with two names is no member of the family; reading it does no harm.
            let alike = family.live.map(|meta| meta.id) == opened || family.live_is_strange;
            looks += 1;
            if alike || looks == MOST_LOOKS {
                // Whoever is that fast has renamed what was opened: it is among the others.
                return Self::of(log, live.filter(|_| alike), family);
            }
        }
    }

    fn of(log: &LogFile, live: Option<File>, family: Family) -> io::Result<Self> {
        let rotated = family.rotated.iter();
        let mut segments: Vec<_> = rotated.map(|rotated| Segment::Rotated(rotated.stamp)).collect();
        let live = live.map(Arc::new);
        if let Some(file) = &live {
            let length = file.metadata()?.len();
            segments.push(Segment::Open { file: Arc::clone(file), length });
        }
        Ok(Self { log: log.clone(), segments, newest: family.newest(), family, live })
    }

    /// A snapshot of one file alone.
    pub(crate) fn of_one(log: &LogFile, compression: Option<Compression>) -> Self {
        let segment = Segment::Named { name: log.name.clone(), compression };
        Self {
            log: log.clone(),
            segments: vec![segment],
            newest: None,
            family: Family::default(),
            live: None,
        }
    }

    /// Opens a segment, from this many bytes of its content on.
    pub(crate) fn open(&self, segment: usize, offset: u64) -> io::Result<Input> {
        let directory = &self.log.directory;
        match self.segments.get(segment) {
            Some(Segment::Open { file, length }) => {
                Ok(Input::plain(Arc::clone(file), offset, *length))
            }
            Some(Segment::Named { name, compression }) => {
                open_as(directory.open_file(name)?, *compression, offset)
            }
            Some(Segment::Rotated(stamp)) => {
                // Compressing replaces one form by another, never the other way round; once more
                // for the one that came while the others were tried.
                for form in FORMS.iter().chain(&FORMS) {
                    let name = form.name(&self.log.name, *stamp);
                    let compression = match form {
                        Form::Plain => None,
                        Form::Archive(compression) => Some(*compression),
                    };
                    let file = directory.open_own(&name);
                    match file.and_then(|file| open_as(file, compression, offset)) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        other => return other,
                    }
                }
                Err(io::ErrorKind::NotFound.into())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Every form that a rotated file may have, in the order in which they replace each other.
pub(crate) const FORMS: [Form; 3] =
    [Form::Plain, Form::Archive(Compression::Gzip), Form::Archive(Compression::Zstd)];

pub(crate) fn id(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

fn open_as(file: File, compression: Option<Compression>, offset: u64) -> io::Result<Input> {
    let Some(compression) = compression else {
        return Ok(Input::plain(Arc::new(file), offset, u64::MAX));
    };
    let size = file.metadata()?.len();
    let mut reader = decompress(file, compression)?;
    io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
    Ok(Input::Archive { reader, size })
}

/// Reads what is compressed in a file.
pub(crate) fn decompress(file: File, compression: Compression) -> io::Result<Box<dyn Read + Send>> {
    let buffered = BufReader::with_capacity(64 << 10, file);
    match compression {
        Compression::Gzip => Ok(Box::new(MultiGzDecoder::new(buffered))),
        #[cfg(feature = "zstd")]
        Compression::Zstd => Ok(Box::new(zstd::Decoder::with_buffer(buffered)?)),
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this crilet was built without zstd (cargo feature `zstd`)",
        )),
    }
}

/// What is read from.
pub(crate) enum Input {
    /// A file, from a place up to another one.
    Plain { file: Arc<File>, at: u64, end: u64 },
    /// A compressed file.
    Archive { reader: Box<dyn Read + Send>, size: u64 },
}

impl Input {
    pub(crate) fn plain(file: Arc<File>, at: u64, end: u64) -> Self {
        Self::Plain { file, at, end }
    }

    /// The most bytes that are left to read, as far as that is known.
    pub(crate) fn left(&self) -> usize {
        match self {
            Self::Plain { at, end, .. } => {
                usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX)
            }
            Self::Archive { .. } => usize::MAX,
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain { at, end, .. } => write!(formatter, "Plain({at}..{end})"),
            Self::Archive { size, .. } => write!(formatter, "Archive({size} bytes)"),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left().min(buffer.len());
        match self {
            Self::Archive { reader, .. } => reader.read(buffer),
            Self::Plain { file, at, .. } => {
                let read = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), *at)?;
                *at += u64::try_from(read).unwrap_or_default();
                Ok(read)
            }
        }
    }
}
