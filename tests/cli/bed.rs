//! A temporary directory with a fake runtime in it, and crilet run inside of it.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use crilet_cri::fake::{Builder, Fake, FakeHandle};
use crilet_testkit::wait_until;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(100);

/// Where crilet is run, and what it meets there.
pub(crate) struct Bed {
    pub(crate) fake: FakeHandle,
    directory: TempDir,
    _filters: insta::internals::SettingsBindDropGuard,
}

impl Bed {
    /// Starts a fake runtime in a new directory.
    pub(crate) fn new(builder: Builder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fake = builder.start(&directory.path().join("cri.sock")).unwrap();
        let _filters = filters(directory.path());
        Self { fake, directory, _filters }
    }

    /// A fake runtime that has the image `app:1`.
    pub(crate) fn with_app() -> Self {
        Self::new(Fake::builder().image("app:1"))
    }

    /// A path in the directory, which is also where crilet is run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the directories it is in.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a directory with a pod of that name in namespace `default` and one container of the
    /// image `app:1`; `more` goes into the pod's file.
    pub(crate) fn pod(&self, name: &str, more: &str) {
        self.pod_in("default", name, more);
        self.container(name, "main", "app:1");
    }

    /// Writes a pod's file of its own into a directory called as the pod.
    pub(crate) fn pod_in(&self, namespace: &str, name: &str, more: &str) {
        let metadata = format!("metadata: {{name: {name}, namespace: {namespace}, uid: u}}\n");
        self.write(&format!("{name}/pod.yaml"), &format!("{metadata}{more}\n"));
    }

    /// Writes a container's file into the directory of a pod.
    pub(crate) fn container(&self, pod: &str, name: &str, image: &str) {
        let text = format!("metadata: {{name: {name}}}\nimage: {{image: \"{image}\"}}\n");
        self.write(&format!("{pod}/{name}.yaml"), &text);
    }

    /// A command that finds the fake and nothing of the machine it runs on.
    pub(crate) fn crilet(&self, arguments: &str) -> Crilet {
        let mut crilet = Crilet::new(self.directory.path(), arguments);
        crilet.command.env("CONTAINER_RUNTIME_ENDPOINT", self.path("cri.sock"));
        crilet
    }

    /// Runs crilet where it is not what is tested, and forgets the calls that it made.
    pub(crate) fn prepare(&self, arguments: &str) -> Outcome {
        let outcome = self.crilet(arguments).run();
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        self.fake.clear_calls();
        outcome
    }

    /// What bash would offer behind a line of `crilet` or of `crictl`.
    pub(crate) fn offered(&self, line: &str) -> Vec<String> {
        let script = format!(
            "crilet() {{ \"$CRILET\" \"$@\"; }}\ncrictl() {{ crilet crictl \"$@\"; }}\n\
             source <({program} completion bash)\n\
             COMP_LINE='{line}' COMP_POINT={}\n_{program}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.len(),
            program = line.split(' ').next().unwrap(),
        );
        #[expect(clippy::disallowed_methods, reason = "a tool of the test, not of crilet")]
        let output = Command::new("bash")
            .args(["--norc", "-c", &script])
            .env("CRILET", env!("CARGO_BIN_EXE_crilet"))
            .env("CONTAINER_RUNTIME_ENDPOINT", self.path("cri.sock"))
            .current_dir(self.path("."))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(stderr, "", "{line}");
        text(&mut output.stdout.as_slice())
            .lines()
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The full id of a pod's newest sandbox.
    pub(crate) fn id(&self, pod: &str) -> String {
        let ids = self.prepare(&format!("ps --quiet {pod}")).stdout;
        ids.lines().next().unwrap().to_owned()
    }

    /// Waits until the runtime has been asked for something.
    pub(crate) fn wait_for_call(&self, method: &str) {
        wait_until(&format!("a call of {method}"), BOUND, || {
            let calls = self.fake.call_lines();
            let called = calls.iter().any(|line| line.starts_with(method));
            if called { Ok(()) } else { Err(format!("{calls:?}")) }
        })
        .unwrap();
    }

    /// Waits until something has come about.
    pub(crate) fn until(&self, mut come_about: impl FnMut() -> bool) {
        let attempt = || if come_about() { Ok(()) } else { Err("not yet".to_owned()) };
        wait_until("what the test waits for", BOUND, attempt).unwrap();
    }

    /// How often a method was called.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.fake.calls().iter().filter(|call| call.method == method).count()
    }

    /// Neither the runtime nor the disk has anything of a pod.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.fake.counts(), (0, 0), "{:#?}", self.fake.call_lines());
        let files = fs::read_dir(self.path("state/pods")).map_or(0, Iterator::count);
        assert_eq!(files, 0, "files of pods are left");
    }
}

/// A call of crilet that is still to be made.
pub(crate) struct Crilet {
    command: Command,
    shown: String,
    input: Vec<u8>,
}

