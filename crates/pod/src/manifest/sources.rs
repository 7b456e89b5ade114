//! Which files on disk are the manifests of a node.
//!
//! Below a root such as `/etc/crilet/pods`:
//! - A file `*.yaml`, `*.yml` or `*.json` is one source: a stream of Kubernetes objects, or the
//!   configurations of one pod of the CRI.
//! - A directory is one source, too: all its files of these kinds together, in the order of their
//!   names. Either they are configurations of the CRI and describe one pod, or Kubernetes objects,
//!   which then see each other's ConfigMaps, Secrets and claims. Directories in it are not entered.
//! - Names that begin with a dot or end with `~` are no sources, and neither are other kinds of
//!   files: what editors, package managers and `kustomize` leave beside manifests.
//!
//! A source is read as root and decides what runs as root, so that nobody else may write it: every
//! directory and file on the way down from the root belongs to root or to the running user and is
//! not writable for its group or others. What is not so is a finding, and the source is not used.
//!
//! A file that cannot be read as YAML and was changed within the last second is probably being
//! written: the source waits ([`Reading::Settling`]). A stream that was cut between two documents
//! parses, though: who watches the root reads a file when it was closed or renamed, not while it is
//! written to.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crilet_core::yaml;
use crilet_cri::config::{Finding, Findings};

use super::{Manifests, ReadOptions, Text};

/// How long a file that does not parse is taken for one that is being written.
pub const SETTLING: Duration = Duration::from_secs(1);

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// A source below the root, by its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The file or directory.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub directory: bool,
}

/// What became of a source.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It was read.
    Read {
        /// What it says.
        manifests: Manifests,
        /// The texts that say so.
        texts: Vec<Text>,
    },
    /// Something is wrong with it: keep what was read from it before.
    Wrong(Findings),
    /// It is probably being written; ask again after this time.
    Settling(Duration),
    /// It is not there any more, or no manifest is left in it.
    Gone,
}

/// Lists the sources below a root, by name. A root that is a file is the one source; a root that is
/// not there has none.
///
/// # Errors
/// When the root cannot be listed, or is not safe from others.
pub fn list(root: &Path) -> Result<Vec<Source>, Findings> {
    let meta = match fs::metadata(root) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(only(unreadable(root, &error))),
    };
    if !meta.is_dir() {
        return Ok(vec![Source { path: root.to_owned(), directory: false }]);
    }
    if let Some(finding) = unsafe_owner(root, &meta) {
        return Err(only(finding));
    }
    let entries = fs::read_dir(root).map_err(|error| only(unreadable(root, &error)))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| only(unreadable(root, &error)))?.path();
        let hidden = is_hidden(&path);
        // Follows links; what is gone by now is no source.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if !hidden && (meta.is_dir() || (meta.is_file() && is_manifest(&path))) {
            sources.push(Source { path, directory: meta.is_dir() });
        }
    }
    sources.sort();
    Ok(sources)
}

