//! The network of a node, read and explained.
//!
//! - [`config`] reads network configurations as runtimes do: which file wins, and what is wrong.
//! - [`snapshot`] reads the node's whole network at one moment, and from files.
//! - [`doctor`] finds what is wrong with the node, and mends what can be mended safely.
//! - [`inspect`] tells all of one pod's network.
//! - [`join`] brings pods, namespaces, leases and attachments together.
//! - [`map`] draws the node: uplinks, bridges, pods and ports.
//! - [`ports`] finds what is published, by whom, and whether it can work.
//! - [`ruleset`] understands the rules of all packet filters.
//! - [`trace`] follows a packet, and says how it ends.

pub mod config;
pub mod doctor;
pub mod inspect;
pub mod join;
pub mod map;
pub mod ports;
pub mod ruleset;
pub mod snapshot;
pub mod trace;
