//! Plain words for what runtimes tell in numbers.

use nix::sys::signal::Signal;

/// Reasons that say no more than the exit code does.
const PLAIN: [&str; 3] = ["", "Completed", "Error"];
/// Exit codes from here on are 128 + the number of a signal.
const SIGNALS: i32 = 128;

/// How a container's process ended: its exit code, the runtime's reason and message.
pub(crate) fn ended(code: i32, reason: &str, message: &str) -> String {
    let what = match (reason, code) {
        ("OOMKilled", _) => "killed: it used more memory than it may".to_owned(),
        ("StartError" | "ContainerCannotRun", _) => "it could not be started".to_owned(),
        (_, 0) => "ended well".to_owned(),
        (_, 126) => "its command cannot be run".to_owned(),
        (_, 127) => "its command was not found".to_owned(),
        (_, code) => match Signal::try_from(code - SIGNALS) {
            Ok(Signal::SIGKILL) => "killed (SIGKILL)".to_owned(),
            Ok(Signal::SIGTERM) => "told to end (SIGTERM)".to_owned(),
            Ok(signal @ (Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGABRT)) => {
                format!("crashed ({signal})")
            }
            Ok(signal) => format!("ended by {signal}"),
            Err(_) => "failed".to_owned(),
        },
    };
    let reason = if PLAIN.contains(&reason) { String::new() } else { format!(", {reason}") };
    let message = match message.trim() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    format!("{what}, exit code {code}{reason}{message}")
}

/// Words as a shell would take them.
pub(super) fn command(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Tenths of 10^6 bytes, as registries count; of 10^3 for what is small.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::megabytes;

    #[test]
    fn what_is_small_is_not_nothing() {
        let shown = [0, 1_234, 99_999, 100_000, 2_190_000].map(megabytes);
        assert_eq!(shown, ["0.0 kB", "1.2 kB", "99.9 kB", "0.1 MB", "2.1 MB"]);
    }
}
