//! Credentials of registries on the command line.

use clap::Args;
use crilet_pod::images::{Credentials, CredentialsError, basic};

use crate::connect;

/// What verbs take that pull images.
#[derive(Debug, Args)]
pub(crate) struct CredentialsArgs {
    /// Credentials for the registry; better in docker's config.json, where other users cannot see
    /// them
    #[arg(long, value_name = "USER[:PASSWORD]", env = "CRICTL_CREDS", hide_env_values = true)]
    creds: Option<String>,
    /// The same in base64
    #[arg(
        long,
        value_name = "BASE64",
        env = "CRICTL_AUTH",
        hide_env_values = true,
        conflicts_with = "creds"
    )]
    auth: Option<String>,
}

impl CredentialsArgs {
    /// Those that were given, or else where to look for some.
    pub(crate) fn read(&self) -> Result<Credentials, CredentialsError> {
        Ok(match (&self.creds, &self.auth) {
            (Some(creds), _) => Credentials::Given(basic(creds)),
            (None, Some(auth)) => Credentials::Given(Credentials::from_base64(auth, "--auth")?),
            (None, None) => Credentials::Files(connect::credentials_environment()),
        })
    }
}
