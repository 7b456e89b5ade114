//! Where addresses and the ends of links are.

use std::{collections::HashMap, net::IpAddr};

use crate::snapshot::{Link, Namespace, Snapshot};

/// The namespaces of a snapshot, by what is in them.
#[derive(Debug, Default)]
pub struct Places {
    /// Places of namespaces by their addresses, those of `lo` left out.
    addresses: HashMap<IpAddr, usize>,
    /// Places of namespaces by a link in them and the link elsewhere that is its other end.
    ends: HashMap<(u32, u32), usize>,
}

impl Places {
    /// Looks through all namespaces but the host's; of several that have an address the first counts.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut places = Self::default();
        for (place, namespace) in snapshot.namespaces.iter().enumerate() {
            for link in &namespace.links {
                for net in link.addresses.iter().filter(|_| link.name != "lo") {
                    places.addresses.entry(net.addr()).or_insert(place);
                }
                if let (Some(peer), true) = (link.peer, link.peer_elsewhere) {
                    places.ends.entry((link.index, peer)).or_insert(place);
                }
            }
        }
        places
    }

    /// The namespace that has an address on a link other than `lo`, by its place in the snapshot.
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<usize> {
        self.addresses.get(&address).copied()
    }

    /// The namespace, its place, and the link in it, that a link of the host leads to.
    #[must_use]
    pub fn behind<'a>(
        &self,
        snapshot: &'a Snapshot,
        link: &Link,
    ) -> Option<(usize, &'a Link, &'a Namespace)> {
        let place = *self.ends.get(&(link.peer?, link.index))?;
        let namespace = snapshot.namespaces.get(place)?;
        Some((place, namespace.link(link.peer?)?, namespace))
    }
}
