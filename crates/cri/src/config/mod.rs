//! Configuration files of the CRI: pods and containers as crictl's users write them.
//!
//! [`read`] takes one pod config and any number of container configs from files, directories or
//! standard input and checks all of them before anything is touched; [`read_pod`] and
//! [`read_container`] take one file of a known kind.
//!
//! Files are JSON or YAML. Fields have the CRI's snake_case names in any case, as crictl takes
//! them, or camelCase; enum values are names or numbers; 64-bit numbers may be quoted; what stands
//! where text is wanted is text. crictl drops unknown fields without a word; here they are errors
//! ([`Strictness::Strict`]) or warnings ([`Strictness::Lenient`]), each with file, line, column,
//! path and what was probably meant. Everything wrong is found in one go.

mod decode;
mod finding;
mod kind;
mod places;
mod pod_files;
mod schema;
mod source;
mod uid;
mod validate;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use crilet_core::yaml::Node;
use prost::Message;

pub use finding::{Finding, Findings, Severity};
pub use pod_files::{Located, PodFiles};
pub use uid::fill_uid;
pub use validate::{addresses_overlap, is_qualified_name, is_word};

use self::{finding::Report, schema::Kind, source::Source};
use crate::v1;

/// What is done about things that crictl does not mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors.
    Strict,
    /// They are warnings: for a drop-in replacement of crictl. What crictl refuses is still an
    /// error.
    Lenient,
}

/// Reads one pod config and its container configs, in any order.
///
/// A path is a file, a directory (its `*.json`, `*.yaml` and `*.yml` files in the order of their
/// names, hidden ones left out) or `-` for standard input; each may hold several YAML documents.
/// Which kind a document is follows from its fields. Containers keep the order of the paths.
///
/// # Errors
/// All that is wrong with any of the files, and with the files together: two pod configs or none,
/// two containers of one name or with one log.
pub fn read(paths: &[PathBuf]) -> Result<PodFiles, Findings> {
    pod_files::read(paths, &mut io::stdin().lock())
}

/// As [`read`], of files that somebody else has read already: each by its name and what it holds.
///
/// # Errors
/// As [`read`].
pub fn read_texts<'a>(
    texts: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
) -> Result<PodFiles, Findings> {
    pod_files::read_texts(texts)
}

/// Reads a file that holds a pod config; `-` is standard input.
///
/// # Errors
/// All that is wrong with the file. Warnings come with the config.
pub fn read_pod(
    path: &Path,
    strictness: Strictness,
) -> Result<(Located<v1::PodSandboxConfig>, Vec<Finding>), Findings> {
    let reading = read_single(path, &mut io::stdin().lock(), Kind::Pod, strictness)?;
    reading.finish(validate::pod)
}

/// Reads a file that holds a container config; `-` is standard input.
///
/// # Errors
/// All that is wrong with the file. Warnings come with the config.
pub fn read_container(
    path: &Path,
    strictness: Strictness,
) -> Result<(Located<v1::ContainerConfig>, Vec<Finding>), Findings> {
    let reading = read_single(path, &mut io::stdin().lock(), Kind::Container, strictness)?;
    reading.finish(validate::container)
}

fn read_single(
    path: &Path,
    stdin: &mut dyn Read,
    kind: Kind,
    strictness: Strictness,
) -> Result<Reading, Findings> {
    let only = |finding: Finding| Findings(vec![finding]);
    let source = source::load(path, stdin).map_err(only)?;
    let [document, more @ ..] = source.documents.as_slice() else {
        let message = format!("0 documents, expected one {}", kind.noun());
        return Err(only(Finding::new(message).in_file(&source.file)));
    };
    let message = format!("{} documents, expected one {}", more.len() + 1, kind.noun());
    let several = (!more.is_empty()).then(|| Finding::new(message));
    if let (Some(finding), Strictness::Strict) = (&several, strictness) {
        return Err(only(finding.clone().in_file(&source.file)));
    }
    // A file that looks like nothing is read as what it is meant to be: its fields tell more.
    if kind::classify(document).is_ok_and(|found| found != kind) {
        let message = format!("a {}, expected a {}", kind.other().noun(), kind.noun());
        return Err(only(Finding::new(message).in_file(&source.file).at(document.position)));
    }
    let mut reading = Reading::new(&source, document, kind, strictness).with_duplicates(&source);
    if let Some(finding) = several {
        reading.report.stricter(finding.hint("the first one is read"));
    }
    Ok(reading)
}

/// A document that was read but not yet checked.
struct Reading {
    file: PathBuf,
    /// As it is on the wire.
    message: Vec<u8>,
    places: places::Places,
    report: Report,
}

impl Reading {
    fn new(source: &Source, document: &Node, kind: Kind, strictness: Strictness) -> Self {
        let mut report = Report::new(&source.file, strictness);
        let (message, places) = decode::decode(kind, document, &mut report);
        Self { file: source.file.clone(), message, places, report }
    }

    fn with_duplicates(mut self, source: &Source) -> Self {
        decode::duplicates(&source.duplicates, &mut self.report);
        self
    }

    /// Checks the config; gives it with its warnings unless there is an error.
    fn finish<T: Message + Default>(
        self,
        check: impl FnOnce(&T, &places::Places, &mut Report),
    ) -> Result<(Located<T>, Vec<Finding>), Findings> {
        let (located, mut findings) = self.check(check)?;
        findings.sort_by_key(|finding| finding.position);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(Findings(findings));
        }
        Ok((located, findings))
    }

    /// Checks the config; gives it with all that was found, errors too.
    fn check<T: Message + Default>(
        mut self,
        check: impl FnOnce(&T, &places::Places, &mut Report),
    ) -> Result<(Located<T>, Vec<Finding>), Findings> {
        let config = T::decode(self.message.as_slice()).map_err(|error| {
            let finding = Finding::new(format!("not a message of the CRI: {error}"));
            Findings(vec![finding.in_file(&self.file)])
        })?;
        check(&config, &self.places, &mut self.report);
        let located = Located::new(config, self.file, self.places);
        Ok((located, self.report.into_findings()))
    }
}
