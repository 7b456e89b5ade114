//! crilet's plugins on hosts of their own, beside Debian's reference plugins.

mod addresses;
mod bandwidth;
mod batch;
pub(crate) mod bed;
mod bridge;
mod chain;
mod dhcp;
mod firewall;
mod firewalld;
mod flannel;
mod host_device;
mod host_local;
mod loopback;
mod networks;
mod portmap;
mod protocol;
mod ptp;
mod sbr;
mod traffic;
mod tuning;
mod upper;
