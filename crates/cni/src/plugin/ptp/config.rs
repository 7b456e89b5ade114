//! The configuration, checked.

use serde::Deserialize;

use crate::{
    delegate,
    netfilter::maker::Backend,
    plugin::endpoint,
    protocol::{Call, Dns, PluginError},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ip_masq: bool,
    ip_masq_backend: Option<Backend>,
    mtu: u32,
    dns: Dns,
}

/// What the plugin works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) masquerade: bool,
    pub(super) backend: Option<Backend>,
    /// 0 leaves the kernel's.
    pub(super) mtu: u32,
    pub(super) ipam: String,
    pub(super) dns: Dns,
}

impl Config {
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        endpoint::check_mtu(keys.mtu)?;
        let ipam = delegate::address_management(call)?.ok_or_else(|| {
            PluginError::config("ipam", "is missing: the pod needs an address and a gateway")
        })?;
        Ok(Self {
            masquerade: keys.ip_masq,
            backend: keys.ip_masq_backend,
            mtu: keys.mtu,
            ipam,
            dns: keys.dns,
        })
    }
}
