use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Calls `attempt` until it succeeds, with pauses that grow from 5 to 200 ms.
///
/// `attempt` fails with a description of what it saw instead; it is tried once more at the end of
/// `bound`.
///
/// # Errors
///
/// When `bound` has passed: with `what` and the last thing that was seen.
pub fn wait_until<T>(
    what: &str,
    bound: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    let mut pause = FIRST_PAUSE;
    loop {
        let late = Instant::now() >= deadline;
        match attempt() {
            Ok(value) => return Ok(value),
            Err(seen) if late => bail!("{what}: not within {bound:?}; last seen: {seen}"),
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_success_is_returned() {
        let mut calls = 0;
        let value = wait_until("three calls", Duration::from_secs(60), || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err(format!("{calls} calls")) }
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn failure_names_what_was_seen_last() {
        let result = wait_until("a door", Duration::ZERO, || Err::<(), _>("a wall".to_owned()));
        assert_eq!(result.unwrap_err().to_string(), "a door: not within 0ns; last seen: a wall");
    }
}
