use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_STANDARD};
use crilet_core::{ImageName, InvalidImageName, exec::ExecError};
use crilet_cri::v1;

use super::docker_config::{self, Environment};

/// Why a registry's credentials could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A credentials file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
    /// A credentials file is not what docker writes.
    #[error("cannot understand `{}`", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: serde_json::Error,
    },
    /// An `auth` that is not the base64 of `USER:PASSWORD`. The value itself is not shown.
    #[error("the credentials of {of} are not base64 of USER:PASSWORD")]
    Encoding {
        /// Whose credentials.
        of: String,
    },
    /// A credential helper could not be run, or failed.
    #[error("the credential helper for `{server}` gave nothing")]
    Helper {
        /// The registry it was asked for.
        server: String,
        /// Why.
        #[source]
        cause: ExecError,
    },
    /// A credential helper answered with something else than JSON.
    #[error("cannot understand what `{helper}` answered")]
    HelperAnswer {
        /// The helper.
        helper: String,
        /// Where and why; the answer itself is a secret.
        #[source]
        cause: serde_json::Error,
    },
    /// The image's name does not tell its registry.
    #[error(transparent)]
    Name(#[from] InvalidImageName),
}

impl CredentialsError {
    /// Whether something is wrong with what the user gave or wrote, as opposed to a helper.
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Helper { .. } | Self::HelperAnswer { .. })
    }

    /// What the reader can do about it, where there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Helper { .. } => {
                Some("credHelpers and credsStore in docker's config.json name the helpers".into())
            }
            _ => None,
        }
    }
}

/// Where the credentials of registries come from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The same for every image of this run, given by the user.
    Given(v1::AuthConfig),
    /// Docker's config.json and the like, with credential helpers; anonymous where they have none.
    Files(Environment),
}

impl Credentials {
    /// The credentials for the registry that an image comes from, or none.
    pub(super) async fn for_image(
        &self,
        reference: &str,
    ) -> Result<Option<v1::AuthConfig>, CredentialsError> {
        match self {
            Self::Given(auth) => Ok(Some(auth.clone())),
            Self::Files(environment) => {
                let name: ImageName = reference.parse()?;
                docker_config::lookup(environment, name.registry(), name.path()).await
            }
        }
    }
}

/// Credentials from `USER[:PASSWORD]`.
///
/// The server's address stays empty, as with crictl: containerd compares it with the host that it
/// really asks, so that naming the registry would keep a mirror from getting the credentials.
pub fn basic(text: &str) -> v1::AuthConfig {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    v1::AuthConfig {
        username: username.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    }
}

impl Credentials {
    /// Credentials from the base64 of `USER[:PASSWORD]`, as docker keeps them.
    ///
    /// # Errors
    /// [`CredentialsError::Encoding`] when it is not that.
    pub fn from_base64(text: &str, of: &str) -> Result<v1::AuthConfig, CredentialsError> {
        let failed = || CredentialsError::Encoding { of: of.to_owned() };
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| failed())?;
        let decoded = String::from_utf8(bytes).map_err(|_| failed())?;
        // Docker pads some of them with NUL.
        let decoded = decoded.trim_end_matches('\0');
        if decoded.is_empty() || decoded.starts_with(':') {
            Err(failed())
        } else {
            Ok(basic(decoded))
        }
    }
}
