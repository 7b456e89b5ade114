//! `crilet serve`: the node behind its API.
//!
//! - [`run()`] is the daemon, from its [`Settings`] to its end.
//! - [`Node`] is the seam: what the API asks of the pods of this machine. The API side of this crate
//!   knows nothing of runtimes; the node knows nothing of HTTP.
//! - [`EventLog`] remembers what happened lately.
//! - [`config`] reads `/etc/crilet/config.yaml`.
//! - [`install()`] writes systemd's units and a configuration.
//! - [`Logging`] writes to the journal or to stderr.
//!
//! Tasks: one for each listener, one for each connection; the daemon's own waits for signals and
//! feeds the watchdog.

pub mod config;
mod events;
mod http;
mod node;
mod run;
mod service;

#[cfg(any(test, feature = "fake"))]
pub use self::node::fake;
pub use self::{
    config::{Config, ConfigError},
    events::{EventLog, NewEvent},
    http::{SocketError, TlsError},
    node::{Answer, Foundation, LogRequest, LogStream, Node, RealNode, StartError},
    run::{RunError, Settings, run},
    service::{InstallError, LogOptions, Logging, Outcome, install, uninstall},
};
