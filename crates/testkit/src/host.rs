use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    cgroups::{self, Hierarchy, HostCgroups},
    command::Run,
    http::{self, HttpResponse},
    snapshot::Snapshot,
    wait::wait_until,
    workspace,
};

/// Where programs are found, inside and for the kit's own work.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a host covers, so that what lies there must be kept on purpose.
const COVERED: [&str; 5] = ["/root", "/etc", "/var", "/opt", "/run"];
/// Names of directories that go with hosts begin so; the process id of their maker follows.
const SCRATCH: &str = "crilet-host-";
/// Far longer than anything takes, even on a busy machine.
const END: Duration = Duration::from_secs(120);

/// Joins the control groups given before `--`, then becomes the program after it.
pub(crate) const JOIN: &str =
    r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@""#;

/// An isolated host: its own network, mounts, processes, host name and control groups.
///
/// Inside, `/run`, `/root`, and the directories of runtimes and CNI are empty; `/etc`, `/var` and
/// `/opt` are the machine's, and writing there changes nothing outside. `/dev` has the devices that
/// every system has, and is the host's own but for its terminals. `/tmp` and the workspace are shared. The only network is a link `uplink` (192.0.2.1, 2001:db8::1) to a neighbour that is
/// the default gateway, see [`Place::Outside`]; whatever is beyond is unreachable, and said to be.
///
/// Dropping it ends every process inside and removes its control groups. It ends as well, by
/// itself, when the test process is killed.
#[derive(Debug)]
pub struct Host {
    /// `unshare`, whose only child is the first process inside.
    holder: Child,
    /// Open for as long as the host is to live.
    lifeline: Option<ChildStdin>,
    init: u32,
    cgroups: HostCgroups,
    scratch: TempDir,
}

/// Where in a host's little world a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the host itself.
    Inside,
    /// In the network of its neighbour and default gateway (192.0.2.2, 2001:db8::2).
    Outside,
}

impl Host {
    /// IPv4 address of the host on its uplink.
    pub const ADDRESS: &str = "192.0.2.1";
    /// IPv6 address of the host on its uplink.
    pub const ADDRESS_V6: &str = "2001:db8::1";
    /// IPv4 address of the neighbour.
    pub const OUTSIDE_ADDRESS: &str = "192.0.2.2";

