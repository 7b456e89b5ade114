//! Network configuration files as runtimes read them: which one wins, and what is wrong.
//!
//! [`read()`] collects files and asks plugins for their versions; [`judge`] is a function of what was
//! read. containerd (go-cni) and CRI-O (ocicni) choose differently, so both choices are made.

mod check;
mod choose;
mod cross;
mod file;
mod keys;
mod read;
#[cfg(test)]
mod tests;
mod tree;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use cross::HostNetwork;
pub use read::{BINARY_DIRECTORIES, DIRECTORY, read, read_file};

/// Files of a configuration directory with the plugins that they name, as read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The directory.
    pub directory: PathBuf,
    /// Whether there is such a directory.
    pub directory_exists: bool,
    /// Where plugins are looked for, in this order.
    pub binary_directories: Vec<PathBuf>,
    /// All files, sorted by path.
    pub files: Vec<RawFile>,
    /// Plugins by type.
    pub programs: BTreeMap<String, Program>,
    /// Version of containerd, where one is installed and a file has a version of the specification that
    /// not every one takes.
    pub containerd: Option<String>,
}

/// A file as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFile {
    /// Its path.
    pub file: PathBuf,
    /// Its text; absent when it cannot be read.
    pub text: Option<String>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// A plugin's program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The file that runtimes find for the type.
    pub path: Option<PathBuf>,
    /// Versions of the specification that it says it knows.
    pub versions: Vec<String>,
    /// Why it did not say so.
    pub error: Option<String>,
}

/// A runtime that reads these files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reader {
    /// containerd, by go-cni.
    #[serde(rename = "containerd")]
    Containerd,
    /// CRI-O, by ocicni.
    #[serde(rename = "cri-o")]
    Crio,
}

impl Reader {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Containerd, Self::Crio];
}

impl fmt::Display for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
        })
    }
}

/// A file with what it says and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigFile {
    /// Its path.
    pub file: PathBuf,
    /// Name of the network.
    pub name: Option<String>,
    /// Version of the specification.
    pub cni_version: Option<String>,
    /// Whether a runtime uses it.
    pub active: bool,
    /// Which runtimes use it.
    pub active_for: Vec<Reader>,
    /// For each runtime, why it uses the file or does not.
    pub reasons: BTreeMap<Reader, String>,
    /// Its plugins, in the order of addition.
    pub plugins: Vec<PluginUse>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// A plugin as a file uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PluginUse {
    /// File name of the plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its program, where there is one.
    pub program: Option<PathBuf>,
    /// Versions of the specification that the program knows.
    pub versions: Vec<String>,
    /// Capabilities that it is granted.
    pub capabilities: Vec<String>,
    /// Type of its address management.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam: Option<String>,
    /// Where host-local keeps leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_directory: Option<PathBuf>,
    /// Subnets that pods' addresses are of.
    pub subnets: Vec<IpNet>,
    /// The bridge that pods are attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Whether a pod may reach itself through its bridge port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hairpin: Option<bool>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Something works otherwise than was meant.
    Warning,
    /// Something does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing; stable over versions.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line from 1; 1 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path within the file, such as `plugins[0].ipam.subnet`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message, .. } = self;
        write!(formatter, "{}:{line}:{column}: {}: ", file.display(), self.severity)?;
        if !path.is_empty() {
            write!(formatter, "{path}: ")?;
        }
        write!(formatter, "{message} [{}]", self.id)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Says of each file what it is, who uses it and what is wrong, in the order in which runtimes
/// read them.
#[must_use]
pub fn judge(configuration: &Configuration, host: &HostNetwork) -> Vec<ConfigFile> {
    let mut files: Vec<ConfigFile> =
        configuration.files.iter().map(|raw| file::judge(raw, configuration)).collect();
    choose::choose(&mut files, configuration);
    cross::compare(&mut files, host);
    for file in &mut files {
        file.findings.sort_by_key(|finding| (finding.line, finding.column));
    }
    files
}
