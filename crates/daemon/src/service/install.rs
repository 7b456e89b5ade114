//! Units and configuration on disk: writing them, and taking them away again.
//!
//! Every file begins with a line that has a digest of the rest. A file whose digest fits is as it
//! was written and may be replaced or removed; one that somebody edited is left alone.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crilet_core::fs::{WriteError, write_durably};
use sha2::{Digest, Sha256};

/// Digits of the digest that are kept.
const DIGITS: usize = 16;
/// How the first line of a file begins.
const MARK: &str = "# Written by `crilet install`, left alone once it is edited: ";

const SERVICE: &str = include_str!("units/crilet.service");
const RUNTIME_SERVICE: &str = include_str!("units/crilet-runtime.service");

/// Why units and configuration could not be written or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file cannot be written.
    #[error("failed to install")]
    Write(#[from] WriteError),
    /// The kernel refused something else.
    #[error("failed to {action} `{}`", path.display())]
    Refused {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The program's path cannot stand in a unit.
    #[error("`{}` cannot stand in a unit: it has blanks or quotes", program.display())]
    Program {
        /// The path.
        program: PathBuf,
    },
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was written, new or over an older one that nobody edited.
    Written,
    /// It was as it should be.
    Unchanged,
    /// It was removed.
    Removed,
    /// Somebody edited it; it is as it was.
    LeftAlone,
}

/// Writes units, a configuration in which everything is commented out, and an empty directory for
/// manifests below `prefix`.
///
/// # Errors
/// When something cannot be written; what was written before stays.
pub fn install(prefix: &Path, program: &Path) -> Result<Vec<(PathBuf, Outcome)>, InstallError> {
    let mut outcomes = Vec::new();
    for (path, mode, text) in files(prefix, program)? {
        let text = marked(&text);
        let outcome = match state(&path)? {
            State::Edited => Outcome::LeftAlone,
            State::AsWritten(found) if found == text => Outcome::Unchanged,
            State::AsWritten(_) | State::Absent => {
                make_directory(path.parent().unwrap_or(prefix))?;
                write_durably(&path, text.as_bytes(), mode)?;
                Outcome::Written
            }
        };
        outcomes.push((path, outcome));
    }
    make_directory(&prefix.join(PODS))?;
    Ok(outcomes)
}

/// Removes what [`install`] wrote and nobody edited, and directories that are empty then.
///
/// # Errors
/// When something cannot be removed.
pub fn uninstall(prefix: &Path, program: &Path) -> Result<Vec<(PathBuf, Outcome)>, InstallError> {
    let mut outcomes = Vec::new();
    for (path, _, _) in files(prefix, program)? {
        match state(&path)? {
            State::Absent => {}
            State::Edited => outcomes.push((path, Outcome::LeftAlone)),
            State::AsWritten(_) => {
                let refused =
                    |cause| InstallError::Refused { action: "remove", path: path.clone(), cause };
                fs::remove_file(&path).map_err(refused)?;
                outcomes.push((path, Outcome::Removed));
            }
        }
    }
    for directory in [prefix.join(PODS), prefix.join(CONFIG_DIR)] {
        // Not if there is anything in it.
        fs::remove_dir(directory).unwrap_or_default();
    }
    Ok(outcomes)
}

const UNITS: &str = "etc/systemd/system";
const CONFIG_DIR: &str = "etc/crilet";
const PODS: &str = "etc/crilet/pods";

fn files(prefix: &Path, program: &Path) -> Result<Vec<(PathBuf, u32, String)>, InstallError> {
    let shown = program.to_str().filter(|path| {
        path.chars().all(|sign| !sign.is_whitespace() && !"\"'\\%$;".contains(sign))
    });
    let Some(shown) = shown else {
        return Err(InstallError::Program { program: program.to_owned() });
    };
    let unit = |text: &str| text.replace("@CRILET@", shown);
    let units = prefix.join(UNITS);
    Ok(vec![
        (units.join("crilet.service"), 0o644, unit(SERVICE)),
        (units.join("crilet-runtime.service"), 0o644, unit(RUNTIME_SERVICE)),
        (prefix.join(CONFIG_DIR).join("config.yaml"), 0o644, crate::config::example()),
    ])
}

fn make_directory(path: &Path) -> Result<(), InstallError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|cause| InstallError::Refused { action: "make", path: path.to_owned(), cause })
}

