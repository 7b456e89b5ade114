//! The slow step: compressing, with the archive read back before the original goes.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};

use flate2::write::GzEncoder;

use super::{Hook, Point};
use crate::{
    files::{Compression, Directory, Form, Kind, Stamp, has_writer},
    read::{LogFile, decompress, id},
};

/// How long a file must have been silent where the kernel does not tell whether anybody writes it.
const SILENT: Duration = Duration::from_secs(10);
const BLOCK: usize = 64 << 10;

/// Why a file could not be compressed; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// Somebody still writes it; later is early enough.
    #[error("it is still written")]
    Written,
    /// It was removed meanwhile.
    #[error("it is gone")]
    Gone,
    /// The archive does not read back as what was written.
    #[error("the archive reads back otherwise than it was written")]
    Differs,
    /// The rotator ends.
    #[error("interrupted")]
    Interrupted,
    /// The kernel, or the compressor, refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Compresses a rotated file.
///
/// The archive is written under a temporary name, flushed, read back and compared with the original
/// byte by byte, and renamed; then the directory is flushed, and only then does the original go.
pub(crate) fn compress(
    log: &LogFile,
    stamp: Stamp,
    compression: Compression,
    hook: &impl Hook,
) -> Result<(), CompressError> {
    let directory = log.directory();
    let plain = Form::Plain.name(log.name(), stamp);
    let archive = Form::Archive(compression).name(log.name(), stamp);
    let temporary = Kind::temporary_name(log.name(), stamp);
    let source = open_finished(directory, &plain)?;
    pass(hook, Point::Begin)?;
    // What has this name already is somebody else's, and stays.
    let target = directory.create_file(&temporary, 0o600)?;
    let written = write_archive(target, &source, compression, hook)
        .and_then(|()| verify(directory, &temporary, &source, compression, hook));
    let renamed = written.and_then(|()| {
        pass(hook, Point::Verified)?;
        if !is_still(directory, &plain, &source)? {
            return Err(CompressError::Gone);
        }
        Ok(directory.rename(&temporary, &archive)?)
    });
    if let Err(error) = renamed {
        // Who interrupts cleans up after it, or is dead.
        if !matches!(error, CompressError::Interrupted) {
            directory.remove(&temporary)?;
        }
        return Err(error);
    }
    pass(hook, Point::Archived)?;
    directory.sync()?;
    pass(hook, Point::Synced)?;
    directory.remove(&plain)?;
    pass(hook, Point::Removed)?;
    Ok(directory.sync()?)
}

/// Of two forms of one file, keeps the archive if it is whole, and the plain file if it is not.
pub(crate) fn settle(
    log: &LogFile,
    stamp: Stamp,
    compression: Compression,
    hook: &impl Hook,
) -> Result<(), CompressError> {
    let directory = log.directory();
    let plain = Form::Plain.name(log.name(), stamp);
    let archive = Form::Archive(compression).name(log.name(), stamp);
    let source = open_finished(directory, &plain)?;
    match verify(directory, &archive, &source, compression, hook) {
        Ok(()) => {
            pass(hook, Point::Verified)?;
            directory.remove(&plain)?;
        }
        Err(CompressError::Interrupted) => return Err(CompressError::Interrupted),
        Err(_) => directory.remove(&archive)?,
    }
    pass(hook, Point::Removed)?;
    Ok(directory.sync()?)
}

fn pass(hook: &impl Hook, point: Point) -> Result<(), CompressError> {
    if hook.dies(point) { Err(CompressError::Interrupted) } else { Ok(()) }
}

/// Opens a file that has all that it will ever have.
fn open_finished(directory: &Directory, name: &OsStr) -> Result<File, CompressError> {
    let file = directory.open_own(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CompressError::Gone,
        _ => CompressError::Io(error),
    })?;
    let silent = || -> io::Result<bool> {
        Ok(file.metadata()?.modified()?.elapsed().is_ok_and(|age| age >= SILENT))
    };
    match has_writer(&file) {
        Some(false) => Ok(file),
        None if silent()? => Ok(file),
        _ => Err(CompressError::Written),
    }
}

/// Whether a name still means the file that was opened, with nothing added, and no other name does.
fn is_still(directory: &Directory, name: &OsStr, file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let own = id(file)?;
    let meta = directory.meta(name)?;
    Ok(meta.is_some_and(|meta| meta.id == own && meta.size == length && meta.links == 1))
}

fn write_archive(
    target: File,
    source: &File,
    compression: Compression,
    hook: &impl Hook,
) -> Result<(), CompressError> {
    let meta = source.metadata()?;
    pass(hook, Point::Created)?;
    // Not everybody may give files away; then the archive is this process's own.
    nix::unistd::fchown(&target, Some(meta.uid().into()), Some(meta.gid().into()))
        .unwrap_or_default();
    target.set_permissions(Permissions::from_mode(meta.mode() & 0o7777))?;
    let target = encode(source, target, compression, hook)?;
    pass(hook, Point::Written)?;
    // Its age is that of its lines.
    target.set_times(FileTimes::new().set_modified(meta.modified()?))?;
    target.sync_all()?;
    pass(hook, Point::Flushed)
}

fn encode(
    source: &File,
    target: File,
    compression: Compression,
    hook: &impl Hook,
) -> Result<File, CompressError> {
    match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(target, flate2::Compression::default());
            copy(source, &mut encoder, hook)?;
            Ok(encoder.finish()?)
        }
        #[cfg(feature = "zstd")]
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(target, 0)?;
            encoder.include_checksum(true)?;
            copy(source, &mut encoder, hook)?;
            Ok(encoder.finish()?)
        }
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

fn copy(source: &File, target: &mut impl Write, hook: &impl Hook) -> Result<(), CompressError> {
    let mut reader = Positioned { file: source, at: 0 };
    let mut block = vec![0; BLOCK];
    loop {
        let read = reader.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        pass(hook, Point::Created)?;
        target.write_all(block.get(..read).unwrap_or_default())?;
    }
}

/// Compares what an archive holds with the original.
fn verify(
    directory: &Directory,
    archive: &OsStr,
    source: &File,
    compression: Compression,
    hook: &impl Hook,
) -> Result<(), CompressError> {
    let mut archive = decompress(directory.open_own(archive)?, compression)?;
    let mut original = Positioned { file: source, at: 0 };
    let (mut ours, mut theirs) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let read = fill(&mut original, &mut ours)?;
        let same = fill(&mut archive, &mut theirs).map_err(|_| CompressError::Differs)?;
        if ours.get(..read) != theirs.get(..same) {
            return Err(CompressError::Differs);
        }
        if read == 0 {
            return Ok(());
        }
        pass(hook, Point::Flushed)?;
    }
}

fn fill(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a file from its beginning, whatever its own position is.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        self.at += u64::try_from(read).unwrap_or_default();
        Ok(read)
    }
}
