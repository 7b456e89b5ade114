//! Ways into pods: commands, terminals and ports through the runtime's streams, files through the roots
//! of containers.
//!
//! - [`Streamer`] opens streams: [`Streamer::exec`] and [`Streamer::attach`] give a [`Session`],
//!   [`Forwarder::open`] a [`Connection`] to a port of a pod.
//! - [`Input`] and [`Output`] are its ends. Dropping all ends of a session leaves it.
//! - [`TlsFiles`] is what is needed where the runtime's streams are behind TLS.
//! - [`status`] reads and writes how a command ended, as Kubernetes tells it.
//! - [`DetachKeys`] finds the keys that leave a terminal.
//! - [`files`] copies to and from containers.
//! - [`spdy`] has the frames of SPDY/3.1, pure.
//!
//! ```text
//! Streamer ─ CRI ─▶ URL ─▶ connect (TCP, TLS) ─┬─▶ spdy::connection ─┐
//!                                              └─▶ websocket         ─┴─▶ Input, Output ─▶ Session, Connection
//! Forwarder ─ setns ─▶ TCP in the pod's network namespace ──────────────▶ Input, Output ─▶ Connection
//! ```
//!
//! Which transport is taken: WebSocket with `v5.channel.k8s.io` or `v4` for commands without input, for
//! containerd takes several milliseconds less to set it up; SPDY for all others, for with it the end of
//! input can be told everywhere (containerd and CRI-O offer at most `v4` over WebSocket, which cannot).
//! Where the runtime does not speak the one the other is tried.

mod address;
mod connect;
mod detach;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod files;
mod forward;
mod netns;
mod pipe;
mod session;
pub mod spdy;
pub mod status;
mod streamer;
mod tls;
mod websocket;

pub use detach::{DetachKeys, InvalidDetachKeys};
pub use error::StreamError;
pub use forward::{Connection, Forwarder, Route};
pub use pipe::{Input, Output};
pub use session::{Ending, Session, Terminal, TerminalSize};
pub use streamer::{Streamer, Streams, Transport};
pub use tls::TlsFiles;
pub use websocket::{CLOSE, V4, V5};
