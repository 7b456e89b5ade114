//! What is wrong between files, and between files and the host.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{ConfigFile, Finding, Severity};

/// Networks that the host reaches: what pods' subnets must keep clear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Destination and link of each route, the default ones left out.
    pub routes: Vec<(IpNet, String)>,
}

fn finding(
    file: &ConfigFile,
    id: &'static str,
    severity: Severity,
    path: &str,
    message: String,
) -> Finding {
    Finding {
        id,
        severity,
        file: file.file.clone(),
        line: 1,
        column: 1,
        path: path.to_owned(),
        message,
        hint: None,
    }
}

/// Compares all files that can be read with each other and with the host.
pub(super) fn compare(files: &mut [ConfigFile], host: &HostNetwork) {
    let mut found: Vec<(usize, Finding)> = Vec::new();
    let mut names: BTreeMap<&str, &ConfigFile> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        routes(index, file, host, &mut found);
        for earlier in files.iter().take(index) {
            pair(index, file, earlier, &mut found);
        }
        let Some(name) = file.name.as_deref() else { continue };
        if let Some(earlier) = names.insert(name, file) {
            let message = format!(
                "{} has a network `{name}`, too: leases and chains mix",
                earlier.file.display()
            );
            found
                .push((index, finding(file, "duplicate-name", Severity::Warning, "name", message)));
        }
    }
    for (index, finding) in found {
        if let Some(file) = files.get_mut(index) {
            file.findings.push(finding);
        }
    }
}

fn overlaps(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// A route over the network's own bridge is how it should be.
fn routes(index: usize, file: &ConfigFile, host: &HostNetwork, found: &mut Vec<(usize, Finding)>) {
    for (place, plugin) in file.plugins.iter().enumerate() {
        for subnet in &plugin.subnets {
            let others = host.routes.iter().filter(|(route, link)| {
                let is_own = match &plugin.bridge {
                    Some(bridge) => bridge == link,
                    // Pods of ptp have routes of their own, to single addresses.
                    None => route.prefix_len() == route.max_prefix_len(),
                };
                !is_own && overlaps(route, subnet)
            });
            for (route, link) in others {
                let message =
                    format!("{subnet} overlaps the host's route to {route} over `{link}`");
                let path = format!("plugins[{place}].ipam");
                found
                    .push((index, finding(file, "overlap-route", Severity::Error, &path, message)));
            }
        }
    }
}

fn pair(index: usize, file: &ConfigFile, earlier: &ConfigFile, found: &mut Vec<(usize, Finding)>) {
    for (place, plugin) in file.plugins.iter().enumerate() {
        for other in &earlier.plugins {
            let path = format!("plugins[{place}]");
            let same = plugin.bridge.is_some() && plugin.bridge == other.bridge;
            if same && plugin.subnets != other.subnets {
                let bridge = plugin.bridge.as_deref().unwrap_or_default();
                let message = format!(
                    "{} uses the bridge `{bridge}` with other subnets",
                    earlier.file.display()
                );
                found
                    .push((index, finding(file, "shared-bridge", Severity::Error, &path, message)));
            } else if same && file.name != earlier.name {
                let message = format!("{} uses the same bridge", earlier.file.display());
                found.push((
                    index,
                    finding(file, "shared-bridge", Severity::Warning, &path, message),
                ));
            }
            for subnet in &plugin.subnets {
                if let Some(met) = other.subnets.iter().find(|met| overlaps(met, subnet)) {
                    let message = format!("{subnet} overlaps {met} of {}", earlier.file.display());
                    let path = format!("{path}.ipam");
                    found.push((
                        index,
                        finding(file, "overlap-config", Severity::Warning, &path, message),
                    ));
                }
            }
        }
    }
}
