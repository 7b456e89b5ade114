//! Manifest files on the way to the daemon.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use crilet_api::{ManifestFile, ManifestSource};

use crate::errors::CliError;

/// Endings of files in a directory that are manifests.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];
/// Largest file, in bytes; the daemon reads no larger manifest.
const LARGEST: u64 = 10 * 1024 * 1024;

/// What `-f` names: a file, a directory, or `-` for standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<ManifestSource>, CliError> {
    let shown = path.display().to_string();
    if shown.starts_with("http://") || shown.starts_with("https://") {
        return Err(CliError::Url { url: shown });
    }
    if path == Path::new("-") {
        return Ok(vec![ManifestSource { files: vec![standard_input()?] }]);
    }
    let found = fs::metadata(path).map_err(failed(path))?;
    if found.is_dir() { directory(path) } else { Ok(vec![one(path)?]) }
}

/// Files that are one pod together, as `crilet run` takes them.
pub(crate) fn read_one_pod(paths: &[PathBuf]) -> Result<ManifestSource, CliError> {
    let mut files = Vec::new();
    for path in paths {
        let sources = read(path)?;
        files.extend(sources.into_iter().flat_map(|source| source.files));
    }
    Ok(ManifestSource { files })
}

/// A directory is one source if it holds CRI files, whose parts are one pod; else each file is.
fn directory(path: &Path) -> Result<Vec<ManifestSource>, CliError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(failed(path))? {
        let entry = entry.map_err(failed(path))?.path();
        let hidden = entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let ending = entry.extension().and_then(|ending| ending.to_str());
        let manifest = ending.is_some_and(|ending| ENDINGS.contains(&ending));
        if !hidden && manifest && entry.is_file() {
            paths.push(entry);
        }
    }
    if paths.is_empty() {
        return Err(CliError::NoManifests { path: path.to_owned() });
    }
    paths.sort();
    let files = paths.iter().map(|path| file(path)).collect::<Result<Vec<_>, _>>()?;
    if files.iter().any(|file| is_kubernetes(&file.text)) {
        return Ok(files.into_iter().map(|file| ManifestSource { files: vec![file] }).collect());
    }
    Ok(vec![ManifestSource { files }])
}

/// Whether a text says what it is in Kubernetes' words; one that cannot be read does not.
fn is_kubernetes(text: &str) -> bool {
    let Ok(stream) = crilet_core::yaml::parse(text.as_bytes()) else { return false };
    stream.documents.iter().any(|document| document.get("apiVersion").is_some())
}

fn one(path: &Path) -> Result<ManifestSource, CliError> {
    Ok(ManifestSource { files: vec![file(path)?] })
}

fn file(path: &Path) -> Result<ManifestFile, CliError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| read_to_end(file, &mut bytes));
    read.map_err(failed(path))?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::NotText { path: path.to_owned() })?;
    Ok(ManifestFile { name: path.display().to_string(), text })
}

fn standard_input() -> Result<ManifestFile, CliError> {
    let path = Path::new("<stdin>");
    let mut bytes = Vec::new();
    read_to_end(io::stdin().lock(), &mut bytes).map_err(failed(path))?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::NotText { path: path.to_owned() })?;
    Ok(ManifestFile { name: path.display().to_string(), text })
}

fn read_to_end(from: impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    from.take(LARGEST + 1).read_to_end(bytes)?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("larger than {} MiB", LARGEST / (1024 * 1024));
        return Err(io::Error::other(message));
    }
    Ok(())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CliError {
    move |cause| CliError::Manifest { path: path.to_owned(), cause }
}
