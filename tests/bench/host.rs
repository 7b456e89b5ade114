//! What benches share whose measured part runs inside an isolated host with crilet's own runtime.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use crilet_testkit::{Host, Images};

use crate::report;

/// The image of every container.
pub(crate) const IMAGE: &str = "crilet.test/busybox:1";

/// Where the host's runtime listens.
pub(crate) const SOCKET: &str = "/run/crilet/runtime/containerd.sock";

/// Where the binary under test is installed.
const INSTALLED: &str = "/root/crilet";

/// Set to the path of the binary under test when this program runs inside the host.
const INSIDE: &str = "CRILET_BENCH_INSIDE";

/// How long all of it may take.
const BOUND: Duration = Duration::from_secs(900);

/// Makes a host and starts this program again inside it, where `inside` measures: the binary under
/// test, and how many turns every contender has, `usual` of them unless `--rounds N` says otherwise.
pub(crate) fn run(
    usual: usize,
    inside: impl FnOnce(&Path, usize) -> Result<()>,
) -> Result<ExitCode> {
    let rounds = rounds(env::args(), usual)?;
    match env::var_os(INSIDE) {
        Some(crilet) => inside(&PathBuf::from(crilet), rounds)?,
        None => on_a_host(rounds)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rounds(mut arguments: impl Iterator<Item = String>, usual: usize) -> Result<usize> {
    match arguments.find(|argument| argument == "--rounds") {
        Some(_) => {
            let count = arguments.next().context("--rounds needs a number")?;
            count.parse().with_context(|| format!("--rounds {count}"))
        }
        None => Ok(usual),
    }
}

fn on_a_host(rounds: usize) -> Result<()> {
    let host = Host::start()?;
    let crilet = INSTALLED;
    // A file that was copied lies in the page cache in large pieces, one that a linker wrote page by page:
    // a program starts from it a quarter of a millisecond later. People have copies, of crictl too.
    fs::copy(env!("CARGO_BIN_EXE_crilet"), host.path(INSTALLED))?;
    fs::copy(env!("CARGO_BIN_EXE_crilet-cni"), host.path("/root/crilet-cni"))?;
    let archive = Images::archive("busybox", IMAGE)?;
    host.command(crilet).args(["runtime", "up"]).success()?;
    host.command(crilet).args(["image", "load"]).arg(&archive).success()?;
    let inside = host
        .command(env::current_exe()?)
        .args(["--rounds", &rounds.to_string()])
        .env(INSIDE, crilet)
        .bound(BOUND);
    report::print(&inside.success()?);
    host.command(crilet).args(["runtime", "down"]).success()?;
    host.stop()
}
