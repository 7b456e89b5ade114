//! The files of one log: the live one that the runtime writes, and those that were rotated away.
//!
//! They are only ever reached through the descriptor of their directory ([`Directory`]), by names
//! without a slash, and never through a symbolic link.

mod directory;
mod family;
mod name;
mod sys;

pub(crate) use directory::is_planted;
pub use directory::{Directory, Meta};
pub use family::{Family, Rotated, Strange};
pub use name::{Compression, Form, Stamp};
pub(crate) use name::{Kind, kind_of};
pub(crate) use sys::{has_writer, lower_priority};