    /// Starts a host.
    ///
    /// # Errors
    ///
    /// Without root, or when the kernel refuses a namespace or a mount: with what was refused.
    pub fn start() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ensure!(nix::unistd::geteuid().is_root(), "an isolated host needs root");
        let name = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        for left in cgroups::abandoned(&std::env::temp_dir(), SCRATCH) {
            // Of a test that was killed; another test may be removing it at the same time.
            drop(fs::remove_dir_all(left));
        }
        let prefix = format!("{SCRATCH}{}-", process::id());
        let scratch = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let words = File::create(scratch.path().join("init.log"))?;
        let cgroups = HostCgroups::create(&name)?;
        let mut holder = match holder_command(&cgroups, words.into())?.spawn() {
            Ok(holder) => holder,
            Err(error) => {
                cgroups.remove()?;
                return Err(error).context("start the host's first process");
            }
        };
        let lifeline = holder.stdin.take();
        let mut host = Self { holder, lifeline, init: 0, cgroups, scratch };
        host.await_ready()?;
        Ok(host)
    }

    /// Reads the word of the first process: `ready`, or nothing.
    fn await_ready(&mut self) -> Result<()> {
        let stdout = self.holder.stdout.take().context("the host's first process has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("read from the host")?;
        if line != "ready\n" {
            let words = fs::read_to_string(self.scratch.path().join("init.log"))?;
            bail!("the host did not start: {}", words.trim());
        }
        let pid = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .context("find the host's first process")?;
        self.init = children.trim().parse().with_context(|| {
            format!("the holder of the host has `{}` for its only child", children.trim())
        })?;
        Ok(())
    }

    /// Process id of the host's first process, as the machine numbers it.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// A program to run on the host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Run<'_> {
        Run::new(self, Place::Inside, program.as_ref())
    }

    /// A program to run in `place`.
    pub fn command_in(&self, place: Place, program: impl AsRef<OsStr>) -> Run<'_> {
        Run::new(self, place, program.as_ref())
    }

    /// A shell script to run on the host; it ends at the first failure.
    pub fn shell(&self, script: &str) -> Run<'_> {
        self.command("sh").args(["-euc", script])
    }

    /// Where the machine sees the host's absolute path `path`.
    ///
    /// A path that crosses an absolute symbolic link is the machine's from there on.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let relative = path.as_ref().strip_prefix("/").unwrap_or_else(|_| path.as_ref());
        Path::new("/proc").join(self.init.to_string()).join("root").join(relative)
    }

    /// Reads a file of the host.
    ///
    /// # Errors
    ///
    /// When it cannot be read, with its path.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        fs::read_to_string(self.path(&path))
            .with_context(|| format!("read `{}` of the host", path.as_ref().display()))
    }

    /// Writes a file of the host, and makes the directories above it.
    ///
    /// # Errors
    ///
    /// When it cannot be written, with its path.
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
        let full = self.path(&path);
        full.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&full, contents))
            .with_context(|| format!("write `{}` of the host", path.as_ref().display()))
    }

    /// Copies the files of a directory of the machine, subdirectories left out, into one of the host.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, with its path.
    pub fn copy_files(&self, from: &Path, to: impl AsRef<Path>) -> Result<()> {
        let entries =
            fs::read_dir(from).with_context(|| format!("read directory `{}`", from.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                self.write(to.as_ref().join(entry.file_name()), fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Gets `url` from the host itself or from its neighbour, and follows redirections.
    ///
    /// # Errors
    ///
    /// When there is no answer within 30 seconds.
    pub fn http_get(&self, place: Place, url: &str) -> Result<HttpResponse> {
        http::get(self, place, url)
    }

    /// What is on the host now.
    ///
    /// # Errors
    ///
    /// When one of the kernel's tools fails.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::of_host(self)
    }

    /// Waits until the host is as it was.
    ///
    /// Who has ended is taken off the list of processes a moment later, and a namespace that nobody has
    /// any more goes in the kernel's own time.
    ///
    /// # Errors
    ///
    /// When something differs to the end: with all that does.
    pub fn await_same(&self, before: &Snapshot) -> Result<()> {
        wait_until("the host to be as before", END, || {
            let now = self.snapshot().map_err(|error| format!("{error:#}"))?;
            let difference = before.difference(&now);
            if difference.is_empty() { Ok(()) } else { Err(format!("\n{difference}")) }
        })
    }

    /// Control groups that were made inside and still exist, with their hierarchies.
    #[must_use]
    pub fn control_groups(&self) -> Vec<String> {
        self.cgroups.below()
    }

    pub(crate) fn cgroups(&self) -> &HostCgroups {
        &self.cgroups
    }

    /// A directory of the machine that goes with the host.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Ends the host and reports what would not end; dropping it does the same, and panics instead.
    ///
    /// # Errors
    ///
    /// When a process or a control group remains.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.lifeline.take().is_none() {
            return Ok(());
        }
        self.cgroups.thaw();
        let ended =
            wait_until("end of the host's first process", END, || match self.holder.try_wait() {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(format!("process {} runs", self.holder.id())),
                Err(error) => Err(error.to_string()),
            });
        if ended.is_err() {
            self.holder.kill()?;
            self.holder.wait()?;
        }
        self.cgroups.remove()?;
        ended
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        match self.end() {
            Err(error) if !thread::panicking() => panic!("the host did not end: {error:#}"),
            _ => {}
        }
    }
}

/// The holder: joins the host's groups, makes the namespaces, and waits for the first process.
fn holder_command(cgroups: &HostCgroups, words: Stdio) -> Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-euc", JOIN, "sh"]).args(cgroups.roots()).arg("--");
    // The groups that the process is in now become the roots inside; those of version 2 are then
    // left for their leaves.
    command.args(["unshare", "--cgroup", "sh", "-euc", JOIN, "sh"]).args(cgroups.homes()).arg("--");
    command.args(["unshare", "--mount", "--propagation=private", "--net", "--ipc", "--uts"]);
    command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
    command.args(["sh", "-c", include_str!("init.sh")]);
    command.env("HOST_NAME", "testhost");
    command.env("HOST_KEEP", kept_paths()?);
    command.env("HOST_CGROUPS", cgroups.hierarchies().iter().map(describe).collect::<String>());
    command.env("PATH", PATH);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words);
    Ok(command)
}

/// A hierarchy as a line for the first process.
fn describe(hierarchy: &Hierarchy) -> String {
    let kind = if hierarchy.is_v2 { "cgroup2" } else { "cgroup" };
    format!("{kind} {} {}\n", hierarchy.mount_point.display(), hierarchy.options)
}

/// Paths that tests need inside, one a line, of those that lie in a covered place.
fn kept_paths() -> Result<String> {
    let needed = [workspace::workspace_root(), workspace::target_dir()?, std::env::temp_dir()];
    let mut lines = String::new();
    for path in needed {
        if COVERED.iter().any(|covered| path.starts_with(covered)) {
            lines.push_str(&path.to_string_lossy());
            lines.push('\n');
        }
    }
    Ok(lines)
}
