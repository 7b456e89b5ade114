//! Where what is shown comes from: this node, or a snapshot in a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use crilet_cri::discovery::DiscoveryError;
use crilet_network::{
    config::{BINARY_DIRECTORIES, DIRECTORY},
    snapshot::{Options, Snapshot, take},
};
use nix::unistd::{Uid, geteuid};

use crate::{connect, errors::CliError, global::Global, output};

/// Options of every verb of `crilet net`.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A snapshot that `crilet net snapshot` wrote, instead of this node
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// Directory of network configurations; without, /etc/cni/net.d, or if that has none the one of
    /// crilet's own runtime
    #[arg(long, value_name = "DIR")]
    conf_dir: Option<PathBuf>,
    /// Directory of plugins, instead of those where runtimes look; repeatable
    #[arg(long, value_name = "DIR")]
    pub(super) bin_dir: Vec<PathBuf>,
}

impl SourceArgs {
    /// Directory of configurations.
    pub(super) fn configuration(&self) -> PathBuf {
        if let Some(given) = &self.conf_dir {
            return given.clone();
        }
        used(Path::new(DIRECTORY), &connect::layout().cni_config_directory()).to_owned()
    }

    /// Whether the directory that was read is crilet's own runtime's, without having been asked for.
    pub(super) fn is_own(&self, read: &Path) -> bool {
        let is_asked = self.from.is_some() || self.conf_dir.is_some();
        !is_asked && read != Path::new(DIRECTORY)
    }

    /// Directories of plugins.
    pub(super) fn plugins(&self) -> Vec<PathBuf> {
        if !self.bin_dir.is_empty() {
            return self.bin_dir.clone();
        }
        let mut directories: Vec<_> = BINARY_DIRECTORIES.map(PathBuf::from).into();
        let own = connect::layout().plugins();
        if !directories.contains(&own) {
            directories.push(own);
        }
        directories
    }

    /// Where to read on this node: what runtimes use, and crilet's own beside it.
    fn options(&self) -> Options {
        let mut options = Options {
            configuration: self.configuration(),
            plugins: self.plugins(),
            ..Options::default()
        };
        options.stores.push(connect::layout().leases());
        options
    }

    /// The snapshot of the file, or a new one of this node.
    ///
    /// A node may have no runtime that answers; then pods are known by what their plugins left.
    pub(super) async fn snapshot(&self, global: &Global) -> Result<Snapshot, CliError> {
        if let Some(path) = &self.from {
            return Ok(Snapshot::load(path)?);
        }
        refuse_blind(geteuid())?;
        let client = match connect::client(global).await {
            Ok(client) => Some(client),
            Err(CliError::Discovery(DiscoveryError::None { .. })) => None,
            Err(error) => return Err(error),
        };
        Ok(take(&self.options(), client.as_ref()).await?)
    }
}

/// The directory that all runtimes share, unless only crilet's own has anything in it.
fn used<'a>(shared: &'a Path, own: &'a Path) -> &'a Path {
    let has_files = |directory: &Path| {
        fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
    };
    if !has_files(shared) && has_files(own) { own } else { shared }
}

/// Rules and namespaces look to others as if there were none, and all that is told would be wrong.
fn refuse_blind(user: Uid) -> Result<(), CliError> {
    if user.is_root() { Ok(()) } else { Err(CliError::Sightless) }
}

/// Tells what could not be read.
pub(super) fn tell_problems(snapshot: &Snapshot) {
    for problem in &snapshot.problems {
        output::say(&format!("warning: {problem}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_own_directory_counts_where_the_shared_one_has_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let shared = directory.path().join("shared");
        let own = directory.path().join("own");
        assert_eq!(used(&shared, &own), shared, "neither is there");
        fs::create_dir(&own).unwrap();
        assert_eq!(used(&shared, &own), shared, "both are empty");
        fs::write(own.join("10-crilet.conflist"), "{}").unwrap();
        assert_eq!(used(&shared, &own), own);
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("10-a.conf"), "{}").unwrap();
        assert_eq!(used(&shared, &own), shared);
    }

    #[test]
    fn a_node_is_not_told_of_to_whom_it_looks_empty() {
        assert!(refuse_blind(Uid::from_raw(0)).is_ok());
        let refused = refuse_blind(Uid::from_raw(65534));
        assert!(matches!(refused, Err(CliError::Sightless)), "{refused:?}");
    }
}
