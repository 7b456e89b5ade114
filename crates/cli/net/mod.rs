//! `crilet net`: the network of the node, explained.

mod check;
mod doctor;
mod inspect;
mod ls;
mod map;
mod ports;
mod snapshot;
mod source;
mod trace;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{errors::CliError, global::Global};

/// Findings, as `net check` and `net doctor` say.
const FINDINGS: u8 = 1;

/// Verbs of `crilet net`.
#[derive(Debug, Args)]
pub(crate) struct NetArgs {
    #[command(subcommand)]
    verb: NetVerb,
}

#[derive(Debug, Subcommand)]
enum NetVerb {
    /// List network configurations: which one wins, and why
    Ls(ls::LsArgs),
    /// Find mistakes in network configurations
    Check(check::CheckArgs),
    /// Tell all of one pod's network: links, addresses, routes, ports with their rules
    Inspect(inspect::InspectArgs),
    /// List published ports: where they lead, whose they are, and what gets in their way
    Ports(ports::PortsArgs),
    /// Draw the node: uplinks, bridges, pods and ports
    Map(map::MapArgs),
    /// Find what is wrong with the node's network, and mend what can be mended safely
    Doctor(doctor::DoctorArgs),
    /// Follow a packet through the node, rule by rule, and say how it ends
    Trace(trace::TraceArgs),
    /// Write down the whole network of the node, for the other verbs and for colleagues
    Snapshot(snapshot::SnapshotArgs),
}

/// Runs a verb of `crilet net`.
pub(crate) async fn run(global: &Global, args: NetArgs) -> Result<ExitCode, CliError> {
    match args.verb {
        NetVerb::Ls(args) => ls::run(&args).await,
        NetVerb::Check(args) => check::run(&args).await,
        NetVerb::Ports(args) => ports::run(global, &args).await,
        NetVerb::Inspect(args) => inspect::run(global, &args).await,
        NetVerb::Map(args) => map::run(global, &args).await,
        NetVerb::Doctor(args) => doctor::run(global, &args).await,
        NetVerb::Trace(args) => trace::run(global, &args).await,
        NetVerb::Snapshot(args) => snapshot::run(global, &args).await,
    }
}

/// The namespace of the one pod that is meant.
fn one(node: &crilet_network::trace::Node<'_>, pod: &str) -> Result<usize, CliError> {
    match node.find(pod).as_slice() {
        [place] => Ok(*place),
        [] => Err(CliError::NoNamespace { pod: pod.to_owned(), count: 0 }),
        more => Err(CliError::NoNamespace { pod: pod.to_owned(), count: more.len() }),
    }
}
