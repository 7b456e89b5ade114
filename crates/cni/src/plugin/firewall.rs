//! `firewall`: lets a pod's traffic through the filter table, or has firewalld do so.
//!
//! Rules, comments and their order are those of the reference plugin, see [`rules`]; so are zones
//! and addresses of [`firewalld`]. Neither tells whose an address is, so that is kept beside them:
//! see [`owners`]. By it they go with their pod also when DEL comes without a previous result,
//! which is where the reference leaves them, and GC finds what no pod has any more.

mod config;
mod firewalld;
mod owners;
mod rules;
mod table;

use std::net::IpAddr;

use crate::{
    Family,
    lock::Lock,
    protocol::{Call, CniResult, Code, Plugin, PluginError, Version, all},
};

use config::{Backend, Config};
use firewalld::Firewalld;
use owners::{Held, Owners};
use rules::Isolation;
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
        let mut way = Way::choose(&config, call)?;
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::new();
        let claims = owners.claim(&addresses, call, way.zone())?;
        match way.open(&config, &addresses, policy.as_ref()) {
            Ok(()) => Ok(result),
            Err(failure) => {
                // The failure is what to tell; a claim that stays is found by GC.
                drop(owners.undo(claims));
                Err(failure)
            }
        }
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let previous = call.previous()?;
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::new();
        let mut own = owners.of(call)?;
        let others = match &previous {
            Some(previous) => addresses(previous),
            // The pod of another maker's plugin: its leases tell, until address management is
            // asked to release them, which is later.
            None if own.is_empty() => leased(call),
            None => Vec::new(),
        };
        let unknown =
            others.into_iter().filter(|other| own.iter().all(|one| one.address != *other));
        own.extend(unknown.flat_map(|address| may_be_held(call, address)).collect::<Vec<_>>());
        own.retain(|held| !owners.is_of_another(held.address, call));
        release(call, &owners, &own)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let policy = config.isolation(&result)?;
        let addresses = addresses(&result);
        // As it was made, although firewalld may have been started or stopped since.
        let mut way = match Owners::new().of(call)?.into_iter().next().map(|held| held.zone) {
            Some(Some(zone)) => Way::Zone(Firewalld::open(&call.environment.bus)?, zone),
            Some(None) => Way::Table,
            None => Way::choose(&config, call)?,
        };
        way.check(&config, &addresses, policy.as_ref())
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let _lock = Lock::acquire("netfilter")?;
        let owners = Owners::new();
        let gone = owners.without(&valid, &call.network)?;
        release(call, &owners, &gone)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        if config.backend == Backend::Firewalld {
            return firewalld::status(&call.environment.bus);
        }
        let unavailable = |error: PluginError| PluginError { code: Code::NotAvailable, ..error };
        match Way::choose(&config, call)? {
            Way::Table => Table::open(Family::Ipv4).map(drop).map_err(unavailable),
            Way::Zone(..) => Ok(()),
        }
    }

    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }
}

/// How a pod's traffic is let through.
enum Way {
    Table,
    Zone(Firewalld, String),
}

impl Way {
    /// The way that the configuration names, or else firewalld where it runs.
    fn choose(config: &Config, call: &Call) -> Result<Self, PluginError> {
        let bus = &call.environment.bus;
        let firewalld = match config.backend {
            Backend::Iptables => None,
            Backend::Firewalld => Some(Firewalld::open(bus)?),
            Backend::Automatic => Firewalld::running(bus),
        };
        Ok(firewalld.map_or(Self::Table, |firewalld| Self::Zone(firewalld, config.zone.clone())))
    }

    fn zone(&self) -> Option<&str> {
        match self {
            Self::Table => None,
            Self::Zone(_, zone) => Some(zone),
        }
    }

    /// Lets addresses through: all of them, or none. Bridges are kept apart by rules either way.
    fn open(
        &mut self,
        config: &Config,
        addresses: &[IpAddr],
        policy: Option<&Isolation>,
    ) -> Result<(), PluginError> {
        let Self::Zone(firewalld, zone) = self else {
            return table::add(Some(&config.admin_chain), addresses, policy);
        };
        firewalld.add(zone, addresses)?;
        let Some(policy) = policy else { return Ok(()) };
        let added = table::add(None, addresses, Some(policy));
        if added.is_err() {
            // The failure is what to tell.
            drop(firewalld.remove(zone, addresses));
        }
        added
    }

    fn check(
        &mut self,
        config: &Config,
        addresses: &[IpAddr],
        policy: Option<&Isolation>,
    ) -> Result<(), PluginError> {
        let Self::Zone(firewalld, zone) = self else {
            return table::check(Some(&config.admin_chain), addresses, policy);
        };
        firewalld.check(zone, addresses)?;
        policy.map_or(Ok(()), |policy| table::check(None, addresses, Some(policy)))
    }
}

/// Where an address may be let through that nothing is noted of, by what the keys say now. Whatever
/// they have become since, a pod must be able to go.
fn may_be_held(call: &Call, address: IpAddr) -> Vec<Held> {
    let by_rules = Held { address, zone: None };
    let Ok(config) = Config::read(call) else { return vec![by_rules] };
    let by_firewalld = Held { address, zone: Some(config.zone) };
    match config.backend {
        Backend::Iptables => vec![by_rules],
        Backend::Firewalld => vec![by_firewalld],
        Backend::Automatic => vec![by_rules, by_firewalld],
    }
}

/// Has addresses let through no longer, and forgets who had them.
fn release(call: &Call, owners: &Owners, all_held: &[Held]) -> Result<(), PluginError> {
    let mut errors = Vec::new();
    let mut zones: Vec<Option<&String>> = all_held.iter().map(|held| held.zone.as_ref()).collect();
    zones.sort_unstable();
    zones.dedup();
    for zone in zones {
        let in_it = all_held.iter().filter(|held| held.zone.as_ref() == zone);
        let addresses: Vec<IpAddr> = in_it.map(|held| held.address).collect();
        let released = match zone {
            None => table::remove(&addresses),
            Some(zone) => firewalld::remove(&call.environment.bus, zone, &addresses),
        };
        match released.and_then(|()| owners.forget(&addresses)) {
            Ok(()) => {}
            Err(error) => errors.push(error),
        }
    }
    all(errors)
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
