//! To the runtime, as flags, environment and crictl.yaml say.

use std::{path::PathBuf, time::Duration};

use crilet_cri::{
    Client, Deadlines, Endpoint,
    discovery::{self, DiscoveryError, Search},
};

use super::{
    Call, Result,
    report::{Fail, rpc},
};
use crate::connect;

/// What crictl takes for its timeout where none can be used.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// What crictl was about when nobody answers.
const VALIDATE: &str = "validate service connection";

/// Which of the two services a command speaks to. The socket of the other one may be one where nobody
/// listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Services {
    Runtime,
    Images,
    Both,
}

impl Services {
    /// Those of a command; what prunes images asks which are used.
    pub(super) fn of(command: &str, prunes: bool) -> Self {
        match command {
            "imagefsinfo" | "images" | "inspecti" | "pull" => Self::Images,
            "rmi" if !prunes => Self::Images,
            "create" | "exec" | "inspect" | "ps" | "rmi" | "run" => Self::Both,
            _ => Self::Runtime,
        }
    }
}

/// The time that somebody set for a call, by flag or file.
fn given_timeout(call: &Call) -> Option<Duration> {
    let positive = |nanoseconds: i64| u64::try_from(nanoseconds).ok().filter(|time| *time > 0);
    if call.global.is_set("timeout") {
        let given = positive(call.global.duration("timeout")).map(Duration::from_nanos);
        return Some(given.unwrap_or(DEFAULT_TIMEOUT));
    }
    positive(call.config.timeout).map(Duration::from_secs)
}

/// Deadlines: crilet's own, which fit the kind of call, unless somebody set a time. Pods have twice as
/// long to start, and pulls have a flag of their own.
pub(super) fn deadlines(limit: Option<Duration>) -> Deadlines {
    let usual = Deadlines::default();
    limit.map_or(usual, |limit| Deadlines { query: limit, change: limit, pull: usual.pull })
}

/// Connects to the runtime and to the image service.
pub(super) async fn client(call: &Call) -> Result<Client> {
    let client = connected(call).await?;
    Ok(client.with_deadlines(deadlines(given_timeout(call))))
}

/// As [`client`], for a command that has `--cancel-timeout`.
pub(super) async fn client_with(call: &Call, option: &str) -> Result<Client> {
    let given = u64::try_from(call.line.duration(option)).ok().filter(|time| *time > 0);
    let limit = given.map(Duration::from_nanos).or_else(|| given_timeout(call));
    Ok(connected(call).await?.with_deadlines(deadlines(limit)))
}

async fn connected(call: &Call) -> Result<Client> {
    let (global, config) = (&call.global, &call.config);
    let given = endpoint(global.is_set("runtime-endpoint"), global.text("runtime-endpoint"))
        .or_else(|| endpoint(!config.runtime_endpoint.is_empty(), &config.runtime_endpoint));
    let images = endpoint(!global.text("image-endpoint").is_empty(), global.text("image-endpoint"))
        .or_else(|| endpoint(!config.image_endpoint.is_empty(), &config.image_endpoint));
    let (given, images) = match call.services {
        Services::Both => (given, images),
        Services::Runtime => (given, None),
        Services::Images => (images.or(given), None),
    };
    let (kind, option) = match call.services {
        Services::Images => ("image", "--image-endpoint"),
        _ => ("runtime", "--runtime-endpoint"),
    };
    if given.as_deref() == Some("") {
        return Err(Fail::Fatal(format!("{option} is not set")));
    }
    let search = Search {
        given: given.as_deref().map(read).transpose()?,
        given_images: images.as_deref().map(read).transpose()?,
        // What crictl.yaml says is known already.
        crictl_config: PathBuf::from("/dev/null"),
        system: discovery::system_runtimes(),
        embedded: Endpoint::new(connect::state_root().join("runtime/containerd.sock")),
        may_come_later: false,
    };
    let found = discovery::discover(&search).await.map_err(|error| match error {
        DiscoveryError::Named { cause, .. } => {
            let endpoint = given.as_deref().unwrap_or_default();
            let words = rpc(&cause);
            Fail::Fatal(format!(
                "{VALIDATE}: validate CRI v1 {kind} API for endpoint {endpoint:?}: {words}"
            ))
        }
        DiscoveryError::Images { cause } => {
            let endpoint = images.as_deref().unwrap_or_default();
            let words = rpc(&cause);
            Fail::Fatal(format!(
                "{VALIDATE}: validate CRI v1 image API for endpoint {endpoint:?}: {words}"
            ))
        }
        other => Fail::Fatal(other.to_string()),
    })?;
    tracing::debug!(endpoint = %found.client.endpoint(), source = %found.source, "connected");
    Ok(found.client.interrupted_by(call.interrupt.subscribe()))
}

fn endpoint(is_set: bool, text: &str) -> Option<String> {
    is_set.then(|| text.to_owned())
}

fn read(text: &str) -> Result<Endpoint> {
    text.parse().map_err(|error: crilet_cri::InvalidEndpoint| Fail::Fatal(error.to_string()))
}
