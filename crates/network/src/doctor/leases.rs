//! Addresses: leases of containers that are gone, files that are none, pools that are full.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde_json::Value;

use super::{Evidence, Finding, Findings, Look, Repair, YOUNGEST, count};
use crate::{
    config::Severity,
    join::{Life, List, field, text},
    snapshot::{Lease, Store},
};

/// Part of a pool, in percent, from which on it is worth knowing.
const NEARLY_FULL: u128 = 90;

/// What is looked for.
pub(super) const IDS: [&str; 5] =
    ["lease-leaked", "lease-unknown", "lease-empty", "lease-strange", "pool-full"];

pub(super) fn check(look: &Look<'_>, found: &mut Findings) {
    for store in &look.snapshot.stores {
        leaked(look, store, found);
        empty(store, found);
        strange(store, found);
        pool(look, store, found);
    }
}

fn is_old(lease: &Lease) -> bool {
    lease.age >= YOUNGEST.as_secs()
}

fn file_of(store: &Store, lease: &Lease) -> Evidence {
    let says = match (lease.container.as_str(), lease.link.as_str()) {
        ("", _) => "empty".to_owned(),
        (container, "") => format!("container {container}"),
        (container, link) => format!("container {container}, {link}"),
    };
    Evidence::new("file", store.directory.join(lease.address.to_string()).display(), says)
}

fn repair(store: &Store, lease: &Lease) -> Repair {
    Repair::Lease {
        directory: store.directory.clone(),
        address: lease.address,
        container: lease.container.clone(),
    }
}

fn leaked(look: &Look<'_>, store: &Store, found: &mut Findings) {
    let of = |life: Life| -> Vec<&Lease> {
        let named = store.leases.iter().filter(|lease| !lease.container.is_empty());
        let own = named.filter(|lease| {
            let network = Some(store.network.as_str());
            look.pods.life(network, &lease.container, &[lease.address]) == life
        });
        own.filter(|lease| is_old(lease)).collect()
    };
    let gone = of(Life::Gone);
    if !gone.is_empty() {
        let what = format!(
            "{} of network `{}` {} leased to containers that are gone",
            count(gone.len(), "address", "addresses"),
            store.network,
            if gone.len() == 1 { "is" } else { "are" },
        );
        found.push(
            Finding::new(
                "lease-leaked",
                Severity::Warning,
                what,
                "their network was never taken down, as after a power cut; when no address is \
                 left, no pod starts",
                "crilet net doctor --fix, or remove the files while no pod is being started",
            )
            .seen(gone.iter().map(|lease| file_of(store, lease)))
            .mended_by(gone.iter().map(|lease| repair(store, lease))),
        );
    }
    let unknown = of(Life::Unknown);
    if !unknown.is_empty() {
        let what = format!(
            "{} of network `{}` may be leaked",
            count(unknown.len(), "address", "addresses"),
            store.network
        );
        found.push(
            Finding::new(
                "lease-unknown",
                Severity::Note,
                what,
                "nobody is known to have them, but there are links to namespaces that cannot be seen",
                "look whether the containers run, and remove the files of those that do not",
            )
            .seen(unknown.iter().map(|lease| file_of(store, lease))),
        );
    }
}

fn empty(store: &Store, found: &mut Findings) {
    let empty: Vec<&Lease> =
        store.leases.iter().filter(|lease| lease.container.is_empty() && is_old(lease)).collect();
    if empty.is_empty() {
        return;
    }
    let what = format!(
        "{} of network `{}` {} taken by an empty file",
        count(empty.len(), "address", "addresses"),
        store.network,
        if empty.len() == 1 { "is" } else { "are" },
    );
    found.push(
        Finding::new(
            "lease-empty",
            Severity::Warning,
            what,
            "a power cut leaves such files; host-local neither gives the address out nor takes it \
             back",
            "crilet net doctor --fix, or remove the files",
        )
        .seen(empty.iter().map(|lease| file_of(store, lease)))
        .mended_by(empty.iter().map(|lease| repair(store, lease))),
    );
}

fn strange(store: &Store, found: &mut Findings) {
    if store.strange.is_empty() {
        return;
    }
    found.push(
        Finding::new(
            "lease-strange",
            Severity::Note,
            format!("the store of network `{}` has files that are no leases", store.network),
            "host-local reads every file of its store; its name must be an address",
            "look what they are, and remove them",
        )
        .seen(store.strange.iter().map(|path| Evidence::new("file", path.display(), ""))),
    );
}

/// A range that host-local gives addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    subnet: IpNet,
    from: u128,
    to: u128,
    gateway: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u32::from(four).into(),
        IpAddr::V6(six) => six.into(),
    }
}

impl Range {
    /// Reads a range with the defaults that host-local has.
    fn read(value: &Value) -> Option<Self> {
        let subnet: IpNet = text(value, "subnet")?.parse().ok()?;
        let given = |key| text(value, key).and_then(|text| text.parse().ok()).map(number);
        let first = number(subnet.network()).saturating_add(1);
        // The last address of IPv4 is for all.
        let last = number(subnet.broadcast()) - u128::from(subnet.addr().is_ipv4());
        Some(Self {
            subnet,
            from: given("rangeStart").unwrap_or(first),
            to: given("rangeEnd").unwrap_or(last),
            gateway: given("gateway").unwrap_or(first),
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        self.subnet.contains(&address) && (self.from..=self.to).contains(&number(address))
    }

    /// How many addresses it has for pods.
    fn room(&self) -> u128 {
        let all = (self.to.saturating_sub(self.from)).saturating_add(1);
        all - u128::from((self.from..=self.to).contains(&self.gateway))
    }
}

fn ranges(list: &List) -> BTreeSet<Range> {
    let ipams = list.plugins.iter().filter_map(|plugin| field(plugin, "ipam"));
    let own = ipams.filter(|ipam| text(ipam, "type") == Some("host-local"));
    let mut found = BTreeSet::new();
    for ipam in own {
        let sets = field(ipam, "ranges").and_then(Value::as_array).into_iter().flatten();
        let listed = sets.filter_map(Value::as_array).flatten();
        found.extend(listed.chain([ipam]).filter_map(Range::read));
    }
    found
}

fn pool(look: &Look<'_>, store: &Store, found: &mut Findings) {
    let files = &look.snapshot.configuration.files;
    let lists = files.iter().filter_map(|raw| {
        let list = look.lists.get(raw.text.as_deref()?)?;
        (text(&list.whole, "name") == Some(&store.network)).then_some((&raw.file, list))
    });
    for (file, range) in
        lists.flat_map(|(file, list)| ranges(list).into_iter().map(move |range| (file, range)))
    {
        let used = store.leases.iter().filter(|lease| range.has(lease.address)).count() as u128;
        let room = range.room();
        if room == 0 || used * 100 < room.saturating_mul(NEARLY_FULL) {
            continue;
        }
        let (severity, how) = if used >= room {
            (Severity::Error, "has no address left")
        } else {
            (Severity::Warning, "is nearly full")
        };
        let subnet = range.subnet;
        found.push(
            Finding::new(
                "pool-full",
                severity,
                format!(
                    "{subnet} of network `{}` {how}: {used} of {room} are taken",
                    store.network
                ),
                "a pod that gets no address does not start",
                "free leaked addresses, or give the network a larger range",
            )
            .seen([
                Evidence::new("file", store.directory.display(), format!("{used} leases")),
                Evidence::new("file", file.display(), subnet.to_string()),
            ]),
        );
    }
}
