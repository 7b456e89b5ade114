//! `static`: addresses that the configuration names, or the caller.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::protocol::{Call, CniResult, Dns, IpConfig, Plugin, PluginError, Route, Version, all};

pub(super) struct Static;

impl Plugin for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let ip = |address: &Address| IpConfig {
            interface: None,
            address: address.net,
            gateway: address.gateway,
        };
        Ok(CniResult {
            ips: config.addresses.iter().map(ip).collect(),
            routes: config.routes,
            dns: config.dns,
            ..CniResult::default()
        })
    }

    fn del(&self, _call: &Call) -> Result<(), PluginError> {
        // Nothing was reserved.
        Ok(())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let previous = call.required_previous()?;
        let missing = config.addresses.iter().filter(|address| {
            let is_same = |ip: &IpConfig| {
                ip.address.addr() == address.net.addr()
                    && (address.gateway.is_none() || ip.gateway == address.gateway)
            };
            !previous.ips.iter().any(is_same)
        });
        let errors = missing.map(|address| {
            let gateway = address.gateway.map(|gateway| format!(" with gateway {gateway}"));
            PluginError::internal(format!(
                "static: address {}{} is missing from `prevResult.ips`",
                address.net,
                gateway.unwrap_or_default()
            ))
        });
        all(errors.collect())
    }

    fn gc(&self, _call: &Call) -> Result<(), PluginError> {
        Ok(())
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ipam: Option<Ipam>,
    runtime_config: Wishes,
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ipam {
    addresses: Vec<WrittenAddress>,
    routes: Vec<Route>,
    dns: Dns,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenAddress {
    address: String,
    gateway: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: Wishes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wishes {
    ips: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    net: IpNet,
    gateway: Option<IpAddr>,
}

#[derive(Debug)]
struct Config {
    addresses: Vec<Address>,
    routes: Vec<Route>,
    dns: Dns,
}

impl Config {
    /// Addresses of `CNI_ARGS` come beside those of the network; those of its arguments and of the
    /// runtime come instead.
    fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        let ipam = keys.ipam.ok_or_else(|| PluginError::config("ipam", "is missing"))?;
        let written = ipam.addresses.iter().enumerate().map(|(index, written)| {
            let key = |name: &str| format!("ipam.addresses[{index}].{name}");
            let gateway = Some(written.gateway.as_str()).filter(|text| !text.is_empty());
            let gateway = gateway.map(|text| address(&key("gateway"), text)).transpose()?;
            Ok(Address { net: net(&key("address"), &written.address)?, gateway })
        });
        let mut addresses = written.collect::<Result<Vec<_>, PluginError>>()?;
        add_args(&mut addresses, call)?;
        for (key, wishes) in
            [("args.cni.ips", keys.args.cni), ("runtimeConfig.ips", keys.runtime_config)]
        {
            if wishes.ips.is_empty() {
                continue;
            }
            let wishes = wishes.ips.iter().enumerate().map(|(index, text)| {
                net(&format!("{key}[{index}]"), text).map(|net| Address { net, gateway: None })
            });
            addresses = wishes.collect::<Result<_, _>>()?;
        }
        check_count(&addresses, call)?;
        Ok(Self { addresses, routes: ipam.routes, dns: ipam.dns })
    }
}

fn add_args(addresses: &mut Vec<Address>, call: &Call) -> Result<(), PluginError> {
    let args = call.args(&["IP", "GATEWAY"])?;
    let named = addresses.len();
    let list = |name| args.get(name).filter(|text| !text.is_empty()).into_iter();
    for text in list("IP").flat_map(|text| text.split(',')) {
        addresses.push(Address { net: net("CNI_ARGS IP", text.trim())?, gateway: None });
    }
    for text in list("GATEWAY").flat_map(|text| text.split(',')) {
        let gateway = address("CNI_ARGS GATEWAY", text.trim())?;
        // As in the reference, not for addresses that the network names.
        let added = addresses.iter_mut().skip(named);
        let reached = added.filter(|address| address.net.contains(&gateway));
        reached.for_each(|address| address.gateway = Some(gateway));
    }
    Ok(())
}

/// The oldest versions have one address of each family in their results; and no link has an
/// address twice.
fn check_count(addresses: &[Address], call: &Call) -> Result<(), PluginError> {
    let four = addresses.iter().filter(|address| address.net.addr().is_ipv4()).count();
    if call.version < Version::V0_3_0 && (four > 1 || addresses.len() - four > 1) {
        let problem = format!(
            "is {}, which does not support more than 1 address per family; use 1.0.0",
            call.version
        );
        return Err(PluginError::config("cniVersion", problem));
    }
    let mut seen = BTreeSet::new();
    match addresses.iter().find(|address| !seen.insert(address.net)) {
        None => Ok(()),
        Some(twice) => {
            let problem = format!("has {} twice", twice.net);
            Err(PluginError::config("ipam.addresses", problem))
        }
    }
}

fn net(key: &str, text: &str) -> Result<IpNet, PluginError> {
    text.parse().map_err(|_| {
        let problem = format!(
            "is \"{text}\", but must be an address with the length of its prefix, such as 10.1.0.5/24"
        );
        PluginError::config(key, problem)
    })
}

fn address(key: &str, text: &str) -> Result<IpAddr, PluginError> {
    text.parse().map_err(|_| {
        PluginError::config(key, format_args!("is \"{text}\", which is no IP address"))
    })
}
