//! `crilet serve`: the node behind its API.
//!
//! - [`Node`] is the seam: what the API asks of the pods of this machine. The API side of this crate
//!   knows nothing of runtimes; the node knows nothing of HTTP.
//! - [`EventLog`] remembers what happened lately.
//! - [`config`] reads `/etc/crilet/config.yaml`.

pub mod config;
mod events;
mod node;

#[cfg(any(test, feature = "fake"))]
pub use self::node::fake;
pub use self::{
    config::Config,
    events::{EventLog, NewEvent},
    node::{Answer, IdleNode, Node},
};
