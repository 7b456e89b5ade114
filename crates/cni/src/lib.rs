//! The Container Network Interface as crilet uses it.
//!
//! - [`Conflist`] is a network configuration list, read and checked.
//! - [`Network`] is the network that crilet ships: which subnets it has, and its conflist.
//! - [`choose`] finds subnets that nothing on this host uses.
//! - [`cache`] is what libcni keeps of attachments.
//! - [`netfilter`] speaks to the kernel, for those who read what plugins made.
//! - [`mend`] puts right what plugins left behind or lost.
//! - [`remove_bridge`] and [`clean_chains`] take away what plugins leave behind.

mod bus;
pub mod cache;
mod conflist;
mod delegate;
mod error;
mod host_network;
mod install;
mod kernel;
mod leftovers;
mod lock;
pub mod mend;
pub mod netfilter;
mod network;
mod plugin;
mod ports;
pub mod protocol;

pub use conflist::{Conflist, InvalidConflist, Plugin};
/// Memory for the plugins' program where it is linked with musl, whose own allocator maps and unmaps a part
/// for nearly every vector: half of the kernel's calls that an ADD made.
#[cfg(target_env = "musl")]
pub use dlmalloc::GlobalDlmalloc as Allocator;
pub use error::CniError;
pub use host_network::remove_bridge;
pub use install::{InstallError, Installed, PROGRAM, install, uninstall};
pub use kernel::is_namespace;
pub use leftovers::{Family, SharedChains, clean_chains, nat_works, shared_chains};
pub use lock::remove_state;
pub use network::{BRIDGE, NETWORK, Network, NoIpv6, choose};
pub use plugin::{PLUGINS, dhcp_daemon, find as find_plugin};
pub use ports::{
    InvalidMapping, PodPorts, PortMapping, Protocol, PublishError, Published, forget_gone, publish,
    published, unpublish,
};
