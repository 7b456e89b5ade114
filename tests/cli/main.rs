//! The binary as a user meets it: what it writes, where to, and how it ends, against a runtime that
//! exists in memory only. For any user on any machine; nothing but a temporary directory is used.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod bed;
mod crictl;
mod daemon;
mod help;
mod images;
mod input;
mod interrupt;
mod logs;
mod logs_against;
mod net;
mod ps;
mod publish;
mod run;
mod runtimes;
mod streams;
mod teardown;
mod undo;
mod verbs;
mod version;
