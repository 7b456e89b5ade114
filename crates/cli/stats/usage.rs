//! What a pod or a container uses, as it is shown. Pure.

use serde::Serialize;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A pod or a container, and what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measured {
    /// `namespace/pod` or `namespace/pod/container`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The id of the sandbox or the container.
    pub(crate) id: String,
    /// How often it was started again; of a pod, all of its containers.
    pub(crate) restarts: u32,
    /// What it uses.
    #[serde(flatten)]
    pub(crate) usage: Usage,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A pod.
    Pod,
    /// A container.
    Container,
}

/// What something uses; what neither runtime nor kernel tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Processor time since the beginning, and when that was read; nanoseconds, the latter since 1970.
    #[serde(skip)]
    pub(crate) cpu_time: Option<(u64, i64)>,
    /// Processors in use, in 10^-9: 500,000,000 is one half of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_nanocores: Option<u64>,
    /// The working set: memory that cannot be given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<u64>,
    /// As much as it may be; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_limit_bytes: Option<u64>,
    /// Processes, as the kernel counts them: threads, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<u64>,
    /// The pod's network; absent for containers and on the host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<Network>,
}

/// Counters of all interfaces of a pod but the loopback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    /// Bytes that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_bytes: Option<u64>,
    /// Bytes that went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_bytes: Option<u64>,
    /// Bytes that came in a second, since the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_bytes_per_second: Option<u64>,
    /// Bytes that went in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_bytes_per_second: Option<u64>,
}

impl Measured {
    /// Whether a second look would tell what one alone cannot: how much processor is used.
    pub(crate) fn wants_another(&self) -> bool {
        self.usage.cpu_nanocores.is_none() && self.usage.cpu_time.is_some()
    }
}

impl Usage {
    /// Fills in what is missing here and known there.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            cpu_time: self.cpu_time.or(other.cpu_time),
            cpu_nanocores: self.cpu_nanocores.or(other.cpu_nanocores),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            memory_limit_bytes: self.memory_limit_bytes.or(other.memory_limit_bytes),
            processes: self.processes.or(other.processes),
            network: self.network.or(other.network),
        }
    }

    /// What all of them use together; limits add up only where each has one.
    pub(crate) fn sum(all: &[Self]) -> Self {
        let sum =
            |of: fn(&Self) -> Option<u64>| all.iter().filter_map(of).reduce(u64::saturating_add);
        let limits: Option<Vec<u64>> = all.iter().map(|usage| usage.memory_limit_bytes).collect();
        Self {
            cpu_time: None,
            cpu_nanocores: sum(|usage| usage.cpu_nanocores),
            memory_bytes: sum(|usage| usage.memory_bytes),
            memory_limit_bytes: limits.filter(|all| !all.is_empty()).map(|all| all.iter().sum()),
            processes: sum(|usage| usage.processes),
            network: None,
        }
    }

    /// Tells rates, from what was read before. The runtime may give the same look twice: then the rates
    /// of before still hold.
    pub(crate) fn rate(&mut self, before: &Self, nanoseconds: u64) {
        if let (Some((used, now)), Some((then_used, then))) = (self.cpu_time, before.cpu_time) {
            self.cpu_nanocores = match u64::try_from(now - then) {
                Ok(0) | Err(_) => before.cpu_nanocores.or(self.cpu_nanocores),
                Ok(time) => Some(per_second(used.saturating_sub(then_used), time)),
            };
        }
        if let (Some(network), Some(before)) = (&mut self.network, before.network) {
            let rate = |now: Option<u64>, then: Option<u64>| {
                Some(per_second(now?.saturating_sub(then?), nanoseconds))
            };
            network.received_bytes_per_second = rate(network.received_bytes, before.received_bytes);
            network.sent_bytes_per_second = rate(network.sent_bytes, before.sent_bytes);
        }
    }

    /// Percent of one processor.
    pub(crate) fn cpu_text(&self) -> String {
        match self.cpu_nanocores {
            // Hundredths of a percent are 10^5 of a processor's 10^9.
            Some(nanocores) => {
                let tenths = nanocores / 1_000_000;
                format!("{}.{}", tenths / 10, tenths % 10)
            }
            None => "-".to_owned(),
        }
    }

    /// Percent of the memory that may be used.
    pub(crate) fn memory_share(&self) -> Option<f64> {
        let (used, limit) = (self.memory_bytes?, self.memory_limit_bytes.filter(|l| *l > 0)?);
        #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
        let share = used as f64 / limit as f64 * 100.0;
        Some(share)
    }
}

/// A count in so many nanoseconds as one in a second.
fn per_second(count: u64, nanoseconds: u64) -> u64 {
    let scaled = u128::from(count) * u128::from(SECOND) / u128::from(nanoseconds.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
