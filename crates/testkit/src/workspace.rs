use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Directory of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).to_owned()
}

/// Directory of a fixture of the test suite, such as `blog`.
#[must_use]
pub fn fixtures(name: &str) -> PathBuf {
    workspace_root().join("tests/fixtures").join(name)
}

/// Cargo's target directory, wherever the environment or configuration moved it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("find the test program")?;
    // With `--target`, the directory of the target is marked, too: the outermost is meant.
    let marked = program.ancestors().filter(|directory| directory.join("CACHEDIR.TAG").exists());
    marked.last().map(Path::to_owned).with_context(|| {
        format!("no directory above `{}` is cargo's target directory", program.display())
    })
}

/// Directory for what tests make and keep from run to run, made if missing.
pub(crate) fn testbed_dir() -> Result<PathBuf> {
    let directory = target_dir()?.join("testbed");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("make directory `{}`", directory.display()))?;
    Ok(directory)
}
