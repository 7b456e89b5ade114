//! Which addresses a pod has in which network, for rules that name the pod alone.
//!
//! Rules of the nft backend carry the id of the container, as the reference has it. So those of two
//! networks of one pod are told apart by the addresses that they lead to: what crilet's plugins made
//! is noted in `/run/crilet/hostports/NETWORK/CONTAINER`, an address on a line; what others made
//! stands in the results that runtimes keep of attachments. By the notes, GC finds pods that are
//! gone, too.

use std::{
    cell::OnceCell,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::rules::{Mode, Target};
use crate::{
    cache,
    netfilter::rule::Rule,
    protocol::{Code, PluginError},
};

const DIRECTORY: &str = "/run/crilet/hostports";

fn path_of(network: &str, container: &str) -> PathBuf {
    Path::new(DIRECTORY).join(network).join(container)
}

fn read(path: &Path) -> Vec<IpAddr> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Notes a pod's addresses; with [`Mode::Append`] beside those that are noted.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn note(target: Target<'_>, mode: Mode) -> Result<(), PluginError> {
    let path = path_of(target.network, target.container);
    let mut addresses: Vec<IpAddr> = target.addresses.iter().map(ipnet::IpNet::addr).collect();
    if mode == Mode::Append {
        addresses.extend(read(&path));
        addresses.sort_unstable();
        addresses.dedup();
    }
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let written = path.parent().map_or(Ok(()), fs::create_dir_all);
    written.and_then(|()| fs::write(&path, text)).map_err(|cause: io::Error| {
        PluginError::new(Code::Io, format!("failed to write `{}`: {cause}", path.display()))
    })
}

/// Forgets a pod's addresses in a network.
pub(super) fn forget(network: &str, container: &str) {
    // Nothing may have been noted, and the directory may hold others.
    drop(fs::remove_file(path_of(network, container)));
    drop(fs::remove_dir(Path::new(DIRECTORY).join(network)));
}

/// Pods of a network that are noted.
pub(super) fn noted(network: &str) -> Vec<String> {
    names(&Path::new(DIRECTORY).join(network)).collect()
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Which rules of the nft backend are a pod's in one network.
#[derive(Debug)]
pub(super) struct Own<'a> {
    network: &'a str,
    container: &'a str,
    /// Addresses in this network; none when nobody has noted them.
    noted: Vec<IpAddr>,
    /// Addresses in others, as far as anybody has noted them; looked for when there are rules.
    elsewhere: OnceCell<Vec<IpAddr>>,
}

impl<'a> Own<'a> {
    /// As it is noted now.
    pub(super) fn noted(network: &'a str, container: &'a str) -> Self {
        let noted = read(&path_of(network, container));
        Self { network, container, noted, elsewhere: OnceCell::new() }
    }

    /// Those that go when the pod's rules are made anew.
    pub(super) fn before(target: Target<'a>) -> Self {
        let mut own = Self::noted(target.network, target.container);
        if !own.noted.is_empty() {
            own.noted.extend(target.addresses.iter().map(ipnet::IpNet::addr));
        }
        own
    }

    /// Those of the target's addresses.
    pub(super) fn of(target: Target<'a>) -> Self {
        let noted = target.addresses.iter().map(ipnet::IpNet::addr).collect();
        let Target { network, container, .. } = target;
        Self { network, container, noted, elsewhere: OnceCell::new() }
    }

    /// Whether a rule is one of them. What leads to no address that is known is taken for one.
    pub(super) fn has(&self, rule: &Rule) -> bool {
        if rule.comment.as_deref() != Some(self.container) {
            return false;
        }
        let Some(pod) = rule.leads_to() else { return true };
        let elsewhere = || elsewhere(self.network, self.container);
        (self.noted.is_empty() || self.noted.contains(&pod))
            && !self.elsewhere.get_or_init(elsewhere).contains(&pod)
    }
}

fn elsewhere(network: &str, container: &str) -> Vec<IpAddr> {
    let others = names(Path::new(DIRECTORY)).filter(|name| name != network);
    let mut addresses: Vec<IpAddr> =
        others.flat_map(|other| read(&path_of(&other, container))).collect();
    // What cannot be read is left out.
    let kept = cache::of_container(container).filter_map(|(_, read)| read.ok().flatten());
    let of_others = kept.filter(|one| one.network != network);
    addresses.extend(of_others.flat_map(|one| one.addresses()).map(|net| net.addr()));
    addresses
}
