//! Finding the runtime to speak to.
//!
//! The first of these that says something decides: the user's flag or environment, then
//! `/etc/crictl.yaml`, then a system runtime that answers, then crilet's own. What the user or a
//! file names is taken at its word, even if it does not answer: silently using another runtime
//! would act on the wrong pods.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crilet_core::{ErrorChain, yaml};

use crate::{Client, CriError, Endpoint, InvalidEndpoint, v1};

/// Where runtimes of the system listen, in crictl's order.
const SYSTEM: [(&str, &str); 3] = [
    ("containerd", "/run/containerd/containerd.sock"),
    ("CRI-O", "/run/crio/crio.sock"),
    ("cri-dockerd", "/run/cri-dockerd.sock"),
];

/// Where the runtimes of a system listen by default, with their names.
pub fn system_runtimes() -> Vec<(&'static str, Endpoint)> {
    SYSTEM.map(|(name, path)| (name, Endpoint::new(path))).into()
}

/// What decided for a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The user, by flag or environment.
    Given,
    /// crictl's configuration file.
    CrictlConfig(PathBuf),
    /// A runtime of the system that answered.
    System(&'static str),
    /// crilet's own runtime.
    Embedded,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => formatter.write_str("given"),
            Self::CrictlConfig(path) => write!(formatter, "from {}", path.display()),
            Self::System(name) => write!(formatter, "the system's {name}"),
            Self::Embedded => formatter.write_str("crilet's own"),
        }
    }
}

/// A source in the middle of a sentence.
struct Named<'a>(&'a Source);

impl fmt::Display for Named<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Given => formatter.write_str("that was given"),
            source => source.fmt(formatter),
        }
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Search {
    /// The runtime that the user named.
    pub given: Option<Endpoint>,
    /// The image service that the user named, where it is not the runtime itself.
    pub given_images: Option<Endpoint>,
    /// crictl's configuration file; it need not exist.
    pub crictl_config: PathBuf,
    /// Runtimes of the system, tried in this order; [`system_runtimes`] unless in a test.
    pub system: Vec<(&'static str, Endpoint)>,
    /// Where crilet's own runtime listens when it is up.
    pub embedded: Endpoint,
    /// Whether one that was named and is not there yet is taken all the same: who asks waits for it.
    pub may_come_later: bool,
}

/// A runtime that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Connected to it.
    pub client: Client,
    /// Why it is this one.
    pub source: Source,
    /// What it answered when it was asked whether it is there; nothing for one that was named, and for
    /// crilet's own, which are taken at their word.
    pub version: Option<v1::VersionResponse>,
}

impl Found {
    /// The runtime's version, asked only if it has not been yet.
    ///
    /// # Errors
    /// As [`Client::version`].
    pub async fn version(&self) -> Result<v1::VersionResponse, CriError> {
        match &self.version {
            Some(version) => Ok(version.clone()),
            None => self.client.version().await,
        }
    }
}

/// Why no runtime was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The runtime that was named does not answer.
    #[error("the runtime {} cannot be used", Named(source_name))]
    Named {
        /// Who named it.
        source_name: Source,
        /// Why it cannot be used.
        #[source]
        cause: CriError,
    },
    /// The image service, which was named apart from the runtime, does not answer.
    #[error("the image service cannot be used")]
    Images {
        /// Why it cannot be used.
        #[source]
        cause: CriError,
    },
    /// Nobody named one and none answers.
    #[error("no container runtime answers{}", tried.iter().map(|(endpoint, why)| format!("\n  {endpoint}: {why}")).collect::<String>())]
    None {
        /// Every socket that was tried and why it is not to be used.
        tried: Vec<(Endpoint, String)>,
    },
    /// crictl's configuration file cannot be used.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why, with line and column where there is one.
        reason: String,
    },
}

impl DiscoveryError {
    /// What the reader can do about it, where there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Named { cause, .. } | Self::Images { cause } => cause.hint(),
            Self::None { tried }
                if tried.iter().any(|(_, why)| why.contains("ermission denied")) =>
            {
                Some("runtimes listen for root only; try again with sudo".to_owned())
            }
            Self::None { .. } => Some(
                "`crilet runtime up` starts crilet's own; --runtime-endpoint names another"
                    .to_owned(),
            ),
            Self::Config { .. } => Some("--runtime-endpoint overrides the file".to_owned()),
        }
    }
}

/// Connects to the runtime that is to be used.
///
/// # Errors
/// [`DiscoveryError`] with everything that was tried.
pub async fn discover(search: &Search) -> Result<Found, DiscoveryError> {
    // Whoever names a runtime means it with its images, and is not held up by a broken file.
    let config = match search.given {
        Some(_) => CrictlConfig::default(),
        None => read_crictl_config(&search.crictl_config)?,
    };
    let images = search.given_images.clone().or(config.images);
    let named = match (&search.given, config.runtime) {
        (Some(endpoint), _) => Some((endpoint.clone(), Source::Given)),
        (None, Some(endpoint)) => {
            Some((endpoint, Source::CrictlConfig(search.crictl_config.clone())))
        }
        (None, None) => None,
    };
    let (client, source, version) = match named {
        Some((endpoint, source)) => {
            let client = match Client::connect(&endpoint).await {
                Err(error) if search.may_come_later && is_absent(&error) => {
                    Ok(Client::later(&endpoint))
                }
                client => client,
            };
            let named = |cause| DiscoveryError::Named { source_name: source.clone(), cause };
            (client.map_err(named)?, source, None)
        }
        None => first_that_answers(search).await?,
    };
    let unusable = |cause| DiscoveryError::Images { cause };
    let client = match images {
        Some(endpoint) if search.may_come_later => client.with_later_image_endpoint(&endpoint),
        Some(endpoint) => client.with_image_endpoint(&endpoint).await.map_err(unusable)?,
        None => client,
    };
    Ok(Found { client, source, version })
}

