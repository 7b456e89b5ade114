//! Rotating the log of a container that writes at a rate, as fast as it can, and not at all.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::time::Instant;

use crate::{
    CONTROL, SOCKET, command,
    follow::{fake, processor_time, wait},
    remove_pod,
    report::{self, Times},
    run_pod,
};

const LOGS: &str = "/root/bench-log";
const MEASURED: Duration = Duration::from_secs(10);
/// What was there before the rotator was is not its.
const WARM_UP: Duration = Duration::from_secs(1);
const MIB: f64 = (1 << 20) as f64;
/// Bytes that the container writes at a time when it is held to a rate.
const PIECE: usize = 64 << 10;
const SILENT: usize = 100;

/// Runs the measurements; prints a line for each figure.
pub(crate) fn run(crilet: &Path, scratch: &Path) -> Result<()> {
    busy(crilet, Some(100_000_000))?;
    busy(crilet, None)?;
    silent(crilet, scratch)
}

/// A container that writes so many bytes a second, or all it can.
fn busy(crilet: &Path, rate: Option<u64>) -> Result<()> {
    let line = "x".repeat(2000);
    let script = match rate {
        Some(_) => "exec cat /control/fifo".to_owned(),
        None => format!("exec yes {line}"),
    };
    let fifo = Path::new(CONTROL).join("fifo");
    if rate.is_some() {
        fs::create_dir_all(CONTROL)?;
        mkfifo(&fifo, Mode::S_IRWXU)?;
    }
    run_pod(crilet, Path::new(LOGS), &script)?;
    let stop = Arc::new(AtomicBool::new(false));
    let paced = rate.map(|rate| {
        let (stop, fifo) = (Arc::clone(&stop), fifo.clone());
        std::thread::spawn(move || pace(&fifo, rate, &line, &stop))
    });
    let mut rotator = rotator(crilet, SOCKET)?;
    let output = rotator.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || events(BufReader::new(output)));
    let ended = Arc::clone(&stop);
    let sampler = std::thread::spawn(move || sample(&ended, Instant::now() + WARM_UP));
    wait(WARM_UP + MEASURED);
    stop.store(true, Ordering::Relaxed);
    let peak = sampler.join().ok().context("the sampler failed")?;
    rotator.kill()?;
    rotator.wait()?;
    let (sizes, times) = reader.join().ok().context("the reader failed")?;
    if let Some(paced) = paced {
        paced.join().ok().context("the writer failed")??;
        fs::remove_file(&fifo)?;
    }
    remove_pod(crilet)?;
    fs::remove_dir_all(LOGS)?;
    tell(&peak, sizes, &times);
    Ok(())
}

fn tell(peak: &Peak, bytes: f64, times: &Times) {
    let rate = bytes / (WARM_UP + MEASURED).as_secs_f64() / 1e6;
    report::print(&format!("{:<34}{rate:7.0} MB/s rotated", "one container"));
    let row = |name: &str, value: f64, limit: u64| {
        let name = format!("crilet log rotate: {name}");
        report::print(&format!("{name:<34}{value:7.1} MiB at most, of {limit}"));
    };
    row("live file", peak.live, 10);
    row("all files", peak.total, 64);
    report::print(&format!("{:<34}{}", "crilet log rotate: to reopened", times.summary()));
}

fn rotator(crilet: &Path, socket: &str) -> Result<Child> {
    let arguments = ["-r", socket, "log", "rotate", "--budget", "64Mi"];
    Ok(command(crilet, &arguments).stdout(Stdio::piped()).spawn()?)
}

/// Writes lines into a pipe at a rate, a little every millisecond.
fn pace(fifo: &Path, rate: u64, line: &str, stop: &AtomicBool) -> Result<()> {
    let mut out = File::options().write(true).open(fifo)?;
    let piece = format!("{line}\n").repeat(PIECE / (line.len() + 1));
    let (start, mut written) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = rate * u64::try_from(start.elapsed().as_millis())? / 1000;
        while written < due && !stop.load(Ordering::Relaxed) {
            out.write_all(piece.as_bytes())?;
            written += u64::try_from(piece.len())?;
        }
        wait(Duration::from_millis(1));
    }
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
struct Peak {
    live: f64,
    total: f64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
fn sample(stop: &AtomicBool, warm: Instant) -> Peak {
    let (mut live, mut total) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        if Instant::now() < warm {
            continue;
        }
        let own = fs::metadata(format!("{LOGS}/main.log")).map_or(0, |meta| meta.len());
        // A file that is renamed meanwhile is listed by both names.
        let entries = fs::read_dir(LOGS).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok());
        let files: BTreeMap<u64, u64> = files.map(|meta| (meta.ino(), meta.len())).collect();
        (live, total) = (live.max(own), total.max(files.values().sum()));
    }
    Peak { live: live as f64 / MIB, total: total as f64 / MIB }
}

/// What a rotator costs while nobody writes: with no log to look after, and with many.
fn silent(crilet: &Path, scratch: &Path) -> Result<()> {
    for containers in [0, SILENT] {
        let logs = scratch.join(format!("silent-{containers}"));
        fs::create_dir(&logs)?;
        for number in 0..containers {
            fs::write(logs.join(format!("c{number}.log")), "2026-01-01T00:00:00Z stdout F x\n")?;
        }
        let fake = fake(scratch, &logs, containers)?;
        let socket = fake.endpoint().path().to_str().context("path is not UTF-8")?.to_owned();
        let mut rotator = rotator(crilet, &socket)?;
        wait(WARM_UP * 4);
        let (switches, time) = (wake_ups(rotator.id())?, processor_time(rotator.id())?);
        wait(MEASURED);
        ensure!(rotator.try_wait()?.is_none(), "the rotator has ended");
        let switches = wake_ups(rotator.id())? - switches;
        let time = processor_time(rotator.id())? - time;
        rotator.kill()?;
        rotator.wait()?;
        let name = format!("crilet log rotate: {containers} silent");
        let each = MEASURED.as_secs();
        let (whole, tenths) = (switches / each, switches % each * 10 / each);
        let share = time.as_secs_f64() / MEASURED.as_secs_f64() * 100.0;
        report::print(&format!("{name:<34}{whole:5}.{tenths} wake-ups/s, {share:.1} % of a core"));
    }
    Ok(())
}

/// How often the threads of a process have slept and woken.
fn wake_ups(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let Some(count) = line else { bail!("no count in {status}") };
        sum += count.trim().parse::<u64>()?;
    }
    Ok(sum)
}
