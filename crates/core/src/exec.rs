//! Programs of the host: found, run, and explained when they fail.
//!
//! Everything that crilet starts goes through [`Invocation`], so that each failure names the
//! program, its arguments, its exit status and what it wrote to stderr, and a program that is not
//! there names the Debian package that brings it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    runtime::Runtime,
};

/// Directories that a root shell may lack in `PATH`, although runtimes and network tools live there.
const MORE_DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Which Debian package brings a program that crilet uses.
const PACKAGES: [(&str, &str); 16] = [
    ("busybox", "busybox-static"),
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("curl", "curl"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("ip", "iproute2"),
    ("ip6tables", "iptables"),
    ("iptables", "iptables"),
    ("iptables-restore", "iptables"),
    ("mmdebstrap", "mmdebstrap"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
    ("skopeo", "skopeo"),
    ("unshare", "util-linux"),
];

/// How much of a failed program's stderr its error carries, in bytes; the end says most.
const STDERR_KEPT: usize = 4096;

/// Why a program could not be run, or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// No directory that is searched holds the program.
    #[error("program `{program}` is not installed{}", package_hint(package.as_deref()))]
    Missing {
        /// Name that was looked for.
        program: String,
        /// Debian package that brings it, where known.
        package: Option<String>,
    },
    /// The kernel refused to start the program, or talking to it failed.
    #[error("run `{command}`")]
    Start {
        /// Program and arguments as a shell would show them.
        command: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The program ran and failed.
    #[error("`{command}` {status}{}", stderr_hint(stderr))]
    Failed {
        /// Program and arguments as a shell would show them.
        command: String,
        /// How it ended: exit status or signal.
        status: String,
        /// Last part of what it wrote to stderr, or to stdout when stderr was silent.
        stderr: String,
    },
    /// The program took longer than it was given and was killed.
    #[error("`{command}` did not end within {} s", limit.as_secs_f32())]
    TimedOut {
        /// Program and arguments as a shell would show them.
        command: String,
        /// How long it was given.
        limit: Duration,
    },
}

/// What a program that succeeded wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output, as it came.
    pub stdout: Vec<u8>,
    /// Standard error, as it came.
    pub stderr: Vec<u8>,
}

/// A program with its arguments, ready to run.
///
/// Standard input is empty unless [`Invocation::input`] gives bytes.
#[derive(Debug, Clone)]
pub struct Invocation {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    input: Vec<u8>,
    limit: Option<Duration>,
}

/// Finds a program in `PATH` and in the directories that a root shell may lack there.
///
/// A name with a slash is taken as a path.
///
/// # Errors
/// [`ExecError::Missing`] when no executable file of that name is found.
pub fn find_program(name: &str) -> Result<PathBuf, ExecError> {
    find_program_in(name, env::var_os("PATH").as_deref())
        .ok_or_else(|| ExecError::Missing { program: name.to_owned(), package: package_of(name) })
}

fn find_program_in(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_executable(path));
    }
    let listed = path.map(env::split_paths).into_iter().flatten();
    listed
        .chain(MORE_DIRECTORIES.iter().map(PathBuf::from))
        // A relative entry would make root run what lies in the current directory.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn package_of(program: &str) -> Option<String> {
    let found = PACKAGES.iter().find(|(name, _)| *name == program);
    found.map(|(_, package)| (*package).to_owned())
}

fn package_hint(package: Option<&str>) -> String {
    package.map_or_else(String::new, |package| {
        format!(" (Debian package `{package}`: apt-get install {package})")
    })
}

