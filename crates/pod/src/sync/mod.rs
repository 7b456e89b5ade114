//! Keeping one pod as its manifest says.
//!
//! ```text
//!             ┌───────── observe: what the runtime has of this pod ◀──────────┐
//!             ▼                                                               │
//!   plan(pod, intent, observed, memory, now) ──▶ actions ──▶ carried out side by side
//!             │                                                               ▲
//!             └── nothing to do: wait for an exit, an edit, a verdict, or for `wake`
//! ```
//!
//! [`plan()`] is a pure function: the runtime's own lists, the clock and what only this process can
//! know ([`Memory`]) go in, actions come out. The truth is in the manifest and in the runtime: a
//! process that was killed begins again with an empty memory and plans what is left to do.
//! Sandboxes and containers carry marks ([`marks`]) of what they were made from, which is how an
//! edit shows and how a backoff survives.

mod answers;
mod event;
pub mod marks;
mod memory;
pub mod names;
mod observe;
mod plan;
mod status;
mod worker;

pub use self::{
    answers::{Answered, Answers, ProbeKind},
    event::{Event, EventSink},
    memory::{Condemned, Failed, Health, Memory, Target, Why},
    plan::{Action, Intent, Keep, Plan, plan},
    status::{ContainerStatus, Ended, Phase, SandboxStatus, State, Status, status},
    worker::{CgroupParent, Keeper, Node, Pulls, Request, Wanted, keep},
};
