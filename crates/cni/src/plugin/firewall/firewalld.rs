//! firewalld, which is asked over the system bus to take a pod's addresses into a zone.
//!
//! Methods, zone and the form of the addresses are those of the reference plugin, so that either
//! finds what the other has made.

use std::net::IpAddr;

use crate::{
    bus::{Bus, BusError, MethodCall, Value},
    protocol::{Code, PluginError, all},
};

/// Name of firewalld on the bus.
const NAME: &str = "org.fedoraproject.FirewallD1";
const PATH: &str = "/org/fedoraproject/FirewallD1";
const INTERFACE: &str = "org.fedoraproject.FirewallD1.zone";

/// What firewalld says of a source that is in the zone already.
const IS_THERE: &str = "ZONE_ALREADY_SET";
/// What it says of a source, or a zone, that it does not have.
const IS_NOT_THERE: [&str; 2] = ["UNKNOWN_SOURCE", "INVALID_ZONE"];
/// What the bus says when nobody has the name, and nobody can be started for it.
const NOBODY: [&str; 2] =
    ["org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"];

/// A connection to firewalld.
#[derive(Debug)]
pub(super) struct Firewalld(Bus);

impl Firewalld {
    /// firewalld, when it runs; `bus` is the address of the system bus.
    pub(super) fn running(bus: &str) -> Option<Self> {
        let mut connection = Bus::system(bus).ok()?;
        connection.has_owner(NAME).ok()?.then_some(Self(connection))
    }

    /// The way to firewalld, which the bus may start when it is asked.
    pub(super) fn open(bus: &str) -> Result<Self, PluginError> {
        Bus::system(bus).map(Self).map_err(|error| unusable(&error))
    }

    fn ask(&mut self, method: &str, zone: &str, address: IpAddr) -> Result<Value, BusError> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let call = MethodCall {
            destination: NAME,
            path: PATH,
            interface: INTERFACE,
            member: method,
            texts: &[zone, &format!("{address}/{length}")],
        };
        self.0.call(&call)
    }

    /// Takes addresses into a zone: all of them, or none.
    pub(super) fn add(&mut self, zone: &str, addresses: &[IpAddr]) -> Result<(), PluginError> {
        let mut added = Vec::new();
        for address in addresses {
            match self.ask("addSource", zone, *address) {
                Ok(_) => added.push(*address),
                Err(BusError::Refused { text, .. }) if text.contains(IS_THERE) => {}
                Err(error) => {
                    // The failure is what to tell.
                    drop(self.remove(zone, &added));
                    return Err(failed("take", *address, "into", zone, &error));
                }
            }
        }
        Ok(())
    }

    /// Takes addresses out of a zone, and goes on past those that cannot be.
    pub(super) fn remove(&mut self, zone: &str, addresses: &[IpAddr]) -> Result<(), PluginError> {
        let removed =
            addresses.iter().map(|address| match self.ask("removeSource", zone, *address) {
                Err(BusError::Refused { name, text })
                    if NOBODY.contains(&name.as_str())
                        || IS_NOT_THERE.iter().any(|said| text.contains(said)) =>
                {
                    Ok(())
                }
                other => other
                    .map(drop)
                    .map_err(|error| failed("take", *address, "out of", zone, &error)),
            });
        all(removed.filter_map(Result::err).collect())
    }

    /// Looks whether the zone has the addresses. The reference takes any answer for a yes.
    pub(super) fn check(&mut self, zone: &str, addresses: &[IpAddr]) -> Result<(), PluginError> {
        for address in addresses {
            match self.ask("querySource", zone, *address) {
                Ok(Value::Truth(true)) => {}
                Ok(_) => {
                    let message = format!("{address} is no source of firewalld's zone `{zone}`");
                    return Err(PluginError::internal(message));
                }
                Err(error) => return Err(failed("look for", *address, "in", zone, &error)),
            }
        }
        Ok(())
    }
}

/// Takes addresses out of a zone. Without firewalld they are in none: it keeps them while it runs.
pub(super) fn remove(bus: &str, zone: &str, addresses: &[IpAddr]) -> Result<(), PluginError> {
    match Firewalld::running(bus) {
        Some(mut firewalld) => firewalld.remove(zone, addresses),
        None => Ok(()),
    }
}

const HINT: &str = "start firewalld, or set `backend` to \"iptables\"";

fn unusable(error: &BusError) -> PluginError {
    let error = PluginError::because("reach firewalld", error);
    PluginError { code: Code::NotAvailable, ..error }.details(HINT)
}

fn failed(verb: &str, address: IpAddr, place: &str, zone: &str, error: &BusError) -> PluginError {
    if let BusError::Refused { name, .. } = error
        && NOBODY.contains(&name.as_str())
    {
        return unusable(error);
    }
    PluginError::because(format_args!("{verb} {address} {place} firewalld's zone `{zone}`"), error)
}

/// firewalld as STATUS asks for it.
pub(super) fn status(bus: &str) -> Result<(), PluginError> {
    Firewalld::running(bus)
        .map(drop)
        .ok_or_else(|| PluginError::new(Code::NotAvailable, "firewalld does not run").details(HINT))
}