impl Crilet {
    /// A call in this directory, with nothing in its environment that could lead out of it.
    pub(crate) fn new(directory: &Path, arguments: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the binary is run as a shell would run it")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_crilet"));
        command.args(arguments.split_whitespace()).current_dir(directory).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", directory.join("home"));
        command.env("CRI_CONFIG_FILE", directory.join("no-crictl.yaml"));
        command.env("CRILET_STATE", directory.join("state"));
        command.env("CRILET_ROOT", directory.join("root"));
        Self { command, shown: arguments.to_owned(), input: Vec::new() }
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// Takes a variable away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Gives it something to read.
    pub(crate) fn input(mut self, text: &str) -> Self {
        text.as_bytes().clone_into(&mut self.input);
        self
    }

    /// Runs it with another standard output, which the outcome then does not have.
    pub(crate) fn run_into(mut self, stdout: impl Into<Stdio>) -> Outcome {
        self.command.stdout(stdout).stdin(Stdio::null()).stderr(Stdio::piped());
        Running { child: self.command.spawn().unwrap(), shown: self.shown }.wait()
    }

    /// Runs it with an end of standard error that nobody reads.
    pub(crate) fn run_without_stderr(mut self) -> Outcome {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(closed_pipe());
        Running { child: self.command.spawn().unwrap(), shown: self.shown }.wait()
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        match stdin.write_all(&self.input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => panic!("{error}"),
            // A command that fails early need not have read its input.
            _ => Running { child, shown: self.shown },
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// Tells a thread to end, also where the test fails.
pub(crate) struct SetWhenDropped<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The writing end of a pipe whose reader has gone.
pub(crate) fn closed_pipe() -> io::PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer
}

/// A crilet that has been started.
pub(crate) struct Running {
    child: Child,
    shown: String,
}

impl Running {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        signal::kill(pid, signal).unwrap();
    }

    /// Has it stand still, and waits until all of it does.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let state = |task: PathBuf| fs::read_to_string(task.join("stat")).unwrap_or_default();
        wait_until("a stop", BOUND, || {
            let tasks = fs::read_dir(&tasks).unwrap().flatten();
            let states: Vec<_> = tasks.map(|task| state(task.path())).collect();
            if states.iter().all(|state| state.contains(") T ")) {
                Ok(())
            } else {
                Err(states.concat())
            }
        })
        .unwrap();
    }

    /// Reads its standard error up to and with these words, which the outcome then does not have.
    pub(crate) fn read_stderr_until(&mut self, words: &str) {
        read_until(self.child.stderr.as_mut().unwrap(), words);
    }

    /// Reads its standard output up to and with these words, which the outcome then does not have.
    pub(crate) fn read_stdout_until(&mut self, words: &str) {
        read_until(self.child.stdout.as_mut().unwrap(), words);
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        // What a command of these tests writes fits into the pipes.
        let child = &mut self.child;
        let status = wait_until("the end of the command", BOUND, || {
            child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        });
        let status = status.unwrap_or_else(|error| {
            child.kill().unwrap();
            panic!("{error}")
        });
        let stdout = child.stdout.take().map_or_else(String::new, |mut pipe| text(&mut pipe));
        let stderr = child.stderr.take().map_or_else(String::new, |mut pipe| text(&mut pipe));
        Outcome { shown: self.shown, status, stdout, stderr }
    }
}

fn read_until(pipe: &mut (impl Read + AsFd), words: &str) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    let begun = SystemTime::now();
    while !seen.ends_with(words.as_bytes()) {
        let mut wanted = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut wanted, PollTimeout::from(1000_u16)).unwrap() > 0;
        let text = || String::from_utf8_lossy(&seen).into_owned();
        if ready {
            assert!(pipe.read_exact(&mut byte).is_ok(), "ended before {words:?}: {:?}", text());
            seen.extend(byte);
        } else {
            let waited = begun.elapsed().unwrap_or_default();
            assert!(waited < BOUND, "no {words:?} within {BOUND:?}: {:?}", text());
        }
    }
}

fn text(pipe: &mut dyn Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// How a call of crilet ended.
pub(crate) struct Outcome {
    shown: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, status, stdout, stderr } = self;
        writeln!(formatter, "$ crilet {shown}\n{status}")?;
        writeln!(formatter, "----- stdout -----\n{stdout}----- stderr -----\n{stderr}-----")
    }
}

/// Puts words in the place of what is different in every run.
pub(crate) fn filters(directory: &Path) -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.add_filter(directory.to_str().unwrap(), "[DIR]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[FULL ID]");
    settings.add_filter(r"\b[0-9a-f]{13}\b", "[-SHORT ID--]");
    settings.add_filter(r"(ready +)\d{1,2}s +", "${1}0s   ");
    // Ages of what was made a moment ago, of one digit or of two.
    settings.add_filter(r"\bfor \d{1,2}s", "for 0s");
    settings.add_filter(r"(\d/\d +\d+ +)\ds ", "${1}0s ");
    settings.add_filter(r"(\d/\d +\d+ +)\d\ds", "${1}0s ");
    settings.add_filter(r"(?m)^( *)\ds( +(?:Normal|Warning))", "${1}0s$2");
    settings.add_filter(r"(?m)^( *)\d\ds( +(?:Normal|Warning))", "${1}0s $2");
    settings.add_filter(r"in 99\d{3} s", "in 99999 s");
    // The layer that notices first that a connection is cut says so in its own words.
    settings.add_filter("(went away: ).*", "$1[REASON]");
    settings.add_filter(r#"(_at": )[0-9]+"#, "$1[TIME]");
    settings.add_filter(&regex_version(), "[VERSION]");
    settings.bind_to_scope()
}

fn regex_version() -> String {
    format!(r"\b{}\b", env!("CARGO_PKG_VERSION").replace('.', r"\."))
}
