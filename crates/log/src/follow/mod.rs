//! Following logs: what is there, then what comes, across any number of rotations.
//!
//! ```text
//! Watch     one thread, one inotify instance for all: notices renames and writes (watch.rs)
//!    │ opens every new file of a log at once, however far behind its reader is
//!    ▼
//! Trail     the files of one log that are still to be read, held open (trail.rs)
//!    ▼
//! Follow    reads each to its very end, until nobody writes it any more; merges; writes (run.rs)
//! ```
//!
//! A reader that lags loses nothing: files that were compressed or removed meanwhile stay readable
//! through the descriptors that its trail holds.

mod run;
mod trail;
mod watch;

#[cfg(test)]
mod tests;

pub use run::{Control, Follow, Followed};
pub(crate) use watch::Waker;
pub use watch::Watch;
