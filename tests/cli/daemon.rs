//! The verbs of the daemon, against the real API in front of a node that exists in memory only.

mod apply;
mod bed;
mod get;
mod kept;
mod lifecycle;
mod serve;
