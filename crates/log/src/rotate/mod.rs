//! Rotating: what to do is planned by pure functions, done in thin steps that may be cut anywhere.
//!
//! ```text
//!               Rotate: rename          Rotate: reopen            Compress
//!   live ────────────────────▶ renamed ────────────▶ rotated ────────────────▶ archive ──▶ gone
//!     ▲                           │                     │ `.tmp` written, flushed,    Remove:
//!     └───── rename back ─────────┘                     │ read back, renamed;         count, age,
//!            (reopen failed)                            └ then the plain file goes    budget, floor
//! ```
//!
//! Whoever is killed in between leaves one of these, and the next plan goes on from it: a live file
//! that stays missing is reopened, or gets its name back where the container has ended; a `.tmp` is
//! removed, and of two forms of one file the archive stays only if it reads back as the plain one.

mod budget;
mod compress;
mod execute;
mod lock;
mod plan;
mod policy;
#[cfg(test)]
mod tests;

pub use budget::{Candidate, Need, Room, choose};
pub use compress::CompressError;
pub(crate) use compress::{compress, settle};
pub(crate) use execute::{Hook, NoHook, Point, put_back, remove, rotate};
pub use execute::{Reopen, RotateError};
pub(crate) use lock::{Lock, Locks};
pub use plan::{Situation, Step, Why, plan};
pub use policy::{InvalidSetting, Policy, Settings};
