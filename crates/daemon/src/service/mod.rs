//! What the daemon and the manager of services tell each other.

mod install;
mod logging;
mod notify;

pub(crate) use self::notify::{ready, reloaded, reloading, stopping, watchdog};
pub use self::{
    install::{InstallError, Outcome, install, uninstall},
    logging::{LogOptions, Logging},
};
