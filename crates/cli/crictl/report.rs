//! What went wrong, as crictl tells it: a line of logrus on stderr and status 1.

use std::fmt::Write as _;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use crilet_cri::CriError;
use nix::errno::Errno;

use crate::output;

/// What is said of what a signal has ended.
pub(super) const INTERRUPTED: &str = "interrupted: context canceled";

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Fail {
    /// With these words.
    Fatal(String),
    /// The line is not what the command takes: its help is shown, and that is no failure.
    Help,
    /// With words that stand alone, and a status.
    Exit(String, u8),
    /// All has been said.
    Told(ExitCode),
}

impl Fail {
    pub(super) fn fatal(words: impl Into<String>) -> Self {
        Self::Fatal(words.into())
    }

    /// There is no such command.
    pub(super) fn no_topic(name: &str) -> Self {
        Self::Exit(format!("No help topic for '{name}'"), 3)
    }

    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Fatal(words) => {
                log(Level::Fatal, &words);
                ExitCode::FAILURE
            }
            Self::Help => ExitCode::SUCCESS,
            Self::Exit(words, code) => {
                output::say(&words);
                ExitCode::from(code)
            }
            Self::Told(code) => code,
        }
    }
}

impl From<CriError> for Fail {
    fn from(error: CriError) -> Self {
        Self::Fatal(rpc(&error))
    }
}

/// Puts what was tried before what went wrong.
pub(super) trait Tried<T> {
    fn tried(self, what: impl std::fmt::Display) -> Result<T, Fail>;
}

impl<T, E: Into<Fail>> Tried<T> for Result<T, E> {
    fn tried(self, what: impl std::fmt::Display) -> Result<T, Fail> {
        self.map_err(|error| match error.into() {
            Fail::Fatal(words) => Fail::Fatal(format!("{what}: {words}")),
            other => other,
        })
    }
}

/// An error of the runtime in the words of grpc-go.
pub(super) fn rpc(error: &CriError) -> String {
    let status = |code: &str, words: &str| format!("rpc error: code = {code} desc = {words}");
    match error {
        CriError::Call { code, message, .. } => status(&code.to_string(), message),
        CriError::Interrupted { .. } => INTERRUPTED.to_owned(),
        CriError::Deadline { .. } => status("DeadlineExceeded", "context deadline exceeded"),
        CriError::Connect { endpoint, cause } => {
            let path = endpoint.path().display();
            let cause = kernel_words(cause);
            let words =
                format!("transport: Error while dialing: dial unix {path}: connect: {cause}");
            status("Unavailable", &format!("connection error: desc = {words:?}"))
        }
        other => status("Unavailable", &crilet_core::ErrorChain(other).to_string()),
    }
}

/// What the kernel said, as Go writes it: in small letters and without its number. The C library of a static
/// build has other words for some of it.
pub(super) fn kernel_words(error: &io::Error) -> String {
    let number = error.raw_os_error().map(Errno::from_raw);
    if let Some((_, words)) = GO_WORDS.iter().find(|(known, _)| Some(*known) == number) {
        return (*words).to_owned();
    }
    let words = error.to_string();
    match words.split_once(" (os error") {
        Some((words, _)) => words.to_ascii_lowercase(),
        None => words,
    }
}

/// Go's words where musl's are others.
const GO_WORDS: [(Errno, &str); 12] = [
    (Errno::EADDRINUSE, "address already in use"),
    (Errno::EADDRNOTAVAIL, "cannot assign requested address"),
    (Errno::EBUSY, "device or resource busy"),
    (Errno::EDQUOT, "disk quota exceeded"),
    (Errno::EIO, "input/output error"),
    (Errno::ELOOP, "too many levels of symbolic links"),
    (Errno::EMFILE, "too many open files"),
    (Errno::ENAMETOOLONG, "file name too long"),
    (Errno::ENOMEM, "cannot allocate memory"),
    (Errno::ENOTSOCK, "socket operation on non-socket"),
    (Errno::ENOTTY, "inappropriate ioctl for device"),
    (Errno::ETIMEDOUT, "connection timed out"),
];

/// How much a word weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warning,
    Error,
    Fatal,
}

/// Says something on stderr, as logrus does: with colours on a terminal, as `key=value` elsewhere.
pub(super) fn log(level: Level, words: &str) {
    let (name, short, color) = match level {
        Level::Info => ("info", "INFO", 36),
        Level::Warning => ("warning", "WARN", 33),
        Level::Error => ("error", "ERRO", 31),
        Level::Fatal => ("fatal", "FATA", 31),
    };
    if io::stderr().is_terminal() {
        output::say(&format!("\x1b[{color}m{short}\x1b[0m[0000] {words}"));
    } else {
        let time = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let time =
            time.strip_suffix("+00:00").map_or_else(|| time.clone(), |utc| format!("{utc}Z"));
        output::say(&format!("time={time:?} level={name} msg={}", quoted(words)));
    }
}

/// As Go quotes a text; words that need no quotes have none.
fn quoted(words: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/@^+".contains(letter);
    if !words.is_empty() && words.chars().all(plain) {
        return words.to_owned();
    }
    let mut out = String::from("\"");
    for letter in words.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if letter.is_control() => {
                write!(out, "\\x{:02x}", u32::from(letter)).unwrap_or_default()
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_said_has_gos_words_with_any_c_library() {
        let others = [
            (Errno::ENOENT, "no such file or directory"),
            (Errno::EACCES, "permission denied"),
            (Errno::EISDIR, "is a directory"),
            (Errno::ENOTDIR, "not a directory"),
            (Errno::ECONNREFUSED, "connection refused"),
            (Errno::ECONNRESET, "connection reset by peer"),
        ];
        for (number, words) in GO_WORDS.into_iter().chain(others) {
            let error = io::Error::from_raw_os_error(number as i32);
            assert_eq!(kernel_words(&error), words);
        }
    }
}
