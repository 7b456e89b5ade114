//! The network of a node, read and explained.
//!
//! - [`config`] reads network configurations as runtimes do: which file wins, and what is wrong.
//! - [`snapshot`] reads the node's whole network at one moment, and from files.
//! - [`join`] brings pods, namespaces, leases and attachments together.

pub mod config;
pub mod join;
pub mod snapshot;
