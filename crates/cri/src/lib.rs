//! The Container Runtime Interface (CRI) for crilet.
//!
//! - [`Client`] speaks to a runtime: both services over one connection, v1 with a fallback to
//!   v1alpha2, a deadline that fits each call.
//! - [`config`] reads the configuration files of pods and containers, strictly.
//! - [`discovery`] finds the runtime that is to be used.
//! - [`inventory`] tells what the runtime has; nothing else in crilet asks it that.
//! - [`CriError`] says which method failed on which object and why, and often what to do about it.
//! - [`v1`] holds the messages, [`schema`] what they are made of.
//! - `fake` (feature of that name) is a runtime in memory, for tests without privileges.

mod client;
pub mod config;
pub mod discovery;
mod endpoint;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod generated;
mod id;
pub mod inventory;
pub mod schema;
mod transport;

pub use client::{Client, ContainerEvents, Deadlines};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{Code, CriError, Object};
pub use generated::v1;
pub use id::is_full_id;
pub use transport::ApiVersion;
