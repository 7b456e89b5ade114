//! Who is alive: which containers, links and addresses of a snapshot belong to somebody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    lists::{Lists, text},
    places::Places,
};
use crate::snapshot::{Attachment, Link, Snapshot};

/// Plugins whose pods have a link on the host that shows them.
const VISIBLE: [&str; 2] = ["bridge", "ptp"];

/// Whether a container is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is there, or may be about to be.
    Live,
    /// It is gone for certain.
    Gone,
    /// It may be behind a link whose other end cannot be seen.
    Unknown,
}

/// What is known of all pods of a snapshot.
#[derive(Debug)]
pub struct Pods<'a> {
    /// Sandboxes of the runtime, whatever their state: it takes down itself what it knows.
    sandboxes: HashSet<&'a str>,
    /// Containers of attachments whose namespace is there.
    attached: HashSet<&'a str>,
    places: Arc<Places>,
    /// Containers that are known to be in a namespace, by its inode's place in the snapshot.
    inside: BTreeMap<usize, BTreeSet<&'a str>>,
    /// Links of the host whose other end is in a namespace that cannot be seen.
    unseen: Vec<&'a Link>,
    /// Bridges of the host.
    bridges: Vec<&'a Link>,
    /// The first plugin of each network.
    kinds: HashMap<String, String>,
}

impl<'a> Pods<'a> {
    /// Brings a snapshot's sandboxes, attachments and namespaces together.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, lists: &Lists, places: Arc<Places>) -> Self {
        let host = &snapshot.host;
        let is_unseen = |link: &&Link| {
            let veth = link.kind.as_deref() == Some("veth") && link.peer_elsewhere;
            veth && places.behind(snapshot, link).is_none()
        };
        let is_bridge = |link: &&Link| link.kind.as_deref() == Some("bridge");
        let alive = snapshot.attachments.iter().filter(|one| one.namespace_exists == Some(true));
        Self {
            sandboxes: snapshot.sandboxes.iter().map(|one| one.id.as_str()).collect(),
            attached: alive.map(|one| one.container.as_str()).collect(),
            inside: inside(snapshot),
            unseen: host.links.iter().filter(is_unseen).collect(),
            bridges: host.links.iter().filter(is_bridge).collect(),
            kinds: kinds(snapshot, lists),
            places,
        }
    }

    /// Whether a container is there, by its id and by the addresses that it had.
    #[must_use]
    pub fn life(&self, network: Option<&str>, container: &str, addresses: &[IpAddr]) -> Life {
        if self.is_known(container) {
            return Life::Live;
        }
        let mut life = Life::Gone;
        if addresses.is_empty() && !self.unseen.is_empty() {
            life = Life::Unknown;
        }
        for address in addresses {
            match self.holder(*address) {
                // Another container has the address by now.
                Some(place) if self.inside.contains_key(&place) => {}
                // A pod that is being made, or one that no runtime tells of.
                Some(_) => return Life::Live,
                None if self.could_be_seen(network, *address) => {}
                None => life = Life::Unknown,
            }
        }
        life
    }

    /// Whether the runtime, or a cached attachment with a namespace, has the container.
    #[must_use]
    pub fn is_known(&self, container: &str) -> bool {
        self.sandboxes.contains(container) || self.attached.contains(container)
    }

    /// Whether there are links to namespaces that cannot be seen.
    #[must_use]
    pub fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// The namespace that has an address, by its place in the snapshot.
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<usize> {
        self.places.holder(address)
    }

    /// The namespace that an attachment is in, by its place in the snapshot.
    #[must_use]
    pub fn place(&self, attachment: &Attachment) -> Option<usize> {
        let own = |place: &usize| {
            let known = self.inside.get(place);
            known.is_some_and(|known| known.contains(attachment.container.as_str()))
        };
        let by_address = attachment.addresses.iter().filter_map(|net| self.holder(net.addr()));
        by_address.filter(own).chain(self.inside.keys().copied().filter(own)).next()
    }

    /// Whether somebody who has the address would have been found.
    fn could_be_seen(&self, network: Option<&str>, address: IpAddr) -> bool {
        let behind = |bridge: &&&Link| bridge.addresses.iter().any(|net| net.contains(&address));
        let bridge = self.bridges.iter().find(behind).map(|bridge| bridge.index);
        let hidden = self.unseen.iter().any(|link| {
            // A link without a bridge may lead anywhere, a bridge without an address as well.
            match (bridge, link.master) {
                (Some(bridge), Some(master)) => bridge == master,
                _ => true,
            }
        });
        let kind = network.and_then(|network| self.kinds.get(network));
        let is_visible = kind.is_none_or(|kind| VISIBLE.contains(&kind.as_str()));
        !hidden && is_visible && (bridge.is_some() || kind.is_some())
    }
}

/// Containers by the place of the namespace that they are in.
fn inside(snapshot: &Snapshot) -> BTreeMap<usize, BTreeSet<&str>> {
    let name = |path: &std::path::Path| path.file_name().map(std::ffi::OsStr::to_owned);
    let places: HashMap<_, usize> = snapshot
        .namespaces
        .iter()
        .enumerate()
        .filter_map(|(place, one)| Some((name(one.path.as_deref()?)?, place)))
        .collect();
    let of_runtime =
        snapshot.sandboxes.iter().map(|one| (one.namespace.as_deref(), one.id.as_str()));
    let cached =
        snapshot.attachments.iter().map(|one| (one.namespace.as_deref(), one.container.as_str()));
    let mut found: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for (path, container) in of_runtime.chain(cached) {
        if let Some(place) = path.and_then(name).and_then(|name| places.get(&name)) {
            found.entry(*place).or_default().insert(container);
        }
    }
    found
}

fn kinds(snapshot: &Snapshot, lists: &Lists) -> HashMap<String, String> {
    let texts = snapshot.configuration.files.iter().filter_map(|file| file.text.as_deref());
    let cached = snapshot.attachments.iter().filter_map(|one| one.config.as_deref());
    let mut found = HashMap::new();
    for list in texts.chain(cached).filter_map(|text| lists.get(text)) {
        if let (Some(name), Some(first)) = (text(&list.whole, "name"), list.plugins.first()) {
            let kind = text(first, "type").unwrap_or_default();
            found.entry(name.to_owned()).or_insert_with(|| kind.to_owned());
        }
    }
    found
}
