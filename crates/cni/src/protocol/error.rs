//! Errors as the specification has them.

use std::{error::Error, fmt};

use crilet_core::ErrorChain;
use serde_json::json;

/// Numbers of the specification's errors, and 999, which the reference library gives to all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The version of the configuration is none that the plugin speaks.
    IncompatibleVersion,
    /// A field is not supported, or its value is not.
    UnsupportedField,
    /// The container is unknown; nothing needs to be taken away.
    UnknownContainer,
    /// A variable of the environment is missing or wrong.
    InvalidEnvironment,
    /// Reading or writing failed.
    Io,
    /// The configuration is no JSON.
    Decode,
    /// The configuration is JSON, but not one that the plugin can use.
    InvalidConfig,
    /// The pod's network namespace cannot be used.
    InvalidNamespace,
    /// The caller should try again later.
    TryLater,
    /// The plugin is not available.
    NotAvailable,
    /// The plugin is not available, and pods have limited connectivity.
    LimitedConnectivity,
    /// Anything else.
    Internal,
    /// A number that another plugin gave.
    Other(u32),
}

impl Code {
    /// The code of a number that another plugin gave.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        let known = [
            Self::IncompatibleVersion,
            Self::UnsupportedField,
            Self::UnknownContainer,
            Self::InvalidEnvironment,
            Self::Io,
            Self::Decode,
            Self::InvalidConfig,
            Self::InvalidNamespace,
            Self::TryLater,
            Self::NotAvailable,
            Self::LimitedConnectivity,
            Self::Internal,
        ];
        let found = known.into_iter().find(|code| code.number() == number);
        found.unwrap_or(Self::Other(number))
    }

    /// The number that stands in the error object.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::InvalidNamespace => 8,
            Self::TryLater => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::Internal => 999,
            Self::Other(number) => number,
        }
    }
}

/// Why a plugin did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// Kind of the failure.
    pub code: Code,
    /// What failed, and what to do.
    pub message: String,
    /// Causes; empty when the message says all.
    pub details: String,
}

impl PluginError {
    /// An error without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    /// An error of the kind that has no number of its own.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// A value of the configuration that cannot be used: `key` is its path, as `ipam.subnet`.
    #[must_use]
    pub fn config(key: &str, problem: impl fmt::Display) -> Self {
        Self::new(Code::InvalidConfig, format!("`{key}` {problem}"))
    }

    /// What was attempted, with the chain of causes below it.
    pub fn because(action: impl fmt::Display, cause: &(dyn Error + 'static)) -> Self {
        Self::internal(format!("failed to {action}: {}", ErrorChain(cause)))
    }

    /// Adds details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The error object as the reference library prints it: 4 blanks deep, without empty details.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = json!({ "code": self.code.number(), "msg": self.message });
        if !self.details.is_empty() {
            object["details"] = self.details.clone().into();
        }
        super::result::indented(&object)
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.details.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.details) }
    }
}

impl Error for PluginError {}

/// Joins the failures of a teardown that went on past them.
pub(crate) fn all(errors: Vec<PluginError>) -> Result<(), PluginError> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    let message = errors.fold(first.message, |message, error| format!("{message}; {error}"));
    Err(PluginError { message, ..first })
}
