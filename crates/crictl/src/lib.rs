//! What makes `crilet crictl` look like crictl 1.36 from outside: its command line, its
//! configuration file and its forms of output. All of it is functions of their inputs; whoever uses
//! it speaks to the runtime and prints.
//!
//! - [`flags`] reads a command line by the rules of urfave/cli v2, along the table in [`commands`],
//!   and writes help from the same table; [`completion`] knows what may stand at a place.
//! - [`config`] reads and edits `crictl.yaml`, keeping comments, order and quoting.
//! - [`protojson`] turns messages of the CRI into JSON with defaults, [`json`] and [`yaml`] write it
//!   as Go does, [`template`] executes Go templates on it, [`schema`] describes messages.
//! - [`table`], [`units`] and [`images`] are tables, ages, sizes and names of images.

pub mod commands;
pub mod completion;
pub mod config;
pub mod flags;
pub mod images;
pub mod json;
pub mod protojson;
pub mod schema;
pub mod table;
pub mod template;
pub mod units;
pub mod yaml;

/// Whether a name fits a regular expression; nothing fits what is none, and all fits an empty one.
pub fn matches(pattern: &str, name: &str) -> bool {
    pattern.is_empty() || regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(name))
}
