//! The Container Network Interface as crilet uses it.
//!
//! - [`Conflist`] is a network configuration list, read and checked.
//! - [`Network`] is the network that crilet ships: which subnets it has, and its conflist.
//! - [`choose`] finds subnets that nothing on this host uses.
//! - [`remove_bridge`] and [`clean_chains`] take away what plugins leave behind.

mod conflist;
mod error;
mod leftovers;
mod netlink;
mod network;

pub use conflist::{Conflist, InvalidConflist, Plugin};
pub use error::CniError;
pub use leftovers::{Family, SharedChains, clean_chains, nat_works, shared_chains};
pub use netlink::remove_bridge;
pub use network::{BRIDGE, NETWORK, Network, NoIpv6, choose};
