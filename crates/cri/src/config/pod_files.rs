//! A pod and its containers, put together from several files.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    Finding, Findings, Reading, Severity, Strictness, decode,
    finding::Report,
    kind,
    places::Places,
    schema::Kind,
    source::{self, Source},
    validate,
};
use crate::v1;

/// A pod and its containers, each with the file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct PodFiles {
    /// The pod.
    pub pod: Located<v1::PodSandboxConfig>,
    /// Its containers, in the order they were given.
    pub containers: Vec<Located<v1::ContainerConfig>>,
}

/// A config that knows where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The config.
    pub config: T,
    file: PathBuf,
    places: Places,
}

impl<T> Located<T> {
    pub(super) fn new(config: T, file: PathBuf, places: Places) -> Self {
        Self { config, file, places }
    }

    /// The file as it was named; `<stdin>` for standard input.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes a finding about a field of this config, for checks that are made elsewhere.
    ///
    /// `path` is in the CRI's names, such as `annotations["crilet.dev/restart-policy"]`. A field
    /// that the file does not give has the place of what is around it.
    pub fn finding(&self, path: &str, message: impl Into<String>) -> Finding {
        Finding::new(message).in_file(&self.file).at(self.places.value(path)).on(path)
    }
}

/// What the files gave so far.
#[derive(Default)]
struct Gathered {
    pods: Vec<Located<v1::PodSandboxConfig>>,
    containers: Vec<Located<v1::ContainerConfig>>,
    findings: Vec<Finding>,
    /// Something could not be read: it may have been the pod.
    unknown: bool,
}

/// Reads the files that `paths` mean; see [`super::read`].
pub(super) fn read(paths: &[PathBuf], stdin: &mut dyn Read) -> Result<PodFiles, Findings> {
    let mut gathered = Gathered::default();
    let files = source::expand(paths, &mut gathered.findings);
    gathered.unknown = !gathered.findings.is_empty();
    for file in files {
        match source::load(&file, stdin) {
            Ok(source) => gathered.take(&source),
            Err(finding) => gathered.refuse(vec![finding]),
        }
    }
    gathered.finish(paths)
}

/// Reads files that were read from disk already; see [`super::read_texts`].
pub(super) fn read_texts<'a>(
    texts: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
) -> Result<PodFiles, Findings> {
    let mut gathered = Gathered::default();
    let mut names = Vec::new();
    for (file, content) in texts {
        names.push(file.to_owned());
        match source::parse(file.to_owned(), content) {
            Ok(source) => gathered.take(&source),
            Err(finding) => gathered.refuse(vec![finding]),
        }
    }
    gathered.finish(&names)
}

impl Gathered {
    /// Takes what a file holds, its findings in the order of their places.
    fn take(&mut self, source: &Source) {
        let mut report = Report::new(&source.file, Strictness::Strict);
        decode::duplicates(&source.duplicates, &mut report);
        let before = self.findings.len();
        self.findings.extend(report.into_findings());
        for document in &source.documents {
            let kind = kind::classify(document);
            match kind.map(|kind| (kind, Reading::new(source, document, kind, Strictness::Strict)))
            {
                Ok((Kind::Pod, reading)) => match reading.check(validate::pod) {
                    Ok(pod) => {
                        let pod = self.found(pod);
                        self.pods.push(pod);
                    }
                    Err(Findings(findings)) => self.refuse(findings),
                },
                Ok((Kind::Container, reading)) => match reading.check(validate::container) {
                    Ok(container) => {
                        let container = self.found(container);
                        self.containers.push(container);
                    }
                    Err(Findings(findings)) => self.refuse(findings),
                },
                Err(finding) => self.refuse(vec![finding.in_file(&source.file)]),
            }
        }
        if let Some(added) = self.findings.get_mut(before..) {
            added.sort_by_key(|finding| finding.position);
        }
    }

    fn found<T>(&mut self, (located, findings): (Located<T>, Vec<Finding>)) -> Located<T> {
        self.findings.extend(findings);
        located
    }

    /// Takes findings about something of which not even the kind can be relied on.
    fn refuse(&mut self, findings: Vec<Finding>) {
        self.unknown = true;
        self.findings.extend(findings);
    }

    fn finish(mut self, paths: &[PathBuf]) -> Result<PodFiles, Findings> {
        if let [first, others @ ..] = self.pods.as_slice() {
            for other in others {
                let message = "a second pod config".to_owned();
                let hint =
                    format!("the first is {}; a pod is described once", first.file.display());
                self.findings.push(other.finding("", message).hint(hint));
            }
            self.findings.extend(validate::together(first, &self.containers));
        } else if !self.unknown {
            self.findings.push(no_pod(paths));
        }
        let error = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        match self.pods.into_iter().next() {
            Some(pod) if !error => Ok(PodFiles { pod, containers: self.containers }),
            _ => Err(Findings(self.findings)),
        }
    }
}

fn no_pod(paths: &[PathBuf]) -> Finding {
    let finding = match paths {
        [] => Finding::new("no files given"),
        [path] => Finding::new("no pod config here").in_file(&source::label(path)),
        paths => {
            let names = paths.iter().map(|path| source::label(path).display().to_string());
            let names: Vec<_> = names.collect();
            Finding::new(format!("no pod config among {}", names.join(", ")))
        }
    };
    finding.hint(
        "one file must describe the pod: metadata with name and namespace, port_mappings, ...",
    )
}
