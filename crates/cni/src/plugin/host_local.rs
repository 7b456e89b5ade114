//! `host-local`: addresses from ranges, leases in files.
//!
//! Leases are those of the reference plugin, byte for byte: see [`store`]. Two things are better.
//! A file of no bytes, which a power cut leaves, is taken over instead of being skipped for ever.
//! And who has which address is kept in an index beside the leases, so that the time of a call does
//! not grow with their number; see [`index`].

mod config;
mod index;
mod range;
mod store;

use std::net::IpAddr;

use crate::protocol::{
    Attachment, Call, CniResult, Code, Early, IpConfig, Plugin, PluginError, Proof, Version,
};

use config::Config;
use range::RangeSet;
use store::{Claim, Store};

pub(super) struct HostLocal;

impl Plugin for HostLocal {
    fn name(&self) -> &'static str {
        "host-local"
    }

    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let mut store = Store::open(&config.directory)?;
        // What is found now is not left to the proof.
        store.addresses_of(&call.attachment())?;
        attach(config, store, call).map(|early| early.result)
    }

    fn add_early(&self, call: &Call) -> Result<Early, PluginError> {
        let config = Config::read(call)?;
        let store = Store::open(&config.directory)?;
        attach(config, store, call)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let Some(mut store) = Store::open_existing(&config.directory)? else { return Ok(()) };
        store.release(&call.attachment())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let found = match Store::open_existing(&config.directory)? {
            Some(mut store) => !store.look_up(&call.attachment())?.is_empty(),
            None => false,
        };
        if found {
            return Ok(());
        }
        Err(PluginError::internal(format!(
            "host-local: Failed to find address added by container {} in `{}`",
            call.container_id(),
            config.directory.display()
        )))
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let config = Config::read(call)?;
        let Some(mut store) = Store::open_existing(&config.directory)? else { return Ok(()) };
        store.keep_only(&valid)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let Some(store) = Store::open_existing(&config.directory)? else { return Ok(()) };
        let taken = store.taken()?;
        for (number, set) in config.sets.iter().enumerate() {
            if !set.has_free(&taken) {
                let error = full(number, set, &config);
                return Err(PluginError { code: Code::NotAvailable, ..error });
            }
        }
        Ok(())
    }
}

/// Locks the leases in a directory against all who change them, until what is given is dropped; `None`
/// when there is no such directory.
///
/// # Errors
/// When they cannot be locked.
pub(crate) fn lock(directory: &std::path::Path) -> Result<Option<impl Sized + use<>>, PluginError> {
    Store::open_existing(directory)
}

/// Gives addresses. Where others have changed leases since all were looked at, whether one of these is the
/// attachment's is left to the proof: looking at a thousand takes longer than all else.
fn attach(config: Config, mut store: Store, call: &Call) -> Result<Early, PluginError> {
    let dns = config.dns()?;
    let given = allocate(&config, &mut store, call).inspect_err(|_| store.finish())?;
    let ips = given.ips.clone();
    let routes = config.routes.clone();
    let result = CniResult { ips, routes, dns, ..CniResult::default() };
    let owner = call.attachment();
    let proof = if store.is_known() {
        Proof::default()
    } else {
        Proof::by(move || prove(&config, store, &owner, &given))
    };
    Ok(Early { result, proof })
}

/// Addresses that were given.
struct Given {
    ips: Vec<IpConfig>,
    /// Sets that give nothing to an attachment that has an address of theirs: the next one was asked for.
    once: Vec<usize>,
}

/// Looks at the leases that others have made. When the attachment has one of these, it has none of the new.
fn prove(
    config: &Config,
    mut store: Store,
    owner: &Attachment,
    given: &Given,
) -> Result<(), PluginError> {
    let own: Vec<IpAddr> = given.ips.iter().map(|ip| ip.address.addr()).collect();
    let mut held = store.addresses_of(owner)?;
    held.retain(|address| !own.contains(address));
    let sets = given.once.iter().filter_map(|number| config.sets.get(*number));
    let refused = sets.into_iter().find_map(|set| refuse_held(set, &held, owner).err());
    if refused.is_some() {
        own.into_iter().try_for_each(|address| store.give_back(address))?;
    }
    store.finish();
    refused.map_or(Ok(()), Err)
}

