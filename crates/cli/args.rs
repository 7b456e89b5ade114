//! The command line.

use clap::{Parser, Subcommand};

use crate::{cni, global::Global, image, ps, publish, rm, run, runtime, stop, version};

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
    /// Lead ports of the host to a pod that runs
    Publish(publish::PublishArgs),
    /// Take back what `publish` did
    Unpublish(publish::UnpublishArgs),
    /// Load, make and list images without a registry
    Image(image::ImageArgs),
    /// Manage crilet's own containerd
    Runtime(runtime::RuntimeArgs),
    /// Give crilet's network plugins to other runtimes
    Cni(cni::CniArgs),
    /// Show the versions of crilet and of the runtime
    Version(version::VersionArgs),
}
