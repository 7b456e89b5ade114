//! The configuration of `bridge`.

use serde::Deserialize;

use crate::{
    delegate,
    kernel::parse_mac,
    netfilter::masquerade::Backend,
    protocol::{Call, Dns, PluginError, link_name_problem},
};

/// The smallest packet that every IPv4 host must take, and the largest that a link can have.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;
/// The smallest packet of IPv6.
pub(super) const MTU_V6: u32 = 1280;
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
    mac: String,
    runtime_config: Mac,
    args: Args,
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
            mac: String::new(),
            runtime_config: Mac::default(),
            args: Args::default(),
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mac {
    mac: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: Mac,
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
        if written.mtu != 0 && !MTU.contains(&written.mtu) {
            let problem = format!(
                "is {}, but must be between {} and {} bytes",
                written.mtu,
                MTU.start(),
                MTU.end()
            );
            return Err(PluginError::config("mtu", problem));
        }
        if !VLANS.contains(&written.vlan) {
            return Err(vlan_problem("vlan", written.vlan));
        }
        if written.disable_container_interface && ipam.is_some() {
            return Err(PluginError::config(
                "disableContainerInterface",
                "leaves the pod's link down, which `ipam` cannot give addresses: leave one out",
            ));
        }
        let mac = mac(call, &written)?;
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

    /// Whether the bridge tells VLANs apart.
    pub(super) fn has_vlans(&self) -> bool {
        self.vlan != 0 || !self.trunk.is_empty()
    }
}

/// The hardware address that is asked for: the runtime's wish, then that of the configuration's
/// arguments, of `CNI_ARGS`, and of the configuration.
fn mac(call: &Call, written: &Written) -> Result<Option<[u8; 6]>, PluginError> {
    let args = call.args(&["MAC"])?;
    let wishes = [
        ("runtimeConfig.mac", written.runtime_config.mac.as_str()),
        ("args.cni.mac", written.args.cni.mac.as_str()),
        ("CNI_ARGS MAC", args.get("MAC").unwrap_or_default()),
        ("mac", written.mac.as_str()),
    ];
    let Some((key, text)) = wishes.into_iter().find(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let problem = |problem: &str| {
        PluginError::config(key, format_args!("is \"{text}\", but must be {problem}"))
    };
    let mac =
        parse_mac(text).ok_or_else(|| problem("a hardware address such as 02:00:00:00:00:01"))?;
    let is_group = mac.first().is_some_and(|byte| byte & 1 == 1);
    if is_group || mac == [0; 6] {
        return Err(problem("the address of one link, not of a group, nor zero"));
    }
    Ok(Some(mac))
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