/// One address from each set; none stays when one fails.
fn allocate(config: &Config, store: &mut Store, call: &Call) -> Result<Given, PluginError> {
    let mut requested = config.requested.clone();
    let held = store.seen_addresses_of(&call.attachment());
    let (mut ips, mut once) = (Vec::new(), Vec::new());
    let mut attempt = || {
        for (number, set) in config.sets.iter().enumerate() {
            let wanted = requested.iter().position(|address| set.range_of(*address).is_some());
            let wanted = wanted.map(|position| requested.remove(position));
            let ip = match wanted {
                Some(address) => take_requested(address, number, set, store, call)?,
                None => {
                    once.push(number);
                    refuse_held(set, &held, &call.attachment())?;
                    take_next(number, set, store, call, config)?
                }
            };
            ips.push(ip);
        }
        if requested.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = requested.iter().map(ToString::to_string).collect();
        Err(PluginError::internal(format!(
            "failed to allocate all requested IPs: {} (no range set of `ipam.ranges` is left that \
             contains them)",
            list.join(", ")
        )))
    };
    let done = attempt();
    if let Err(failure) = done {
        for ip in &ips {
            store.give_back(ip.address.addr())?;
        }
        return Err(failure);
    }
    store.finish();
    check_count(&ips, call).inspect_err(|_| {
        for ip in &ips {
            // The version's refusal is what to tell; what stays is found by GC.
            drop(store.give_back(ip.address.addr()));
        }
        store.finish();
    })?;
    Ok(Given { ips, once })
}

/// The oldest versions have one address of each family in their results.
fn check_count(ips: &[IpConfig], call: &Call) -> Result<(), PluginError> {
    let four = ips.iter().filter(|ip| ip.address.addr().is_ipv4()).count();
    if call.version >= Version::V0_3_0 || (four <= 1 && ips.len() - four <= 1) {
        return Ok(());
    }
    Err(PluginError::config(
        "cniVersion",
        format_args!("{} does not support more than 1 address per family; use 1.0.0", call.version),
    ))
}

fn take_requested(
    address: IpAddr,
    number: usize,
    set: &RangeSet,
    store: &mut Store,
    call: &Call,
) -> Result<IpConfig, PluginError> {
    let unavailable = |why: &str| {
        PluginError::internal(format!(
            "requested IP address {address} is not available in range set {set}{why}"
        ))
    };
    let range = set.range_of(address).ok_or_else(|| unavailable(""))?;
    if address == range.gateway {
        return Err(PluginError::internal(format!("requested ip {address} is subnet's gateway")));
    }
    match store.claim(address, number, &call.attachment())? {
        Claim::Done => Ok(range.ip(address)),
        Claim::Taken(owner) => Err(unavailable(&format!(": {owner} has it"))),
    }
}

/// Refuses an attachment that has an address of a set.
fn refuse_held(set: &RangeSet, held: &[IpAddr], owner: &Attachment) -> Result<(), PluginError> {
    match held.iter().find(|address| set.range_of(**address).is_some()) {
        None => Ok(()),
        Some(address) => Err(PluginError::internal(format!(
            "{address} has been allocated to {}, duplicate allocation is not allowed",
            owner.container_id
        ))),
    }
}

fn take_next(
    number: usize,
    set: &RangeSet,
    store: &mut Store,
    call: &Call,
    config: &Config,
) -> Result<IpConfig, PluginError> {
    for (range, address) in set.round(store.last_reserved(number)) {
        if let Claim::Done = store.claim(address, number, &call.attachment())? {
            return Ok(range.ip(address));
        }
    }
    Err(full(number, set, config))
}

fn full(number: usize, set: &RangeSet, config: &Config) -> PluginError {
    PluginError::internal(format!(
        "no IP addresses available in range set: {set} (`ipam.ranges[{number}]`; leases are in \
         `{}`: remove pods, widen the range, or let the runtime's GC take leases that are left over)",
        config.directory.display()
    ))
}

/// Addresses that an attachment has in the usual directory of leases; none when they cannot be read.
pub(super) fn leased(network: &str, owner: &Attachment) -> Vec<IpAddr> {
    let directory = std::path::Path::new(config::DATA_DIRECTORY).join(network);
    let store = Store::open_existing(&directory).ok().flatten();
    store.and_then(|mut store| store.look_up(owner).ok()).unwrap_or_default()
}
