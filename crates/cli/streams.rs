//! Options of all verbs that use the runtime's streams.

use std::path::PathBuf;

use clap::Args;
use crilet_cri::Client;
use crilet_stream::{Streamer, TlsFiles, Transport};

/// How to get to the runtime's streams.
#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub(crate) struct TlsArgs {
    /// Who may have signed the certificate of the runtime's streams, PEM; by default whom this machine
    /// trusts
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to the runtime, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Whom the runtime's certificate must be for; by default the host of its address
    #[arg(long, visible_alias = "tls-sni", value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Take any certificate of the runtime's
    #[arg(long)]
    tls_insecure_skip_verify: bool,
}

impl TlsArgs {
    pub(crate) fn streamer(self, client: Client, transport: TransportArg) -> Streamer {
        let transport = match transport {
            TransportArg::Auto => Transport::Auto,
            TransportArg::Spdy => Transport::Spdy,
            TransportArg::Websocket => Transport::WebSocket,
        };
        let tls = TlsFiles {
            ca: self.tls_ca,
            certificate: self.tls_cert,
            key: self.tls_key,
            server_name: self.tls_server_name,
            insecure_skip_verify: self.tls_insecure_skip_verify,
        };
        Streamer::new(client).with_tls(tls).with_transport(transport)
    }
}

/// What carries streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum TransportArg {
    /// WebSocket for commands without input, else SPDY; the other one where the runtime has only that
    #[default]
    Auto,
    /// SPDY/3.1
    Spdy,
    /// WebSocket; with most runtimes the end of piped input cannot be told over it
    Websocket,
}
