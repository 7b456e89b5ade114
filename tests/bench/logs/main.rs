//! Measures reading, following and rotating logs beside `cat`, `wc` and, where it is on PATH, crictl.
//!
//! The outer run makes an isolated host with crilet's own runtime and starts this program again
//! inside it. Logs are made on the spot below cargo's target directory, and removed at the end.

mod follow;
mod generate;
#[path = "../host.rs"]
mod host;
mod read;
#[path = "../report.rs"]
#[expect(dead_code, reason = "the other bench uses more of it")]
mod report;
mod rotate;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use host::{IMAGE, SOCKET};

/// What the container of [`run_pod`] sees as `/control`.
const CONTROL: &str = "/root/bench-control";
/// Turns of every contender, unless `--rounds N` says otherwise.
const ROUNDS: usize = 9;

fn main() -> Result<ExitCode> {
    host::run(ROUNDS, inside)
}

fn inside(crilet: &Path, rounds: usize) -> Result<()> {
    let program = env::current_exe()?;
    let target = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    let scratch = tempfile::Builder::new()
        .prefix("bench-logs-")
        .tempdir_in(target.context("no target directory")?)?;
    read::run(crilet, scratch.path(), rounds)?;
    follow::run(crilet, scratch.path())?;
    rotate::run(crilet, scratch.path())
}

/// A program as a person would start it, but without input.
#[expect(clippy::disallowed_methods, reason = "what is measured is this very call")]
fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Writes a pod's files with one container that runs this script, and brings it up.
fn run_pod(crilet: &Path, log_directory: &Path, script: &str) -> Result<()> {
    let directory = Path::new("/root/bench-pod");
    std::fs::create_dir_all(directory)?;
    std::fs::create_dir_all(CONTROL)?;
    let pod = format!(
        "metadata: {{name: bench, namespace: default, uid: bench}}\nlog_directory: {}\n",
        log_directory.display()
    );
    std::fs::write(directory.join("pod.yaml"), pod)?;
    let container = format!(
        "metadata: {{name: main}}\nimage: {{image: '{IMAGE}'}}\nlog_path: main.log\n\
         command: [sh, -c, '{script}']\n\
         mounts: [{{host_path: {CONTROL}, container_path: /control}}]\n"
    );
    std::fs::write(directory.join("main.yaml"), container)?;
    let output = command(crilet, &["-r", SOCKET, "run", "/root/bench-pod"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn remove_pod(crilet: &Path) -> Result<()> {
    let output = command(crilet, &["-r", SOCKET, "rm", "-g", "0", "bench"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
