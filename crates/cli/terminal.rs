//! The terminal in raw mode, and out of it again on every way out.
//!
//! ```text
//! as found ── enter ──▶ raw ── drop, panic, signal ──▶ as found
//! ```
//!
//! What ends the process passes one of them: returning drops the guard, signals that end a process make
//! the session return ([`crate::session`]), and a panic, which aborts, runs the hook first. SIGKILL
//! cannot be helped.

use std::{
    io,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crilet_stream::TerminalSize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::output;

/// A screen of our own, without a cursor, and back to what was there before (xterm's ctlseqs).
const ENTER_SCREEN: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE_SCREEN: &str = "\x1b[?25h\x1b[?1049l";

/// How the terminal was found, while it is another way.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether there is a screen of our own.
static ON_SCREEN: AtomicBool = AtomicBool::new(false);

/// The terminal of stdin is raw while this is there.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Every key is passed on as it is, and nothing is echoed.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let former = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                former(panic);
            }));
        });
        let found = tcgetattr(io::stdin())?;
        let mut raw = found.clone();
        cfmakeraw(&mut raw);
        *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self(()))
    }
}

/// The whole terminal is ours while this is there.
#[derive(Debug)]
pub(crate) struct FullScreen {
    _raw: Raw,
}

impl FullScreen {
    /// A raw terminal, and an empty screen on it.
    pub(crate) fn enter() -> io::Result<Self> {
        let raw = Raw::enter()?;
        ON_SCREEN.store(true, Ordering::Relaxed);
        output::data(ENTER_SCREEN)?;
        Ok(Self { _raw: raw })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if ON_SCREEN.swap(false, Ordering::Relaxed) {
        output::data(LEAVE_SCREEN).unwrap_or_default();
    }
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(found) = found {
        // A terminal that is gone needs no restoring.
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &found).unwrap_or_default();
    }
}

/// Columns and rows of the terminal that a person looks at.
pub(crate) fn size() -> Option<TerminalSize> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())
        .or_else(|| terminal_size::terminal_size_of(io::stdin()))?;
    Some(TerminalSize { width: width.0, height: height.0 })
}
