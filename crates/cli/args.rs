//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use crilet_cri::Endpoint;

use crate::{image, ps, rm, run, runtime, stop, values, version};

/// Pods on one machine, without Kubernetes.
///
/// crilet runs pods on containerd or CRI-O from the same files that crictl takes, and brings a
/// containerd of its own where there is none.
#[derive(Debug, Parser)]
#[command(name = "crilet", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Socket of the container runtime; found by itself when absent
    #[arg(
        short,
        long,
        global = true,
        env = "CONTAINER_RUNTIME_ENDPOINT",
        hide_env_values = true,
        value_name = "SOCKET"
    )]
    pub(crate) runtime_endpoint: Option<Endpoint>,
    /// Socket of the image service, where it is another
    #[arg(
        short,
        long,
        global = true,
        env = "IMAGE_SERVICE_ENDPOINT",
        hide_env_values = true,
        value_name = "SOCKET"
    )]
    pub(crate) image_endpoint: Option<Endpoint>,
    /// Longest time for one call to the runtime, such as 90s or 5m; by default it fits the call
    #[arg(long, global = true, value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Bring up a pod from its CRI files
    Run(run::RunArgs),
    /// List pods
    Ps(ps::PsArgs),
    /// Stop pods; they stay there to be looked at
    Stop(stop::StopArgs),
    /// Stop and remove pods
    Rm(rm::RmArgs),
    /// Load, make and list images without a registry
    Image(image::ImageArgs),
    /// Manage crilet's own containerd
    Runtime(runtime::RuntimeArgs),
    /// Show the versions of crilet and of the runtime
    Version(version::VersionArgs),
}
