//! The command line.

use clap::{Parser, Subcommand};

use crate::{global::Global, image, log, logs, ps, rm, run, runtime, stop, version};

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
    /// Show containers' logs, rotated ones too
    Logs(logs::LogsArgs),
    /// Keep logs within their limits, and see what they take
    Log(log::LogArgs),
    /// Load, make and list images without a registry
    Image(image::ImageArgs),
    /// Manage crilet's own containerd
    Runtime(runtime::RuntimeArgs),
    /// Show the versions of crilet and of the runtime
    Version(version::VersionArgs),
}