fn stderr_hint(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

impl Invocation {
    /// A program found by [`find_program`].
    ///
    /// # Errors
    /// [`ExecError::Missing`] when it is not installed.
    pub fn find(name: &str) -> Result<Self, ExecError> {
        find_program(name).map(Self::at)
    }

    /// A program at a known path; whether it exists shows when it is run.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            input: Vec::new(),
            limit: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable beside those that are inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Keeps an environment variable from being inherited.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Runs the program in `directory` instead of the current one.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// What [`Invocation::run`] writes to the program's standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long [`Invocation::run`] waits before it kills the program; without it, for ever.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the program to its end; it is killed when the future is dropped.
    ///
    /// # Errors
    /// When it cannot be started, ends with anything but status 0, or exceeds its time limit.
    pub async fn run(&self) -> Result<Output, ExecError> {
        let stdin = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let child = self.spawn(stdin, Stdio::piped(), Stdio::piped(), false)?;
        self.complete(child, &self.input).await
    }

    /// Waits for the end of a child, which is killed when that takes longer than it is given.
    async fn complete(&self, child: Child, input: &[u8]) -> Result<Output, ExecError> {
        let Some(limit) = self.limit else { return self.complete_unbounded(child, input).await };
        match tokio::time::timeout(limit, self.complete_unbounded(child, input)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ExecError::TimedOut { command: self.to_string(), limit }),
        }
    }

    /// As [`Invocation::run`], for callers without an async runtime; the time limit holds too.
    ///
    /// # Errors
    /// As [`Invocation::run`]. Must not be called from within an async runtime.
    pub fn run_blocking(&self) -> Result<Output, ExecError> {
        self.runtime()?.block_on(self.run())
    }

    /// Starts the program before its input is known, so that it gets ready meanwhile: some programs
    /// need longer for that than for their work. For callers without an async runtime. It is killed
    /// when it is dropped without input; [`Invocation::input`] is not used.
    ///
    /// # Errors
    /// [`ExecError::Start`] when the kernel refuses. Must not be called from within an async runtime.
    pub fn start_blocking(&self) -> Result<Waiting, ExecError> {
        let runtime = self.runtime()?;
        let child = {
            let _within = runtime.enter();
            self.spawn(Stdio::piped(), Stdio::piped(), Stdio::piped(), false)?
        };
        Ok(Waiting { invocation: self.clone(), child, runtime })
    }

    fn runtime(&self) -> Result<Runtime, ExecError> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().map_err(|cause| self.start_error(cause))
    }

    /// Starts the program and leaves its input, output and end to the caller.
    ///
    /// The child is killed when the handle is dropped, unless `keep` is set: then it lives on when
    /// crilet ends. Such a child should call `setsid` first thing, to outlive the shell as well.
    ///
    /// # Errors
    /// [`ExecError::Start`] when the kernel refuses.
    pub fn spawn(
        &self,
        stdin: Stdio,
        stdout: Stdio,
        stderr: Stdio,
        keep: bool,
    ) -> Result<Child, ExecError> {
        self.command()
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(!keep)
            .spawn()
            .map_err(|cause| self.start_error(cause))
    }

    /// The error for a program that this invocation started and that ended with `status`.
    #[must_use]
    pub fn failure(&self, status: ExitStatus, stderr: &[u8]) -> ExecError {
        ExecError::Failed {
            command: self.to_string(),
            status: describe_status(status),
            stderr: tail(stderr),
        }
    }

    async fn complete_unbounded(
        &self,
        mut child: Child,
        input: &[u8],
    ) -> Result<Output, ExecError> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (written, stdout, stderr, status) =
            tokio::join!(feed(pipes.0, input), drain(pipes.1), drain(pipes.2), child.wait());
        let status = status.map_err(|cause| self.start_error(cause))?;
        let stdout = stdout.map_err(|cause| self.start_error(cause))?;
        let stderr = stderr.map_err(|cause| self.start_error(cause))?;
        if !status.success() {
            // Some programs, docker's credential helpers among them, complain on standard output.
            let said = if stderr.trim_ascii().is_empty() { &stdout } else { &stderr };
            return Err(self.failure(status, said));
        }
        written.map_err(|cause| self.start_error(cause))?;
        Ok(Output { stdout, stderr })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    fn start_error(&self, cause: io::Error) -> ExecError {
        if cause.kind() == io::ErrorKind::NotFound && !self.program.exists() {
            let program = self.program.display().to_string();
            let package = self.program.file_name().and_then(OsStr::to_str).and_then(package_of);
            return ExecError::Missing { program, package };
        }
        ExecError::Start { command: self.to_string(), cause }
    }
}

/// A program that was started and waits for its input.
#[derive(Debug)]
pub struct Waiting {
    invocation: Invocation,
    /// Before the runtime, which has to live when the child is dropped.
    child: Child,
    runtime: Runtime,
}

impl Waiting {
    /// Gives the program its input, and waits for its end. The time limit begins here.
    ///
    /// # Errors
    /// As [`Invocation::run`]. Must not be called from within an async runtime.
    pub fn finish(self, input: &[u8]) -> Result<Output, ExecError> {
        let Self { invocation, child, runtime } = self;
        runtime.block_on(invocation.complete(child, input))
    }
}

impl fmt::Display for Invocation {
    /// As a shell would show it; arguments with blanks or quotes are quoted.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.program.display())?;
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let plain = |character: char| {
                character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character)
            };
            if !argument.is_empty() && argument.chars().all(plain) {
                write!(formatter, " {argument}")?;
            } else {
                write!(formatter, " {argument:?}")?;
            }
        }
        Ok(())
    }
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        // A program need not read all that it is given.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn drain(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// "failed with exit status 3" or "was ended by signal 9".
fn describe_status(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => format!("ended with {status}"),
    }
}

fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(STDERR_KEPT);
    let kept = bytes.get(start..).unwrap_or_default();
    String::from_utf8_lossy(kept).trim().to_owned()
}

#[cfg(test)]
mod tests;