enum State {
    Absent,
    AsWritten(String),
    Edited,
}

fn state(path: &Path) -> Result<State, InstallError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(cause) => {
            return Err(InstallError::Refused { action: "read", path: path.to_owned(), cause });
        }
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(State::Edited) };
    let as_written = text
        .split_once('\n')
        .is_some_and(|(first, rest)| first.strip_prefix(MARK) == Some(digest(rest).as_str()));
    Ok(if as_written { State::AsWritten(text) } else { State::Edited })
}

fn marked(text: &str) -> String {
    format!("{MARK}{}\n{text}", digest(text))
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits.chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(outcomes: &[(PathBuf, Outcome)]) -> Vec<(String, Outcome)> {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        outcomes.iter().map(|(path, outcome)| (name(path), *outcome)).collect()
    }

    #[test]
    fn what_nobody_edited_is_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path();
        let first = install(prefix, Path::new("/usr/bin/crilet")).unwrap();
        assert!(first.iter().all(|(_, outcome)| *outcome == Outcome::Written), "{first:?}");
        let again = install(prefix, Path::new("/usr/bin/crilet")).unwrap();
        assert!(again.iter().all(|(_, outcome)| *outcome == Outcome::Unchanged), "{again:?}");
        let moved = install(prefix, Path::new("/opt/crilet")).unwrap();
        assert_eq!(
            names(&moved),
            [
                ("crilet.service".to_owned(), Outcome::Written),
                ("crilet-runtime.service".to_owned(), Outcome::Written),
                ("config.yaml".to_owned(), Outcome::Unchanged),
            ]
        );
        let unit = fs::read_to_string(prefix.join(UNITS).join("crilet.service")).unwrap();
        assert!(unit.contains("\nExecStart=/opt/crilet serve\n"), "{unit}");
        uninstall(prefix, Path::new("/opt/crilet")).unwrap();
        assert!(!prefix.join(CONFIG_DIR).exists());
        assert!(uninstall(prefix, Path::new("/opt/crilet")).unwrap().is_empty());
    }

    #[test]
    fn what_somebody_edited_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path();
        install(prefix, Path::new("/usr/bin/crilet")).unwrap();
        let config = prefix.join(CONFIG_DIR).join("config.yaml");
        let edited = fs::read_to_string(&config).unwrap() + "logLevel: debug\n";
        fs::write(&config, &edited).unwrap();
        fs::write(prefix.join(PODS).join("web.yaml"), "").unwrap();
        let again = install(prefix, Path::new("/opt/crilet")).unwrap();
        assert_eq!(again[2].1, Outcome::LeftAlone);
        let removed = uninstall(prefix, Path::new("/opt/crilet")).unwrap();
        assert_eq!(
            names(&removed),
            [
                ("crilet.service".to_owned(), Outcome::Removed),
                ("crilet-runtime.service".to_owned(), Outcome::Removed),
                ("config.yaml".to_owned(), Outcome::LeftAlone),
            ]
        );
        assert_eq!(fs::read_to_string(&config).unwrap(), edited);
        assert!(prefix.join(PODS).join("web.yaml").exists());
        crate::config::read(&config, true).unwrap();
    }

    #[test]
    fn a_program_that_cannot_stand_in_a_unit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = install(directory.path(), Path::new("/opt/my tools/crilet")).unwrap_err();
        assert!(matches!(error, InstallError::Program { .. }), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
