//! `crilet top`: what pods and containers use, on the whole terminal.
//!
//! ```text
//! sampler (a task) ──▶ what was measured ─┐
//! keys (a thread) ──▶ what is wanted ─────┼──▶ view ──▶ terminal
//! size, signals ──────────────────────────┘
//! ```

mod backend;
mod keys;
mod model;
#[cfg(test)]
mod tests;
mod view;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use nix::sys::signal::{Signal, raise};
use ratatui::Terminal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::{
    backend::Ansi,
    keys::Key,
    model::{Column, Model, Next},
};
use crate::{
    connect,
    errors::CliError,
    global::Global,
    output, session,
    stats::{sample::Sampler, usage::Measured},
    terminal::FullScreen,
    values,
};

/// Options of `crilet top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: j k, arrows, PgUp PgDn, g G move; s or < > choose the column to sort by, c m n p \
                        that of processors, memory, names or processes, r turns it around; / filters by \
                        name, Esc takes that back; Tab shows containers only; q or Ctrl-C leaves."
)]
pub(crate) struct TopArgs {
    /// Only these: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], an id or its beginning
    #[arg(value_name = "POD[/CONTAINER]")]
    names: Vec<String>,
    /// What to sort by
    #[arg(short, long, value_enum, value_name = "COLUMN", default_value_t = Column::Cpu)]
    sort: Column,
    /// Time between two looks, such as 500ms or 5s
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = values::duration)]
    interval: Duration,
}

/// Keys that were pressed, as they come.
type Keys = mpsc::Receiver<io::Result<Bytes>>;
type Looks = mpsc::Receiver<Result<Vec<Measured>, CliError>>;

/// Shows what is used until the user leaves.
pub(crate) async fn run(global: &Global, args: TopArgs) -> Result<ExitCode, CliError> {
    if !io::stdin().is_terminal() || !output::can_redraw() {
        return Err(CliError::NoScreen);
    }
    let client = connect::client(global).await?;
    let mut sampler = Sampler::new(client);
    // What is wrong from the start is told where it can be read.
    let measured = sampler.measure(&args.names).await?;
    let mut model = Model::new(args.sort, connect::wants_color());
    model.take(measured);
    let (sender, looks) = mpsc::channel(1);
    let looking = tokio::spawn(look(sampler, args, sender));
    let ended = show(model, looks).await;
    looking.abort();
    ended
}

/// Measures again and again, whether anybody presses keys or not.
async fn look(
    mut sampler: Sampler,
    args: TopArgs,
    sender: mpsc::Sender<Result<Vec<Measured>, CliError>>,
) {
    // A short time to the second look: before it nothing is known of processors.
    let mut pause = args.interval.min(Duration::from_millis(500));
    loop {
        tokio::time::sleep(pause).await;
        pause = args.interval;
        if sender.send(sampler.measure(&args.names).await).await.is_err() {
            return;
        }
    }
}

async fn show(mut model: Model, mut looks: Looks) -> Result<ExitCode, CliError> {
    let failed = |cause| CliError::Start { cause };
    let mut sizes = signal(SignalKind::window_change()).map_err(failed)?;
    let mut stops = session::stops()?;
    let mut ending = std::pin::pin!(session::ending_signal()?);
    let backend = Ansi::new(output::screen().map_err(CliError::Output)?);
    // Goes last, so that nothing is drawn on what was there before.
    let mut screen = Some(FullScreen::enter().map_err(CliError::Terminal)?);
    let mut terminal = Terminal::new(backend).map_err(CliError::Terminal)?;
    let mut keys: Keys = session::read_stdin();
    loop {
        terminal.draw(|frame| view::draw(frame, &mut model)).map_err(CliError::Terminal)?;
        crilet_core::failpoint::pass("top-drawn");
        let next = tokio::select! {
            pressed = keys.recv() => match pressed {
                Some(Ok(bytes)) => press(&mut model, &bytes),
                // The terminal went away.
                Some(Err(_)) | None => Next::Leave,
            },
            Some(look) = looks.recv() => {
                take(&mut model, look)?;
                Next::Stay
            }
            _ = sizes.recv() => Next::Stay,
            _ = stops.recv() => Next::Pause,
            number = &mut ending => {
                return Ok(ExitCode::from(128_u8.saturating_add(number)));
            }
        };
        match next {
            Next::Stay => {}
            Next::Leave => return Ok(ExitCode::SUCCESS),
            Next::Pause => {
                drop(screen.take());
                // Stands still here until somebody lets us go on.
                raise(Signal::SIGSTOP).unwrap_or_default();
                screen = Some(FullScreen::enter().map_err(CliError::Terminal)?);
                terminal.clear().map_err(CliError::Terminal)?;
            }
        }
    }
}

fn press(model: &mut Model, bytes: &[u8]) -> Next {
    let keys: Vec<Key> = keys::read(bytes);
    let next = keys.into_iter().map(|key| model.press(key));
    next.reduce(|one, other| if one == Next::Stay { other } else { one }).unwrap_or(Next::Stay)
}

/// A runtime that is away, and a pod that is gone, may come back.
fn take(model: &mut Model, look: Result<Vec<Measured>, CliError>) -> Result<(), CliError> {
    match look {
        Ok(measured) => model.take(measured),
        Err(CliError::Runtime(error)) if error.is_unreachable() => {
            model.note("the runtime is away");
        }
        Err(error @ (CliError::Find(_) | CliError::NoContainer { .. })) => {
            model.take(Vec::new());
            model.note(&error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
