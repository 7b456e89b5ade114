//! The kernel's network as plugins change it: namespaces, links, addresses, routes, settings.
//!
//! A netlink socket belongs to the namespace of the thread that opened it, for good. So
//! [`Netlink::inside`] opens one on a thread that enters the namespace and ends; nothing else ever
//! moves. Calls block: a plugin does one thing after the other, and needs no runtime for that.

mod error;
mod link;
mod namespace;
mod netlink;
pub(crate) mod route;
mod rule;
pub(crate) mod settings;
mod traffic;

pub(crate) use error::KernelError;
pub(crate) use link::{Link, mac_text, parse_mac};
pub(crate) use namespace::Namespace;
pub use namespace::is_namespace;
pub(crate) use netlink::{Mode, Netlink};
pub(crate) use route::PlainRoute;
pub(crate) use rule::SourceRule;
pub(crate) use traffic::TokenBucket;

use crate::protocol::{Call, PluginError};

/// The pod's namespace of ADD and CHECK.
///
/// # Errors
/// With code 8 when it cannot be opened.
pub(crate) fn pod_namespace(call: &Call) -> Result<Namespace, PluginError> {
    Ok(Namespace::open(call.environment.namespace().unwrap_or_else(|| "".as_ref()))?)
}

/// Waits for something that the kernel does not tell of.
#[expect(
    clippy::disallowed_methods,
    reason = "a plugin has no runtime whose clock could be paused"
)]
pub(crate) fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}
