//! Reading the files and asking the plugins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crilet_core::{ErrorChain, exec::Invocation};
use serde_json::Value;

use super::{Configuration, Program, RawFile};

/// Where runtimes look for configurations by default.
pub const DIRECTORY: &str = "/etc/cni/net.d";
/// Where runtimes look for plugins: containerd's default, then CRI-O's, Debian's and crilet's.
pub const BINARY_DIRECTORIES: [&str; 4] =
    ["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni", "/var/lib/crilet/runtime/cni/bin"];
/// The version of the specification that not every containerd takes.
pub(super) const NEWEST: &str = "1.1.0";
/// What a plugin may take to tell its versions.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads all files of a directory, and asks every plugin that they name for its versions.
pub async fn read(directory: &Path, binary_directories: &[PathBuf]) -> Configuration {
    let listed = fs::read_dir(directory);
    let directory_exists = listed.is_ok();
    let mut paths: Vec<PathBuf> =
        listed.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.is_file() || path.is_symlink());
    paths.sort();
    let files = paths.into_iter().map(raw).collect();
    complete(directory, directory_exists, binary_directories, files).await
}

/// Reads one file, and asks the plugins that it names.
pub async fn read_file(file: &Path, binary_directories: &[PathBuf]) -> Configuration {
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    complete(directory, true, binary_directories, vec![raw(file.to_owned())]).await
}

fn raw(file: PathBuf) -> RawFile {
    match fs::read(&file) {
        Ok(bytes) => {
            let text = Some(String::from_utf8_lossy(&bytes).into_owned());
            RawFile { file, text, error: None }
        }
        Err(cause) => RawFile { file, text: None, error: Some(cause.to_string()) },
    }
}

async fn complete(
    directory: &Path,
    directory_exists: bool,
    binary_directories: &[PathBuf],
    files: Vec<RawFile>,
) -> Configuration {
    let kinds: BTreeSet<String> =
        files.iter().filter_map(|file| file.text.as_deref()).flat_map(kinds).collect();
    let mut asked = tokio::task::JoinSet::new();
    for kind in kinds {
        let directories = binary_directories.to_vec();
        asked.spawn(async move {
            let program = ask(&kind, &directories).await;
            (kind, program)
        });
    }
    // Starting it takes longer than all plugins together, and it matters to few files.
    let needs = |file: &RawFile| file.text.as_deref().is_some_and(|text| text.contains(NEWEST));
    let containerd =
        async { if files.iter().any(needs) { containerd_version().await } else { None } };
    let (programs, containerd) = tokio::join!(asked.join_all(), containerd);
    Configuration {
        directory: directory.to_owned(),
        directory_exists,
        binary_directories: binary_directories.to_vec(),
        files,
        programs: BTreeMap::from_iter(programs),
        containerd,
    }
}

/// Types of all plugins in a file, address management included.
fn kinds(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        gather(&value, &mut found);
    }
    found
}

fn gather(value: &Value, found: &mut Vec<String>) {
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        match value {
            Value::String(kind) if key.eq_ignore_ascii_case("type") => found.push(kind.clone()),
            Value::Array(plugins) if key.eq_ignore_ascii_case("plugins") => {
                plugins.iter().for_each(|plugin| gather(plugin, found));
            }
            Value::Object(_) if key.eq_ignore_ascii_case("ipam") => gather(value, found),
            _ => {}
        }
    }
}

async fn ask(kind: &str, directories: &[PathBuf]) -> Program {
    let is_name = !kind.is_empty() && !kind.contains('/') && kind != "." && kind != "..";
    let places = directories.iter().filter(|_| is_name).map(|directory| directory.join(kind));
    let Some(path) = places.into_iter().find(|path| path.is_file()) else {
        return Program::default();
    };
    let joined = directories.iter().map(|one| one.display().to_string()).collect::<Vec<_>>();
    let invocation = Invocation::at(&path)
        .env("CNI_COMMAND", "VERSION")
        .env("CNI_PATH", joined.join(":"))
        .input(r#"{"cniVersion":"1.0.0"}"#)
        .limit(LIMIT);
    let said = invocation.run().await;
    match said {
        Ok(output) => match versions(&output.stdout) {
            Some(versions) => Program { path: Some(path), versions, error: None },
            None => Program {
                path: Some(path),
                versions: Vec::new(),
                error: Some("it answers VERSION with something else than versions".to_owned()),
            },
        },
        Err(error) => Program {
            path: Some(path),
            versions: Vec::new(),
            error: Some(ErrorChain(&error).to_string()),
        },
    }
}

fn versions(answer: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    let versions = value.get("supportedVersions")?.as_array()?.iter();
    Some(versions.filter_map(|version| version.as_str().map(str::to_owned)).collect())
}

/// `containerd github.com/containerd/containerd 1.6.20~ds1 …`: the third word.
async fn containerd_version() -> Option<String> {
    let output = Invocation::find("containerd").ok()?.arg("--version").limit(LIMIT).run().await;
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    Some(version.trim_start_matches('v').to_owned())
}
