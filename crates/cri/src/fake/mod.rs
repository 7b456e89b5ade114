//! A runtime that exists in memory only, behind a real socket: for tests without privileges.
//!
//! [`Fake::builder`] says what it is like (containerd 1.6 or CRI-O, which versions of the CRI, which
//! images are there or can be pulled), [`Builder::start`] serves it on a socket from a thread of its
//! own, and the [`FakeHandle`] scripts [`Fault`]s, reads what was called and lets containers die.
//! Dropping the handle ends it.
//!
//! It answers as the real ones do where scripts and users see it: reserved names, id prefixes,
//! codes and texts of errors, states, the JSON of a verbose status. Nothing on the host is touched
//! but the socket: no process, no network, no log file. Methods that it does not have are answered
//! as containerd 1.6 answers those it does not have.
//!
//! ```text
//! created --StartContainer--> running --StopContainer, StopPodSandbox, exit_container--> exited
//!    |                           |                                                         |
//!    +---------------------------+------------ RemoveContainer, RemovePodSandbox ----------+--> gone
//! ```

mod builder;
mod calls;
mod containers;
mod dispatch;
mod events;
mod faults;
mod ids;
mod images;
mod info;
mod lists;
mod metrics;
mod sandboxes;
mod server;
mod state;

#[cfg(test)]
mod tests;

pub use builder::{Builder, Fake};
pub use calls::{CallRecord, Outcome};
pub use faults::{Fault, Gate};
pub use server::FakeHandle;

/// Whose habits the fake has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Containerd,
    Crio,
}
