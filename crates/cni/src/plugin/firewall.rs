//! `firewall`: lets a pod's traffic through the filter table.
//!
//! Rules, comments and their order are those of the reference plugin; see [`rules`]. Its rules for
//! a pod's address carry no comment, so whose they are is kept beside them: see [`owners`]. By it
//! rules go with their pod also when DEL comes without a previous result, which is where the
//! reference leaves them, and GC finds what no pod has any more.

mod config;
mod owners;
mod rules;
mod table;

use std::net::IpAddr;

use crate::{
    Family,
    lock::Lock,
    protocol::{Call, CniResult, Code, Plugin, PluginError, Version},
};

use config::Config;
use owners::Owners;
use table::Table;

pub(super) struct Firewall;

impl Plugin for Firewall {
    fn name(&self) -> &'static str {
        "firewall"
    }

    fn versions(&self) -> &'static [Version] {
        const VERSIONS: [Version; 3] = [Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
        &VERSIONS
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let policy = config.isolation(&result)?;
        let addresses = addresses(&result);
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::open()?;
        let claims = owners.claim(&addresses, call)?;
        match table::add(&config.admin_chain, &addresses, policy.as_ref()) {
            Ok(()) => Ok(result),
            Err(failure) => {
                // The failure is what to tell; a claim that stays is found by GC.
                drop(owners.undo(claims));
                Err(failure)
            }
        }
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        // Whatever the keys have become since: a pod must be able to go.
        let previous = call.previous()?;
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::open()?;
        let mut own = owners.of(call)?;
        match &previous {
            Some(previous) => own.extend(addresses(previous)),
            // The pod of another maker's plugin: its leases tell, until address management is
            // asked to release them, which is later.
            None if own.is_empty() => own.extend(leased(call)),
            None => {}
        }
        own.sort_unstable();
        own.dedup();
        own.retain(|address| !owners.is_of_another(*address, call));
        release(&owners, &own)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let policy = config.isolation(&result)?;
        table::check(&config.admin_chain, &addresses(&result), policy.as_ref())
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::open()?;
        let gone = owners.without(&valid, &call.network)?;
        release(&owners, &gone)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call)?;
        let unavailable = |error: PluginError| PluginError { code: Code::NotAvailable, ..error };
        Table::open(Family::Ipv4).map(drop).map_err(unavailable)
    }
}

/// Takes away the rules of addresses, and who had them.
fn release(owners: &Owners, addresses: &[IpAddr]) -> Result<(), PluginError> {
    if addresses.is_empty() {
        return Ok(());
    }
    table::remove(addresses)?;
    owners.forget(addresses)
}

/// All addresses of a result, each once.
fn addresses(result: &CniResult) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in &result.ips {
        if !addresses.contains(&ip.address.addr()) {
            addresses.push(ip.address.addr());
        }
    }
    addresses
}

/// Addresses that host-local leased to the attachment, where its leases usually are.
fn leased(call: &Call) -> Vec<IpAddr> {
    super::host_local::leased(&call.network, &call.attachment())
}
