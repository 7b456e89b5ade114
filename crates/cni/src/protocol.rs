//! The protocol between a runtime and a plugin: environment and configuration in, result or error
//! out.
//!
//! [`run`] is what a plugin's program does: it reads a call, picks the command, and prints. The
//! specification is the CNI's (versions 0.1.0 to 1.1.0); where it and the reference library
//! differ, as with errors on standard output, this follows the library.

mod attachment;
mod call;
mod early;
mod environment;
mod error;
mod folding;
mod probe;
mod result;
mod skeleton;
mod variables;
mod version;

pub use attachment::Attachment;
pub use call::{Call, Command};
pub use early::{Early, Proof};
pub use environment::Environment;
pub(crate) use environment::link_name_problem;
pub(crate) use error::all;
pub use error::{Code, PluginError};
pub use folding::from_value;
pub(crate) use folding::get as key;
pub use probe::probe;
pub use result::{CniResult, Dns, Interface, IpConfig, Route};
pub use skeleton::{Plugin, Spoken, run};
pub use variables::{CniArgs, InvalidArgs};
pub use version::Version;
