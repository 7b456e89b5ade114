//! `crilet exec`.

use std::{io::IsTerminal, process::ExitCode};

use clap::Args;
use crilet_cri::{Client, CriError, is_full_id};
use crilet_stream::{DetachKeys, Session, StreamError, Streamer, Streams};

use crate::{
    connect,
    errors::CliError,
    global::Global,
    session,
    streams::{TlsArgs, TransportArg},
    target,
};

/// Options of `crilet exec`.
#[derive(Debug, Args)]
#[command(
    after_help = "The exit status is the command's own, or 126 if it cannot be run, 127 if it is \
                        not there."
)]
pub(crate) struct ExecArgs {
    /// Where: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], a container's id or its beginning
    #[arg(value_name = "POD[/CONTAINER]")]
    target: String,
    /// What to run; options behind it are its own
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<String>,
    /// Pass standard input on, to its end
    #[arg(short, long, visible_alias = "stdin")]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Keys that leave a terminal, and the command to itself; none with ''
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// What carries the streams
    #[arg(long, value_enum, default_value_t)]
    transport: TransportArg,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Runs a command in a container, and ends as it does.
pub(crate) async fn run(global: &Global, args: ExecArgs) -> Result<ExitCode, CliError> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    let client = connect::client(global).await?;
    let streams = Streams {
        stdin: args.interactive,
        stdout: true,
        stderr: !args.tty,
        tty: args.tty,
        half_close: args.interactive && !args.tty,
    };
    let streamer = args.tls.streamer(client.clone(), args.transport);
    let session = start(&client, &streamer, &args.target, &args.command, streams).await?;
    session::run(session, args.detach_keys).await.map_err(shortened)?.leave()
}

/// Of a command that does not get to run, tells what its caller can mend: runtimes put the steps of their
/// own before it, and runc's ends for every one of them.
fn shortened(error: CliError) -> CliError {
    let CliError::Stream(StreamError::Start { code, message }) = error else { return error };
    tracing::debug!(message, "the command did not get to run");
    let steps = ["unable to start container process: ", "exec failed: "];
    let cause = steps.iter().find_map(|step| Some(message.rsplit_once(step)?.1));
    let cause = cause.unwrap_or(&message).trim_end_matches(": unknown");
    CliError::Stream(StreamError::Start { code, message: cause.to_owned() })
}

/// Has the command run. A container's full id needs no lists: the runtime knows it, and they are
/// read only if it does not, or will not, to find what else the word means and to say why not.
async fn start(
    client: &Client,
    streamer: &Streamer,
    target: &str,
    command: &[String],
    streams: Streams,
) -> Result<Session, CliError> {
    if is_full_id(target) {
        match streamer.exec(target, command, streams).await {
            Err(StreamError::Runtime(CriError::Call { .. })) => {}
            other => return Ok(other?),
        }
    }
    let (_, container) = target::running_container(client, target).await?;
    Ok(streamer.exec(&container.id, command, streams).await?)
}
