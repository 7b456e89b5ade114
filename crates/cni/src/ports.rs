//! Host ports of pods: rules that lead a port of the host to one of a pod.
//!
//! Both the `portmap` plugin and live publishing work with this. [`making`] makes, [`rules`] takes away,
//! [`conflict`] finds who has a port already, [`flows`] ends what the kernel remembers of old
//! rules, [`localnet`] lets the host reach its own ports by 127.0.0.1 and nobody else.

mod attached;
pub(crate) mod conflict;
pub(crate) mod flows;
pub(crate) mod known;
mod listeners;
pub(crate) mod localnet;
pub(crate) mod making;
mod mapping;
pub(crate) mod published;
pub(crate) mod rules;
pub(crate) mod script;
pub(crate) mod shared;

pub use mapping::{InvalidMapping, PortMapping, Protocol};
pub use published::{
    PodPorts, PublishError, Published, forget_gone, publish, published, unpublish,
};
