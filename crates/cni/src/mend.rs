//! Mending what plugins left behind, or what somebody took from under them.
//!
//! The caller has found out what is wrong; here it is put right, each thing under the lock of who
//! else changes it: a store's leases under its own lock file, rules in one transaction that is bound
//! to the moment in which they were looked at, links only when they still are what they were.

mod again;
mod flows;
mod leases;
mod rules;

pub use again::{Again, attach_again};
pub use flows::{StaleFlow, end_flows};
pub use leases::{StaleLease, free_leases};
pub use rules::{Removed, StaleRules, remove_rules};

use crate::{
    kernel::Netlink,
    lock::Lock,
    netfilter::{
        Filter,
        maker::Backend,
        names,
        tables::{Table, TableFamily},
    },
    ports::{localnet, rules as port_rules},
    protocol::PluginError,
};

/// The name of the link by which `bandwidth` limits what a container sends.
#[must_use]
pub fn limiting_link(network: &str, container: &str) -> String {
    names::limiting_link(network, container)
}

/// Keeps 127.0.0.0/8 from other links than the loopback one, as `portmap` does before it lets the
/// host reach its pods from there.
///
/// # Errors
/// When the rule cannot be made.
pub fn guard_localnet() -> Result<(), PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    localnet::guard(preferred())
}

/// nft where the host has no `iptables`, or where portmap's rules are nft's.
fn preferred() -> Backend {
    let of_nft = [port_rules::NFT, port_rules::NFT6];
    let has = |table| Filter::open().and_then(|filter| filter.has_table(table)).unwrap_or(false);
    let has_iptables = has(Table::new(TableFamily::Ip, "nat"));
    if of_nft.into_iter().any(has) && !has_iptables {
        return Backend::Nftables;
    }
    Backend::choose(None)
}

/// Makes the chains that all pods of `portmap` share, and what leads to them, where they are missing.
///
/// # Errors
/// When the rules cannot be read or made.
pub fn share_again(is_v4: bool) -> Result<(), PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    crate::ports::shared::share_again(is_v4)
}

/// Removes a link that limits what a container sent that is gone; `false` when it is gone, or is no
/// such link.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_limiting_link(name: &str) -> Result<bool, PluginError> {
    let netlink = Netlink::open()?;
    match netlink.link(name)? {
        Some(link) if link.kind == "ifb" && name.starts_with("bwp") => {
            Ok(netlink.delete_link(&link)?)
        }
        _ => Ok(false),
    }
}