/// Whether nobody listens at a socket, which may change.
fn is_absent(error: &CriError) -> bool {
    let CriError::Connect { cause, .. } = error else { return false };
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn first_that_answers(
    search: &Search,
) -> Result<(Client, Source, Option<v1::VersionResponse>), DiscoveryError> {
    let system =
        search.system.iter().map(|(name, endpoint)| (endpoint.clone(), Source::System(name)));
    let mut tried = Vec::new();
    for (endpoint, source) in system.chain([(search.embedded.clone(), Source::Embedded)]) {
        let answered = match source {
            // Whoever listens there is ours, and nobody is left to fall back to.
            Source::Embedded => Client::connect(&endpoint).await.map(|client| (client, None)),
            // A containerd that came with Docker listens, but has its CRI switched off.
            _ => connect_and_ask(&endpoint).await.map(|(client, version)| (client, Some(version))),
        };
        match answered {
            Ok((client, version)) => return Ok((client, source, version)),
            Err(CriError::Connect { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                tried.push((endpoint, "not there".to_owned()));
            }
            Err(CriError::Connect { cause, .. }) => tried.push((endpoint, cause.to_string())),
            Err(error) => tried.push((endpoint, ErrorChain(&error).to_string())),
        }
    }
    Err(DiscoveryError::None { tried })
}

async fn connect_and_ask(endpoint: &Endpoint) -> Result<(Client, v1::VersionResponse), CriError> {
    let client = Client::connect(endpoint).await?;
    let version = client.version().await?;
    Ok((client, version))
}

/// What crictl's configuration says about sockets.
#[derive(Debug, Default, PartialEq, Eq)]
struct CrictlConfig {
    runtime: Option<Endpoint>,
    images: Option<Endpoint>,
}

/// Reads only the two keys that matter here; the others are crictl's own business.
fn read_crictl_config(path: &Path) -> Result<CrictlConfig, DiscoveryError> {
    let failed = |reason: String| DiscoveryError::Config { path: path.to_owned(), reason };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CrictlConfig::default()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let stream = yaml::parse(&text).map_err(|error| failed(error.to_string()))?;
    let documents = stream.without_duplicates().map_err(|error| failed(error.to_string()))?;
    let Some(document) = documents.first() else { return Ok(CrictlConfig::default()) };
    let endpoint = |key| endpoint_at(document, key).map_err(failed);
    Ok(CrictlConfig { runtime: endpoint("runtime-endpoint")?, images: endpoint("image-endpoint")? })
}

fn endpoint_at(document: &yaml::Node, key: &str) -> Result<Option<Endpoint>, String> {
    let Some(node) = document.get(key) else { return Ok(None) };
    let yaml::Value::Scalar(scalar) = &node.value else {
        return Err(format!("line {}: {key} must be a text", node.position.line));
    };
    if scalar.text.is_empty() || scalar.is_null() {
        return Ok(None);
    }
    scalar
        .text
        .parse()
        .map(Some)
        .map_err(|error: InvalidEndpoint| format!("line {}: {key}: {error}", node.position.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CrictlConfig, DiscoveryError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("crictl.yaml");
        std::fs::write(&path, text).unwrap();
        read_crictl_config(&path)
    }

    #[test]
    fn the_articles_own_file_is_read() {
        let config =
            read("runtime-endpoint: unix:///run/containerd/containerd.sock\ndebug: true\n");
        let expected = Endpoint::new("/run/containerd/containerd.sock");
        assert_eq!(config.unwrap(), CrictlConfig { runtime: Some(expected), images: None });
    }

    #[test]
    fn empty_settings_and_missing_files_decide_nothing() {
        for text in ["", "# nothing\n", "runtime-endpoint: \"\"\nimage-endpoint:\n", "timeout: 2"] {
            assert_eq!(read(text).unwrap(), CrictlConfig::default(), "{text}");
        }
        let missing = read_crictl_config(Path::new("/nonexistent/crictl.yaml"));
        assert_eq!(missing.unwrap(), CrictlConfig::default());
    }

    #[test]
    fn a_bad_endpoint_is_named_with_its_line() {
        let error =
            read("debug: false\nruntime-endpoint: tcp://1.2.3.4\n").unwrap_err().to_string();
        assert!(
            error.contains("crictl.yaml: line 2: runtime-endpoint: `tcp://1.2.3.4`"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn who_waits_takes_a_named_runtime_that_is_not_there_yet() {
        let named = Endpoint::new("/nonexistent/named.sock");
        let mut search = Search {
            given: Some(named.clone()),
            given_images: Some(Endpoint::new("/nonexistent/images.sock")),
            crictl_config: "/nonexistent/crictl.yaml".into(),
            system: Vec::new(),
            embedded: Endpoint::new("/nonexistent/embedded.sock"),
            may_come_later: false,
        };
        let error = discover(&search).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Named { .. }), "{error}");
        search.may_come_later = true;
        let found = discover(&search).await.unwrap();
        assert_eq!((found.source, found.client.endpoint()), (Source::Given, &named));
        assert!(found.client.version().await.unwrap_err().is_unreachable());
    }

    #[tokio::test]
    async fn when_nothing_answers_all_that_was_tried_is_told() {
        let search = Search {
            given: None,
            given_images: None,
            crictl_config: "/nonexistent/crictl.yaml".into(),
            system: Vec::new(),
            embedded: Endpoint::new("/nonexistent/embedded.sock"),
            may_come_later: true,
        };
        let error = discover(&search).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("unix:///nonexistent/embedded.sock: not there"), "{text}");
        assert!(error.hint().unwrap().contains("crilet runtime up"));
    }
}
