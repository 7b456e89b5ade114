//! Where what is shown comes from: this node, or a snapshot in a file.

use std::path::PathBuf;

use clap::Args;
use crilet_cri::discovery::DiscoveryError;
use crilet_network::{
    config::{BINARY_DIRECTORIES, DIRECTORY},
    snapshot::{Options, Snapshot, take},
};

use crate::{connect, errors::CliError, global::Global, output};

/// Options of every verb of `crilet net`.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A snapshot that `crilet net snapshot` wrote, instead of this node
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// Directory of network configurations
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(super) conf_dir: PathBuf,
    /// Directory of plugins, instead of those where runtimes look; repeatable
    #[arg(long, value_name = "DIR")]
    pub(super) bin_dir: Vec<PathBuf>,
}

impl SourceArgs {
    /// Directories of plugins.
    pub(super) fn plugins(&self) -> Vec<PathBuf> {
        if self.bin_dir.is_empty() {
            return BINARY_DIRECTORIES.map(PathBuf::from).into();
        }
        self.bin_dir.clone()
    }

    /// Where to read on this node: what runtimes use, and crilet's own beside it.
    fn options(&self) -> Options {
        let mut options = Options {
            configuration: self.conf_dir.clone(),
            plugins: self.plugins(),
            ..Options::default()
        };
        options.stores.push("/run/crilet/runtime/cni/leases".into());
        options
    }

    /// The snapshot of the file, or a new one of this node.
    ///
    /// A node may have no runtime that answers; then pods are known by what their plugins left.
    pub(super) async fn snapshot(&self, global: &Global) -> Result<Snapshot, CliError> {
        if let Some(path) = &self.from {
            return Ok(Snapshot::load(path)?);
        }
        let client = match connect::client(global).await {
            Ok(client) => Some(client),
            Err(CliError::Discovery(DiscoveryError::None { .. })) => None,
            Err(error) => return Err(error),
        };
        Ok(take(&self.options(), client.as_ref()).await?)
    }
}

/// Tells what could not be read.
pub(super) fn tell_problems(snapshot: &Snapshot) {
    for problem in &snapshot.problems {
        output::say(&format!("warning: {problem}"));
    }
}
