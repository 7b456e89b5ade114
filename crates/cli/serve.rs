//! `crilet serve`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use crilet_cri::discovery::{DiscoveryError, Source};
use crilet_daemon::{Config, Foundation, LogOptions, Logging, Settings, config::Embedded};
use crilet_pod::images::Credentials;
use crilet_runtime::{Options, up};

use crate::{connect, errors::CliError, global::Global};

/// The configuration, if none is named.
pub(crate) const CONFIG: &str = "/etc/crilet/config.yaml";

/// Options of `crilet serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration; without, /etc/crilet/config.yaml if it is there
    #[arg(short, long, value_name = "FILE", env = "CRILET_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Directory whose manifests are pods of this node; without, what the configuration says
    #[arg(long, value_name = "DIR")]
    pods_dir: Option<PathBuf>,
}

/// Begins to log as a daemon does.
pub(crate) fn start_logging(verbose: u8) -> Logging {
    let by_flag = match verbose {
        0 => None,
        1 => Some("crilet=debug,info"),
        _ => Some("debug"),
    };
    let filter = connect::log_filter().or_else(|| by_flag.map(ToOwned::to_owned));
    Logging::start(&LogOptions { filter, journal_stream: connect::journal_stream() })
}

/// Runs the daemon until it is told to end.
pub(crate) async fn run(
    global: &Global,
    args: ServeArgs,
    logging: Logging,
) -> Result<ExitCode, CliError> {
    let settings = Settings {
        config_required: args.config.is_some(),
        config_file: args.config.map_or_else(|| PathBuf::from(CONFIG), absolute),
        socket: connect::given_socket(global).map(absolute),
        pods_dir: args.pods_dir.map(absolute),
        runtime_endpoint: global.runtime_endpoint.as_ref().map(ToString::to_string),
        image_endpoint: global.image_endpoint.as_ref().map(ToString::to_string),
    };
    crilet_daemon::run(settings, logging, async |config: &Config| foundation(config).await).await?;
    Ok(ExitCode::SUCCESS)
}

/// Finds the runtime; where there is none, brings up crilet's own.
async fn foundation(config: &Config) -> Result<Foundation, CliError> {
    let found = match connect::configured(&config.runtime).await {
        Err(CliError::Discovery(DiscoveryError::None { .. }))
            if config.runtime.embedded == Embedded::Auto =>
        {
            let plugin_program = connect::plugin_program();
            up(&connect::layout(), &Options { plugin_program, ..Options::default() }).await?;
            connect::configured(&config.runtime).await?
        }
        found => found?,
    };
    Ok(Foundation {
        embedded: found.source == Source::Embedded,
        client: found.client,
        data: connect::data_root(),
        state: connect::state_root(),
        logs: "/var/log/pods".into(),
        credentials: Credentials::Files(connect::credentials_environment()),
    })
}

/// The daemon says where things are to people who are elsewhere.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
