//! Images from recipes below `tests/images`, built once and kept below `target/testbed/images`.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use crilet_runtime::oci::{self, ImageConfig};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::{host::PATH, workspace};

/// Raised when archives of an earlier kit are no longer what tests expect.
const GENERATION: &[u8] = b"1";

/// The images that tests run.
///
/// A recipe is a directory with a program `build`, which is given the path of the root file system
/// to make, a tar compressed with gzip; and `config.json`, which says how to run it. An archive is
/// made when no test of this target directory has made it from the same recipe yet. What several
/// recipes share lies in `common`.
#[derive(Debug, Clone, Copy)]
pub struct Images;

impl Images {
    /// Path of the OCI archive of a recipe, which names its image `reference`.
    ///
    /// The first caller builds it, which takes up to some minutes; others wait for it.
    ///
    /// # Errors
    ///
    /// When the recipe is none, or its build fails: with what it said.
    pub fn archive(recipe: &str, reference: &str) -> Result<PathBuf> {
        let source = workspace::workspace_root().join("tests/images").join(recipe);
        let kept = workspace::testbed_dir()?.join("images").join(recipe);
        fs::create_dir_all(&kept)?;
        let lock = File::create(kept.join("lock"))?;
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .context("lock the image's directory")?;

        let directory = kept.join(key(&source, reference)?);
        let archive = directory.join("image.tar");
        if !archive.exists() {
            remove_others(&kept)?;
            let staging = kept.join("staging");
            fs::create_dir(&staging)?;
            build(&source, reference, &staging)
                .with_context(|| format!("build image `{recipe}`"))?;
            fs::rename(&staging, &directory)?;
        }
        Ok(archive)
    }
}

/// What an archive is made of, as a word: recipe, name, processor, kit.
fn key(source: &Path, reference: &str) -> Result<String> {
    let shared = source.with_file_name("common");
    let files = [files(source)?, files(&shared)?].concat();
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_le_bytes());
        digest.update(bytes);
    };
    add(GENERATION);
    add(reference.as_bytes());
    add(oci::architecture().as_bytes());
    for file in files {
        add(file.file_name().unwrap_or_default().as_encoded_bytes());
        add(&[u8::from(fs::metadata(&file)?.permissions().mode() & 0o100 != 0)]);
        add(&fs::read(&file)?);
    }
    Ok(digest.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}

/// The files of a directory, in order.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("open recipe `{}`", directory.display()))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

/// Removes archives of older recipes, and what a killed build left.
fn remove_others(kept: &Path) -> Result<()> {
    for entry in fs::read_dir(kept)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("remove `{}`", entry.path().display()))?;
        }
    }
    Ok(())
}

fn build(source: &Path, reference: &str, staging: &Path) -> Result<()> {
    let rootfs = staging.join("rootfs.tar.gz");
    let log = staging.join("build.log");
    let words = File::create(&log)?;
    // In namespaces of its own, a build leaves no mount and no process, however it ends.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"])
        .args(["--kill-child=KILL", "--mount-proc"])
        .arg(source.join("build"))
        .arg(&rootfs)
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8"), ("HOME", "/root")])
        .env("TMPDIR", staging)
        .envs(proxies())
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words)
        .status()
        .context("start the build")?;
    let said = || fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "{status}: {}", said().trim());
    let config = read_config(&source.join("config.json"))?;
    oci::write_archive(&rootfs, reference, &config, &staging.join("image.tar"))?;
    fs::remove_file(&rootfs)?;
    Ok(())
}

/// How this machine reaches package sources.
fn proxies() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| name.to_ascii_lowercase().ends_with("_proxy"))
    })
}

/// Reads `config.json`: lists of words by the names of the OCI image configuration.
fn read_config(path: &Path) -> Result<ImageConfig> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .with_context(|| format!("read `{}`", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))?;
    let mut config = ImageConfig::default();
    for (name, value) in value.as_object().context("the image configuration is no object")? {
        let words: Vec<String> = serde_json::from_value(value.clone())
            .with_context(|| format!("`{name}` in `{}`", path.display()))?;
        match name.as_str() {
            "Entrypoint" => config.entrypoint = words,
            "Cmd" => config.cmd = words,
            "Env" => config.env = words,
            "ExposedPorts" => config.exposed_ports = words,
            _ => anyhow::bail!("unknown key `{name}` in `{}`", path.display()),
        }
    }
    Ok(config)
}
