//! Measures `crilet net` on nodes with mapped pods, beside the tools that list their rules.
//!
//! The outer run makes a host for each number of pods and starts this program again inside it. All
//! contenders take turns within one loop.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench starts programs and takes the time itself"
)]

mod floor;
#[path = "../mapped.rs"]
mod mapped;
mod pods;
#[path = "../report.rs"]
mod report;

use std::{
    env, fs,
    net::IpAddr,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use crilet_network::{
    doctor::examine,
    snapshot::{Protocol, Snapshot},
    trace::{Node, Request, Sender, trace},
};
use crilet_testkit::Host;

use report::Times;

/// Set when this program runs inside the host: pods that are to be there.
const INSIDE: &str = "CRILET_BENCH_INSIDE";
const CROWDS: [usize; 2] = [100, 1000];
const ROUNDS: usize = 11;
const BOUND: Duration = Duration::from_secs(900);
const FILE: &str = "/run/node.json";

fn main() -> Result<ExitCode> {
    match env::var(INSIDE) {
        Ok(pods) => inside(pods.parse()?)?,
        Err(_) => CROWDS.into_iter().try_for_each(on_a_host)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn on_a_host(pods: usize) -> Result<()> {
    let host = Host::start()?;
    let inside = host.command(env::current_exe()?).env(INSIDE, pods.to_string()).bound(BOUND);
    let said = inside.success()?;
    report::print(&format!("{pods} pods with a mapped port\n{said}"));
    host.stop()
}

fn inside(pods: usize) -> Result<()> {
    pods::make(pods)?;
    let crilet = env!("CARGO_BIN_EXE_crilet");
    let snapshot = format!("{crilet} net snapshot {FILE}");
    let doctor = format!("{crilet} net doctor");
    let contenders = [snapshot.as_str(), &doctor, "iptables-save", "nft -j list ruleset"];
    let mut times = contenders.map(|_| Times::default());
    for _ in 0..ROUNDS {
        for (command, times) in contenders.iter().zip(&mut times) {
            times.push(timed(command)?.0);
        }
    }
    let [.., nft] = &times;
    for (command, times) in contenders.iter().zip(&times) {
        let name = command.replace(crilet, "crilet");
        let (beside, peak) = (times.over(nft), timed(command)?.1);
        report::print(&format!(
            "{name:34}{}, {beside} beside nft, peak {peak:.1} MB",
            times.summary()
        ));
    }
    below()?;
    library()
}

/// What no reader of pods' networks can do without, with one thread and with as many as there may be.
fn below() -> Result<()> {
    for threads in [1, 2] {
        let mut times = Times::default();
        for _ in 0..ROUNDS {
            times.push(floor::pods(threads)?);
        }
        let name = format!("raw calls, {threads} at a time");
        report::print(&format!("{name:34}{}", times.summary()));
    }
    Ok(())
}

/// What is done with a snapshot, without the program around it.
fn library() -> Result<()> {
    let snapshot = Snapshot::load(Path::new(FILE))?;
    let (mut examined, mut read, mut traced) =
        (Times::default(), Times::default(), Times::default());
    let to: IpAddr = Host::ADDRESS.parse()?;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let found = examine(&snapshot);
        examined.push(begin.elapsed());
        ensure!(!found.iter().any(|one| !one.repairs.is_empty()), "pods are not well: {found:#?}");
        let begin = Instant::now();
        let node = Node::new(&snapshot);
        read.push(begin.elapsed());
        let request = Request { from: Sender::Outside, to, port: 20_050, protocol: Protocol::Tcp };
        let begin = Instant::now();
        let told = trace(&node, &request);
        traced.push(begin.elapsed());
        ensure!(told.hops.len() > 3, "the packet met no rules: {told:#?}");
    }
    for (name, times) in
        [("doctor of a snapshot", examined), ("rules of a snapshot", read), ("trace", traced)]
    {
        report::print(&format!("{name:34}{}", times.summary()));
    }
    Ok(())
}

/// Time and peak memory in MB of a command; a status of 1 is one with findings.
fn timed(command: &str) -> Result<(Duration, f64)> {
    let mut words = command.split(' ');
    let program = words.next().context("no program")?;
    let begin = Instant::now();
    let mut child = Command::new(program).args(words).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    let ended = loop {
        // The file's mark is of the whole life of the process so far.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().split(' ').next()?.parse::<f64>().ok());
        peak = mark.map_or(peak, |kilobytes| kilobytes / 1024.0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    ensure!(matches!(ended.code(), Some(0 | 1)), "{command}: {ended}");
    Ok((begin.elapsed(), peak))
}
