//! The process that keeps containerd running.
//!
//! ```text
//!            start ──────────────► running ──── TERM ───► stopping ──► gone
//!              ▲                    │   │                    ▲
//!              └── wait (backoff) ◄─┘   └── HUP: TERM, then start again at once
//! ```
//!
//! Pods survive everything here: their processes belong to containerd's shims, which live on while
//! containerd is away. When the supervisor itself is killed, containerd goes on unwatched, and the
//! next supervisor ends it by its record before it starts its own: there are never two.

use std::{
    fs, io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use crilet_core::{ErrorChain, exec::Invocation};
use nix::{
    sys::signal::{Signal as NixSignal, kill},
    unistd::{Pid, setsid},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use crate::{
    Layout, RuntimeError,
    log::RotatingLog,
    process::{Process, try_lock},
};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A containerd that ran this long was well; its next failure is a first one.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How long containerd may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(15);

/// Directories that containerd's children need, whatever the shell of `up` had.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the shell or of a service manager that mean nothing to containerd.
const NOT_INHERITED: [&str; 6] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
    "GRPC_GO_LOG_SEVERITY_LEVEL",
];

/// Runs containerd until this process is asked to end; what `crilet runtime up` starts in the
/// background.
///
/// Returns at once, without an error, when another supervisor is there.
///
/// # Errors
/// When the lock, the records or the log cannot be written, or containerd is not installed.
pub async fn supervise(layout: &Layout) -> Result<(), RuntimeError> {
    if let Err(error) = setsid() {
        // Only a leader of a process group is refused, and such a one has left the shell already.
        tracing::debug!(%error, "no session of its own");
    }
    let lock_path = layout.supervisor_lock();
    let lock = try_lock(&lock_path).map_err(RuntimeError::file("lock", &lock_path))?;
    let Some(_lock) = lock else { return Ok(()) };
    std::env::set_current_dir("/").map_err(RuntimeError::file("enter", "/".as_ref()))?;
    let mut supervisor = Supervisor::start(layout)?;
    if let Some(process) = Process::own() {
        process.write(&layout.supervisor_record())?;
    }
    supervisor.end_orphan().await;
    supervisor.run().await
}

struct Supervisor<'a> {
    layout: &'a Layout,
    containerd: Invocation,
    lines: mpsc::Sender<Vec<u8>>,
    end: Signal,
    interrupt: Signal,
    restart: Signal,
}

/// Why a running containerd is no longer waited for.
enum Event {
    Ended(io::Result<ExitStatus>),
    AskedToEnd,
    AskedToRestart,
}

impl<'a> Supervisor<'a> {
    fn start(layout: &'a Layout) -> Result<Self, RuntimeError> {
        let path = match std::env::var("PATH") {
            Ok(path) => format!("{path}:{SEARCH_PATH}"),
            Err(_) => SEARCH_PATH.to_owned(),
        };
        let mut containerd = Invocation::find("containerd")?
            .arg("--config")
            .arg(layout.config_file())
            .env("PATH", path)
            .directory("/");
        for name in NOT_INHERITED {
            containerd = containerd.env_remove(name);
        }
        let log_path = layout.log_file();
        let log = RotatingLog::open(&log_path).map_err(RuntimeError::file("open", &log_path))?;
        let listen = |kind| {
            signal(kind).map_err(RuntimeError::file("listen for signals in", layout.state()))
        };
        Ok(Self {
            layout,
            containerd,
            lines: write_lines(log),
            end: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            restart: listen(SignalKind::hangup())?,
        })
    }

    /// Ends a containerd whose supervisor was killed.
    async fn end_orphan(&self) {
        if let Some(orphan) = Process::read(&self.layout.containerd_record())
            && orphan.is_alive()
        {
            self.say(&format!("ending containerd {}, whose supervisor is gone", orphan.pid)).await;
            orphan.end(PATIENCE).await;
        }
    }

    async fn run(&mut self) -> Result<(), RuntimeError> {
        let mut wait = FIRST_WAIT;
        let mut restarts = 0;
        let mut last_ending = None;
        loop {
            let started = Instant::now();
            match self.run_once(restarts, last_ending.take()).await? {
                Event::AskedToEnd => return Ok(()),
                Event::AskedToRestart => {
                    (restarts, wait) = (0, FIRST_WAIT);
                    continue;
                }
                Event::Ended(status) => {
                    let ending = describe(&status);
                    self.say(&format!("containerd ended ({ending})")).await;
                    last_ending = Some(ending);
                }
            }
            if started.elapsed() >= WELL_AFTER {
                (restarts, wait) = (0, FIRST_WAIT);
            }
            restarts += 1;
            if self.wait(wait).await {
                return Ok(());
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn run_once(
        &mut self,
        restarts: u32,
        last_ending: Option<String>,
    ) -> Result<Event, RuntimeError> {
        // A socket file without a listener would be taken for a runtime that hangs.
        drop(fs::remove_file(self.layout.socket()));
        let mut child =
            self.containerd.spawn(Stdio::null(), Stdio::piped(), Stdio::piped(), true)?;
        self.collect(child.stdout.take());
        self.collect(child.stderr.take());
        if let Some(process) = child.id().and_then(Process::find) {
            let process = Process { restarts, last_ending, ..process };
            process.write(&self.layout.containerd_record())?;
        }
        // Both arms are cancel-safe: waiting for a child and receiving a signal lose nothing when
        // they are dropped.
        let event = tokio::select! {
            status = child.wait() => Event::Ended(status),
            _ = self.end.recv() => Event::AskedToEnd,
            _ = self.interrupt.recv() => Event::AskedToEnd,
            _ = self.restart.recv() => Event::AskedToRestart,
        };
        if !matches!(event, Event::Ended(_)) {
            end_child(&mut child).await;
        }
        drop(fs::remove_file(self.layout.containerd_record()));
        Ok(event)
    }

    /// Waits before the next start; `true` when it was asked to end meanwhile.
    async fn wait(&mut self, wait: Duration) -> bool {
        // Cancel-safe as above.
        tokio::select! {
            () = tokio::time::sleep(wait) => false,
            _ = self.restart.recv() => false,
            _ = self.end.recv() => true,
            _ = self.interrupt.recv() => true,
        }
    }

    fn collect(&self, pipe: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let lines = self.lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
                if lines.send(std::mem::take(&mut line)).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn say(&self, text: &str) {
        // Nobody is left to tell when the log's writer is gone.
        drop(self.lines.send(format!("crilet: {text}\n").into_bytes()).await);
    }
}

/// Writes lines to the log as they come. A full disk must not stop containerd, so what cannot be
/// written is dropped.
fn write_lines(mut log: RotatingLog) -> mpsc::Sender<Vec<u8>> {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(1024);
    tokio::task::spawn_blocking(move || {
        while let Some(line) = receiver.blocking_recv() {
            if let Err(error) = log.write(&line) {
                tracing::warn!(error = %ErrorChain(&error), "cannot write containerd's log");
            }
        }
    });
    sender
}

async fn end_child(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid
        && let Err(error) = kill(Pid::from_raw(pid), NixSignal::SIGTERM)
    {
        tracing::debug!(%error, "containerd has ended by itself");
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(%error, "cannot kill containerd");
    }
}

fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
