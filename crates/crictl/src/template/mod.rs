//! Go templates, as far as people write them for `--output go-template`.
//!
//! There are fields, variables, pipelines, `if`, `with`, `range`, `break`, `continue`, comments,
//! trimming, and these functions: comparison, `and`, `or`, `not`, `len`,
//! `index`, `slice`, `print`, `printf`, `println`, and crictl's own `json`, `lower`, `upper` and `title`.
//! What is past that (`define`, `template`, `block`, `call`, `html`, `js`, `urlquery`) is refused by
//! name when the template is read.
//!
//! Data is JSON as crictl hands it over: numbers are texts that look like numbers, so `eq .x "5"` is
//! the comparison that works, there and here. A key that is not there is an error.

mod exec;
mod funcs;
mod lex;
mod parse;
mod printf;

#[cfg(test)]
mod tests;

use crate::json::Json;

/// What is wrong with a template, or with the data for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template:{line}: {message}")]
pub struct TemplateError {
    /// The line of the template, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl TemplateError {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// A template that was read.
#[derive(Debug)]
pub struct Template(Vec<parse::Node>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] with the line.
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(Self)
    }

    /// Executes it on a value.
    ///
    /// # Errors
    /// [`TemplateError`] with the line, for a key that is not there or a function that cannot work on
    /// what it is given.
    pub fn execute(&self, data: &Json) -> Result<String, TemplateError> {
        exec::execute(&self.0, data)
    }
}
