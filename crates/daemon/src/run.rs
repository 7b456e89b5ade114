//! From flags to a daemon that serves until it is told to end.
//!
//! ```text
//! configuration ─► socket (one daemon only) ─► node ─► API ─► ready ─┬─ HUP: configuration again
//!                                                                    └─ TERM, INT: stopping ─► gone
//! ```
//!
//! The socket comes before the node: two daemons must never act on the same pods.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use crilet_core::{ErrorChain, memory};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    Config, Foundation, Node, RealNode, StartError,
    config::{self, ConfigError},
    http::{Server, Socket, SocketError, Tls, TlsError},
    service::{self, Logging},
};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration.
    pub config_file: PathBuf,
    /// Whether it has to be there.
    pub config_required: bool,
    /// Instead of `api.socket`.
    pub socket: Option<PathBuf>,
    /// Instead of `podsDir`.
    pub pods_dir: Option<PathBuf>,
    /// Instead of `runtime.endpoint`.
    pub runtime_endpoint: Option<String>,
    /// Instead of `runtime.imageEndpoint`.
    pub image_endpoint: Option<String>,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The API cannot be served over TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be had.
    #[error("listen at `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The node cannot use its own directories.
    #[error(transparent)]
    Node(#[from] StartError),
    /// Signals cannot be received.
    #[error("wait for signals")]
    Signals(#[source] io::Error),
}

impl RunError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Socket(SocketError::Taken { .. }) | Self::Node(StartError::Taken { .. }) => {
                Some("a node has one daemon: end that one first".to_owned())
            }
            Self::Socket(SocketError::NotASocket { path }) => {
                Some(format!("move `{}` away, or give --socket", path.display()))
            }
            Self::Socket(SocketError::NoGroup { .. }) => {
                Some("`api.group` of the configuration names it".to_owned())
            }
            Self::Socket(SocketError::Refused { cause, .. })
                if cause.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("run it as root".to_owned())
            }
            Self::Tls(TlsError::Exposed { path, .. }) => {
                Some(format!("`chmod 600 {}`", path.display()))
            }
            _ => None,
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT. Pods run on afterwards.
///
/// `found` finds, or brings up, what the node stands on; it is called once the socket is this
/// daemon's.
///
/// # Errors
/// When it cannot start; no pod has been touched then.
pub async fn run<E: From<RunError>>(
    settings: Settings,
    logging: Logging,
    found: impl AsyncFnOnce(&Config) -> Result<Foundation, E>,
) -> Result<(), E> {
    memory::share_one_heap();
    let mut daemon = Daemon::start(settings, logging, async |config: &Config| {
        let node = RealNode::start(config, found(config).await?).map_err(RunError::from)?;
        Ok::<Arc<dyn Node>, E>(node)
    })
    .await?;
    daemon.serve().await;
    daemon.end().await;
    Ok(())
}

struct Daemon {
    settings: Settings,
    logging: Logging,
    config: Config,
    node: Arc<dyn Node>,
    server: Server,
    tls: Option<Arc<Tls>>,
    signals: Signals,
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

enum Order {
    Reload,
    End,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Cancel-safe: a signal that nobody waited for is kept.
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.interrupt.recv() => Order::End,
            _ = self.terminate.recv() => Order::End,
        }
    }
}

impl Daemon {
    async fn start<E: From<RunError>>(
        settings: Settings,
        logging: Logging,
        make_node: impl AsyncFnOnce(&Config) -> Result<Arc<dyn Node>, E>,
    ) -> Result<Self, E> {
        // Caught before anything else: a signal must never end the daemon half-way.
        let signals = Signals::catch().map_err(RunError::Signals)?;
        let config = settings.read().map_err(RunError::from)?;
        logging.set(&config.log_level);
        let tls = config.api.tcp.listen.map(|_| Tls::load(&config.api.tcp));
        let tls = tls.transpose().map_err(RunError::from)?;
        let tls = tls.map(Arc::new);
        let socket = Socket::bind(&config.api.socket, config.api.group.as_deref());
        let socket = socket.map_err(RunError::from)?;
        let listener = match config.api.tcp.listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|cause| RunError::Listen { address, cause })?)
            }
            None => None,
        };
        let node = make_node(&config).await?;
        let server = Server::new(Arc::clone(&node));
        tracing::info!(socket = %socket.path().display(), "serving the API");
        server.serve_socket(socket);
        if let (Some(listener), Some(tls)) = (listener, &tls) {
            tracing::info!(address = ?config.api.tcp.listen, "serving the API over TLS");
            server.serve_tls(listener, Arc::clone(tls));
        }
        Ok(Self { settings, logging, config, node, server, tls, signals })
    }

    async fn serve(&mut self) {
        service::ready(&self.status());
        let node = Arc::clone(&self.node);
        let mut watchdog = Box::pin(service::watchdog(node.as_ref()));
        loop {
            // Cancel-safe: a signal is kept until it is received, and the watchdog is not dropped.
            let order = tokio::select! {
                order = self.signals.next() => order,
                never = &mut watchdog => match never {},
            };
            match order {
                Order::End => return,
                Order::Reload => {
                    service::reloading();
                    self.reload();
                    service::reloaded(&self.status());
                }
            }
        }
    }

    async fn end(self) {
        tracing::info!("ending; pods run on");
        service::stopping();
        self.node.shutdown().await;
        self.server.close().await;
    }

    fn status(&self) -> String {
        let pods = self.node.pods().items;
        let ready = pods.iter().filter(|pod| pod.is_ready()).count();
        format!("{} pods, {ready} ready", pods.len())
    }

    /// Takes what can be changed of a new configuration; one that cannot be used changes nothing.
    fn reload(&mut self) {
        let new = match self.settings.read() {
            Ok(new) => new,
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                tracing::error!(error, "the configuration stays as it was");
                return;
            }
        };
        for change in self.config.changes(&new) {
            let key = change.path();
            if change.is_live() {
                tracing::info!(key, "configuration changed");
            } else {
                tracing::warn!(key, "this change needs a restart of the daemon");
            }
        }
        // Files are those that the listener was made with, whatever the new keys say.
        if let Some(tls) = &self.tls
            && let Err(error) = tls.reload(&self.config.api.tcp)
        {
            let error = ErrorChain(&error).to_string();
            tracing::error!(error, "certificates and token stay as they were");
        }
        self.config = self.config.with_live_keys_of(&new);
        self.logging.set(&self.config.log_level);
        self.node.configure(&self.config);
    }
}

impl Settings {
    /// The configuration with what the command line says in its place.
    fn read(&self) -> Result<Config, ConfigError> {
        let mut config = config::read(&self.config_file, self.config_required)?;
        if let Some(socket) = &self.socket {
            config.api.socket.clone_from(socket);
        }
        if let Some(pods_dir) = &self.pods_dir {
            config.pods_dir.clone_from(pods_dir);
        }
        if self.runtime_endpoint.is_some() {
            config.runtime.endpoint.clone_from(&self.runtime_endpoint);
        }
        if self.image_endpoint.is_some() {
            config.runtime.image_endpoint.clone_from(&self.image_endpoint);
        }
        Ok(config)
    }
}
