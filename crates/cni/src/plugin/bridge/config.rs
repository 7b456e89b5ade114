//! The configuration of `bridge`.

use serde::Deserialize;

use crate::{
    delegate,
    netfilter::maker::Backend,
    plugin::endpoint::{self, Setting},
    protocol::{Call, Dns, PluginError, link_name_problem},
};

const VLANS: std::ops::RangeInclusive<u16> = 0..=4094;

/// What the plugin works with.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) bridge: String,
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    pub(super) force_address: bool,
    pub(super) masquerade: bool,
    pub(super) backend: Option<Backend>,
    /// 0 leaves the kernel's.
    pub(super) mtu: u32,
    pub(super) hairpin: bool,
    pub(super) promiscuous: bool,
    pub(super) isolation: bool,
    pub(super) spoof_check: bool,
    pub(super) detects_duplicates: bool,
    pub(super) is_interface_disabled: bool,
    /// Untagged VLAN of the pod; 0 for none.
    pub(super) vlan: u16,
    /// Tagged VLANs of the pod, from and to.
    pub(super) trunk: Vec<(u16, u16)>,
    pub(super) keeps_default_vlan: bool,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) ipam: Option<String>,
    pub(super) dns: Dns,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    ip_masq: bool,
    ip_masq_backend: Option<Backend>,
    mtu: u32,
    hairpin_mode: bool,
    promisc_mode: bool,
    vlan: u16,
    vlan_trunk: Vec<Trunk>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    dns: Dns,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            bridge: "cni0".to_owned(),
            is_gateway: false,
            is_default_gateway: false,
            force_address: false,
            ip_masq: false,
            ip_masq_backend: None,
            mtu: 0,
            hairpin_mode: false,
            promisc_mode: false,
            vlan: 0,
            vlan_trunk: Vec::new(),
            preserve_default_vlan: false,
            macspoofchk: false,
            enabledad: false,
            disable_container_interface: false,
            port_isolation: false,
            dns: Dns::default(),
        }
    }
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Trunk {
    id: Option<u16>,
    #[serde(rename = "minID")]
    min: Option<u16>,
    #[serde(rename = "maxID")]
    max: Option<u16>,
}

impl Config {
    /// Reads and checks the configuration of a call.
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let written: Written = call.config()?;
        let ipam = delegate::address_management(call)?;
        if let Some(problem) = link_name_problem(&written.bridge) {
            let problem = format!("is \"{}\", but {problem}", written.bridge);
            return Err(PluginError::config("bridge", problem));
        }
        if written.hairpin_mode && written.promisc_mode {
            return Err(PluginError::config(
                "promiscMode",
                "cannot set hairpin mode and promiscuous mode at the same time: leave one out",
            ));
        }
        endpoint::check_mtu(written.mtu)?;
        if !VLANS.contains(&written.vlan) {
            return Err(vlan_problem("vlan", written.vlan));
        }
        if written.disable_container_interface && ipam.is_some() {
            return Err(PluginError::config(
                "disableContainerInterface",
                "leaves the pod's link down, which `ipam` cannot give addresses: leave one out",
            ));
        }
        let mac = endpoint::wanted_mac(call)?;
        Ok(Self {
            is_gateway: written.is_gateway || written.is_default_gateway,
            is_default_gateway: written.is_default_gateway,
            force_address: written.force_address,
            masquerade: written.ip_masq,
            backend: written.ip_masq_backend,
            mtu: written.mtu,
            hairpin: written.hairpin_mode,
            promiscuous: written.promisc_mode,
            isolation: written.port_isolation,
            spoof_check: written.macspoofchk,
            detects_duplicates: written.enabledad,
            is_interface_disabled: written.disable_container_interface,
            vlan: written.vlan,
            trunk: trunk(&written.vlan_trunk)?,
            keeps_default_vlan: written.preserve_default_vlan,
            bridge: written.bridge,
            dns: written.dns,
            mac,
            ipam,
        })
    }

    /// Settings of the pod's link.
    pub(super) fn link_settings(&self) -> &'static [Setting] {
        const QUICK: [Setting; 2] = [("ipv4", "arp_notify", "1"), ("ipv6", "accept_dad", "0")];
        const CAREFUL: [Setting; 3] = [
            ("ipv4", "arp_notify", "1"),
            ("ipv6", "accept_dad", "1"),
            ("ipv6", "enhanced_dad", "1"),
        ];
        if self.detects_duplicates { &CAREFUL } else { &QUICK }
    }

    /// Whether the bridge tells VLANs apart.
    pub(super) fn has_vlans(&self) -> bool {
        self.vlan != 0 || !self.trunk.is_empty()
    }
}

fn trunk(written: &[Trunk]) -> Result<Vec<(u16, u16)>, PluginError> {
    let mut ranges = Vec::new();
    for (index, item) in written.iter().enumerate() {
        let key = |part: &str| format!("vlanTrunk[{index}]{part}");
        let range = match (item.min, item.max) {
            (Some(min), Some(max)) if min > max => {
                let problem = format!("is {min}, but must not be above maxID, {max}");
                return Err(PluginError::config(&key(".minID"), problem));
            }
            (Some(min), Some(max)) => Some((min, max)),
            (None, None) => None,
            (None, Some(_)) => return Err(PluginError::config(&key(".minID"), "is missing")),
            (Some(_), None) => return Err(PluginError::config(&key(".maxID"), "is missing")),
        };
        if range.is_none() && item.id.is_none() {
            return Err(PluginError::config(&key(""), "needs `id`, or `minID` and `maxID`"));
        }
        for (from, to) in range.into_iter().chain(item.id.map(|id| (id, id))) {
            let wrong = [from, to].into_iter().find(|id| *id == 0 || !VLANS.contains(id));
            if let Some(id) = wrong {
                return Err(vlan_problem(&key(""), id));
            }
            ranges.push((from, to));
        }
    }
    Ok(ranges)
}

fn vlan_problem(key: &str, id: u16) -> PluginError {
    PluginError::config(key, format_args!("is {id}, but a VLAN is between 1 and 4094"))
}
