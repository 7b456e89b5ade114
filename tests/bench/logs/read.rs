//! Reading one log of 1 GiB, and four of 256 MiB merged.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::{
    SOCKET, command, generate, remove_pod,
    report::{self, Times},
    run_pod,
};

/// How often something short is run in a round. What is long and runs before it leaves caches cold,
/// which is a matter of the order of contenders and not of their speed.
const REPEATS: usize = 11;

/// What is run, under which name; through a pipe, or straight to /dev/null.
struct Contender {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    pipe: bool,
    repeats: usize,
}

impl Contender {
    fn new(name: &str, program: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            pipe: false,
            repeats: 1,
        }
    }

    fn short(mut self) -> Self {
        self.repeats = REPEATS;
        self
    }

    fn piped(mut self) -> Self {
        self.pipe = true;
        self.name = format!("{} | cat", self.name);
        self
    }

    fn command(&self) -> Command {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        command(&self.program, &arguments)
    }

    fn run(&self) -> Result<()> {
        let null = File::options().write(true).open("/dev/null")?;
        let mut command = self.command();
        if !self.pipe {
            let status = command.stdout(null).status()?;
            ensure!(status.success(), "{}: {status}", self.name);
            return Ok(());
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let reader = crate::command(Path::new("cat"), &[]).stdin(stdout).stdout(null).status()?;
        let status = child.wait()?;
        ensure!(status.success() && reader.success(), "{}: {status}, {reader}", self.name);
        Ok(())
    }

    /// Peak resident memory in MB (10^6 bytes), as GNU time reads it.
    fn peak_memory(&self) -> Result<f64> {
        let mut words = vec!["-f", "%M", self.program.to_str().context("path is not UTF-8")?];
        words.extend(self.arguments.iter().map(String::as_str));
        let output = command(Path::new("/usr/bin/time"), &words)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?
            .wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        let kibibytes: f64 = last.parse().with_context(|| format!("GNU time said {text}"))?;
        Ok(kibibytes * 1024.0 / 1e6)
    }
}

/// Runs all measurements; prints a line for each.
pub(crate) fn run(crilet: &Path, scratch: &Path, rounds: usize) -> Result<()> {
    let directory = scratch.join("pod");
    fs::create_dir(&directory)?;
    let made = scratch.join("1GiB.log");
    let lines = generate::log(&made, 1 << 30, 1)?;
    report::print(&format!("a log of 1 GiB, {lines} lines, in the page cache; {rounds} rounds"));
    run_pod(crilet, &directory, "exec sleep 100000")?;
    let path = directory.join("main.log");
    fs::rename(&made, &path)?;
    let log = path.to_str().context("path is not UTF-8")?;
    // Warms the page cache.
    Contender::new("cat", Path::new("cat"), &[log]).run()?;
    one_log(crilet, log, lines, rounds)?;
    remove_pod(crilet)?;
    fs::remove_file(&path)?;
    merged(crilet, scratch, rounds)
}

fn one_log(crilet: &Path, log: &str, lines: u64, rounds: usize) -> Result<()> {
    let rare = format!("line {:010}", lines / 2);
    let own = |name: &str, arguments: &[&str]| {
        let all = [&["-r", SOCKET, "logs", "bench"], arguments].concat();
        Contender::new(&format!("crilet logs {name}"), crilet, &all)
    };
    let mut contenders = vec![
        Contender::new("cat", Path::new("cat"), &[log]),
        Contender::new("wc -l", Path::new("wc"), &["-l", log]),
        Contender::new("tail -n 10", Path::new("tail"), &["-n", "10", log]).short(),
        own("", &[]),
        own("", &[]).piped(),
        own("--tail 10", &["--tail", "10"]).short(),
        own("--since now", &["--since", "now"]).short(),
        own("--grep (one line)", &["--grep", &rare]),
        own("-o json", &["-o", "json"]),
    ];
    if let Some(crictl) = crictl() {
        let id = command(crilet, &["-r", SOCKET, "ps", "-o", "json"]).output()?;
        let pods: serde_json::Value = serde_json::from_slice(&id.stdout)?;
        let id = pods.pointer("/0/containers/0/id").and_then(serde_json::Value::as_str);
        let id = id.context("no container")?.to_owned();
        let endpoint = format!("unix://{SOCKET}");
        let peer = |name: &str, options: &[&str]| {
            let all = [&["-r", &endpoint, "logs"], options, &[id.as_str()]].concat();
            Contender::new(&format!("crictl logs {name}"), &crictl, &all)
        };
        contenders.push(peer("", &[]));
        contenders.push(peer("", &[]).piped());
        contenders.push(peer("--tail 10", &["--tail", "10"]).short());
        contenders.push(peer("--since 1s", &["--since", "1s"]));
    }
    measure(&contenders, rounds)
}

fn merged(crilet: &Path, scratch: &Path, rounds: usize) -> Result<()> {
    let pods = scratch.join("merged");
    fs::create_dir(&pods)?;
    let fake = crate::follow::fake(scratch, &pods, 4)?;
    for number in 0..4_u64 {
        generate::log(&pods.join(format!("c{number}.log")), 256 << 20, number)?;
    }
    let socket = fake.endpoint().path().to_str().context("path is not UTF-8")?.to_owned();
    let arguments = ["-r", &socket, "logs", "-o", "raw"];
    let own = Contender::new("crilet logs, 4 x 256 MiB merged", crilet, &arguments);
    own.run()?;
    measure(&[own], rounds)?;
    Ok(fs::remove_dir_all(pods)?)
}

/// All contenders take turns: a machine's drift hits them alike.
fn measure(contenders: &[Contender], rounds: usize) -> Result<()> {
    let mut times: Vec<Times> = contenders.iter().map(|_| Times::default()).collect();
    for _ in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            for _ in 0..contender.repeats {
                let start = Instant::now();
                contender.run()?;
                times.push(start.elapsed());
            }
        }
    }
    for (contender, times) in contenders.iter().zip(&times) {
        let peak = contender.peak_memory()?;
        report::print(&format!("{:<34}{}, peak {peak:.1} MB", contender.name, times.summary()));
    }
    Ok(())
}

fn crictl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|entry| entry.join("crictl")).find(|file| file.is_file())
}
