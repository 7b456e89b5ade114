//! Copying to and from containers, without anything in their images.
//!
//! A container's files are reached through the root of its first process, `/proc/PID/root`, so mounts and
//! volumes are seen as the container sees them. Whoever runs in the container can move files and make
//! links while they are copied; nothing that they do may lead out:
//!
//! - Paths of a container are resolved by the kernel with `RESOLVE_IN_ROOT`: its root is the top for
//!   `..` and for absolute links. `/proc` inside is not followed to elsewhere (`RESOLVE_NO_MAGICLINKS`).
//! - Below what was resolved, everything goes by open descriptors and single names, and never through a
//!   link.
//! - A file is first opened without effect (`O_PATH`), looked at, and only then opened again by that
//!   descriptor, so neither a FIFO nor a device is ever opened in a file's place.
//! - Archives are taken apart beneath their destination (`RESOLVE_BENEATH`).
//!
//! A file is written beside its place and moved there when it is complete.

mod archive;
mod error;
mod ids;
mod node;
mod root;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;

pub use archive::{pack, unpack};
pub use error::FileError;
pub use root::Root;
pub use tree::copy;

/// How to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Copies what a symbolic link leads to, where the source itself is one.
    pub follow: bool,
    /// User and group that everything is to belong to, in the destination's own numbers; by default the
    /// numbers stay.
    pub owner: Option<(u32, u32)>,
    /// Keeps what raises privileges (set-user-id, set-group-id, capabilities) out of a container, too.
    pub keep_privileges: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of files, holes with them.
    pub bytes: u64,
    /// What is neither: sockets and devices are left out.
    pub skipped: Vec<PathBuf>,
}
