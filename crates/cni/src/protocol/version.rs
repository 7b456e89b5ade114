//! Versions of the specification.

use std::fmt;

use super::{Code, PluginError};

/// A version of the specification, from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the versions")]
pub enum Version {
    V0_1_0,
    V0_2_0,
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::V0_1_0,
        Self::V0_2_0,
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The newest one.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As configurations and results spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version that a configuration names; without a name it is the oldest. `spoken` are those
    /// that the plugin takes.
    ///
    /// # Errors
    /// With code 1 for any other.
    pub fn negotiate(text: &str, spoken: &[Self]) -> Result<Self, PluginError> {
        let wanted = if text.is_empty() { "0.1.0" } else { text };
        spoken.iter().copied().find(|version| version.as_str() == wanted).ok_or_else(|| {
            let list: Vec<_> = spoken.iter().map(|version| version.as_str()).collect();
            PluginError::new(Code::IncompatibleVersion, "incompatible CNI versions").details(
                format!(
                    "config is \"{wanted}\", plugin supports [\"{}\"]; set `cniVersion` to one of them",
                    list.join("\" \"")
                ),
            )
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
