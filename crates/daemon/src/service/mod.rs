//! What the daemon and the manager of services tell each other.

mod logging;
mod notify;

pub use self::logging::{LogOptions, Logging};
pub(crate) use self::notify::{ready, reloaded, reloading, stopping, watchdog};
