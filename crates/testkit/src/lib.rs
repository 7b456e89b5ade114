//! What crilet's tests stand on: hosts of their own, with real parts.
//!
//! - [`Host`] is an isolated host: its own network, mounts, processes and control groups. Tests run
//!   side by side, use port 80 and `/root` as they are written in manuals, and leave nothing.
//! - [`SystemContainerd`] runs a containerd in a host the way a machine's own would run.
//! - [`Registry`] serves images in a host, with or without a password.
//! - [`Images`] builds the images that tests run, once, from recipes below `tests/images`.
//! - [`Snapshot`] tells what is on a host, or on the real machine, so that before and after can be
//!   compared.
//! - [`wait_until`] waits within a bound and reports what was last seen.
//!
//! Everything here needs root. A development dependency only: nothing of it is ever shipped.

#![expect(
    clippy::disallowed_methods,
    reason = "the kit starts programs in other namespaces, and waits in real time"
)]
#![expect(clippy::disallowed_types, reason = "the kit waits in real time, outside of any runtime")]

mod cgroups;
mod command;
mod containerd;
mod host;
mod http;
mod images;
mod picture;
mod registry;
mod snapshot;
mod terminal;
mod wait;
mod workspace;

pub use command::{Output, Run, Service};
pub use containerd::SystemContainerd;
pub use host::{Host, Place};
pub use http::HttpResponse;
pub use images::Images;
pub use registry::{Login, Registry, RegistryOptions};
pub use snapshot::{Difference, Snapshot};
pub use terminal::Terminal;
pub use wait::wait_until;
pub use workspace::{fixtures, workspace_root};
