//! From a file to a configuration.

use std::path::{Path, PathBuf};

use crilet_api::Finding;
use crilet_core::{
    similar,
    yaml::{self, Entry, Node, Position, Value},
};

use super::{Config, KEYS, Key};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
    /// What is in it cannot be used.
    #[error("{}", Lines(findings))]
    Invalid {
        /// Everything that is wrong.
        findings: Vec<Finding>,
    },
}

struct Lines<'a>(&'a [Finding]);

impl std::fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{finding}")?;
        }
        Ok(())
    }
}

/// Reads a configuration; a file that is not there is one without keys unless it is `required`.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it.
pub fn read(path: &Path, required: bool) -> Result<Config, ConfigError> {
    match std::fs::read(path) {
        Ok(bytes) => parse(path, &bytes),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && !required => {
            Ok(Config::default())
        }
        Err(cause) => Err(ConfigError::Unreadable { path: path.to_owned(), cause }),
    }
}

/// Reads a configuration from the text of a file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Config, ConfigError> {
    let mut reader = Reader { file: path, config: Config::default(), findings: Vec::new() };
    match yaml::parse(bytes).and_then(yaml::Stream::without_duplicates) {
        Ok(documents) => reader.documents(&documents),
        Err(error) => {
            let finding = reader.finding(error.position, "", error.message.clone());
            let snippet = error.snippet;
            reader.findings.push(Finding { hint: error.hint, snippet, ..finding });
        }
    }
    if reader.findings.is_empty() { Ok(reader.config) } else { Err(reader.into_error()) }
}

struct Reader<'a> {
    file: &'a Path,
    config: Config,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn documents(&mut self, documents: &[Node]) {
        let Some((first, more)) = documents.split_first() else { return };
        if let Some(second) = more.first() {
            let message = "a configuration has one document, this begins a second";
            self.report(second.position, "", message.to_owned());
        }
        if !first.is_null() {
            self.section("", first);
        }
        if self.findings.is_empty() {
            self.check(first);
        }
    }

    fn into_error(self) -> ConfigError {
        ConfigError::Invalid { findings: self.findings }
    }

    fn finding(&self, position: Position, path: &str, message: String) -> Finding {
        Finding {
            file: Some(self.file.display().to_string()),
            line: Some(position.line),
            column: Some(position.column),
            path: path.to_owned(),
            message,
            ..Finding::default()
        }
    }

    fn report(&mut self, position: Position, path: &str, message: String) {
        let finding = self.finding(position, path, message);
        self.findings.push(finding);
    }

    /// Reads the keys below `prefix`, which is empty or ends with a dot.
    fn section(&mut self, prefix: &str, node: &Node) {
        let Value::Mapping(entries) = &node.value else {
            let path = prefix.trim_end_matches('.');
            return self.report(node.position, path, "expected a mapping of keys".to_owned());
        };
        for entry in entries {
            let path = format!("{prefix}{}", entry.key);
            let below = format!("{path}.");
            if let Some(key) = KEYS.iter().find(|key| key.path == path) {
                self.key(key, &entry.value);
            } else if KEYS.iter().any(|key| key.path.starts_with(&below)) {
                if !entry.value.is_null() {
                    self.section(&below, &entry.value);
                }
            } else {
                self.unknown(prefix, entry);
            }
        }
    }

    /// A key without a value is as if it was not there.
    fn key(&mut self, key: &Key, node: &Node) {
        match &node.value {
            Value::Scalar(scalar) if scalar.is_null() => {}
            Value::Scalar(scalar) => {
                if let Err(message) = (key.set)(&mut self.config, scalar) {
                    self.report(node.position, key.path, message);
                }
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                self.report(node.position, key.path, format!("expected {}", key.takes));
            }
        }
    }

    fn unknown(&mut self, prefix: &str, entry: &Entry) {
        let siblings = KEYS.iter().filter_map(|key| {
            let rest = key.path.strip_prefix(prefix)?;
            Some(rest.split('.').next().unwrap_or(rest))
        });
        let meant = similar(&entry.key, siblings).map(|name| format!("{prefix}{name}"));
        let elsewhere = || {
            let last = |key: &&Key| key.path.rsplit('.').next() == Some(&entry.key);
            KEYS.iter().find(last).map(|key| key.path.to_owned())
        };
        let hint = meant.or_else(elsewhere).map(|path| format!("did you mean `{path}`?"));
        let message = format!("unknown key `{prefix}{}`", entry.key);
        let finding = self.finding(entry.position, "", message);
        self.findings.push(Finding { hint, ..finding });
    }

    /// What concerns several keys.
    fn check(&mut self, root: &Node) {
        let images = self.config.images;
        if images.gc_low_percent >= images.gc_high_percent {
            let message = format!(
                "{} is not below `images.gcHighPercent`, which is {}",
                images.gc_low_percent, images.gc_high_percent
            );
            self.report_at(root, &["images.gcLowPercent", "images.gcHighPercent"], message);
        }
        let restart = self.config.restart;
        if restart.initial > restart.max {
            let message = "is longer than `restart.maxBackoff`".to_owned();
            self.report_at(root, &["restart.initialBackoff", "restart.maxBackoff"], message);
        }
        self.check_tcp(root);
    }

    fn check_tcp(&mut self, root: &Node) {
        let tcp = self.config.api.tcp.clone();
        let files = [
            ("api.tcp.certFile", tcp.cert_file.is_some()),
            ("api.tcp.keyFile", tcp.key_file.is_some()),
        ];
        let clients = tcp.token_file.is_some() || tcp.client_ca_file.is_some();
        if tcp.listen.is_none() {
            let any = files.iter().any(|(_, given)| *given) || clients;
            if any {
                let message = "means nothing without `api.tcp.listen`".to_owned();
                self.report_at(root, &["api.tcp"], message);
            }
            return;
        }
        for (path, given) in files {
            if !given {
                let message = format!("needs `{path}`: the API is never served in the clear");
                self.report_at(root, &["api.tcp.listen"], message);
            }
        }
        if !clients {
            let message = "needs `api.tcp.tokenFile` or `api.tcp.clientCaFile`: whoever may use \
                           the API can become root";
            self.report_at(root, &["api.tcp.listen"], message.to_owned());
        }
    }

    /// Reports at the first of these keys that the file has.
    fn report_at(&mut self, root: &Node, paths: &[&str], message: String) {
        let place = |path: &&str| path.split('.').try_fold(root, |node, key| node.get(key));
        let found = paths.iter().find_map(|path| Some((*path, place(path)?.position)));
        let (path, position) = found.unwrap_or((paths[0], root.position));
        self.report(position, path, message);
    }
}
