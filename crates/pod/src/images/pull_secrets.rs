use crilet_core::ImageName;
use crilet_cri::v1;

use super::{CredentialsError, docker_config::ConfigFile};

/// Credentials of registries that a pod's manifest brings (`imagePullSecrets`), in order.
///
/// They go before those of the machine. Nothing of them shows in `Debug`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PullSecrets(Vec<ConfigFile>);

/// Why a Secret holds no credentials.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPullSecret {
    /// It is not what docker writes. The text itself is not shown.
    #[error("not docker's JSON (line {line}, column {column})")]
    Format {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A program of the host would have to be asked; a manifest cannot make that happen.
    #[error("names credential helpers, which only the machine's own files may")]
    Helpers,
    /// One of its entries cannot be understood.
    #[error(transparent)]
    Entry(#[from] CredentialsError),
}

impl PullSecrets {
    /// Adds what a Secret of type `kubernetes.io/dockerconfigjson` holds.
    ///
    /// # Errors
    /// When it is not a config.json with credentials of its own.
    pub fn add_config(&mut self, json: &[u8]) -> Result<(), InvalidPullSecret> {
        self.add(ConfigFile::parse(json))
    }

    /// Adds what a Secret of type `kubernetes.io/dockercfg` holds.
    ///
    /// # Errors
    /// As [`PullSecrets::add_config`].
    pub fn add_legacy(&mut self, json: &[u8]) -> Result<(), InvalidPullSecret> {
        self.add(ConfigFile::parse_legacy(json))
    }

    fn add(&mut self, file: serde_json::Result<ConfigFile>) -> Result<(), InvalidPullSecret> {
        let file = file.map_err(|error| InvalidPullSecret::Format {
            line: error.line(),
            column: error.column(),
        })?;
        if file.names_helpers() {
            return Err(InvalidPullSecret::Helpers);
        }
        file.check()?;
        self.0.push(file);
        Ok(())
    }

    /// The first credentials for the registry and path of an image, the most particular of a
    /// Secret before others in it.
    ///
    /// # Errors
    /// When the image's name does not tell its registry.
    pub fn for_image(&self, reference: &str) -> Result<Option<v1::AuthConfig>, CredentialsError> {
        let name: ImageName = reference.parse()?;
        for file in &self.0 {
            if let Some(auth) = file.stored_for(name.registry(), name.path())? {
                return Ok(Some(auth));
            }
        }
        Ok(None)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_secret_that_knows_the_registry_counts() {
        let mut secrets = PullSecrets::default();
        secrets.add_legacy(br#"{"r.example":{"username":"old","password":"1"}}"#).unwrap();
        let json = br#"{"auths":{"r.example":{"username":"new","password":"2"},
            "https://index.docker.io/v1/":{"auth":"d3A6c2VjcmV0"}}}"#;
        secrets.add_config(json).unwrap();
        let user = |image| secrets.for_image(image).unwrap().map(|auth| auth.username);
        assert_eq!(user("r.example/a:1").as_deref(), Some("old"));
        assert_eq!(user("wordpress").as_deref(), Some("wp"));
        assert_eq!(user("quay.io/a/b"), None);
        assert!(!format!("{secrets:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_pull_secret_is_refused() {
        let refused =
            |json: &[u8]| PullSecrets::default().add_config(json).unwrap_err().to_string();
        assert_eq!(refused(b"{"), "not docker's JSON (line 1, column 1)");
        let helpers = "names credential helpers, which only the machine's own files may";
        assert_eq!(refused(br#"{"credsStore":"pass"}"#), helpers);
        let entry = "the credentials of `a` are not base64 of USER:PASSWORD";
        assert_eq!(refused(br#"{"auths":{"a":{"auth":"%%"}}}"#), entry);
    }
}
