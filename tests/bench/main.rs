//! Measures `crilet run`, `ps` and `version` beside the raw calls and beside crictl.
//!
//! The outer run makes an isolated host with crilet's own runtime and starts this program again
//! inside it, so that nothing between the measured command and the kernel belongs to the bench.
//! All contenders take turns within one loop: a machine's drift hits them alike.

mod contenders;
mod host;
mod list;
mod report;

use std::process::ExitCode;

use anyhow::Result;

/// Turns of every contender, unless `--rounds N` says otherwise.
const ROUNDS: usize = 31;

fn main() -> Result<ExitCode> {
    host::run(ROUNDS, contenders::run)
}
