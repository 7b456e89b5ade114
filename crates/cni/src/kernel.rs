//! The kernel's network as plugins change it: namespaces, links, addresses, routes, settings.
//!
//! A netlink socket belongs to the namespace of the thread that opened it, for good. So
//! [`Netlink::inside`] opens one on a thread that enters the namespace and ends; nothing else ever
//! moves. Calls block: a plugin does one thing after the other, and needs no runtime for that.

mod error;
mod link;
mod namespace;
mod netlink;
mod route;
pub(crate) mod settings;

pub(crate) use error::KernelError;
pub(crate) use link::{Link, mac_text, parse_mac};
pub(crate) use namespace::Namespace;
pub(crate) use netlink::Netlink;
