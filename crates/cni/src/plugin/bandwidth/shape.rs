//! From a limit to the numbers that the kernel takes.

use super::config::Limit;
use crate::kernel::TokenBucket;

/// How long a packet may wait for its turn, in microseconds.
const LATENCY: u64 = 25_000;
const SECOND: u64 = 1_000_000;

/// The part of a second whose traffic may pass at once when nobody chose a burst.
const UNCHOSEN_PART: u64 = 10;
/// And the least of it, in bytes: the largest packet that one send can give a link.
const UNCHOSEN_LEAST: u32 = 65_536;

/// The token bucket of a limit. Numbers are the reference's, whose arithmetic wraps around where
/// this stops at the largest number that the kernel takes.
pub(super) fn bucket(limit: Limit) -> TokenBucket {
    let Limit { rate, burst, is_unchosen } = limit;
    let chosen = || narrow(u128::from(rate / UNCHOSEN_PART)).max(UNCHOSEN_LEAST).min(burst);
    let burst = if is_unchosen { chosen() } else { burst };
    let microseconds = narrow(u128::from(burst) * u128::from(SECOND) / u128::from(rate));
    // 1000 ns are 15.625 ticks of 64 ns.
    let buffer = narrow(u128::from(microseconds) * 1000 / 64);
    let waiting = u128::from(rate) * u128::from(LATENCY) / u128::from(SECOND);
    TokenBucket { rate, limit: narrow(waiting + u128::from(burst)), buffer }
}

fn narrow(number: u128) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rate: u64, burst: u32, is_unchosen: bool) -> TokenBucket {
        bucket(Limit { rate, burst, is_unchosen })
    }

    /// Made by the reference plugin 1.1.1, read from the kernel.
    #[test]
    fn numbers_are_the_references() {
        let made = TokenBucket { rate: 1_000_000, limit: 125_000, buffer: 1_562_500 };
        assert_eq!(of(1_000_000, 100_000, false), made);
    }

    #[test]
    fn what_is_too_large_stops_at_the_largest() {
        let bucket = of(1000, u32::MAX - 1, false);
        assert_eq!((bucket.buffer, bucket.limit), (u32::MAX, u32::MAX));
    }

    #[test]
    fn a_burst_that_nobody_chose_is_a_tenth_of_a_second() {
        let burst = 0xffff_ffff / 8;
        assert_eq!(of(10_000_000, burst, true).limit, 1_250_000);
        assert_eq!(of(1000, burst, true).limit, UNCHOSEN_LEAST + 25);
        assert_eq!(of(u64::MAX, burst, true).limit, u32::MAX);
    }
}
