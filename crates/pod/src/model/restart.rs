use std::{fmt, time::Duration};

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// However it ended.
    #[default]
    Always,
    /// Unless it ended with status 0.
    OnFailure,
    /// Never.
    Never,
}

/// A container's own rule about certain exit codes; the first that fits counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartRule {
    /// What is done.
    pub action: RestartAction,
    /// Whether the rule is for these codes or for all others.
    pub within: bool,
    /// The codes.
    pub codes: Vec<i32>,
}

/// What a [`RestartRule`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartAction {
    /// Start this container again.
    Restart,
    /// Start the whole pod again, init containers included, in the same sandbox.
    RestartAllContainers,
}

/// What follows from a container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartVerdict {
    /// It stays as it is.
    Stay,
    /// It is started again.
    Restart,
    /// All containers of its pod are started again.
    RestartAll,
}

/// How long restarts wait: the first is immediate, then `initial`, doubled each time up to `max`;
/// a container that ran for `reset` begins anew.
///
/// Invariant: `0 < initial <= max`, `reset > 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    reset: Duration,
}

/// Why three durations are no [`Backoff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackoff {
    /// Restarting without a pause is no backoff.
    #[error("a backoff and the time that resets it are more than nothing")]
    Zero,
    /// It could never grow to its maximum.
    #[error("the first backoff is longer than the longest")]
    Order,
}

impl RestartPolicy {
    /// Whether a container that ended with this code is started again.
    pub fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Always => "Always",
            Self::OnFailure => "OnFailure",
            Self::Never => "Never",
        })
    }
}

impl RestartRule {
    /// Whether the rule is about this exit code.
    pub fn fits(&self, exit_code: i32) -> bool {
        self.codes.contains(&exit_code) == self.within
    }
}

impl Backoff {
    /// The kubelet's: 10 s, at most 5 min, forgotten after 10 min (`pkg/kubelet/kubelet.go`).
    pub const DEFAULT: Self = Self {
        initial: Duration::from_secs(10),
        max: Duration::from_secs(300),
        reset: Duration::from_secs(600),
    };

    /// A backoff that keeps the invariant.
    ///
    /// # Errors
    /// [`InvalidBackoff`] when the durations do not keep it.
    pub fn try_new(
        initial: Duration,
        max: Duration,
        reset: Duration,
    ) -> Result<Self, InvalidBackoff> {
        if initial.is_zero() || reset.is_zero() {
            return Err(InvalidBackoff::Zero);
        }
        if initial > max {
            return Err(InvalidBackoff::Order);
        }
        Ok(Self { initial, max, reset })
    }

    /// The pause before the second restart; the first has none.
    pub fn initial(self) -> Duration {
        self.initial
    }

    /// The longest pause.
    pub fn max(self) -> Duration {
        self.max
    }

    /// How long a container has to run for its earlier ends to be forgotten.
    pub fn reset(self) -> Duration {
        self.reset
    }

    /// The pause before a restart when `restarts` have gone before it since the last reset.
    pub fn delay(self, restarts: u32) -> Duration {
        let Some(doublings) = restarts.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_from_the_second_restart_on() {
        let delays: Vec<_> =
            (0..8).map(|restarts| Backoff::DEFAULT.delay(restarts).as_secs()).collect();
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(Backoff::DEFAULT.delay(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn what_could_not_work_is_refused() {
        let seconds = Duration::from_secs;
        assert_eq!(Backoff::try_new(seconds(0), seconds(1), seconds(1)), Err(InvalidBackoff::Zero));
        assert_eq!(Backoff::try_new(seconds(1), seconds(1), seconds(0)), Err(InvalidBackoff::Zero));
        let order = Backoff::try_new(seconds(2), seconds(1), seconds(1));
        assert_eq!(order, Err(InvalidBackoff::Order));
        assert!(Backoff::try_new(seconds(1), seconds(1), seconds(1)).is_ok());
    }

    #[test]
    fn a_rule_is_for_its_codes_or_for_all_others() {
        let rule = |within| RestartRule { action: RestartAction::Restart, within, codes: vec![42] };
        assert!(rule(true).fits(42) && !rule(true).fits(1));
        assert!(!rule(false).fits(42) && rule(false).fits(1));
    }
}
