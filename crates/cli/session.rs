//! A command elsewhere, joined to this process: its streams are ours, its end is ours.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    process::ExitCode,
};

use bytes::{Bytes, BytesMut};
use crilet_stream::{DetachKeys, Ending, Input, Output, Session, Terminal};
use nix::{
    libc,
    sys::signal::{Signal, raise},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    errors::CliError,
    output::{self, Stream},
    terminal::{self, Raw},
};

/// Bytes of standard input that are read at once.
const CHUNK: usize = 64 << 10;
/// Chunks that wait between threads.
const QUEUE: usize = 8;

/// How a session ended for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With the command's exit code.
    Ended(u8),
    /// The user left it to itself.
    Detached,
    /// What read standard output went away.
    Unread,
    /// By a signal to us, whose number this is.
    Signalled(u8),
}

impl Outcome {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.status())
    }

    /// Ends the process so, at once: all is written, and the kernel takes connections and memory apart
    /// faster than we would.
    pub(crate) fn leave(self) -> ! {
        std::process::exit(self.status().into())
    }

    fn status(self) -> u8 {
        match self {
            Self::Ended(code) => code,
            Self::Detached | Self::Unread => 0,
            Self::Signalled(number) => 128_u8.saturating_add(number),
        }
    }
}

/// Carries everything until the command ends, or we are made to leave.
///
/// The terminal is raw meanwhile if the session has one and takes input.
pub(crate) async fn run(session: Session, detach: DetachKeys) -> Result<Outcome, CliError> {
    let Session { stdin, stdout, stderr, terminal, ending } = session;
    // From before the terminal is changed, so that none leaves it so.
    let signalled = ending_signal()?;
    let is_raw = terminal.is_some() && stdin.is_some();
    let stops = is_raw.then(stops).transpose()?;
    let mut raw = is_raw.then(Raw::enter).transpose().map_err(CliError::Terminal)?;
    let has_terminal = terminal.is_some();
    let resizing = terminal.map(|terminal| tokio::spawn(keep_size(terminal)));
    let (left, leaving) = tokio::sync::oneshot::channel();
    let input = stdin.map(|input| {
        let detach = if has_terminal { Some(detach) } else { None };
        tokio::spawn(carry_input(input, detach, left))
    });
    let outcome = tokio::select! {
        ended = carry_output(stdout, stderr, ending) => ended,
        // Without input the sender is gone, which is no leaving.
        Ok(left) = leaving => left.map(|()| Outcome::Detached),
        number = signalled => Ok(Outcome::Signalled(number)),
        error = stay_through_stops(stops, &mut raw) => Err(error),
    };
    drop(raw);
    for task in resizing.into_iter().chain(input) {
        task.abort();
    }
    if outcome.as_ref().is_ok_and(|outcome| *outcome == Outcome::Detached) {
        output::say("detached");
    }
    outcome
}

/// Writes what the command writes until it ends.
async fn carry_output(
    stdout: Option<Output>,
    stderr: Option<Output>,
    ending: Ending,
) -> Result<Outcome, CliError> {
    let out = carry_one(stdout, Stream::Out);
    let err = carry_one(stderr, Stream::Err);
    // Nobody who reads what we say is no reason to stop; nobody who reads what we write is one at once.
    let words = async {
        drop(err.await);
        Ok::<_, io::Error>(())
    };
    match tokio::try_join!(out, words) {
        Ok(_) => Ok(Outcome::Ended(ending.wait().await?)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Unread),
        Err(error) => Err(CliError::Output(error)),
    }
}

async fn carry_one(output: Option<Output>, stream: Stream) -> io::Result<()> {
    let Some(mut output) = output else { return Ok(()) };
    // Many commands say nothing, and need no thread that writes it.
    let mut begun = None;
    while let Some(chunk) = output.read().await? {
        let (chunks, _) = begun.get_or_insert_with(|| {
            let (chunks, written) = mpsc::channel(QUEUE);
            (chunks, output::relay(stream, written))
        });
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    let Some((chunks, writer)) = begun else { return Ok(()) };
    drop(chunks);
    writer.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Hands standard input over until it ends, or the keys to leave are pressed, which is told.
async fn carry_input(
    mut input: Input,
    mut detach: Option<DetachKeys>,
    left: tokio::sync::oneshot::Sender<Result<(), CliError>>,
) {
    let mut chunks = read_stdin();
    while let Some(chunk) = chunks.recv().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                drop(left.send(Err(CliError::Input(error))));
                return;
            }
        };
        let (chunk, leave) = match &mut detach {
            None => (chunk, false),
            Some(keys) => {
                let mut onward = Vec::new();
                let leave = keys.pass(&chunk, &mut onward);
                (Bytes::from(onward), leave)
            }
        };
        if !chunk.is_empty() && input.write(chunk).await.is_err() {
            // The command does not read any more; how it ends is told elsewhere.
            return;
        }
        if leave {
            drop(left.send(Ok(())));
            return;
        }
    }
    input.close().await;
    // Held, so that the end of input is not taken for leaving.
    let () = std::future::pending().await;
    drop(left);
}

/// Reads standard input on a thread of its own, which nothing needs to wait for at the end.
pub(crate) fn read_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (chunks, received) = mpsc::channel(QUEUE);
    let read = move || {
        let opened = io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => return drop(chunks.blocking_send(Err(error))),
        };
        loop {
            let mut buffer = BytesMut::zeroed(CHUNK);
            let chunk = match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    buffer.truncate(read);
                    Ok(buffer.freeze())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    await_input(&file);
                    continue;
                }
                // A terminal that was hung up.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => return,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if chunks.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    };
    // Without a thread there is no input: the channel is closed.
    drop(std::thread::Builder::new().name("stdin".into()).spawn(read));
    received
}

/// Whoever started us may have made standard input non-blocking.
fn await_input(file: &std::fs::File) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut wanted = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut wanted, PollTimeout::NONE).map(drop).unwrap_or_default();
}

/// Tells the command how large the terminal is, now and whenever it changes.
async fn keep_size(mut terminal: Terminal) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Some(size) = terminal::size() {
            terminal.resize(size).await;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// Catches the signals that would end us, from now on; what is given waits for one, and gives its number.
pub(crate) fn ending_signal() -> Result<impl Future<Output = u8>, CliError> {
    let catch = |kind| signal(kind).map_err(|cause| CliError::Start { cause });
    let mut hangup = catch(SignalKind::hangup())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut quit = catch(SignalKind::quit())?;
    let mut terminate = catch(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = hangup.recv() => 1,
            _ = interrupt.recv() => 2,
            _ = quit.recv() => 3,
            _ = terminate.recv() => 15,
        }
    })
}

/// Catches what a terminal's Ctrl-Z sends to a program that is not raw, from now on.
pub(crate) fn stops() -> Result<tokio::signal::unix::Signal, CliError> {
    signal(SignalKind::from_raw(libc::SIGTSTP)).map_err(|cause| CliError::Start { cause })
}

/// Gives the terminal back while we are stopped, and takes it again afterwards. Ends by failing only.
async fn stay_through_stops(
    stops: Option<tokio::signal::unix::Signal>,
    raw: &mut Option<Raw>,
) -> CliError {
    // Without a raw terminal a stop is like any other program's.
    let Some(mut stops) = stops else { return std::future::pending().await };
    loop {
        stops.recv().await;
        *raw = None;
        // Stands still here until somebody lets us go on.
        raise(Signal::SIGSTOP).unwrap_or_default();
        match Raw::enter() {
            Ok(entered) => *raw = Some(entered),
            Err(error) => return CliError::Terminal(error),
        }
    }
}
