//! The embedded default runtime: a private containerd that crilet makes, watches and removes.
//!
//! - [`up()`] brings it up: configuration for this host, a supervisor, the network, the pause image.
//! - [`down()`] takes it down with its pods and leaves nothing behind; [`status()`] tells how it is.
//! - [`supervise`] is what the supervisor runs.
//! - [`events`] tells what happens to containers, as containerd itself tells it.
//! - [`image`] loads images into a containerd without a registry.
//! - [`oci`] makes an image of a root file system.

mod config;
mod digest;
mod down;
mod error;
pub mod events;
mod host;
pub mod image;
mod layout;
mod log;
mod mirror;
pub mod oci;
mod pause;
mod process;
mod status;
mod supervisor;
mod up;

pub use config::Cgroups;
pub use digest::{Digest, InvalidDigest};
pub use down::{DownReport, down};
pub use error::RuntimeError;
pub use layout::Layout;
pub use log::show as show_log;
pub use mirror::{InvalidMirror, Mirror};
pub use pause::PAUSE_IMAGE;
pub use status::{RuntimeStatus, status};
pub use supervisor::supervise;
pub use up::{Options, Plugins, UpReport, up};
