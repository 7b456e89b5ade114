//! Who counts as alive. That faults are found is tested where they are made, in `tests/netns`.

use super::*;
use crate::snapshot::{Lease, Link, Namespace, Sandbox, Store};

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link { index, name: name.to_owned(), kind: Some(kind.to_owned()), ..Link::default() }
}

/// A node with a bridge, a lease that is an hour old, and nobody who has the address.
fn leaked() -> Snapshot {
    let lease = Lease {
        address: "10.88.0.2".parse().unwrap(),
        container: "lost".to_owned(),
        link: "eth0".to_owned(),
        age: 3600,
    };
    let store = Store { network: "net".to_owned(), leases: vec![lease], ..Store::default() };
    let mut bridge = link(1, "cni0", "bridge");
    bridge.addresses = vec!["10.88.0.1/16".parse().unwrap()];
    let host = Namespace { links: vec![bridge], ..Namespace::default() };
    Snapshot { host, stores: vec![store], ..Snapshot::default() }
}

/// A pod's namespace whose link leads to the host's link of the number.
fn pod(path: &str, address: &str, outer: u32) -> Namespace {
    let mut eth = link(2, "eth0", "veth");
    eth.addresses = vec![format!("{address}/16").parse().unwrap()];
    (eth.peer, eth.peer_elsewhere) = (Some(outer), true);
    Namespace { path: Some(path.into()), links: vec![eth], ..Namespace::default() }
}

fn outer(index: u32, peer: u32) -> Link {
    let mut outer = link(index, &format!("veth{index}"), "veth");
    (outer.peer, outer.peer_elsewhere, outer.master) = (Some(peer), true, Some(1));
    outer
}

fn ids(snapshot: &Snapshot) -> Vec<(&'static str, usize)> {
    examine(snapshot).iter().map(|finding| (finding.id, finding.repairs.len())).collect()
}

#[test]
fn what_nobody_has_is_leaked() {
    assert_eq!(ids(&leaked()), [("lease-leaked", 1)]);
}

#[test]
fn a_young_lease_may_be_of_a_pod_that_is_being_made() {
    let mut snapshot = leaked();
    snapshot.stores[0].leases[0].age = YOUNGEST.as_secs() - 1;
    assert_eq!(ids(&snapshot), []);
}

#[test]
fn what_the_runtime_knows_is_its_own_affair() {
    let mut snapshot = leaked();
    let id = "lost".to_owned();
    snapshot.sandboxes = vec![Sandbox { id, ready: false, ..Sandbox::default() }];
    assert_eq!(ids(&snapshot), []);
}

#[test]
fn who_has_the_address_and_is_not_known_may_be_the_container() {
    let mut snapshot = leaked();
    snapshot.host.links.push(outer(5, 2));
    snapshot.namespaces = vec![pod("/run/netns/x", "10.88.0.2", 5)];
    assert_eq!(ids(&snapshot), []);
    // Unless it is known to be another one.
    let (id, namespace) = ("other".to_owned(), Some("/var/run/netns/x".into()));
    snapshot.sandboxes = vec![Sandbox { id, namespace, ..Sandbox::default() }];
    assert_eq!(ids(&snapshot), [("lease-leaked", 1)]);
}

#[test]
fn a_link_that_leads_to_nobody_knows_where_keeps_all_behind_its_bridge() {
    let mut snapshot = leaked();
    snapshot.host.links.push(outer(5, 9));
    assert_eq!(ids(&snapshot), [("lease-unknown", 0)]);
    // Of another bridge it says nothing.
    let mut other = link(6, "br1", "bridge");
    other.addresses = vec!["10.99.0.1/16".parse().unwrap()];
    snapshot.host.links[1].master = Some(6);
    snapshot.host.links.push(other);
    assert_eq!(ids(&snapshot), [("lease-leaked", 1)]);
}

#[test]
fn a_network_whose_pods_cannot_be_seen_is_left_alone() {
    let mut snapshot = leaked();
    snapshot.host.links.clear();
    assert_eq!(ids(&snapshot), [("lease-unknown", 0)]);
    let list = |kind: &str| format!(r#"{{"name": "net", "plugins": [{{"type": "{kind}"}}]}}"#);
    let cached = |kind: &str| Attachment {
        container: "lost".to_owned(),
        network: "net".to_owned(),
        config: Some(list(kind)),
        ..Attachment::default()
    };
    snapshot.attachments = vec![cached("macvlan")];
    assert_eq!(ids(&snapshot), [("lease-unknown", 0)]);
    snapshot.attachments = vec![cached("bridge")];
    assert_eq!(ids(&snapshot), [("lease-leaked", 1)]);
}

#[test]
fn what_was_looked_at_is_counted() {
    let snapshot = Snapshot::default();
    let checks = scope(&snapshot).checks;
    assert_eq!(scope(&snapshot).to_string(), format!("0 pods, 0 networks, {checks} checks"));
    let mut ids: Vec<&str> = FAMILIES.iter().flat_map(|family| family.ids).copied().collect();
    assert_eq!(ids.len() + 1, checks);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() + 1, checks, "each id is of one family");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/network.md");
    let page = std::fs::read_to_string(page).unwrap();
    let untold: Vec<_> = ids.iter().filter(|id| !page.contains(&format!("`{id}`"))).collect();
    assert_eq!(untold, Vec::<&&str>::new(), "the page on networks names all");
    let attached = |link: &str, exists| Attachment {
        container: "pod".to_owned(),
        network: link.to_owned(),
        link: link.to_owned(),
        namespace_exists: Some(exists),
        ..Attachment::default()
    };
    let snapshot = Snapshot {
        attachments: vec![attached("eth0", true), attached("eth1", true), attached("lo", true)],
        sandboxes: vec![
            Sandbox { id: "pod".to_owned(), ..Sandbox::default() },
            Sandbox { id: "host".to_owned(), host_network: true, ..Sandbox::default() },
        ],
        ..Snapshot::default()
    };
    assert_eq!(scope(&snapshot), Scope { pods: 1, networks: 2, checks });
    let gone = Snapshot { attachments: vec![attached("eth0", false)], ..Snapshot::default() };
    assert_eq!(scope(&gone), Scope { pods: 0, networks: 0, checks });
}
