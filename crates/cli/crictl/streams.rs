//! `exec`, `attach` and `port-forward`.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use crilet_cri::{Client, CriError, Deadlines};
use crilet_stream::{
    DetachKeys, Route, Session, StreamError, Streamer, Streams, TlsFiles, Transport,
};
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Call, Result, list, print, reach,
    report::{Fail, Level, Tried, kernel_words, log, rpc},
};
use crate::{
    errors::CliError,
    port_forward::{self, Ports},
    session::{self, Outcome},
};

/// Options that choose containers in the place of an id.
const FILTERS: [&str; 7] = ["name", "pod", "image", "state", "label", "latest", "last"];

/// What is done before streams are carried.
const GET_EXECUTOR: &str = "get executor";

impl From<StreamError> for Fail {
    fn from(error: StreamError) -> Self {
        match &error {
            StreamError::Runtime(error) => Self::Fatal(rpc(error)),
            other => Self::Fatal(crilet_core::ErrorChain(other).to_string()),
        }
    }
}

impl From<CliError> for Fail {
    fn from(error: CliError) -> Self {
        Self::Fatal(crilet_core::ErrorChain(&error).to_string())
    }
}

/// Files for TLS. Without any, every certificate is taken: runtimes sign their own.
fn tls(call: &Call) -> Result<TlsFiles> {
    let file = |option: &str| {
        let path = call.line.text(option);
        (!path.is_empty()).then(|| PathBuf::from(path))
    };
    let (ca, certificate, key) = (file("tls-ca"), file("tls-cert"), file("tls-key"));
    if ca.is_none() && certificate.is_none() && key.is_none() {
        return Ok(TlsFiles { insecure_skip_verify: true, ..TlsFiles::default() });
    }
    if certificate.is_none() || key.is_none() {
        return Err(Fail::fatal(
            "get TLS config from flags: --tls-cert and --tls-key are both required for TLS streaming, \
             only --tls-ca is optional",
        ));
    }
    let server_name = Some(call.line.text("tls-sni").to_owned());
    Ok(TlsFiles { ca, certificate, key, server_name, insecure_skip_verify: false })
}

fn transport(call: &Call) -> Result<Transport> {
    match call.line.text("transport") {
        "spdy" => Ok(Transport::Spdy),
        "websocket" => Ok(Transport::WebSocket),
        other => Err(Fail::Fatal(format!("unknown transport: {other}"))),
    }
}

/// Reads the files for TLS also where the runtime turns out to serve without: who names one that cannot be
/// read is told.
fn streamer(call: &Call, client: &Client, tls: TlsFiles) -> Result<Streamer> {
    for path in [&tls.ca, &tls.certificate, &tls.key].into_iter().flatten() {
        std::fs::File::open(path).map_err(|error| {
            Fail::Fatal(format!("open {}: {}", path.display(), kernel_words(&error)))
        })?;
    }
    Ok(Streamer::new(client.clone()).with_tls(tls).with_transport(transport(call)?))
}

/// The streams that are wanted. crictl does not mind a transport that cannot tell the end of input.
fn streams(call: &Call, stdin: bool) -> Result<Streams> {
    let tty = call.line.bool("tty");
    if tty && !stdin {
        return Err(Fail::fatal("tty=true must be specified with interactive=true"));
    }
    if tty && !std::io::stdin().is_terminal() {
        return Err(Fail::fatal("input is not a terminal"));
    }
    let half_close = stdin && !tty && call.line.text("transport") == "spdy";
    Ok(Streams { stdin, stdout: true, stderr: !tty, tty, half_close })
}

/// Carries streams to their end; a code other than 0 is a failure in words.
async fn carry(session: Session) -> Result<()> {
    match Box::pin(session::run(session, DetachKeys::default())).await? {
        Outcome::Ended(0) | Outcome::Detached | Outcome::Unread => Ok(()),
        Outcome::Ended(code) => {
            Err(Fail::Fatal(format!("command terminated with exit code {code}")))
        }
        Outcome::Signalled(_) => Err(Fail::Told(ExitCode::FAILURE)),
    }
}

pub(super) async fn attach(call: &Call) -> Result<()> {
    let id = match call.line.arguments.as_slice() {
        [] => return Err(Fail::fatal("ID cannot be empty")),
        [id] if id.is_empty() => return Err(Fail::fatal("ID cannot be empty")),
        [id] => id,
        _ => return Err(Fail::Help),
    };
    let client = reach::client(call).await?;
    let tls = tls(call)?;
    let attached = async {
        let streams = streams(call, call.line.bool("stdin"))?;
        let streamer = streamer(call, &client, tls).tried(GET_EXECUTOR)?;
        let session = streamer.attach(id, streams).await?;
        carry(session).await
    };
    attached.await.tried("attaching running container failed")
}

