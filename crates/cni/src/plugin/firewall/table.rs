//! The filter table of each family.

use std::net::IpAddr;

use super::rules::{Isolation, Listing};
use crate::{
    Family,
    netfilter::iptables::Tools,
    protocol::{PluginError, all},
};

/// Plugins of others change the table between listing and changing; then both are done again.
const ATTEMPTS: u32 = 5;

/// The filter table of a family.
#[derive(Debug)]
pub(super) struct Table(Tools);

impl Table {
    pub(super) fn open(family: Family) -> Result<Self, PluginError> {
        Tools::find(family).map(Self).map_err(|error| PluginError::because("use iptables", &error))
    }

    fn list(&self) -> Result<Vec<String>, PluginError> {
        self.0.save("filter").map_err(|error| PluginError::because("list the filter table", &error))
    }

    /// Makes the transaction that `plan` gives for the present content.
    fn change(&self, plan: impl Fn(Listing<'_>) -> Option<String>) -> Result<(), PluginError> {
        let mut attempt = 1;
        loop {
            let Some(script) = plan(Listing(&self.list()?)) else { return Ok(()) };
            match self.0.restore(&script) {
                Ok(()) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => {
                    return Err(PluginError::because("change the filter table", &error));
                }
                Err(_) => attempt += 1,
            }
        }
    }
}

/// The families that there are addresses of, with these.
fn families(addresses: &[IpAddr]) -> impl Iterator<Item = (Family, Vec<IpAddr>)> {
    let of =
        |is_v4: bool| addresses.iter().copied().filter(move |address| address.is_ipv4() == is_v4);
    let both = [(Family::Ipv4, of(true).collect()), (Family::Ipv6, of(false).collect())];
    both.into_iter().filter(|(_, own): &(Family, Vec<IpAddr>)| !own.is_empty())
}

/// Adds what pods with these addresses need, in each family all or nothing, and nothing at all when
/// one fails. Without a chain for the administrator, somebody else lets the addresses through.
pub(super) fn add(
    admin: Option<&str>,
    addresses: &[IpAddr],
    isolation: Option<&Isolation>,
) -> Result<(), PluginError> {
    // What is not installed shows before anything is changed.
    let tables = families(addresses).map(|(family, own)| Ok((Table::open(family)?, own)));
    for (table, own) in tables.collect::<Result<Vec<_>, PluginError>>()? {
        let added = table.change(|listing| listing.adding(admin, &own, isolation));
        if let Err(failure) = added {
            // Of the other family; the failure is what to tell.
            drop(admin.map(|_| remove(addresses)));
            return Err(failure);
        }
    }
    Ok(())
}

/// Takes away the rules of addresses; goes on past a family that fails.
pub(super) fn remove(addresses: &[IpAddr]) -> Result<(), PluginError> {
    let mut errors = Vec::new();
    for (family, own) in families(addresses) {
        // A family without tools has no rules of ours.
        let Ok(table) = Table::open(family) else { continue };
        errors.extend(table.change(|listing| listing.removing(&own)).err());
    }
    all(errors)
}

/// Looks whether everything is there; unlike the reference, makes no chains.
pub(super) fn check(
    admin: Option<&str>,
    addresses: &[IpAddr],
    isolation: Option<&Isolation>,
) -> Result<(), PluginError> {
    for (family, own) in families(addresses) {
        let lines = Table::open(family)?.list()?;
        if let Some(rule) = Listing(&lines).missing(admin, &own, isolation) {
            let message = format!("expected rule `{rule}` of the filter table is not there");
            return Err(PluginError::internal(message));
        }
    }
    Ok(())
}
