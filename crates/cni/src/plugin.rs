//! crilet's own plugins, by name.

mod bandwidth;
mod bridge;
mod dhcp;
mod endpoint;
mod firewall;
mod flannel;
mod host_device;
mod host_local;
mod ipvlan;
mod loopback;
mod macvlan;
mod portmap;
mod ptp;
mod sbr;
mod static_addresses;
mod tuning;
mod upper;
mod vlan;

use crate::protocol::Plugin;

pub(crate) use bridge::{SPOOF_BASE, SPOOF_TABLE};
pub use dhcp::daemon as dhcp_daemon;
pub(crate) use host_local::lock as lock_leases;

/// All plugins of the multi-call program.
pub const PLUGINS: &[&dyn Plugin] = &[
    &bandwidth::Bandwidth,
    &bridge::Bridge,
    &dhcp::Dhcp,
    &firewall::Firewall,
    &flannel::Flannel,
    &host_device::HostDevice,
    &host_local::HostLocal,
    &ipvlan::Ipvlan,
    &loopback::Loopback,
    &macvlan::Macvlan,
    &portmap::Portmap,
    &ptp::Ptp,
    &sbr::Sbr,
    &static_addresses::Static,
    &tuning::Tuning,
    &vlan::Vlan,
];

/// The plugin whose program has that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Plugin> {
    PLUGINS.iter().find(|plugin| plugin.name() == name).copied()
}
