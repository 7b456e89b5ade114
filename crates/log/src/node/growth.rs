//! When to look at a log again, from how fast it grows.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    format::{parse, parse_time},
    read::{LogFile, Snapshot, first_since, place_in_file},
};

/// What the fastest container that is reckoned with writes, bytes a second.
const BURST: u64 = 300 << 20;
/// Between two looks, at least: what the kernel and the runtime need to do what a look decides.
const SHORTEST: Duration = Duration::from_millis(4);
/// Between two looks at a log that grows, at most.
const LONGEST: Duration = Duration::from_secs(1);
/// Looks without growth after which a log is silent.
const SILENT: u32 = 2;

/// How a log grows.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    size: u64,
    at: Instant,
    /// Bytes a second between the last two looks.
    rate: u64,
    still: u32,
}

impl Growth {
    /// The first look.
    pub fn new(size: u64, at: Instant) -> Self {
        Self { size, at, rate: 0, still: 0 }
    }

    /// A further look. A log that is smaller than it was is another one.
    pub fn look(&mut self, size: u64, at: Instant) {
        let passed = at.saturating_duration_since(self.at);
        let grown = size.checked_sub(self.size).unwrap_or(size);
        let milliseconds = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.rate = grown.saturating_mul(1000) / milliseconds;
        self.still = if grown == 0 { self.still.saturating_add(1) } else { 0 };
        (self.size, self.at) = (size, at);
    }

    /// Bytes a second, as last measured.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Size at the last look, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that it grows by between two looks, if it goes on as it does.
    pub(crate) fn soon(&self) -> u64 {
        self.rate / 10
    }

    /// Whether it has stopped growing, so that the next write may tell when to look again.
    pub fn is_silent(&self) -> bool {
        self.still >= SILENT
    }

    /// When to look again so that the log does not pass one and a half times its limit, even if it
    /// begins to grow as fast as a container can write; and soon before it reaches the limit, if it
    /// goes on as it does.
    pub fn next_look(&self, limit: u64) -> Duration {
        let most = limit.saturating_add(limit / 2);
        // Half of the way: the other half is for whoever is late.
        let burst = time_for(most.saturating_sub(self.size) / 2, BURST);
        let expected = match self.rate {
            0 => LONGEST,
            rate => time_for(limit.saturating_sub(self.size), rate),
        };
        burst.min(expected).clamp(SHORTEST, LONGEST)
    }
}

fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000 / 1024) / (rate / 1024).max(1))
}

/// Bytes a second that a log grew by over the last `window`, from the times of its own lines.
pub fn rate_of(log: &LogFile, now: i64, window: Duration) -> Option<u64> {
    let snapshot = Snapshot::take(log).ok()?;
    let file = snapshot.live?;
    let length = file.metadata().ok()?.len();
    let window = i64::try_from(window.as_nanos()).ok()?;
    let since = now.saturating_sub(window);
    let place = place_in_file(&file, length, since).ok()?;
    let place = first_since(&file, place, since).ok()?.unwrap_or(length);
    let seconds = u64::try_from(window / 1_000_000_000).ok()?.max(1);
    Some(length.saturating_sub(place) / seconds)
}

/// When the first line of a log's live file was written, nanoseconds since 1970.
pub(crate) fn first_time(log: &LogFile) -> Option<i64> {
    let mut head = [0; 256];
    let file = log.directory().open_file(log.name()).ok()?;
    let read = std::os::unix::fs::FileExt::read_at(&file, &mut head, 0).ok()?;
    let line = head.get(..read)?.split(|byte| *byte == b'\n').next()?;
    parse_time(parse(line)?.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn the_next_look_follows_from_the_rate() {
        let start = Instant::now();
        let mut growth = Growth::new(0, start);
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        growth.look(0, after(100));
        assert!(!growth.is_silent());
        growth.look(0, after(200));
        assert!(growth.is_silent());
        assert!(growth.next_look(10 * MIB) <= Duration::from_millis(50), "it may burst");
        assert_eq!(growth.next_look(1 << 40), LONGEST);
        growth.look(5 * MIB, after(250));
        assert_eq!((growth.rate() / MIB, growth.is_silent()), (100, false));
        assert!(growth.next_look(10 * MIB) <= Duration::from_millis(36));
        growth.look(9 * MIB + MIB / 2, after(295));
        let next = growth.next_look(10 * MIB);
        assert!(next <= Duration::from_millis(5) && next >= SHORTEST, "{next:?}");
        growth.look(MIB, after(300));
        assert_eq!(growth.rate() / MIB, 200, "it was rotated, and has grown to this since");
    }

    /// Whatever a writer does between looks, up to what one can, it stays below the mark.
    #[tokio::test(start_paused = true)]
    async fn a_burst_at_any_moment_stays_below_the_mark() {
        let limit = 10 * MIB;
        for size in (0..limit).step_by(100_000) {
            let growth = Growth::new(size, Instant::now());
            let wait = growth.next_look(limit);
            let grown = BURST * u64::try_from(wait.as_micros()).unwrap() / 1_000_000;
            assert!(size + grown < limit + limit / 2, "{size} grows by {grown} in {wait:?}");
        }
    }
}
