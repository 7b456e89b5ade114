//! Configurations: none that a runtime uses, mistakes in them, and edits under pods that run.

use super::{Evidence, Finding, Findings, Look, count};
use crate::{
    config::{ConfigFile, Reader, Severity},
    join::{List, text},
};

/// What is looked for.
pub(super) const IDS: [&str; 4] =
    ["no-network", "config-edited", "config-gone", "config-unnoticed"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    none(look, found);
    mistakes(look, found);
    unnoticed(look, found);
    edited(look, found);
}

fn runtime(look: &Look<'_>) -> Option<Reader> {
    let name = look.snapshot.runtime.as_deref()?;
    if name.starts_with("cri-o") { Some(Reader::Crio) } else { Some(Reader::Containerd) }
}

/// Pods need a network, and the runtime has none.
fn none(look: &Look<'_>, found: &mut Findings) {
    let directory = &look.snapshot.configuration.directory;
    let Some(reader) = runtime(look) else { return };
    if look.files.iter().any(|file| file.active_for.contains(&reader)) || is_embedded(look) {
        return;
    }
    let reasons = look.files.iter().filter_map(|file| {
        let reason = file.reasons.get(&reader)?;
        Some(Evidence::new("file", file.file.display(), reason.clone()))
    });
    let mut reasons: Vec<_> = reasons.collect();
    if reasons.is_empty() {
        reasons.push(Evidence::new("file", directory.display(), "no network configuration"));
    }
    found.push(
        Finding::new(
            "no-network",
            Severity::Error,
            format!("{reader} has no network configuration that it can use"),
            "it says that its network is not ready, starts no pods, and cannot take any down",
            "mend or write a file in the directory, or look with crilet net ls -o wide; a file that \
             was moved there is noticed when another one is made and removed beside it",
        )
        .seen(reasons),
    );
}

/// crilet's own runtime keeps its configuration elsewhere.
fn is_embedded(look: &Look<'_>) -> bool {
    look.snapshot.attachments.iter().any(|one| one.network == crilet_cni::NETWORK)
}

fn mistakes(look: &Look<'_>, found: &mut Findings) {
    let all = look.files.iter().flat_map(|file| &file.findings);
    for one in all.filter(|one| one.severity > Severity::Note) {
        let fix = one.hint.clone().unwrap_or_else(|| "mend the file".to_owned());
        let at = format!("{}:{}:{}", one.file.display(), one.line, one.column);
        found.push(
            Finding::new(
                one.id,
                one.severity,
                one.message.clone(),
                "found in a network configuration; crilet net check says the same",
                fix,
            )
            .seen([Evidence::new("file", at, one.path.clone())]),
        );
    }
}

/// containerd looks at its directory when a file there is written, renamed or removed: not when one is
/// moved in, and never again once the directory itself was made anew.
fn unnoticed(look: &Look<'_>, found: &mut Findings) {
    let configuration = &look.snapshot.configuration;
    let Some(loaded) = &look.snapshot.loaded else { return };
    if loaded.directory != configuration.directory {
        return;
    }
    let files = look.files.iter().zip(&configuration.files);
    let used = |(file, _): &(&ConfigFile, _)| file.active_for.contains(&Reader::Containerd);
    let Some((file, raw)) = files.into_iter().find(used) else { return };
    let Some(list) = raw.text.as_deref().and_then(|text| look.lists.get(text)) else { return };
    let is_it = |text: &str| List::parse(text).is_some_and(|loaded| loaded.says_the_same(list));
    if loaded.networks.iter().any(|network| is_it(&network.text)) {
        return;
    }
    let path = file.file.display();
    let has_name = |name: &str| file.name.as_deref() == Some(name);
    let (severity, has) = match loaded.networks.first() {
        None => (Severity::Error, "has no network".to_owned()),
        Some(network) if has_name(&network.name) => {
            (Severity::Warning, format!("has `{}` as the file was before", network.name))
        }
        Some(network) => (Severity::Warning, format!("has the network `{}` instead", network.name)),
    };
    let status = loaded.status.iter().filter(|status| *status != "OK");
    found.push(
        Finding::new(
            "config-unnoticed",
            severity,
            format!("containerd has not noticed {path}, and {has}"),
            "it hears of files that are written, renamed or removed, but not of one that is moved into the \
             directory, and of nothing more once the directory itself was removed and made again",
            format!(
                "make and remove a file beside it (touch {dir}/x; rm {dir}/x), or, if the directory was \
                 made anew, start containerd anew",
                dir = configuration.directory.display()
            ),
        )
        .seen([Evidence::new("file", &path, "")])
        .seen(status.map(|status| Evidence::new("status", "lastCNILoadStatus", status.clone()))),
    );
}

/// containerd takes pods down by the file as it is now.
fn edited(look: &Look<'_>, found: &mut Findings) {
    let texts: Vec<(&ConfigFile, &List)> = look
        .files
        .iter()
        .zip(&look.snapshot.configuration.files)
        .filter_map(|(file, raw)| Some((file, look.lists.get(raw.text.as_deref()?)?)))
        .collect();
    for (network, pods) in look.networks() {
        if network == crilet_cni::NETWORK {
            continue;
        }
        let own: Vec<_> =
            texts.iter().filter(|(_, list)| text(&list.whole, "name") == Some(network)).collect();
        let differ: Vec<_> = pods
            .iter()
            .filter(|(_, list)| {
                let made = list.as_ref();
                made.is_some_and(|made| !own.iter().any(|(_, list)| list.says_the_same(made)))
            })
            .collect();
        if differ.is_empty() {
            continue;
        }
        let number = count(differ.len(), "pod", "pods");
        let (id, what) = match own.first() {
            Some((file, _)) => (
                "config-edited",
                format!("{} was edited since {number} were made with it", file.file.display()),
            ),
            None => ("config-gone", format!("no file has the network `{network}` of {number}")),
        };
        found.push(
            Finding::new(
                id,
                Severity::Warning,
                what,
                "containerd takes pods down by the file as it is now: what another name, subnet, plugin \
                 or backend made stays for ever",
                "make the pods anew while the old file is there, or run crilet net doctor --fix after \
                 they are gone",
            )
            .seen(differ.iter().take(5).map(|(one, _)| {
                Evidence::new("file", one.file.display(), super::called(one))
            })),
        );
    }
}