/// Reads a source.
pub fn read(source: &Source, options: &ReadOptions, now: SystemTime) -> Reading {
    let files = match files(source) {
        Ok(files) if files.is_empty() => return Reading::Gone,
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Reading::Gone,
        Err(error) => return Reading::Wrong(only(unreadable(&source.path, &error))),
    };
    let mut texts = Vec::new();
    let mut findings = Vec::new();
    let mut youngest = Duration::MAX;
    if source.directory {
        findings.extend(
            fs::metadata(&source.path).ok().and_then(|meta| unsafe_owner(&source.path, &meta)),
        );
    }
    for file in files {
        match load(&file) {
            Ok((content, meta)) => {
                findings.extend(unsafe_owner(&file, &meta));
                youngest = youngest.min(age(&meta, now));
                texts.push(Text { file, content });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => findings.push(unreadable(&file, &error)),
        }
    }
    if !findings.is_empty() {
        return Reading::Wrong(Findings(findings));
    }
    if texts.is_empty() {
        return Reading::Gone;
    }
    if youngest < SETTLING && texts.iter().any(looks_unfinished) {
        return Reading::Settling(SETTLING - youngest);
    }
    match super::read(&texts, options) {
        Ok(manifests) => Reading::Read { manifests, texts },
        Err(findings) => Reading::Wrong(findings),
    }
}

/// Whether a change of this path can concern a source: what watches files asks it.
pub fn concerns(path: &Path) -> bool {
    !is_hidden(path)
}

fn files(source: &Source) -> io::Result<Vec<PathBuf>> {
    if !source.directory {
        fs::metadata(&source.path)?;
        return Ok(vec![source.path.clone()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&source.path)? {
        let path = entry?.path();
        if is_manifest(&path) && !is_hidden(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads no more than it takes to see that a file is too large, and waits for no pipe.
fn load(file: &Path) -> io::Result<(Vec<u8>, fs::Metadata)> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(file)?;
    let meta = opened.metadata()?;
    let mut content = Vec::new();
    opened.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok((content, meta))
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], |name| name.as_encoded_bytes());
    name.starts_with(b".") || name.ends_with(b"~")
}

fn is_manifest(path: &Path) -> bool {
    EXTENSIONS.iter().any(|known| path.extension().is_some_and(|extension| extension == *known))
}

fn looks_unfinished(text: &Text) -> bool {
    match yaml::parse(&text.content) {
        Ok(stream) => stream.documents.iter().all(yaml::Node::is_null),
        Err(_) => true,
    }
}

/// How long ago the file was changed; a time to come is just now.
fn age(meta: &fs::Metadata, now: SystemTime) -> Duration {
    let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    now.duration_since(changed).unwrap_or_default()
}

fn unsafe_owner(path: &Path, meta: &fs::Metadata) -> Option<Finding> {
    let own = nix::unistd::geteuid().as_raw();
    let finding =
        |message: String, hint: String| Some(Finding::new(message).in_file(path).hint(hint));
    if meta.uid() != 0 && meta.uid() != own {
        let message = format!("belongs to user {}, who could have anything run", meta.uid());
        return finding(message, format!("chown root {}", path.display()));
    }
    if meta.mode() & 0o022 != 0 {
        let message = format!("mode {:04o}: others could write to it", meta.mode() & 0o7777);
        return finding(message, format!("chmod go-w {}", path.display()));
    }
    None
}

fn only(finding: Finding) -> Findings {
    Findings(vec![finding])
}

fn unreadable(file: &Path, error: &io::Error) -> Finding {
    Finding::new(error.to_string()).in_file(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n\
                       spec: {containers: [{name: c, image: busybox}]}\n";

    fn write(path: &Path, text: &str) {
        let parent = path.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        root
    }

    fn read_now(path: &Path) -> Reading {
        let source = Source { path: path.to_owned(), directory: path.is_dir() };
        read(&source, &ReadOptions::default(), SystemTime::now())
    }

    #[test]
    fn files_and_directories_are_sources_and_leftovers_are_not() {
        let root = root();
        let at = |name: &str| root.path().join(name);
        for name in [
            "b.yaml",
            "a.json",
            "dir/pod.yml",
            ".b.yaml.swp",
            ".hidden/pod.yaml",
            "b.yaml~",
            "4913",
            "readme.md",
            "c.yaml.bak",
            "#d.yaml#",
        ] {
            write(&at(name), POD);
        }
        symlink(at("gone"), at("broken.yaml")).unwrap();
        let sources = list(root.path()).unwrap();
        let names: Vec<_> = sources
            .iter()
            .map(|source| source.path.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.json", "b.yaml", "dir"]);
        assert_eq!(list(&at("nowhere")).unwrap(), []);
        assert_eq!(list(&at("b.yaml")).unwrap().len(), 1);
    }

    #[test]
    fn a_half_written_file_waits_and_a_broken_one_is_wrong() {
        let root = root();
        let file = root.path().join("web.yaml");
        write(&file, POD);
        assert!(
            matches!(read_now(&file), Reading::Read { manifests, .. } if manifests.pods.len() == 1)
        );
        write(&file, "apiVersion: v1\nkind: {Po");
        let Reading::Settling(time) = read_now(&file) else { panic!("{:?}", read_now(&file)) };
        assert!(time <= SETTLING);
        write(&file, "");
        assert!(matches!(read_now(&file), Reading::Settling(_)), "an editor truncates first");
        let source = Source { path: file.clone(), directory: false };
        let later = SystemTime::now() + 2 * SETTLING;
        let Reading::Wrong(findings) = read(&source, &ReadOptions::default(), later) else {
            panic!("an empty file is no manifest");
        };
        assert_eq!(findings.to_string(), format!("{}: nothing in it", file.display()));
        fs::remove_file(&file).unwrap();
        assert_eq!(read_now(&file), Reading::Gone);
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let root = root();
        let file = root.path().join("web.yaml");
        write(&file, POD);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        let Reading::Wrong(findings) = read_now(&file) else { panic!("used all the same") };
        let text = findings.to_string();
        assert!(text.contains("mode 0664: others could write to it"), "{text}");
        assert!(text.contains("hint: chmod go-w"), "{text}");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(list(root.path()).unwrap_err().to_string().contains("mode 0777"));
    }

    #[test]
    fn a_directory_is_one_source_of_objects_that_see_each_other() {
        let root = root();
        let directory = root.path().join("web");
        let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n";
        write(&directory.join("config.yaml"), config);
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  \
                   - name: c\n    image: busybox\n    envFrom: [{configMapRef: {name: c}}]\n";
        write(&directory.join("pod.yaml"), pod);
        let Reading::Read { manifests, .. } = read_now(&directory) else { panic!("not read") };
        assert_eq!(manifests.pods[0].containers[0].env[0].name, "k");
        fs::remove_file(directory.join("config.yaml")).unwrap();
        fs::remove_file(directory.join("pod.yaml")).unwrap();
        assert_eq!(read_now(&directory), Reading::Gone);
    }
}
