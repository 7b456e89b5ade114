//! The options of every verb.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use crilet_cri::Endpoint;

use crate::values;

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Socket of the container runtime; found by itself when absent
    #[arg(
        short,
        long,
        global = true,
        env = "CONTAINER_RUNTIME_ENDPOINT",
        hide_env_values = true,
        value_name = "SOCKET"
    )]
    pub(crate) runtime_endpoint: Option<Endpoint>,
    /// Socket of the image service, where it is another
    #[arg(
        long,
        global = true,
        env = "IMAGE_SERVICE_ENDPOINT",
        hide_env_values = true,
        value_name = "SOCKET"
    )]
    pub(crate) image_endpoint: Option<Endpoint>,
    /// Socket of the daemon; /run/crilet/crilet.sock without
    #[arg(
        long,
        global = true,
        env = "CRILET_SOCKET",
        hide_env_values = true,
        value_name = "SOCKET"
    )]
    pub(crate) socket: Option<PathBuf>,
    /// Longest time for one call to the runtime, or for a wait, such as 90s or 5m; by default it fits
    /// the call
    #[arg(long, global = true, value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}
