//! Which file a runtime uses, and why not the others.

use super::{ConfigFile, Configuration, Finding, Reader, Severity, file::is_looked_at};

/// Findings that keep a runtime from loading a file at all.
const UNLOADABLE: [&str; 8] = [
    "unreadable",
    "syntax",
    "not-an-object",
    "list-in-conf",
    "single-in-conflist",
    "no-plugins",
    "no-type",
    "wrong-type",
];

/// Writes into each file who uses it, and why.
pub(super) fn choose(files: &mut [ConfigFile], configuration: &Configuration) {
    containerd(files);
    crio(files, configuration);
    for file in files {
        file.active = !file.active_for.is_empty();
    }
}

fn obstacle(file: &ConfigFile) -> Option<&Finding> {
    file.findings
        .iter()
        .find(|finding| finding.severity == Severity::Error && UNLOADABLE.contains(&finding.id))
}

fn name_of(file: &ConfigFile) -> String {
    file.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// go-cni takes the first file (`max_conf_num` is 1 unless set otherwise), and stops with an error
/// when it cannot be loaded.
fn containerd(files: &mut [ConfigFile]) {
    let mut first: Option<(String, bool)> = None;
    for file in files.iter_mut() {
        let (used, reason) = match (&first, obstacle(file)) {
            _ if !is_looked_at(&file.file) => (false, "its ending is not looked at".to_owned()),
            (Some((name, true)), _) => (false, format!("only the first file is read: {name}")),
            (Some((name, false)), _) => {
                (false, format!("containerd stops at {name}, which it cannot load"))
            }
            (None, None) => {
                first = Some((name_of(file), true));
                (true, "the first file by name".to_owned())
            }
            (None, Some(finding)) => {
                let reason = format!("cannot be loaded ({}): no network is ready", finding.id);
                first = Some((name_of(file), false));
                (false, reason)
            }
        };
        note(file, Reader::Containerd, used, reason);
    }
}

/// ocicni skips what it cannot load or whose plugins do not answer, and of one name takes the first.
fn crio(files: &mut [ConfigFile], configuration: &Configuration) {
    let mut first: Option<String> = None;
    let mut names: Vec<(String, String)> = Vec::new();
    for file in files.iter_mut() {
        let missing = file.plugins.iter().find(|plugin| {
            let program = configuration.programs.get(&plugin.kind);
            program.is_none_or(|program| program.path.is_none() || program.error.is_some())
        });
        let network = file.name.clone().unwrap_or_default();
        let same = names.iter().find(|(name, _)| *name == network);
        let (used, reason) = if !is_looked_at(&file.file) {
            (false, "its ending is not looked at".to_owned())
        } else if let Some(finding) = obstacle(file) {
            (false, format!("skipped: cannot be loaded ({})", finding.id))
        } else if let Some(plugin) = missing {
            (false, format!("skipped: plugin `{}` is missing or does not run", plugin.kind))
        } else if let Some((name, earlier)) = same {
            (false, format!("skipped: {earlier} has the network `{name}` already"))
        } else if let Some(first) = &first {
            (false, format!("not the default network, which is the first: {first}"))
        } else {
            first = Some(name_of(file));
            (true, "the first file by name that can be used".to_owned())
        };
        if used || reason.starts_with("not the default") {
            names.push((network, name_of(file)));
        }
        note(file, Reader::Crio, used, reason);
    }
}

fn note(file: &mut ConfigFile, reader: Reader, used: bool, reason: String) {
    file.reasons.insert(reader, reason);
    if used {
        file.active_for.push(reader);
    }
}
