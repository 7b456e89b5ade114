//! Container logs: reading, following and rotating them without losing a line.
//!
//! - [`format`] reads lines of the CRI's log format.
//! - [`files`] names and lists the files of a log, and reaches them through their directory alone.
//! - [`Follow`] follows logs over rotations; one [`Watch`] serves all followers.
//! - [`read_when`] reads points in time as people write them.
//! - [`read()`] reads logs as one stream: rotated files, compressed ones too, then the live one.

mod error;
pub mod files;
mod follow;
pub mod format;
mod read;
mod when;

pub use error::LogError;
pub use follow::{Control, Follow, Followed, Watch};
pub use read::{
    Counts, Filter, Form, Grep, InvalidPattern, Line, LogFile, Name, Query, Renderer, read,
    read_file,
};
pub use when::{InvalidTime, read_when};
