//! The daemon's configuration: `/etc/crilet/config.yaml`.
//!
//! One table ([`KEYS`]) says for each key what it takes, what it is without, whether it can change
//! while the daemon runs, and what it does. Reading, `docs/config.md`, the file that
//! `crilet install` writes and the comparison at a reload are made from it.

mod keys;
mod read;
mod render;
mod value;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use self::{
    keys::{KEYS, Key},
    read::{ConfigError, read},
    render::{document, example},
};

/// What the daemon is to do. [`Config::default`] is what it is without a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node's name; that of the machine without.
    pub node_name: Option<String>,
    /// Directory whose manifests are pods of this node.
    pub pods_dir: PathBuf,
    /// What is logged, in the words of `CRILET_LOG`.
    pub log_level: String,
    /// How often everything is looked at although nothing happened.
    pub relist_interval: Duration,
    /// Ended containers that are kept of each name, with their logs.
    pub keep_dead_containers: u32,
    /// Where the API is served.
    pub api: ApiConfig,
    /// The container runtime.
    pub runtime: RuntimeConfig,
    /// How restarts wait, where a pod says nothing.
    pub restart: RestartConfig,
    /// Logs of containers.
    pub logs: LogsConfig,
    /// Images.
    pub images: ImagesConfig,
}

/// Logs of containers, in the words of [`crilet_log::Settings`] and [`crilet_core::read_size`], which
/// have taken them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsConfig {
    /// Size at which a log is rotated.
    pub max_size: String,
    /// Files that are kept of a log.
    pub max_files: String,
    /// How old lines may get.
    pub max_age: String,
    /// How rotated files are compressed.
    pub compression: String,
    /// What all logs may take together.
    pub budget: Option<String>,
    /// How long those of pods are kept that are gone.
    pub keep_gone: String,
    /// What stays free on their file systems.
    pub min_free: Option<String>,
}

impl LogsConfig {
    /// What they set of a policy.
    pub fn settings(&self) -> crilet_log::Settings {
        let mut settings = crilet_log::Settings::default();
        for (name, value) in [
            ("max-size", &self.max_size),
            ("max-files", &self.max_files),
            ("max-age", &self.max_age),
            ("compression", &self.compression),
        ] {
            if let Err(error) = settings.set(name, value) {
                // The configuration was read with these very words.
                tracing::error!(%error, "a setting of the logs is not used");
            }
        }
        settings
    }
}

/// Where the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The unix socket.
    pub socket: PathBuf,
    /// Group whose members may use the socket; root alone without.
    pub group: Option<String>,
    /// The same API over TLS.
    pub tcp: TcpConfig,
}

/// The API over TLS; what is given is consistent, [`read()`] sees to that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpConfig {
    /// Address and port; not served over TCP without.
    pub listen: Option<SocketAddr>,
    /// Certificates in PEM, the server's own first.
    pub cert_file: Option<PathBuf>,
    /// The key of the server's certificate in PEM.
    pub key_file: Option<PathBuf>,
    /// File with the token that clients send.
    pub token_file: Option<PathBuf>,
    /// Certificates in PEM of those who sign clients' certificates.
    pub client_ca_file: Option<PathBuf>,
}

/// The container runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Its socket; found by itself without.
    pub endpoint: Option<String>,
    /// The socket of its image service, where that is another.
    pub image_endpoint: Option<String>,
    /// Whether crilet's own runtime is brought up where there is no other.
    pub embedded: Embedded,
}

/// Whether crilet's own runtime is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Embedded {
    /// Where there is no other.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// How restarts wait, where a pod says nothing: not at all, then `initial`, doubled up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartConfig {
    /// The first pause that is one.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// How long a container has to run for its earlier ends to be forgotten.
    pub reset: Duration,
}

/// Images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImagesConfig {
    /// How full the disk may be, in percent, before images are removed.
    pub gc_high_percent: u8,
    /// How full it is to be afterwards, in percent.
    pub gc_low_percent: u8,
    /// How long an image is kept although nobody needs it.
    pub gc_min_age: Duration,
    /// How long an image may be unused, however empty the disk is; for ever without.
    pub gc_max_age: Option<Duration>,
    /// How often it is looked.
    pub gc_interval: Duration,
    /// Images that are pulled at the same time.
    pub parallel_pulls: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: None,
            pods_dir: "/etc/crilet/pods".into(),
            log_level: "info".to_owned(),
            relist_interval: Duration::from_secs(60),
            keep_dead_containers: 1,
            api: ApiConfig {
                socket: "/run/crilet/crilet.sock".into(),
                group: None,
                tcp: TcpConfig::default(),
            },
            runtime: RuntimeConfig::default(),
            restart: RestartConfig {
                initial: Duration::from_secs(10),
                max: Duration::from_secs(300),
                reset: Duration::from_secs(600),
            },
            logs: LogsConfig {
                max_size: "10Mi".to_owned(),
                max_files: "5".to_owned(),
                max_age: "none".to_owned(),
                compression: "gzip".to_owned(),
                budget: None,
                keep_gone: "7d".to_owned(),
                min_free: None,
            },
            images: ImagesConfig {
                gc_high_percent: 85,
                gc_low_percent: 80,
                gc_min_age: Duration::from_secs(120),
                gc_max_age: None,
                gc_interval: Duration::from_secs(300),
                parallel_pulls: 3,
            },
        }
    }
}

/// A key whose value is another than before.
#[derive(Debug, Clone, Copy)]
pub struct Change(&'static Key);

impl Change {
    /// The key, such as `images.gcHighPercent`.
    pub fn path(&self) -> &'static str {
        self.0.path
    }

    /// Whether it holds at once; the others need a restart of the daemon.
    pub fn is_live(&self) -> bool {
        self.0.live
    }
}

impl Config {
    /// The keys that `other` gives other values.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let differs = |key: &&Key| (key.show)(self) != (key.show)(other);
        KEYS.iter().filter(differs).map(Change).collect()
    }

    /// This configuration with those values of `other` that can change while the daemon runs.
    #[must_use]
    pub fn with_live_keys_of(&self, other: &Self) -> Self {
        Self {
            node_name: self.node_name.clone(),
            pods_dir: self.pods_dir.clone(),
            api: self.api.clone(),
            runtime: self.runtime.clone(),
            logs: self.logs.clone(),
            ..other.clone()
        }
    }
}
