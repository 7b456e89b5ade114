//! Rules by `iptables-restore`, or as it would make them.

use std::{fs, io, path::PathBuf, sync::OnceLock, time::Duration};

use crilet_core::exec::{ExecError, Invocation, Waiting, find_program};

use super::batch::{self, proof};
use crate::leftovers::Family;

/// How long a program that waits for the lock of the tables may take. The reference waits for
/// ever, so that a stuck holder keeps pods from starting without a word.
const LIMIT: Duration = Duration::from_secs(30);

/// Which of the kernel's two packet filters the host's `iptables` is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Through nf_tables.
    Nft,
    /// The original tables.
    Legacy,
}

/// The tools of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) family: Family,
    pub(crate) flavour: Flavour,
    restore: PathBuf,
    save: PathBuf,
    /// Whether transactions need no program, once that was asked.
    verdict: OnceLock<Option<bool>>,
}

impl Tools {
    /// Finds the tools of a family.
    ///
    /// # Errors
    /// When one is not installed.
    pub(crate) fn find(family: Family) -> Result<Self, ExecError> {
        let name = match family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        let restore = find_program(&format!("{name}-restore"))?;
        let save = find_beside(&restore, &format!("{name}-save"))?;
        let flavour = flavour(&restore);
        Ok(Self { family, flavour, restore, save, verdict: OnceLock::new() })
    }

    /// Finds the tools of the legacy tables, whichever `iptables` is made for.
    ///
    /// # Errors
    /// When one is not installed.
    pub(crate) fn find_legacy(family: Family) -> Result<Self, ExecError> {
        let usual = Self::find(family);
        if let Ok(tools) = usual
            && tools.flavour == Flavour::Legacy
        {
            return Ok(tools);
        }
        let name = match family {
            Family::Ipv4 => "iptables-legacy",
            Family::Ipv6 => "ip6tables-legacy",
        };
        let restore = find_program(&format!("{name}-restore"))?;
        let save = find_program(&format!("{name}-save"))?;
        Ok(Self { family, flavour: Flavour::Legacy, restore, save, verdict: OnceLock::new() })
    }

    /// Makes one transaction of `script`, in `iptables-restore`'s words; what it does not name stays.
    ///
    /// # Errors
    /// What the program says; then nothing was changed.
    pub(crate) fn restore(&self, script: &str) -> Result<(), ExecError> {
        self.restore_by(None, script)
    }

    /// As [`Tools::restore`], by a program that was started early if there is one.
    ///
    /// # Errors
    /// As [`Tools::restore`].
    pub(super) fn restore_by(
        &self,
        started: Option<Restore>,
        script: &str,
    ) -> Result<(), ExecError> {
        let verdict = self.verdict();
        if verdict == Some(true) && batch::make(self.family, script) {
            return Ok(());
        }
        started.map_or_else(|| self.start(), Ok)?.restore(script)?;
        if verdict.is_none() && self.flavour == Flavour::Nft {
            proof::compare(&self.restore, self.family, |script| {
                self.start().and_then(|program| program.restore(script)).map_err(io::Error::other)
            });
        }
        Ok(())
    }

    /// Whether transactions need no program, as far as their words are known.
    pub(super) fn are_spared(&self) -> bool {
        self.verdict() == Some(true)
    }

    fn verdict(&self) -> Option<bool> {
        *self.verdict.get_or_init(|| match self.flavour {
            Flavour::Nft => proof::verdict(&self.restore, self.family),
            Flavour::Legacy => None,
        })
    }

    /// Starts the program for a transaction whose rules are not known yet. Two thirds of its time
    /// go into getting ready: it is linked, asks the kernel which modules there are, and reads.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&self) -> Result<Restore, ExecError> {
        let restore = Invocation::at(&self.restore).args(["--noflush", "--wait"]).limit(LIMIT);
        restore.start_blocking().map(Restore)
    }

    /// The rules of a table, in the words that add them.
    ///
    /// # Errors
    /// What the program says.
    pub(crate) fn save(&self, table: &str) -> Result<Vec<String>, ExecError> {
        let save = Invocation::at(&self.save).args(["-t", table]).limit(LIMIT);
        let output = save.run_blocking()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// A program that most probably is where another one is.
fn find_beside(other: &std::path::Path, name: &str) -> Result<PathBuf, ExecError> {
    let beside = other.with_file_name(name).into_os_string().into_string();
    let found = beside.ok().and_then(|path| find_program(&path).ok());
    found.map_or_else(|| find_program(name), Ok)
}

/// A program that waits for the words of its transaction; until then it holds no lock.
#[derive(Debug)]
pub(crate) struct Restore(Waiting);

impl Restore {
    /// As [`Tools::restore`].
    ///
    /// # Errors
    /// As [`Tools::restore`].
    fn restore(self, script: &str) -> Result<(), ExecError> {
        self.0.finish(script.as_bytes()).map(drop)
    }
}

/// The tools are links to one program per flavour; what is none of them is asked.
fn flavour(restore: &std::path::Path) -> Flavour {
    let target = fs::canonicalize(restore).unwrap_or_else(|_| restore.to_owned());
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    match name.as_deref() {
        Some(name) if name.contains("nft") => Flavour::Nft,
        Some(name) if name.contains("legacy") => Flavour::Legacy,
        _ => match Invocation::at(restore).arg("--version").limit(LIMIT).run_blocking() {
            Ok(output) if String::from_utf8_lossy(&output.stdout).contains("nf_tables") => {
                Flavour::Nft
            }
            _ => Flavour::Legacy,
        },
    }
}

/// An argument for `iptables-restore`, quoted when it must be.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,!@%+=".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("\"{}\"", argument.replace('\\', "\\\\").replace('"', "\\\""))
}
