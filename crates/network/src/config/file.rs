//! One file: what it says, and what is wrong with it by itself.

use std::path::{Path, PathBuf};

use crilet_core::yaml::{Node, Position, parse};

use super::{
    ConfigFile, Configuration, Finding, PluginUse, RawFile, Severity, check,
    tree::{entries, get, is_true, items, scalar, text},
};

/// Gathers findings of one file.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: &'a Path,
    pub(super) list: Vec<Finding>,
}

impl Findings<'_> {
    pub(super) fn add(
        &mut self,
        id: &'static str,
        severity: Severity,
        at: Position,
        path: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.list.push(Finding {
            id,
            severity,
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message: message.into(),
            hint: None,
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    pub(super) fn error(
        &mut self,
        id: &'static str,
        at: Position,
        path: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(id, Severity::Error, at, path, message)
    }

    pub(super) fn warning(
        &mut self,
        id: &'static str,
        at: Position,
        path: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(id, Severity::Warning, at, path, message)
    }
}

const START: Position = Position { line: 1, column: 1 };

/// Whether runtimes look at a file at all, by its ending.
pub(super) fn is_looked_at(file: &Path) -> bool {
    matches!(ending(file), "conf" | "conflist" | "json")
}

fn ending(file: &Path) -> &str {
    file.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// Reads a file; who uses it is said later.
pub(super) fn judge(raw: &RawFile, configuration: &Configuration) -> ConfigFile {
    let mut result = ConfigFile {
        file: raw.file.clone(),
        name: None,
        cni_version: None,
        active: false,
        active_for: Vec::new(),
        reasons: Default::default(),
        plugins: Vec::new(),
        findings: Vec::new(),
    };
    let mut findings = Findings { file: &raw.file, list: Vec::new() };
    if is_looked_at(&raw.file) {
        if let Some(tree) = tree_of(raw, &mut findings) {
            describe(&tree, configuration, &mut result);
            check::check(&tree, &result, configuration, &mut findings);
        }
    } else {
        let message = "runtimes look only at files that end with .conflist, .conf or .json";
        findings.add("extension", Severity::Note, START, "", message);
    }
    result.findings = findings.list;
    result
}

/// Go's JSON is stricter than the tree's parser, which only gives the places.
fn tree_of(raw: &RawFile, findings: &mut Findings<'_>) -> Option<Node> {
    let Some(source) = &raw.text else {
        let why = raw.error.as_deref().unwrap_or("it cannot be read");
        findings.error("unreadable", START, "", format!("cannot be read: {why}"));
        return None;
    };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(source) {
        let at = Position { line: error.line().max(1), column: error.column().max(1) };
        let whole = error.to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        findings.error("syntax", at, "", format!("not JSON: {message}"));
        return None;
    }
    let stream = match parse(source.as_bytes()) {
        Ok(stream) => stream,
        Err(error) => {
            findings.error("syntax", error.position, "", error.message);
            return None;
        }
    };
    for duplicate in &stream.duplicates {
        let message = format!(
            "`{}` is given twice, first at {}; the last one wins",
            duplicate.key, duplicate.first
        );
        findings.warning("duplicate-key", duplicate.position, &duplicate.key, message);
    }
    stream.documents.into_iter().next()
}

fn describe(tree: &Node, configuration: &Configuration, result: &mut ConfigFile) {
    result.name = text(tree, "name").map(str::to_owned);
    result.cni_version = text(tree, "cniVersion").map(str::to_owned);
    let plugins: Vec<&Node> = match get(tree, "plugins") {
        Some(plugins) => items(plugins).iter().collect(),
        None => vec![tree],
    };
    result.plugins = plugins.into_iter().map(|node| plugin(node, configuration)).collect();
}

fn plugin(node: &Node, configuration: &Configuration) -> PluginUse {
    let kind = text(node, "type").unwrap_or_default().to_owned();
    let program = configuration.programs.get(&kind).cloned().unwrap_or_default();
    let capabilities = get(node, "capabilities").map(entries).unwrap_or_default().iter();
    let granted = capabilities.filter(|entry| scalar(&entry.value) == Some("true"));
    let ipam = get(node, "ipam");
    let subnets = ipam.map(check::ranges).unwrap_or_default();
    let is_bridge = kind == "bridge";
    PluginUse {
        program: program.path,
        versions: program.versions,
        capabilities: granted.map(|entry| entry.key.clone()).collect(),
        ipam: ipam.and_then(|ipam| text(ipam, "type")).map(str::to_owned),
        data_directory: ipam.and_then(|ipam| text(ipam, "dataDir")).map(PathBuf::from),
        subnets: subnets.iter().filter_map(|(subnet, _)| subnet.parse().ok()).collect(),
        bridge: is_bridge.then(|| text(node, "bridge").unwrap_or("cni0").to_owned()),
        hairpin: is_bridge.then(|| is_true(node, "hairpinMode")),
        kind,
    }
}
