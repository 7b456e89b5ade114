//! Laying crilet's plugins into a directory where runtimes look for plugins.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crilet_core::fs::{WriteError, write_durably};

use crate::plugin::PLUGINS;

/// Name of the program that all plugins are.
pub const PROGRAM: &str = "crilet-cni";
/// What a file of somebody else is called while a plugin of crilet stands in its place.
const ASIDE: &str = "before-crilet";

/// Why plugins could not be installed or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The program that all plugins are is missing.
    #[error("program `{PROGRAM}` is not at `{}`", path.display())]
    NoProgram {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Somebody else's plugins are there.
    #[error("`{}` has plugins that are not crilet's: {}", directory.display(), names.join(", "))]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// The plugins.
        names: Vec<String>,
    },
    /// A file could not be handled.
    #[error("{action} `{}`", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The program could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl InstallError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoProgram { .. } => Some("install it beside `crilet`; scripts/build builds both"),
            Self::Foreign { .. } => {
                Some("--force puts them aside, and `crilet cni uninstall` puts them back")
            }
            _ => None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Plugins that are crilet's now, or were until now.
    pub plugins: Vec<&'static str>,
    /// Plugins of somebody else that were put aside, or back.
    pub moved: Vec<&'static str>,
}

/// Copies `program` into a directory, which is made when it is missing, and lays a link for each
/// plugin. With `force`, plugins of somebody else are put aside.
///
/// # Errors
/// When somebody else's plugins are there and `force` is not given: then nothing is changed. When
/// a file cannot be written.
pub fn install(directory: &Path, program: &Path, force: bool) -> Result<Installed, InstallError> {
    let bytes = match fs::read(program) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(InstallError::NoProgram { path: program.to_owned() });
        }
        Err(cause) => return Err(failed("read", program)(cause)),
    };
    let names: Vec<&'static str> = PLUGINS.iter().map(|plugin| plugin.name()).collect();
    let is_foreign = |name: &&str| is_there(&directory.join(name)) && !is_ours(directory, name);
    let foreign: Vec<&'static str> = names.iter().copied().filter(is_foreign).collect();
    if !foreign.is_empty() && !force {
        return Err(InstallError::Foreign {
            directory: directory.to_owned(),
            names: foreign.into_iter().map(str::to_owned).collect(),
        });
    }
    fs::create_dir_all(directory).map_err(failed("create directory", directory))?;
    let target = directory.join(PROGRAM);
    if !fs::read(&target).is_ok_and(|old| old == bytes) {
        write_durably(&target, &bytes, 0o755)?;
    }
    for name in &foreign {
        let (from, to) = (directory.join(name), aside(directory, name));
        fs::rename(&from, &to).map_err(failed("put aside", &from))?;
    }
    for name in &names {
        let path = directory.join(name);
        match symlink(PROGRAM, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            laid => laid.map_err(failed("make link", &path))?,
        }
    }
    Ok(Installed { plugins: names, moved: foreign })
}

/// Takes crilet's plugins away again, and puts back what was put aside. Files of somebody else
/// stay; a directory that is empty then goes.
///
/// # Errors
/// When a file cannot be removed or moved.
pub fn uninstall(directory: &Path) -> Result<Installed, InstallError> {
    let mut done = Installed::default();
    for name in PLUGINS.iter().map(|plugin| plugin.name()) {
        let path = directory.join(name);
        if is_ours(directory, name) {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            done.plugins.push(name);
        }
        let aside = aside(directory, name);
        if is_there(&aside) && !is_there(&path) {
            fs::rename(&aside, &path).map_err(failed("put back", &path))?;
            done.moved.push(name);
        }
    }
    let program = directory.join(PROGRAM);
    match fs::remove_file(&program) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &program)(error));
        }
        _ => {}
    }
    // It may hold what is somebody else's.
    drop(fs::remove_dir(directory));
    Ok(done)
}

fn aside(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.{ASIDE}"))
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether a plugin of that name is a link to crilet's program.
fn is_ours(directory: &Path, name: &str) -> bool {
    let target = fs::read_link(directory.join(name));
    target.is_ok_and(|target| target.file_name().is_some_and(|name| name == PROGRAM))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |cause| InstallError::File { action, path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join(PROGRAM);
        let directory = scratch.path().join("bin");
        let missing = install(&directory, &program, false).unwrap_err();
        assert!(matches!(missing, InstallError::NoProgram { .. }));
        fs::write(&program, "program").unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("bridge"), "theirs").unwrap();
        fs::write(directory.join("calico"), "theirs").unwrap();
        let refused = install(&directory, &program, false).unwrap_err();
        assert!(refused.to_string().ends_with("not crilet's: bridge"), "{refused}");
        assert!(!directory.join(PROGRAM).exists(), "nothing was changed");

        let installed = install(&directory, &program, true).unwrap();
        assert_eq!(installed.moved, ["bridge"]);
        assert_eq!(fs::read(directory.join("bridge")).unwrap(), b"program");
        assert_eq!(install(&directory, &program, false).unwrap().moved, [""; 0]);
        let gone = uninstall(&directory).unwrap();
        assert_eq!((gone.plugins, gone.moved), (installed.plugins, vec!["bridge"]));
        assert_eq!(fs::read(directory.join("bridge")).unwrap(), b"theirs");
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["bridge", "calico"]);
    }

    #[test]
    fn a_directory_of_crilets_own_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("program");
        fs::write(&program, "program").unwrap();
        let directory = scratch.path().join("a/b");
        install(&directory, &program, false).unwrap();
        uninstall(&directory).unwrap();
        assert!(!directory.exists());
        assert_eq!(uninstall(&directory).unwrap(), Installed::default());
    }
}
