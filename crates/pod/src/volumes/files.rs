//! Files that are replaced all at once, the kubelet's way (`pkg/volume/util/atomic_writer.go`).
//!
//! ```text
//! ..1732-0/color      a version, in a directory of its own
//! ..data -> ..1732-0  the version that counts; replaced by rename
//! color -> ..data/color
//! ```
//!
//! A reader who opened `color` goes on with the old version, the next one has the new. Whatever is
//! left by a run that was killed (a version that does not count, a half-made link) goes with the
//! next one.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use super::{Context, VolumeError};
use crate::model::Hidden;

/// The link that says which version counts.
const DATA: &str = "..data";
const NEXT: &str = "..data_tmp";
/// What versions and links begin with; no file of a payload does.
const HIDDEN: &str = "..";

/// Files with the group that may read them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// The files; no path twice, none below another.
    pub files: Vec<File>,
    /// The group of the files, which then may read them whatever their mode says.
    pub group: Option<u32>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative, without `..`.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Hidden<Vec<u8>>,
}

impl Payload {
    /// The kubelet's mask for volumes that are read only.
    fn mode(&self, file: &File) -> u32 {
        if self.group.is_some() { file.mode | 0o440 } else { file.mode }
    }

    /// First components of all paths.
    fn names(&self) -> BTreeSet<OsString> {
        let first = |file: &File| file.path.iter().next().map(OsStr::to_owned);
        self.files.iter().filter_map(first).collect()
    }
}

/// Brings a directory up to date; tells whether anything in it changed.
///
/// # Errors
/// What the kernel refused. The version that counted goes on counting, or the new one does.
pub fn write(directory: &Path, payload: &Payload) -> Result<bool, VolumeError> {
    let current = fs::read_link(directory.join(DATA)).ok();
    let same =
        current.as_ref().is_some_and(|version| is_current(&directory.join(version), payload));
    let version = match current.filter(|_| same) {
        Some(version) => version,
        None => {
            let version = new_version(directory, payload)?;
            switch(directory, &version)?;
            version
        }
    };
    show(directory, payload)?;
    sweep(directory, version.as_os_str())?;
    Ok(!same)
}

fn is_current(version: &Path, payload: &Payload) -> bool {
    let files: BTreeSet<PathBuf> = payload.files.iter().map(|file| file.path.clone()).collect();
    let same = |file: &File| {
        let path = version.join(&file.path);
        let Ok(meta) = fs::symlink_metadata(&path) else { return false };
        meta.is_file()
            && meta.permissions().mode() & 0o7777 == payload.mode(file)
            && payload.group.is_none_or(|group| meta.gid() == group)
            && meta.len() == u64::try_from(file.content.reveal().len()).unwrap_or(u64::MAX)
            && fs::read(&path).is_ok_and(|content| content == *file.content.reveal())
    };
    files_below(version).is_ok_and(|found| found == files) && payload.files.iter().all(same)
}

fn files_below(version: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(relative) = directories.pop() {
        for entry in fs::read_dir(version.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// Writes a version that does not count yet.
fn new_version(directory: &Path, payload: &Payload) -> Result<PathBuf, VolumeError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut number = 0;
    let name = loop {
        let name = PathBuf::from(format!("{HIDDEN}{}-{number}", now.as_millis()));
        match fs::DirBuilder::new().mode(0o700).create(directory.join(&name)) {
            Ok(()) => break name,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).context("make directory", &directory.join(&name)),
        }
    };
    let version = directory.join(&name);
    for file in &payload.files {
        let made = directories(&version, &file.path, payload.group).and_then(|()| {
            write_file(&version.join(&file.path), payload.mode(file), file, payload.group)
        });
        made.context("write", &version.join(&file.path))?;
    }
    dress(&version, payload.group).context("set mode of", &version)?;
    Ok(name)
}

fn directories(version: &Path, file: &Path, group: Option<u32>) -> io::Result<()> {
    let mut path = version.to_owned();
    for component in file.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(name) = component else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "leads out of the volume"));
        };
        path.push(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.and_then(|()| dress(&path, group))?,
        }
    }
    Ok(())
}

/// Everybody may look around in a version; what is read is the files' to say.
fn dress(directory: &Path, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        chown(directory, None, group)?;
    }
    let mode = if group.is_some() { 0o2755 } else { 0o755 };
    fs::set_permissions(directory, fs::Permissions::from_mode(mode))
}

fn write_file(path: &Path, mode: u32, file: &File, group: Option<u32>) -> io::Result<()> {
    // Not readable for anybody before it has its mode.
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut opened, file.content.reveal())?;
    if group.is_some() {
        std::os::unix::fs::fchown(&opened, None, group)?;
    }
    opened.set_permissions(fs::Permissions::from_mode(mode))
}

/// Lets a version count, in one step.
fn switch(directory: &Path, version: &Path) -> Result<(), VolumeError> {
    let next = directory.join(NEXT);
    remove_file(&next)?;
    symlink(version, &next).context("make link", &next)?;
    fs::rename(&next, directory.join(DATA)).context("replace", &directory.join(DATA))
}

/// Shows what is in the version that counts, and hides what is not.
fn show(directory: &Path, payload: &Payload) -> Result<(), VolumeError> {
    let names = payload.names();
    for name in &names {
        let link = directory.join(name);
        let target = Path::new(DATA).join(name);
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        remove_any(&link)?;
        symlink(&target, &link).context("make link", &link)?;
    }
    for name in entries(directory)? {
        if !names.contains(&name) && !name.as_encoded_bytes().starts_with(HIDDEN.as_bytes()) {
            remove_any(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Removes versions that do not count, and half-made links.
fn sweep(directory: &Path, version: &OsStr) -> Result<(), VolumeError> {
    for name in entries(directory)? {
        let hidden = name.as_encoded_bytes().starts_with(HIDDEN.as_bytes());
        if hidden && name != version && name != DATA {
            remove_any(&directory.join(name))?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<OsString>, VolumeError> {
    let names = fs::read_dir(directory).context("list", directory)?;
    names.map(|entry| entry.map(|entry| entry.file_name()).context("list", directory)).collect()
}

fn remove_any(path: &Path) -> Result<(), VolumeError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).context("remove", path),
        Ok(_) => remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context("look at", path),
    }
}

fn remove_file(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        _ => Ok(()),
    }
}
