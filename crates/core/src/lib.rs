//! Words that every crilet crate shares.
//!
//! - [`ErrorChain`] prints an error with all its causes on one line.
//! - [`exec`] finds and runs programs of the host.
//! - [`failpoint`] ends a process at a named step, for tests.
//! - [`fs`] writes files that survive a power cut whole.
//! - [`ImageName`] completes image names as docker does.
//! - [`limits`] has the kernel allow this process more.
//! - [`LogSetting`] reads limits of containers' logs.
//! - [`memory`] gives back what is free.
//! - [`ProcessEnd`] tells when a process ends.
//! - [`similar()`] finds what a mistyped word was meant to be.
//! - `tls`, a feature, takes any certificate.
//! - [`yaml`] reads YAML and JSON into trees that know their lines and columns.

mod error_chain;
pub mod exec;
pub mod failpoint;
pub mod fs;
mod image_name;
pub mod limits;
mod log_setting;
pub mod memory;
mod pidfd;
mod similar;
#[cfg(feature = "tls")]
pub mod tls;
pub mod yaml;

pub use error_chain::ErrorChain;
pub use image_name::{ImageName, InvalidImageName};
pub use log_setting::{LOG_SETTINGS, LogCompression, LogSetting, read_age, read_size};
pub use pidfd::ProcessEnd;
pub use similar::similar;
