//! The command line.

use clap::{Parser, Subcommand};

use crate::{
    apply, attach, cni, complete, cp, crictl, delete, describe, events, exec, get, global::Global,
    image, images, inspect, install, later::Later, log, logs, man, net, port_forward, ps, publish,
    pull, restart, rm, run, runtime, serve, start, stats, stop, top, version, wait,
};

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
    Run(Later<run::RunArgs>),
    /// List pods
    Ps(Later<ps::PsArgs>),
    /// Stop pods; they stay there to be looked at
    Stop(Later<stop::StopArgs>),
    /// Stop and remove pods
    Rm(Later<rm::RmArgs>),
    /// Keep pods up as their manifests say: the daemon
    Serve(Later<serve::ServeArgs>),
    /// Have the daemon keep pods as manifests say
    Apply(Later<apply::ApplyArgs>),
    /// Show pods that the daemon keeps
    Get(Later<get::GetArgs>),
    /// Show all there is to know about pods that the daemon keeps
    Describe(Later<describe::DescribeArgs>),
    /// Have the daemon stop, remove and forget pods that were applied
    Delete(Later<delete::DeleteArgs>),
    /// Start pods that were stopped or have ended
    Start(Later<start::StartArgs>),
    /// Start pods or containers again
    Restart(Later<restart::RestartArgs>),
    /// Show what happened to pods
    Events(Later<events::EventsArgs>),
    /// Wait until pods are ready, running, stopped or deleted
    Wait(Later<wait::WaitArgs>),
    /// Write the units and the configuration of the daemon
    Install(Later<install::InstallArgs>),
    /// Show containers' logs, rotated ones too
    Logs(Later<logs::LogsArgs>),
    /// Keep logs within their limits, and see what they take
    Log(Later<log::LogArgs>),
    /// Show what pods and containers use
    Stats(Later<stats::StatsArgs>),
    /// Watch what pods and containers use, on the whole terminal
    Top(Later<top::TopArgs>),
    /// Show all there is to know about pods, containers and images
    Inspect(Later<inspect::InspectArgs>),
    /// Run a command in a container
    Exec(Later<exec::ExecArgs>),
    /// Join the input and output of a container
    Attach(Later<attach::AttachArgs>),
    /// Copy files to and from containers
    Cp(Later<cp::CpArgs>),
    /// Lead local ports to a pod, for as long as the command runs
    PortForward(Later<port_forward::PortForwardArgs>),
    /// Lead ports of the host to a pod that runs
    Publish(Later<publish::PublishArgs>),
    /// Take back what `publish` did
    Unpublish(Later<publish::UnpublishArgs>),
    /// Explain the network of the node and of its pods
    Net(Later<net::NetArgs>),
    /// List images
    Images(Later<images::ImagesArgs>),
    /// Pull images from their registries
    Pull(Later<pull::PullArgs>),
    /// Load, make and list images without a registry
    Image(Later<image::ImageArgs>),
    /// Manage crilet's own containerd
    Runtime(Later<runtime::RuntimeArgs>),
    /// Give crilet's network plugins to other runtimes
    Cni(Later<cni::CniArgs>),
    /// Be crictl 1.36
    Crictl(Later<crictl::CrictlArgs>),
    /// Print what completes command lines in a shell
    Completion(Later<complete::CompletionArgs>),
    /// Tell a shell what may stand on a command line
    #[command(hide = true)]
    Complete(Later<complete::CompleteArgs>),
    /// Write the manual's pages
    Man(Later<man::ManArgs>),
    /// Show the versions of crilet and of the runtime
    Version(Later<version::VersionArgs>),
}
