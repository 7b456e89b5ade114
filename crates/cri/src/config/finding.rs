//! What is wrong with configuration files, collected instead of stopping at the first.

use std::{
    collections::HashSet,
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use crilet_core::yaml::{ParseError, Position};

use super::Strictness;

/// Whether a finding stops the files from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// The files can be used, but probably not as their writer thinks.
    Warning,
}

/// One thing that is wrong, at its place.
///
/// Displays as `FILE:LINE:COLUMN: PATH: MESSAGE`, followed by the source line of a syntax error
/// and a line with the hint, each indented by two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was named, `<stdin>` for standard input; nothing if it concerns no single
    /// file.
    pub file: Option<PathBuf>,
    /// Line and column; nothing if it concerns the file as a whole.
    pub position: Option<Position>,
    /// The field in the CRI's own names, such as `port_mappings[0].host_ip`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The source line with a caret below the place, for syntax errors.
    pub snippet: Option<String>,
}

/// Everything that is wrong with a set of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Finding {
    /// Makes a finding about no place in particular; the methods below add to it.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: None,
            position: None,
            path: String::new(),
            message: message.into(),
            hint: None,
            snippet: None,
        }
    }

    /// Says in which file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// Says at which line and column.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Says which field.
    #[must_use]
    pub fn on(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ParseError> for Finding {
    fn from(error: ParseError) -> Self {
        let finding = Self::new(error.message).at(error.position);
        Self { hint: error.hint, snippet: error.snippet, ..finding }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}:", file.display())?;
            if let Some(position) = self.position {
                write!(formatter, "{position}:")?;
            }
            write!(formatter, " ")?;
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

impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{finding}")?;
        }
        Ok(())
    }
}

impl Error for Findings {}

/// Collects the findings about one file.
#[derive(Debug)]
pub(super) struct Report {
    file: PathBuf,
    strictness: Strictness,
    findings: Vec<Finding>,
    settled: HashSet<String>,
}

impl Report {
    pub(super) fn new(file: &Path, strictness: Strictness) -> Self {
        Self { file: file.to_owned(), strictness, findings: Vec::new(), settled: HashSet::new() }
    }

    /// Takes a finding that crictl would stop at, too.
    ///
    /// A second finding about the same field is dropped: what could not be read is not missing.
    pub(super) fn error(&mut self, finding: Finding) {
        if self.is_settled(&finding.path) {
            return;
        }
        if !finding.path.is_empty() {
            self.settled.insert(finding.path.clone());
        }
        self.findings.push(finding.in_file(&self.file));
    }

    /// Takes a finding that crictl would not make: an error if strict, else a warning.
    pub(super) fn stricter(&mut self, mut finding: Finding) {
        if self.is_lenient() {
            finding.severity = Severity::Warning;
        }
        self.error(finding);
    }

    /// Whether what crictl takes is no error.
    pub(super) fn is_lenient(&self) -> bool {
        self.strictness == Strictness::Lenient
    }

    /// Says that a field is given under a wrong name, so that it is not reported as missing, too.
    pub(super) fn misspelt(&mut self, path: &str) {
        // A misspelt field is no error if lenient; that it is missing then is.
        if self.strictness == Strictness::Strict {
            self.settled.insert(path.to_owned());
        }
    }

    fn is_settled(&self, path: &str) -> bool {
        self.settled.contains(path)
            || path
                .match_indices(['.', '['])
                .filter_map(|(end, _)| path.get(..end))
                .any(|parent| self.settled.contains(parent))
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}