pub(super) async fn exec(call: &Call) -> Result<()> {
    let line = &call.line;
    let filtered = FILTERS.iter().any(|option| line.is_set(option));
    if line.arguments.len() < if filtered { 1 } else { 2 } {
        return Err(Fail::Help);
    }
    let client = reach::client(call).await?;
    let (ignore, quiet) = (line.bool("ignore-errors"), line.bool("quiet"));
    if ignore && !quiet {
        log(Level::Warning, "Whatever becomes of the command is ignored, as --ignore-errors says.");
    }
    let (ids, command) = match line.arguments.split_first() {
        Some((id, command)) if !filtered => (vec![id.clone()], command),
        _ => {
            list::labels(line.list("label"))?;
            let found = list::find_containers(&client, line).await.tried("listing containers")?;
            let ids: Vec<_> = found.into_iter().map(|container| container.id).collect();
            if ids.is_empty() {
                log(Level::Error, "No containers found per filter flags");
                return Err(Fail::Help);
            }
            (ids, line.arguments.as_slice())
        }
    };
    let done = exec_in(call, &client, &ids, command, filtered && !quiet).await;
    match done {
        Err(Fail::Fatal(words)) if ignore => {
            tracing::debug!(words, "ignored");
            Ok(())
        }
        other => other,
    }
}

/// Runs a command in containers: one after the other, or in all at the same time.
async fn exec_in(
    call: &Call,
    client: &Client,
    ids: &[String],
    command: &[String],
    titles: bool,
) -> Result<()> {
    let mut done = Vec::new();
    if call.line.bool("parallel") {
        done = join_all(ids.iter().map(|id| exec_one(call, client, id, command))).await;
    } else {
        for id in ids {
            if titles {
                print(&format!("{id}:\n"))?;
            }
            done.push(Box::pin(exec_one(call, client, id, command)).await);
        }
    }
    let mut failures = Vec::new();
    for result in done {
        match result {
            Ok(()) => {}
            Err(Fail::Fatal(words)) => failures.push(words),
            Err(other) => return Err(other),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Fail::Fatal(failures.join("\n"))) }
}

async fn exec_one(call: &Call, client: &Client, id: &str, command: &[String]) -> Result<()> {
    if call.line.bool("sync") {
        let done = exec_sync(call, client, id, command).await;
        return done.tried(format!("execing command in container {id} synchronously"));
    }
    let tls = tls(call)?;
    let streamed = async {
        let streams = streams(call, call.line.bool("interactive"))?;
        let streamer = streamer(call, client, tls).tried(GET_EXECUTOR)?;
        let session = streamer.exec(id, command, streams).await?;
        carry(session).await
    };
    streamed.await.tried(format!("execing command in container {id}"))
}

async fn exec_sync(call: &Call, client: &Client, id: &str, command: &[String]) -> Result<()> {
    let timeout = Duration::from_secs(u64::try_from(call.line.int("timeout")).unwrap_or_default());
    // Without a time of its own, a command may take however long.
    let client = match timeout.is_zero() {
        true => {
            let change = Duration::from_secs(365 * 24 * 3600);
            client.clone().with_deadlines(Deadlines { change, ..Deadlines::default() })
        }
        false => client.clone(),
    };
    let answer = client.exec_sync(id, command.to_vec(), timeout).await;
    if answer.as_ref().is_err_and(CriError::is_deadline) && !timeout.is_zero() {
        let (command, seconds) = (command.join(" "), timeout.as_secs());
        let words = format!("command timed out: {command:?} timed out after {seconds}s");
        return Err(Fail::Fatal(words));
    }
    let answer = answer?;
    let stderr = String::from_utf8_lossy(&answer.stderr);
    if answer.exit_code != 0 {
        let (command, code) = (command.join(" "), answer.exit_code);
        return Err(Fail::Fatal(format!("command '{command}' exited with {code}: {stderr}")));
    }
    print(&format!("{}\n{stderr}\n", String::from_utf8_lossy(&answer.stdout)))
}

pub(super) async fn port_forward(call: &Call) -> Result<()> {
    let [id, ports @ ..] = call.line.arguments.as_slice() else { return Err(Fail::Help) };
    if ports.is_empty() {
        return Err(Fail::Help);
    }
    let ports: std::result::Result<Vec<Ports>, String> =
        ports.iter().map(|port| port.parse()).collect();
    let ports = ports.map_err(|words| Fail::Fatal(format!("port forward: {words}")))?;
    let client = reach::client(call).await?;
    let tls = tls(call)?;
    let forwarded = async {
        let streamer = streamer(call, &client, tls).tried("get dialer")?;
        let route = match (call.line.is_set("transport"), transport(call)?) {
            // The pod's own network where it is on this machine, which does what TCP does.
            (false, _) => Route::Auto,
            (true, Transport::WebSocket) => Route::WebSocket,
            (true, _) => Route::Spdy,
        };
        let forwarder = streamer.forward(id, route).await?;
        port_forward::until_it_ends(forwarder, &ports, &[]).await?;
        Err(Fail::fatal("lost connection to pod"))
    };
    let start = |kind| signal(kind).map_err(|error| Fail::Fatal(error.to_string()));
    let (mut interrupt, mut terminate) =
        (start(SignalKind::interrupt())?, start(SignalKind::terminate())?);
    tokio::select! {
        ended = forwarded => ended.tried("port forward"),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
