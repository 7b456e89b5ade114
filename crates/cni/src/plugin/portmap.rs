//! `portmap`: ports of the host that lead to the pod.
//!
//! Rules are the reference plugin's, letter for letter. Better than there: a port that somebody
//! else has is refused with the owner's name; all rules of a family are one transaction, those that
//! a pod had before go first; DEL needs neither ports nor addresses, and takes away what either
//! backend has made; flows are ended after DEL as well; the door that `route_localnet` opens gets a
//! guard.

mod config;

use ipnet::IpNet;

use crate::{
    Family,
    lock::Lock,
    netfilter::{
        iptables::Tools,
        maker::{Backend, Maker},
    },
    ports::{
        PortMapping, conflict, making, published,
        rules::{self, Mode, Target},
    },
    protocol::{Call, CniResult, Code, Plugin, PluginError},
};

use config::Config;

pub(super) struct Portmap;

impl Plugin for Portmap {
    fn name(&self) -> &'static str {
        "portmap"
    }

    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let previous = call.required_previous()?;
        let config = Config::read(call)?;
        if config.mappings.is_empty() {
            return Ok(previous);
        }
        let addresses = addresses(&previous, call);
        if addresses.is_empty() {
            return Err(PluginError::config(
                "prevResult.ips",
                format_args!("has no address of link `{}`, to which ports could lead", call.link()),
            ));
        }
        refuse_other_family(&config.mappings, &addresses)?;
        let target = Target {
            network: &call.network,
            container: call.container_id(),
            addresses: &addresses,
        };
        let by = Maker::start(config.chosen);
        let _lock = Lock::acquire("netfilter")?;
        let look = making::look_before(&by, Mode::Replace);
        conflict::refuse(target, &config.mappings, look)?;
        making::add(target, &config.mappings, &config.options, by, Mode::Replace)?;
        Ok(previous)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let _lock = Lock::acquire("netfilter")?;
        rules::remove(&call.network, call.container_id())?;
        published::drop_record(&call.network, call.container_id());
        Ok(())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let previous = call.required_previous()?;
        let config = Config::read(call)?;
        let addresses = addresses(&previous, call);
        let target = Target {
            network: &call.network,
            container: call.container_id(),
            addresses: &addresses,
        };
        rules::check(target, &config.mappings)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let _lock = Lock::acquire("netfilter")?;
        rules::keep_only(&call.network, &valid)?;
        for record in published() {
            let is_gone = !valid.iter().any(|pod| pod.container_id == record.sandbox);
            if record.network == call.network && is_gone {
                published::drop_record(&record.network, &record.sandbox);
            }
        }
        Ok(())
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let missing = match config.chosen.backend {
            Backend::Iptables => Tools::find(Family::Ipv4).err(),
            Backend::Nftables => crilet_core::exec::find_program("nft").err(),
        };
        missing.map_or(Ok(()), |error| {
            Err(PluginError::new(Code::NotAvailable, format!("ports cannot be mapped: {error}")))
        })
    }
}

/// The first address of each family that the pod's link has.
fn addresses(previous: &CniResult, call: &Call) -> Vec<IpNet> {
    let is_own = |index: Option<i64>| {
        let Some(index) = index else { return true };
        let interface =
            usize::try_from(index).ok().and_then(|index| previous.interfaces.get(index));
        interface.is_some_and(|one| one.name == call.link() && !one.sandbox.is_empty())
    };
    let mut addresses: Vec<IpNet> = Vec::new();
    for ip in previous.ips.iter().filter(|ip| is_own(ip.interface)) {
        let is_v4 = ip.address.addr().is_ipv4();
        if !addresses.iter().any(|other| other.addr().is_ipv4() == is_v4) {
            addresses.push(ip.address);
        }
    }
    addresses
}

/// A port of an IPv6 address cannot lead to a pod that has IPv4 alone; the reference says nothing.
fn refuse_other_family(mappings: &[PortMapping], addresses: &[IpNet]) -> Result<(), PluginError> {
    for (index, mapping) in mappings.iter().enumerate() {
        let Some(host) = mapping.destination() else { continue };
        if !addresses.iter().any(|net| net.addr().is_ipv4() == host.is_ipv4()) {
            let family = if host.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(PluginError::config(
                &format!("runtimeConfig.portMappings[{index}].hostIP"),
                format_args!("is {host}, but the pod has no {family} address"),
            ));
        }
    }
    Ok(())
}
