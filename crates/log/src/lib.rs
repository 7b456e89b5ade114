//! Container logs: reading, following and rotating them without losing a line.
//!
//! - [`mod@format`] reads lines of the CRI's log format.
//! - [`files`] names and lists the files of a log, and reaches them through their directory alone.
//! - [`Rotator`] keeps all logs of a node within their limits; [`plan()`] and [`choose`] decide what it does.
//! - [`Follow`] follows logs over rotations; one [`Watch`] serves all followers.
//! - [`read_when`] reads points in time as people write them.
//! - [`wanted`] finds the logs of containers, and follows these over their restarts.
//! - [`read()`] reads logs as one stream: rotated files, compressed ones too, then the live one.

mod error;
pub mod files;
mod follow;
pub mod format;
mod node;
mod read;
mod rotate;
pub mod wanted;
mod when;

pub use error::LogError;
pub use follow::{Control, Follow, Followed, Watch};
pub use node::{
    Config, ContainerLog, Event, GonePod, GonePods, Growth, Problem, Rotator, Selection, Skipped,
    Writer, discover, is_kubelets, locate, rate_of,
};
pub use read::{
    Counts, Filter, Form, Grep, InvalidPattern, Line, LogFile, Name, Query, Renderer, read,
    read_file,
};
pub use rotate::{
    Candidate, CompressError, InvalidSetting, Need, Policy, Reopen, Room, RotateError, Settings,
    Situation, Step, Why, choose, plan,
};
pub use when::{InvalidTime, read_when};

/// So many cases of a property that takes long, or as many as `PROPTEST_CASES` asks for.
#[cfg(test)]
fn test_cases(usual: u32) -> proptest::test_runner::Config {
    // proptest has read the variable into its default.
    let asked = proptest::test_runner::Config::default();
    let cases = if asked.cases == 256 { usual } else { asked.cases };
    proptest::test_runner::Config { cases, ..asked }
}
