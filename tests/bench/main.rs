//! Measures `crilet run` and `crilet version` beside the raw calls and beside crictl.
//!
//! The outer run makes an isolated host with crilet's own runtime and starts this program again
//! inside it, so that nothing between the measured command and the kernel belongs to the bench.
//! All contenders take turns within one loop: a machine's drift hits them alike.

mod contenders;
mod report;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use crilet_testkit::{Host, Images};

/// Set to the path of the binary under test when this program runs inside the host.
const INSIDE: &str = "CRILET_BENCH_INSIDE";

/// Turns of every contender, unless `--rounds N` says otherwise.
const ROUNDS: usize = 31;

fn main() -> Result<ExitCode> {
    let rounds = rounds(env::args())?;
    match env::var_os(INSIDE) {
        Some(crilet) => contenders::run(&PathBuf::from(crilet), rounds)?,
        None => on_a_host(rounds)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rounds(mut arguments: impl Iterator<Item = String>) -> Result<usize> {
    match arguments.find(|argument| argument == "--rounds") {
        Some(_) => {
            let count = arguments.next().context("--rounds needs a number")?;
            count.parse().with_context(|| format!("--rounds {count}"))
        }
        None => Ok(ROUNDS),
    }
}

fn on_a_host(rounds: usize) -> Result<()> {
    let crilet = env!("CARGO_BIN_EXE_crilet");
    let host = Host::start()?;
    let archive = Images::archive("busybox", contenders::IMAGE)?;
    host.command(crilet).args(["runtime", "up"]).success()?;
    host.command(crilet).args(["image", "load"]).arg(&archive).success()?;
    let inside = host
        .command(env::current_exe()?)
        .args(["--rounds", &rounds.to_string()])
        .env(INSIDE, crilet)
        .bound(std::time::Duration::from_secs(600));
    report::print(&inside.success()?);
    host.command(crilet).args(["runtime", "down"]).success()?;
    host.stop()
}
