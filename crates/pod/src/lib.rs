//! Pods: what should run, bringing it up, taking it down.
//!
//! - [`PodSpec`] is a pod as it should be.
//! - [`launch()`] brings one up and undoes what it did when a step fails.
//! - [`stop`] and [`remove`] take pods down, go on past failures and report all of them.
//! - [`find()`] resolves what people call a pod: a name, `namespace/name`, an id or its prefix.
//! - [`images`] has pull policies and the credentials of registries.
//! - [`manifest`] reads what people write: files of the CRI, Kubernetes.
//! - [`model`] is a pod as `crilet serve` keeps it.
//! - [`render`] makes configurations of the CRI of it, for one start.
//! - [`sync`] keeps it so.
//! - [`volumes`] makes and removes what pods mount.

mod error;
mod find;
mod hosts;
pub mod images;
mod launch;
pub mod manifest;
pub mod model;
pub mod render;
mod spec;
mod state;
pub mod sync;
mod teardown;
pub mod volumes;

pub use error::{Cause, Failure, Step};
pub use find::{FindError, find};
pub use launch::{Existing, LaunchError, LaunchOptions, Launched, NoObserver, Observer, launch};
pub use spec::{CONFIG_HASH, PodSpec};
pub use state::StateDir;
pub use teardown::{remove, stop};
