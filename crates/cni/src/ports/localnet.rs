//! Host ports on 127.0.0.1.
//!
//! A packet from 127.0.0.1 to a pod leaves the loopback link, which the kernel forbids unless
//! `route_localnet` is set on the bridge. With it set, whoever is on the bridge reaches what the
//! host serves on 127.0.0.1 alone (CVE-2020-8558). Kubernetes closes that hole by a rule; a host
//! without it has none, so it is made here: nothing that comes in over another link than the
//! loopback may be for 127.0.0.0/8.

use std::{fs, net::IpAddr};

use super::known::unchanged;
use crate::{
    Family,
    kernel::{Netlink, settings},
    lock::Lock,
    netfilter::{
        Filter,
        cleaner::clean,
        iptables::{Flavour, Tools},
        maker::Backend,
        nft,
        tables::{Table, TableFamily},
    },
    protocol::PluginError,
};

/// The chain of the guard in iptables' table `raw`.
pub(crate) const GUARD: &str = "CRILET-LOCALNET";
const RAW: Table = Table::new(TableFamily::Ip, "raw");
/// The guard's own table where nft makes it.
pub(crate) const GUARD_TABLE: Table = Table::new(TableFamily::Ip, "crilet_localnet");

/// Lets the host reach a pod from 127.0.0.1, guard first.
///
/// # Errors
/// When the guard cannot be made; then nothing was let through.
pub(crate) fn open(pod: IpAddr, backend: Backend) -> Result<(), PluginError> {
    let host = Netlink::open()?;
    let Some(index) = host.output_link(pod)? else { return Ok(()) };
    let Some(link) = host.link_at(index)? else { return Ok(()) };
    guard(backend)?;
    if link.routes_localnet {
        return Ok(());
    }
    let setting = settings::of_link("ipv4", &link.name, "route_localnet");
    Ok(settings::ensure(&setting, "1").map(drop)?)
}

/// Removes the guard when no link routes 127.0.0.0/8 any more; `true` when it did.
///
/// # Errors
/// When the rules cannot be read or changed.
pub(crate) fn close() -> Result<bool, PluginError> {
    if is_open() {
        return Ok(false);
    }
    let _lock = Lock::acquire("netfilter")?;
    let has_changed = clean(&[RAW], |cleaner| cleaner.chain(RAW, "PREROUTING", GUARD).map(drop))?;
    let has_table = Filter::open().and_then(|filter| filter.has_table(GUARD_TABLE));
    if !has_table.unwrap_or_default() {
        return Ok(has_changed);
    }
    nft::run(&format!("delete table ip {}\n", GUARD_TABLE.name))
        .map(|()| true)
        .map_err(|error| PluginError::because("remove the guard of 127.0.0.0/8", &error))
}

/// Whether a link routes 127.0.0.0/8.
fn is_open() -> bool {
    let links = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten();
    let mut settings =
        links.filter_map(|link| fs::read_to_string(link.ok()?.path().join("route_localnet")).ok());
    settings.any(|value| value.trim() == "1")
}

/// Makes the guard where there is none.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn guard(backend: Backend) -> Result<(), PluginError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        PluginError::because("guard 127.0.0.0/8 against other links", error)
    };
    let filter = Filter::open().ok();
    if let Some(filter) = &filter
        && is_guarded(filter).map_err(|error| failed(&error))?
    {
        return Ok(());
    }
    unchanged(filter.as_ref(), || make_guard(backend).map(|()| true)).map_err(|error| *error)
}

fn make_guard(backend: Backend) -> Result<(), Box<PluginError>> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Box::new(PluginError::because("guard 127.0.0.0/8 against other links", error))
    };
    if backend == Backend::Nftables {
        let table = format!("ip {}", GUARD_TABLE.name);
        return nft::run(&format!(
            "add table {table}\n\
             add chain {table} prerouting {{ type filter hook prerouting priority -300 ; policy accept ; }}\n\
             flush chain {table} prerouting\n\
             add rule {table} prerouting iifname != \"lo\" ip daddr 127.0.0.0/8 drop\n"
        ))
        .map_err(|error| failed(&error));
    }
    let tools = Tools::find(Family::Ipv4).map_err(|error| failed(&error))?;
    if tools.flavour == Flavour::Legacy {
        let lines = tools.save("raw").map_err(|error| failed(&error))?;
        if lines.iter().any(|line| line == &format!("-A PREROUTING -j {GUARD}")) {
            return Ok(());
        }
    }
    // Declaring a chain empties it, so this is the same however often it is done.
    let script = format!(
        "*raw\n:{GUARD} - [0:0]\n-A {GUARD} -d 127.0.0.0/8 ! -i lo -j DROP\n\
         -I PREROUTING 1 -j {GUARD}\nCOMMIT\n"
    );
    tools.restore(&script).map_err(|error| failed(&error))
}

fn is_guarded(filter: &Filter) -> std::io::Result<bool> {
    if filter.has_table(GUARD_TABLE)? && !filter.rules(GUARD_TABLE, Some("prerouting"))?.is_empty()
    {
        return Ok(true);
    }
    if !filter.has_chain(RAW, GUARD)? {
        return Ok(false);
    }
    let rules = filter.rules(RAW, Some("PREROUTING"))?;
    Ok(rules.iter().any(|rule| rule.target.as_deref() == Some(GUARD)))
}
