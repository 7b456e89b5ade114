//! `crilet attach`.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::Args;
use crilet_cri::{
    Client,
    inventory::{self, Container, ContainerState, Detail},
};
use crilet_stream::{DetachKeys, Streams};

use crate::{
    connect,
    errors::CliError,
    global::Global,
    session::{self, Outcome},
    streams::{TlsArgs, TransportArg},
    target,
};

/// How often the runtime is asked how a container ended, and how long between.
const ASKED: usize = 40;
const BETWEEN: Duration = Duration::from_millis(50);

/// Options of `crilet attach`.
#[derive(Debug, Args)]
#[command(after_help = "The exit status is the container's own, if it ends meanwhile.")]
pub(crate) struct AttachArgs {
    /// Where: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], a container's id or its beginning
    #[arg(value_name = "POD[/CONTAINER]")]
    target: String,
    /// Only look on: pass no input, even if the container takes some
    #[arg(long)]
    no_stdin: bool,
    /// Pass standard input on; without, if the runtime says that the container takes some
    #[arg(short, long, visible_alias = "stdin", conflicts_with = "no_stdin")]
    interactive: bool,
    /// The container has a terminal; without, as the runtime says
    #[arg(short, long)]
    tty: bool,
    /// Keys that leave a terminal, and the container to itself; none with ''
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// What carries the streams
    #[arg(long, value_enum, default_value_t)]
    transport: TransportArg,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Joins a container's first process until it ends or is left.
pub(crate) async fn run(global: &Global, args: AttachArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let (_, container) = target::running_container(&client, &args.target).await?;
    let known = inventory::process_streams(&client, &container.id).await?;
    let tty = args.tty || known.tty;
    let stdin = !args.no_stdin && (args.interactive || known.stdin);
    if tty && stdin && !std::io::stdin().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    let half_close = stdin && !tty;
    let streams = Streams { stdin, stdout: true, stderr: !tty, tty, half_close };
    let streamer = args.tls.streamer(client.clone(), args.transport);
    let session = streamer.attach(&container.id, streams).await?;
    match session::run(session, args.detach_keys).await? {
        Outcome::Ended(0) => Ok(ExitCode::from(exit_code(&client, &container).await?)),
        other => Ok(other.code()),
    }
}

/// The code that a container ended with; 0 while it runs.
///
/// The streams end before the runtime's lists show the end.
async fn exit_code(client: &Client, container: &Container) -> Result<u8, CliError> {
    for _ in 0..ASKED {
        let pods = inventory::read(client, Detail::Lists).await?;
        let mut listed = pods.iter().flat_map(|pod| &pod.containers);
        match listed.find(|listed| listed.id == container.id).map(|listed| listed.state) {
            Some(ContainerState::Running) => tokio::time::sleep(BETWEEN).await,
            _ => break,
        }
    }
    let described = inventory::read_container(client, container).await?;
    let code = described.and_then(|container| container.details?.exit_code).unwrap_or_default();
    Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
