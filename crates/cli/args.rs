//! The command line.

use clap::{
    ArgMatches, Args, Command, Error, FromArgMatches, Parser, Subcommand, error::ErrorKind,
};

use crate::{
    apply, attach, cni, complete, cp, crictl, delete, describe, events, exec, get, global::Global,
    image, images, inspect, install, later::later, log, logs, man, net, port_forward, ps, publish,
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

/// Declares the verbs, as clap's derive would. But each can be described without all others, which is more
/// work than the rest of a short command.
macro_rules! verbs {
    ($(#[doc = $about:literal] $name:literal => $verb:ident($args:ty) $([$hide:ident])?,)+) => {
        /// What to do.
        #[derive(Debug)]
        pub(crate) enum Verb {
            $(#[doc = $about] $verb($args),)+
        }

        impl Verb {
            /// Describes the options of the verb of this name, and nothing that only help shows.
            pub(crate) fn options(name: &str) -> Option<Command> {
                match name {
                    $($name => Some(<$args>::augment_args(Command::new($name))),)+
                    _ => None,
                }
            }

            /// What was read of the verb of this name.
            ///
            /// # Errors
            /// There is none of this name; or clap's, about its options.
            pub(crate) fn read(name: &str, matches: &mut ArgMatches) -> Result<Self, Error> {
                match name {
                    $($name => <$args>::from_arg_matches_mut(matches).map(Self::$verb),)+
                    _ => Err(Error::new(ErrorKind::InvalidSubcommand)),
                }
            }
        }

        impl Subcommand for Verb {
            fn augment_subcommands(command: Command) -> Command {
                command.subcommands([$(
                    later::<$args>(Command::new($name).about($about.trim_start())) $(.$hide(true))?,
                )+])
            }

            fn augment_subcommands_for_update(command: Command) -> Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                [$($name),+].contains(&name)
            }
        }
    };
}

verbs! {
    /// Bring up a pod from its CRI files
    "run" => Run(run::RunArgs),
    /// List pods
    "ps" => Ps(ps::PsArgs),
    /// Stop pods; they stay there to be looked at
    "stop" => Stop(stop::StopArgs),
    /// Stop and remove pods
    "rm" => Rm(rm::RmArgs),
    /// Keep pods up as their manifests say: the daemon
    "serve" => Serve(serve::ServeArgs),
    /// Have the daemon keep pods as manifests say
    "apply" => Apply(apply::ApplyArgs),
    /// Show pods that the daemon keeps
    "get" => Get(get::GetArgs),
    /// Show all there is to know about pods that the daemon keeps
    "describe" => Describe(describe::DescribeArgs),
    /// Have the daemon stop, remove and forget pods that were applied
    "delete" => Delete(delete::DeleteArgs),
    /// Start pods that were stopped or have ended
    "start" => Start(start::StartArgs),
    /// Start pods or containers again
    "restart" => Restart(restart::RestartArgs),
    /// Show what happened to pods
    "events" => Events(events::EventsArgs),
    /// Wait until pods are ready, running, stopped or deleted
    "wait" => Wait(wait::WaitArgs),
    /// Write the units and the configuration of the daemon
    "install" => Install(install::InstallArgs),
    /// Show containers' logs, rotated ones too
    "logs" => Logs(logs::LogsArgs),
    /// Keep logs within their limits, and see what they take
    "log" => Log(log::LogArgs),
    /// Show what pods and containers use
    "stats" => Stats(stats::StatsArgs),
    /// Watch what pods and containers use, on the whole terminal
    "top" => Top(top::TopArgs),
    /// Show all there is to know about pods, containers and images
    "inspect" => Inspect(inspect::InspectArgs),
    /// Run a command in a container
    "exec" => Exec(exec::ExecArgs),
    /// Join the input and output of a container
    "attach" => Attach(attach::AttachArgs),
    /// Copy files to and from containers
    "cp" => Cp(cp::CpArgs),
    /// Lead local ports to a pod, for as long as the command runs
    "port-forward" => PortForward(port_forward::PortForwardArgs),
    /// Lead ports of the host to a pod that runs
    "publish" => Publish(publish::PublishArgs),
    /// Take back what `publish` did
    "unpublish" => Unpublish(publish::UnpublishArgs),
    /// Explain the network of the node and of its pods
    "net" => Net(net::NetArgs),
    /// List images
    "images" => Images(images::ImagesArgs),
    /// Pull images from their registries
    "pull" => Pull(pull::PullArgs),
    /// Load, make and list images without a registry
    "image" => Image(image::ImageArgs),
    /// Manage crilet's own containerd
    "runtime" => Runtime(runtime::RuntimeArgs),
    /// Give crilet's network plugins to other runtimes
    "cni" => Cni(cni::CniArgs),
    /// Be crictl 1.36
    "crictl" => Crictl(crictl::CrictlArgs),
    /// Print what completes command lines in a shell
    "completion" => Completion(complete::CompletionArgs),
    /// Tell a shell what may stand on a command line
    "complete" => Complete(complete::CompleteArgs) [hide],
    /// Write the manual's pages
    "man" => Man(man::ManArgs),
    /// Show the versions of crilet and of the runtime
    "version" => Version(version::VersionArgs),
}

impl FromArgMatches for Verb {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let called = matches.remove_subcommand();
        let (name, mut matches) = called.ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        Self::read(&name, &mut matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
