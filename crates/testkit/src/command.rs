use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::{
        signal::{self, Signal},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use crate::{
    host::{Host, JOIN, PATH, Place},
    wait::wait_until,
};

/// Far longer than anything takes, even on a busy machine.
const DEFAULT_BOUND: Duration = Duration::from_secs(300);
/// For the way into the host and out of it, which a program's own bound does not count.
const WAY: Duration = Duration::from_secs(60);
/// After the end of a program, for its output to end too.
const OUTPUT_BOUND: Duration = Duration::from_secs(15);

/// A program to run on a host, with a fresh environment (`PATH`, `HOME=/root`, `LANG`).
#[derive(Debug)]
#[must_use = "nothing runs before `output`, `success` or `spawn`"]
pub struct Run<'host> {
    host: &'host Host,
    place: Place,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    input: Vec<u8>,
    bound: Duration,
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "status {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(formatter, "\n{name}: {}", text.trim())?;
            }
        }
        Ok(())
    }
}

impl<'host> Run<'host> {
    pub(crate) fn new(host: &'host Host, place: Place, program: &OsStr) -> Self {
        let environment = [("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")];
        Self {
            host,
            place,
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            directory: PathBuf::from("/"),
            input: Vec::new(),
            bound: DEFAULT_BOUND,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory; `/` without.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Sets what the program reads from standard input; nothing without. Not for [`Run::spawn`].
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets when the program is killed; after five minutes without.
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started, is killed for taking too long, or leaves something behind that
    /// holds its output open. A status other than 0 is no error.
    pub fn output(self) -> Result<Output> {
        let words = self.words();
        let mut command = self.command(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {words}"))?;
        let stdout = drain(child.stdout.take().context("no standard output")?);
        let stderr = drain(child.stderr.take().context("no standard error")?);
        let mut stdin = child.stdin.take().context("no standard input")?;
        let input = self.input;
        // A program that does not read all of its input is no failure.
        let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
        let status =
            wait_for(&mut child, self.bound + WAY).with_context(|| format!("wait for {words}"))?;
        let output = Output {
            status: number(status),
            stdout: collect(&stdout, &words)?,
            stderr: collect(&stderr, &words)?,
        };
        ensure!(feeder.join().is_ok(), "writing the input of {words} failed");
        // `timeout` kills itself as it killed the program.
        if output.status == 137 {
            bail!("{words} was killed, after {:?} at the latest: {output}", self.bound);
        }
        Ok(output)
    }

    /// Runs the program to its end and returns its standard output.
    ///
    /// # Errors
    ///
    /// As [`Run::output`]; and when the status is not 0, with all that the program said.
    pub fn success(self) -> Result<String> {
        let words = self.words();
        let output = self.output()?;
        ensure!(output.status == 0, "{words}: {output}");
        Ok(output.stdout)
    }

    /// Starts the program and lets it run; its output is in [`Service::log`].
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(self) -> Result<Service> {
        let words = self.words();
        let directory =
            tempfile::Builder::new().prefix("service-").tempdir_in(self.host.scratch())?.keep();
        let log = directory.join("log");
        let file = File::create(&log)?;
        let mut command = self.command(false);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {words}"))?;
        Ok(Service { child, log, words })
    }

    /// Has it run by another program, which takes it as its arguments.
    pub(crate) fn through(mut self, words: &[&str]) -> Self {
        let mut words = words.iter().map(OsString::from);
        if let Some(first) = words.next() {
            let former = std::mem::replace(&mut self.program, first);
            self.arguments.splice(0..0, words.chain([former]));
        }
        self
    }

    /// The program as a person would have typed it.
    fn words(&self) -> String {
        let all = std::iter::once(&self.program).chain(&self.arguments);
        let words: Vec<_> = all.map(|word| word.to_string_lossy()).collect();
        format!("`{}`", words.join(" "))
    }

    /// Enters the host's groups and namespaces, then sets the environment, then runs the program.
    pub(crate) fn command(&self, bounded: bool) -> Command {
        let mut command = Command::new("sh");
        command.args(["-euc", JOIN, "sh"]).args(self.host.cgroups().homes()).arg("--");
        command.arg("nsenter").arg(format!("--target={}", self.host.init_pid()));
        command.args(["--mount", "--net", "--ipc", "--uts", "--pid", "--cgroup", "--"]);
        if self.place == Place::Outside {
            command.args(["nsenter", "--net=/run/netns/outside", "--"]);
        }
        command.args(["env", "--ignore-environment", "--chdir"]).arg(&self.directory);
        for (name, value) in &self.environment {
            let mut assignment = name.clone();
            assignment.push("=");
            assignment.push(value);
            command.arg(assignment);
        }
        if bounded {
            command.args(["timeout", "--signal=KILL"]).arg(format!("{}", self.bound.as_secs_f64()));
        } else {
            // Ends with `nsenter`, which cannot pass a signal on.
            command.args(["setpriv", "--pdeathsig", "KILL"]);
        }
        command.arg(&self.program).args(&self.arguments);
        command
    }
}

/// A program that runs on a host until it is killed or ends by itself.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    words: String,
}

impl Service {
    /// All that the program has written so far, standard output and error as they came.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails, with the log, if the program has ended.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended ({status}): {}", self.words, self.log().trim()),
        }
    }

    /// Waits until the program has ended by itself, and gives its status; 128 + N after signal N.
    ///
    /// # Errors
    ///
    /// When it has not after `bound`, with its log.
    pub fn expect_end(&mut self, bound: Duration) -> Result<i32> {
        let ended = wait_for(&mut self.child, bound);
        ended.map(number).with_context(|| format!("{}: {}", self.words, self.log().trim()))
    }

    /// Kills the program at once, and waits for it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or the program is still there some minutes later.
    pub fn kill(&mut self) -> Result<()> {
        kill(&mut self.child).with_context(|| format!("kill {}", self.words))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It ends with its host in any case; a test that cares calls `kill`.
        drop(self.kill());
    }
}

/// Kills a program that runs on a host, and waits for its end.
///
/// It is the child of `nsenter`, which cannot pass a signal on, and ends with that only from when
/// `setpriv` has seen to it. So `nsenter` is made to stand still first: what it has started by then is all
/// that it ever will.
pub(crate) fn kill(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    let pid = |pid: u32| i32::try_from(pid).map(Pid::from_raw);
    let outer = pid(child.id())?;
    signal::kill(outer, Signal::SIGSTOP)?;
    waitid(Id::Pid(outer), WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let inner = children(child.id());
    for inner in &inner {
        match signal::kill(pid(*inner)?, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    child.kill()?;
    child.wait()?;
    wait_until("the end of the program", DEFAULT_BOUND, || {
        match inner.iter().find(|pid| runs(**pid)) {
            None => Ok(()),
            Some(pid) => Err(format!("process {pid} runs")),
        }
    })
}

/// Processes that a process has started and that are its children still (proc_pid_children(5)).
fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    listed.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process is there and has not ended, with all its threads: the last of them holds its
/// files open although the first may be a zombie.
fn runs(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    })
}

pub(crate) fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

pub(crate) fn wait_for(child: &mut Child, bound: Duration) -> Result<ExitStatus> {
    wait_until("its end", bound, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it runs".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}

/// Reads to the end in a thread of its own.
fn drain(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what was said.
        drop(from.read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}

fn collect(receiver: &Receiver<Vec<u8>>, words: &str) -> Result<String> {
    let bytes = receiver.recv_timeout(OUTPUT_BOUND).with_context(|| {
        format!("{words} has ended, but something it started still holds its output open")
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
