use std::fmt;

use serde::{Deserialize, Serialize};

/// Why the daemon did not do what it was asked; the body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiError {
    /// What kind of error it is; stable, for programs.
    pub code: ErrorCode,
    /// What is wrong: a fragment in lower case without a period.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Everything that is wrong with manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Finding>,
}

/// Kinds of errors. A client treats one that it does not know as `internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ErrorCode {
    /// The request is not what the operation takes (400).
    BadRequest,
    /// No token, a wrong one, or no certificate (401).
    Unauthorized,
    /// No such operation (404).
    NoSuchPath,
    /// The path does not have this method (405).
    MethodNotAllowed,
    /// No such pod (404).
    NoSuchPod,
    /// The pod has no such container (404).
    NoSuchContainer,
    /// The container has no log, or none before the present one (404).
    NoLog,
    /// A file of the user's says what the pod is; the API cannot change that (409).
    OwnedByFile,
    /// It cannot be done while the pod is as it is (409).
    Conflict,
    /// The request is larger than what is read (413).
    TooLarge,
    /// The manifests cannot be used; `details` says why (422).
    InvalidManifest,
    /// The container runtime refused or failed (502).
    RuntimeFailed,
    /// The container runtime or the daemon is not there at the moment (503).
    Unavailable,
    /// A fault of the daemon (500).
    #[serde(other)]
    Internal,
}

/// One thing that is wrong in a manifest, at its place.
///
/// Displays as `FILE:LINE:COLUMN: PATH: MESSAGE`, followed by the source line of a syntax error
/// and a line with the hint, each indented by two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Whether it stops the manifest from being used.
    pub severity: Severity,
    /// The file as the client named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The field; empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The source line with a caret below the place, for syntax errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

/// Whether a finding stops a manifest from being used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Severity {
    /// It does.
    #[default]
    Error,
    /// It can be used, but probably not as its writer thinks.
    Warning,
}

impl ApiError {
    /// An error without hint and details; the methods below add them.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, details: Vec::new() }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what is wrong with manifests.
    #[must_use]
    pub fn details(mut self, details: Vec<Finding>) -> Self {
        self.details = details;
        self
    }

    /// There is no such pod.
    pub fn no_such_pod(pod: &impl fmt::Display) -> Self {
        Self::new(ErrorCode::NoSuchPod, format!("no pod `{pod}`"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{file}:")?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(formatter, "{line}:{column}:")?;
            }
            write!(formatter, " ")?;
        }
        if self.severity == Severity::Warning {
            write!(formatter, "warning: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        write!(formatter, "{}", self.message)?;
        for line in self.snippet.iter().flat_map(|snippet| snippet.lines()) {
            write!(formatter, "\n  {line}")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(formatter, "\n  hint: {hint}"))
    }
}
