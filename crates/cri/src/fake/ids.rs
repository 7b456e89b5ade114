//! Ids, times and addresses: the same in every run, so that output can be compared.

use std::time::{SystemTime, UNIX_EPOCH};

/// Above `pid_max` of every Linux (4194304), so that no process of the host is ever meant.
const FIRST_PID: u32 = 5_000_000;

/// Gives ids one after the other.
#[derive(Debug, Default)]
pub(super) struct Ids {
    given: u32,
    time: i64,
}

impl Ids {
    /// A new id as runtimes make them: 64 hexadecimal digits.
    pub(super) fn id(&mut self) -> String {
        self.given += 1;
        digest(&format!("id {}", self.given))
    }

    /// A process id that no process has.
    pub(super) fn pid(&self) -> u32 {
        FIRST_PID + self.given
    }

    /// An address of the pod network.
    pub(super) fn address(&self) -> String {
        let [_, _, third, fourth] = self.given.to_be_bytes();
        format!("10.88.{third}.{fourth}")
    }

    /// Now, in nanoseconds since 1970, and later than any time given before.
    pub(super) fn now(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        self.time = now.max(self.time + 1);
        self.time
    }
}

/// Spreads a text over 64 hexadecimal digits (splitmix64); looks like a digest and is none.
pub(super) fn digest(text: &str) -> String {
    let mut state = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        format!("{:016x}", word ^ (word >> 31))
    });
    words.take(4).collect()
}
