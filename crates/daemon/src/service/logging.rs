//! Where the daemon's words go.

use std::io::{self, IsTerminal};

use nix::sys::stat::fstat;
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// How to log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// What is logged, in the words of tracing's filters; goes before the configuration.
    pub filter: Option<String>,
    /// Device and inode of the journal's stream, as systemd gives them in `JOURNAL_STREAM`.
    pub journal_stream: Option<String>,
}

/// The log of this process; what goes into it can be changed.
#[derive(Debug)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    fixed: bool,
}

impl Logging {
    /// Begins to log: into the journal with fields of its own if stderr is the journal, else as text
    /// on stderr.
    ///
    /// What is logged until the configuration is read is the level `info`.
    pub fn start(options: &LogOptions) -> Self {
        let given = options.filter.as_deref().and_then(|text| EnvFilter::try_new(text).ok());
        let fixed = given.is_some();
        let (filter, handle) = reload::Layer::new(given.unwrap_or_else(|| EnvFilter::new("info")));
        let registry = tracing_subscriber::registry().with(filter);
        let journal = options.journal_stream.as_deref().filter(|stream| is_stderr(stream));
        // A journal that cannot be reached is no reason to be silent.
        let started = match journal.and_then(|_| tracing_journald::layer().ok()) {
            Some(journal) => registry.with(journal).try_init(),
            None => {
                let text = tracing_subscriber::fmt::layer()
                    .with_ansi(false)
                    .with_target(io::stderr().is_terminal())
                    .with_writer(io::stderr);
                registry.with(text).try_init()
            }
        };
        if let Err(error) = started {
            tracing::debug!(%error, "this process logs already");
        }
        Self { filter: handle, fixed }
    }

    /// Logs what the configuration says, unless the environment said otherwise.
    pub(crate) fn set(&self, level: &str) {
        if self.fixed {
            return;
        }
        let changed = EnvFilter::try_new(level)
            .map_err(|error| error.to_string())
            .and_then(|new| self.filter.reload(new).map_err(|error| error.to_string()));
        if let Err(error) = changed {
            tracing::warn!(%error, level, "the log level stays as it is");
        }
    }
}

/// Whether stderr is this stream, given as `DEVICE:INODE`; a shell may have led it elsewhere.
fn is_stderr(stream: &str) -> bool {
    let Ok(stat) = fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
