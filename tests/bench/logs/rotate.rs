//! Rotating the log of a container that writes as fast as it can.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::{
    SOCKET, command, remove_pod,
    report::{self, Times},
    run_pod,
};

const LOGS: &str = "/root/bench-log";
const MEASURED: Duration = Duration::from_secs(10);
const MIB: f64 = (1 << 20) as f64;

/// Runs the measurement; prints a line for each figure.
pub(crate) fn run(crilet: &Path) -> Result<()> {
    let line = "x".repeat(2000);
    run_pod(crilet, Path::new(LOGS), &format!("exec yes {line}"))?;
    let mut rotator = command(crilet, &["-r", SOCKET, "log", "rotate", "--budget", "64Mi"])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = rotator.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || events(BufReader::new(output)));
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    // What was there before the rotator was is not its.
    let warm = Instant::now() + Duration::from_secs(1);
    let sampler = std::thread::spawn(move || sample(&ended, warm));
    std::thread::park_timeout(MEASURED + Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    let (live, total) = sampler.join().ok().context("the sampler failed")?;
    rotator.kill()?;
    rotator.wait()?;
    let (sizes, times) = reader.join().ok().context("the reader failed")?;
    remove_pod(crilet)?;
    let rate = sizes / MEASURED.as_secs_f64() / 1e6;
    report::print(&format!("{:<34}{rate:7.0} MB/s written", "one container"));
    report::print(&format!("{:<34}{live:7.1} MiB at most, of 10", "crilet log rotate: live file"));
    report::print(&format!("{:<34}{total:7.1} MiB at most, of 64", "crilet log rotate: all files"));
    report::print(&format!("{:<34}{}", "crilet log rotate: to reopened", times.summary()));
    Ok(())
}

/// Bytes rotated away, and how long each rotation took.
fn events(output: impl BufRead) -> (f64, Times) {
    let (mut bytes, mut times) = (0.0, Times::default());
    for line in output.lines().map_while(Result::ok) {
        let Some((_, rest)) = line.split_once(": rotated ") else { continue };
        let words: Vec<&str> = rest.split(' ').collect();
        bytes += words.first().and_then(|size| size.parse::<f64>().ok()).unwrap_or_default();
        let took = words.iter().rev().nth(1).and_then(|took| took.parse::<f64>().ok());
        times.push(Duration::from_secs_f64(took.unwrap_or_default() / 1000.0));
    }
    (bytes, times)
}

/// The most that the live file, and all files, had: MiB.
#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
fn sample(stop: &AtomicBool, warm: Instant) -> (f64, f64) {
    let (mut live, mut total) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        if Instant::now() < warm {
            continue;
        }
        let own = fs::metadata(format!("{LOGS}/main.log")).map_or(0, |meta| meta.len());
        let entries = fs::read_dir(LOGS).into_iter().flatten().flatten();
        let all: u64 = entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
        (live, total) = (live.max(own), total.max(all));
    }
    (live as f64 / MIB, total as f64 / MIB)
}
