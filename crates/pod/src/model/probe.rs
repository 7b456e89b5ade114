use std::{num::NonZeroU32, time::Duration};

/// The probes of a container. Liveness and readiness wait until startup has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probes {
    /// Has the container come up? Its failure kills the container.
    pub startup: Option<Probe>,
    /// Does it still work? Its failure kills the container.
    pub liveness: Option<Probe>,
    /// May it be sent work? Its failure changes the pod's condition alone.
    pub readiness: Option<Probe>,
}

/// A question asked again and again, with the kubelet's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// How it is asked.
    pub handler: Handler,
    /// From the container's start to the first question.
    pub initial_delay: Duration,
    /// From one question to the next; at least 1 s. Default 10 s.
    pub period: Duration,
    /// How long an answer may take; at least 1 s. Default 1 s.
    pub timeout: Duration,
    /// Successes in a row that make it succeed; 1 for startup and liveness. Default 1.
    pub successes: NonZeroU32,
    /// Failures in a row that make it fail. Default 3.
    pub failures: NonZeroU32,
    /// Instead of the pod's grace period when the probe's failure kills the container.
    pub grace: Option<Duration>,
}

/// How a container is asked, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// A program in the container; status 0 is success. `$(VAR)` of static variables is expanded.
    Exec(Vec<String>),
    /// A request; status 200 to 399 is success.
    Http(HttpGet),
    /// A connection that is made is success.
    Tcp {
        /// Instead of the pod's address.
        host: Option<String>,
        /// The port.
        port: u16,
    },
    /// The gRPC health checking protocol at the pod's address.
    Grpc {
        /// The port.
        port: u16,
        /// The service that is asked about; empty for the server as a whole.
        service: String,
    },
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGet {
    /// With or without TLS; certificates are not verified, as with the kubelet.
    pub scheme: Scheme,
    /// Instead of the pod's address.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Path and query, with the slash in front.
    pub path: String,
    /// Headers in order; a `Host` among them replaces the address in the request.
    pub headers: Vec<(String, String)>,
}

/// Whether a request uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// It does not.
    Http,
    /// It does.
    Https,
}

/// What happens at the ends of a container's life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    /// Right after the start; the container counts as started when it is done. Its failure kills
    /// the container.
    pub post_start: Option<Hook>,
    /// Before the container is told to end, within the grace period. Its failure changes nothing.
    pub pre_stop: Option<Hook>,
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Ask or tell the container something; [`Handler::Grpc`] does not occur.
    Handler(Handler),
    /// Wait.
    Sleep(Duration),
}

impl Probe {
    /// A probe with the kubelet's defaults.
    pub fn new(handler: Handler) -> Self {
        Self {
            handler,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            successes: NonZeroU32::MIN,
            failures: NonZeroU32::MIN.saturating_add(2),
            grace: None,
        }
    }
}
