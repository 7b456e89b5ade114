//! The configuration, checked.

use serde::Deserialize;

use crate::protocol::{Call, PluginError};

/// Rates and bursts as they are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ingress_rate: Option<u64>,
    ingress_burst: Option<u64>,
    egress_rate: Option<u64>,
    egress_burst: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Outer {
    runtime_config: Runtime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runtime {
    bandwidth: Option<Keys>,
}

/// From this on a burst of the runtime is none that anybody chose, in bits: containerd gives this
/// very number, CRI-O one eight times as large, with which a limit bites after half a gigabyte.
const UNCHOSEN: u64 = 0xffff_ffff;

/// A limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// Bytes a second; never 0.
    pub(super) rate: u64,
    /// Bytes that may pass at once; never 0.
    pub(super) burst: u32,
    /// Nobody chose the burst.
    pub(super) is_unchosen: bool,
}

impl Limit {
    /// With the burst as it is written.
    pub(super) fn literal(self) -> Self {
        Self { is_unchosen: false, ..self }
    }
}

/// What the plugin is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Config {
    /// Of what the pod receives.
    pub(super) ingress: Option<Limit>,
    /// Of what the pod sends.
    pub(super) egress: Option<Limit>,
}

impl Config {
    /// Reads the network's keys or, when it has none, the runtime's.
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let own: Keys = call.config()?;
        let outer: Outer = call.config()?;
        let is_own = own != Keys::default();
        let keys = if is_own { own } else { outer.runtime_config.bandwidth.unwrap_or_default() };
        let prefix = if is_own { "" } else { "runtimeConfig.bandwidth." };
        let limit = |direction: &str, rate, burst| Pair { prefix, direction, rate, burst }.limit();
        Ok(Self {
            ingress: limit("ingress", keys.ingress_rate, keys.ingress_burst)?,
            egress: limit("egress", keys.egress_rate, keys.egress_burst)?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

/// The two keys of a direction, in bits.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    prefix: &'a str,
    direction: &'a str,
    rate: Option<u64>,
    burst: Option<u64>,
}

impl Pair<'_> {
    fn key(&self, what: &str) -> String {
        format!("{}{}{what}", self.prefix, self.direction)
    }

    fn limit(self) -> Result<Option<Limit>, PluginError> {
        let (rate, burst) = (self.rate.unwrap_or(0), self.burst.unwrap_or(0));
        let (rate_key, burst_key) = (self.key("Rate"), self.key("Burst"));
        let needs = |key: &str, other: &str| {
            Err(PluginError::config(key, format_args!("is set, so `{other}` must also be set")))
        };
        match (rate, burst) {
            (0, 0) => return Ok(None),
            (_, 0) => return needs(&rate_key, &burst_key),
            (0, _) => return needs(&burst_key, &rate_key),
            _ => {}
        }
        if rate < 8 {
            let problem = format!("is {rate}, but must be at least 8 bits a second");
            return Err(PluginError::config(&rate_key, problem));
        }
        let bytes = u32::try_from(burst / 8).ok().filter(|bytes| (1..u32::MAX).contains(bytes));
        let Some(bytes) = bytes else {
            let problem =
                format!("is {burst}, but must be from 8 to {} bits", 8 * u64::from(u32::MAX) - 1);
            return Err(PluginError::config(&burst_key, problem));
        };
        let is_unchosen = !self.prefix.is_empty() && burst >= UNCHOSEN;
        Ok(Some(Limit { rate: rate / 8, burst: bytes, is_unchosen }))
    }
}
