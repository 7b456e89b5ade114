//! Files, directories and standard input, as documents.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use crilet_core::yaml::{self, DuplicateKey, Node};

use super::finding::Finding;

/// What a file holds; null documents are left out.
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) documents: Vec<Node>,
    pub(super) duplicates: Vec<DuplicateKey>,
}

/// Lists the files that paths mean: a directory stands for its `*.json`, `*.yaml` and `*.yml`
/// files by name, hidden ones left out.
pub(super) fn expand(paths: &[PathBuf], findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match configs_in(path) {
            Ok(found) if found.is_empty() => {
                let message = "no *.json, *.yaml or *.yml file in this directory";
                findings.push(Finding::new(message).in_file(path));
            }
            Ok(found) => files.extend(found),
            Err(error) => findings.push(unreadable(path, &error)),
        }
    }
    files
}

fn configs_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let config = path.extension().is_some_and(|extension| {
            extension == "json" || extension == "yaml" || extension == "yml"
        });
        if config && !hidden && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a file; `-` is standard input.
pub(super) fn load(path: &Path, stdin: &mut dyn Read) -> Result<Source, Finding> {
    let file = label(path);
    let content = if path == Path::new("-") {
        bounded(stdin)
    } else {
        fs::File::open(path).and_then(|mut file| bounded(&mut file))
    };
    let content = content.map_err(|error| unreadable(&file, &error))?;
    parse(file, &content)
}

/// Reads what a file holds.
pub(super) fn parse(file: PathBuf, content: &[u8]) -> Result<Source, Finding> {
    let stream = yaml::parse(content).map_err(|error| Finding::from(error).in_file(&file))?;
    let documents: Vec<Node> =
        stream.documents.into_iter().filter(|document| !document.is_null()).collect();
    if documents.is_empty() {
        return Err(Finding::new("nothing in it").in_file(&file));
    }
    Ok(Source { file, documents, duplicates: stream.duplicates })
}

/// Gives the name by which findings call a path.
pub(super) fn label(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("<stdin>") } else { path.to_owned() }
}

/// Reads all there is, but no more than it takes to see that it is too much.
fn bounded(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn unreadable(file: &Path, error: &io::Error) -> Finding {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory".to_owned(),
        _ => error.to_string(),
    };
    Finding::new(reason).in_file(file)
}
