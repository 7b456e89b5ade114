//! The configuration, checked.

use std::net::IpAddr;

use serde::Deserialize;

use crate::protocol::{Call, IpConfig, PluginError};

/// The tables that the kernel fills itself, and the one of no number.
const TAKEN: [u32; 4] = [0, 253, 254, 255];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    table: Option<u32>,
    gateways: Vec<String>,
    add_source_hints: bool,
}

/// What the plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// The table that rules lead to; without one, one for each address is filled.
    pub(super) table: Option<u32>,
    gateways: Vec<IpAddr>,
    /// Leaves the link's subnets in the main table, with the address to leave with.
    pub(super) has_hints: bool,
}

/// The table alone, which is all that DEL needs.
pub(super) fn table(call: &Call) -> Result<Option<u32>, PluginError> {
    call.config::<Keys>().map(|keys| keys.table)
}

impl Config {
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        if let Some(table) = keys.table.filter(|table| TAKEN.contains(table)) {
            let problem = format!("is {table}, but must be a table of the pod's own, such as 100");
            return Err(PluginError::config("table", problem));
        }
        let mut gateways: Vec<IpAddr> = Vec::new();
        for (index, text) in keys.gateways.iter().enumerate() {
            let key = format!("gateways[{index}]");
            let gateway: IpAddr = text.parse().map_err(|_| {
                PluginError::config(&key, format_args!("is \"{text}\", which is no IP address"))
            })?;
            if gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
                let problem = format!("is {text}, the second one of its family");
                return Err(PluginError::config(&key, problem));
            }
            gateways.push(gateway);
        }
        Ok(Self { table: keys.table, gateways, has_hints: keys.add_source_hints })
    }

    /// The gateway for an address: that of the network's keys, or else its own.
    pub(super) fn gateway(&self, ip: &IpConfig) -> Option<IpAddr> {
        self.named(ip.address.addr()).or(ip.gateway)
    }

    /// Whether the network's keys have a gateway for an address.
    pub(super) fn names_gateway(&self, address: IpAddr) -> bool {
        self.named(address).is_some()
    }

    fn named(&self, address: IpAddr) -> Option<IpAddr> {
        let is_v4 = address.is_ipv4();
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == is_v4)
    }
}
