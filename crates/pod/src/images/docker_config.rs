//! Docker's `config.json`, podman's `auth.json`, and the credential helpers they name.
//!
//! Formats: docker/cli `cli/config/configfile`, containers-auth.json(5). Helpers speak the
//! protocol of docker-credential-helpers: `docker-credential-NAME get` with the server on standard
//! input, JSON on standard output.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crilet_core::exec::{ExecError, Invocation};
use crilet_cri::v1;
use serde::Deserialize;

use super::{Credentials, CredentialsError};

/// What docker calls its own registry in its files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A helper may ask a person for a passphrase, but not for ever.
const HELPER_LIMIT: Duration = Duration::from_secs(60);

/// A helper's way to say that the secret is a refresh token.
const TOKEN_USER: &str = "<token>";

/// What a helper says on standard output when it does not know the server.
const HELPER_NOT_FOUND: &str = "credentials not found in native keychain";

/// The variables that say where credentials files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `REGISTRY_AUTH_FILE`: podman's override; the only file that is read when it is set.
    pub registry_auth_file: Option<PathBuf>,
    /// `DOCKER_CONFIG`: the directory of docker's config.json.
    pub docker_config: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, which holds podman's `containers/auth.json`.
    pub runtime_dir: Option<PathBuf>,
    /// `HOME`, which holds `.docker/config.json`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The files in the order in which they are asked.
    fn files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.registry_auth_file {
            return vec![file.clone()];
        }
        let docker = match &self.docker_config {
            Some(directory) => Some(directory.join("config.json")),
            None => self.home.as_ref().map(|home| home.join(".docker/config.json")),
        };
        let podman = self.runtime_dir.as_ref().map(|run| run.join("containers/auth.json"));
        docker.into_iter().chain(podman).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ConfigFile {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub(super) struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Auth").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The credentials for a repository, or none where no file has any.
pub(super) async fn lookup(
    environment: &Environment,
    registry: &str,
    repository: &str,
) -> Result<Option<v1::AuthConfig>, CredentialsError> {
    for path in environment.files() {
        let Some(file) = read(&path)? else { continue };
        if let Some(auth) = from_file(&file, registry, repository).await? {
            return Ok(Some(auth));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<ConfigFile>, CredentialsError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(CredentialsError::Read { path: path.to_owned(), cause }),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|cause| CredentialsError::Format { path: path.to_owned(), cause })
}

/// A helper for the registry goes before a stored secret, which goes before the general store, as
/// docker does it.
async fn from_file(
    file: &ConfigFile,
    registry: &str,
    repository: &str,
) -> Result<Option<v1::AuthConfig>, CredentialsError> {
    let keys = keys(registry, repository);
    if let Some((server, helper)) = keys.iter().find_map(|key| file.cred_helpers.get_key_value(key))
    {
        return ask_helper(helper, server).await;
    }
    if let Some(auth) = stored(file, &keys)? {
        return Ok(Some(auth));
    }
    if file.creds_store.is_empty() {
        return Ok(None);
    }
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    ask_helper(&file.creds_store, server).await
}

/// The first of these keys that the file itself has a secret for.
fn stored(file: &ConfigFile, keys: &[String]) -> Result<Option<v1::AuthConfig>, CredentialsError> {
    for key in keys {
        let stored = file.auths.iter().find(|(name, _)| normal(name) == normal(key));
        if let Some((name, auth)) = stored
            && let Some(auth) = from_auth(name, auth)?
        {
            return Ok(Some(auth));
        }
    }
    Ok(None)
}

impl ConfigFile {
    /// Reads docker's config.json.
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// Reads docker's older file, which has nothing but credentials in it.
    pub(super) fn parse_legacy(json: &[u8]) -> serde_json::Result<Self> {
        let auths = serde_json::from_slice(json)?;
        Ok(Self { auths, ..Self::default() })
    }

    /// Whether a program of the host would have to be asked.
    pub(super) fn names_helpers(&self) -> bool {
        !self.cred_helpers.is_empty() || !self.creds_store.is_empty()
    }

    /// Checks the secrets that are in the file.
    pub(super) fn check(&self) -> Result<(), CredentialsError> {
        self.auths.iter().try_for_each(|(name, auth)| from_auth(name, auth).map(drop))
    }

    /// The credentials that the file itself has for an image.
    pub(super) fn stored_for(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<v1::AuthConfig>, CredentialsError> {
        stored(self, &keys(registry, repository))
    }
}

/// The keys under which credentials may stand, the most particular first: podman's files know
/// `host/path` of any depth, docker's know hosts.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let full = format!("{registry}/{repository}");
    let mut keys: Vec<_> = full
        .char_indices()
        .filter(|(_, letter)| *letter == '/')
        .filter_map(|(at, _)| full.get(..at))
        .map(ToOwned::to_owned)
        .collect();
    keys.push(full);
    keys.reverse();
    if registry == "docker.io" {
        keys.extend([DOCKER_HUB, "index.docker.io", "registry-1.docker.io"].map(Into::into));
    }
    keys
}

/// A key without scheme and trailing parts of the old registry API.
fn normal(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

/// An entry without secrets says only that a store has them.
fn from_auth(name: &str, auth: &Auth) -> Result<Option<v1::AuthConfig>, CredentialsError> {
    let mut found = if !auth.auth.is_empty() {
        Credentials::from_base64(&auth.auth, &format!("`{name}`"))?
    } else if !auth.username.is_empty() {
        v1::AuthConfig {
            username: auth.username.clone(),
            password: auth.password.clone(),
            ..Default::default()
        }
    } else {
        v1::AuthConfig::default()
    };
    found.identity_token.clone_from(&auth.identitytoken);
    found.registry_token.clone_from(&auth.registrytoken);
    Ok((found != v1::AuthConfig::default()).then_some(found))
}

async fn ask_helper(name: &str, server: &str) -> Result<Option<v1::AuthConfig>, CredentialsError> {
    let failed = |cause| CredentialsError::Helper { server: server.to_owned(), cause };
    let helper = format!("docker-credential-{name}");
    let invocation = Invocation::find(&helper).map_err(failed)?;
    let output = match invocation.arg("get").input(server).limit(HELPER_LIMIT).run().await {
        Ok(output) => output,
        Err(ExecError::Failed { stderr, .. }) if stderr.contains(HELPER_NOT_FOUND) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|cause| CredentialsError::HelperAnswer { helper, cause })?;
    Ok(Some(if answer.username == TOKEN_USER {
        v1::AuthConfig { identity_token: answer.secret, ..Default::default() }
    } else {
        v1::AuthConfig { username: answer.username, password: answer.secret, ..Default::default() }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, registry: &str, repository: &str) -> Option<v1::AuthConfig> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let environment = Environment {
            docker_config: Some(directory.path().to_owned()),
            ..Environment::default()
        };
        lookup(&environment, registry, repository).await.unwrap()
    }

    #[tokio::test]
    async fn docker_hub_is_known_by_its_old_address() {
        // "wp:secret"
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"d3A6c2VjcmV0"}}}"#;
        let auth = found(config, "docker.io", "library/wordpress").await.unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("wp", "secret"));
        assert_eq!(auth.server_address, "");
        assert!(found(config, "quay.io", "library/wordpress").await.is_none());
    }

    #[tokio::test]
    async fn the_most_particular_entry_wins() {
        let config = r#"{"auths":{"r.example":{"username":"all","password":"1"},
            "r.example/team":{"username":"team","password":"2"}}}"#;
        let user =
            async |repository| found(config, "r.example", repository).await.unwrap().username;
        assert_eq!(user("team/web").await, "team");
        assert_eq!(user("teams/web").await, "all");
    }

    #[tokio::test]
    async fn a_broken_file_is_named_and_its_secret_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let environment =
            Environment { registry_auth_file: Some(path.clone()), ..Environment::default() };
        assert_eq!(
            lookup(&environment, "a", "b").await.unwrap(),
            None,
            "no file is no credentials"
        );
        std::fs::write(&path, r#"{"auths":{"a":{"auth":"geheim!"}}}"#).unwrap();
        let error = lookup(&environment, "a", "b").await.unwrap_err();
        assert_eq!(error.to_string(), "the credentials of `a` are not base64 of USER:PASSWORD");
        std::fs::write(&path, "{").unwrap();
        let error = lookup(&environment, "a", "b").await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot understand `{}`", path.display()));
    }
}
