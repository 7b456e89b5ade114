//! Images that a pod needs: looked for, pulled by policy, with the credentials of their registry.

mod credentials;
mod docker_config;
mod pull_secrets;

use std::collections::BTreeSet;

use crilet_cri::{Client, v1};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

pub use self::{
    credentials::{Credentials, CredentialsError, basic},
    docker_config::Environment,
    pull_secrets::{InvalidPullSecret, PullSecrets},
};
use crate::{
    Failure, Observer, PodSpec, Step,
    error::{AtStep, Cause},
};

/// When to pull an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Only when the machine does not have it.
    #[default]
    Missing,
    /// Always: a tag may have moved.
    Always,
    /// Never; what is missing is an error.
    Never,
}

/// Makes sure that every image of a pod is on the machine; different images are pulled side by
/// side, the same one once.
pub(crate) async fn ensure(
    client: &Client,
    spec: &PodSpec,
    policy: PullPolicy,
    credentials: &Credentials,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), Vec<Failure>> {
    let references: BTreeSet<_> = spec
        .containers
        .iter()
        .filter_map(|container| container.image.as_ref())
        .map(|image| image.image.as_str())
        .collect();
    let one =
        |reference| ensure_one(client, spec, reference, policy, credentials, observer, cancel);
    let results = join_all(references.into_iter().map(one)).await;
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

async fn ensure_one(
    client: &Client,
    spec: &PodSpec,
    reference: &str,
    policy: PullPolicy,
    credentials: &Credentials,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    if policy != PullPolicy::Always {
        let step = || Step::FindImage { image: reference.to_owned() };
        let status = client.image_status(reference, false).await.at(step())?;
        match (status.image, policy) {
            (Some(_), _) => return Ok(()),
            (None, PullPolicy::Never) => return Err(Cause::NotPresent).at(step()),
            (None, _) => {}
        }
    }
    let step = || Step::PullImage { image: reference.to_owned() };
    observer.pull_started(reference);
    let secrets = PullSecrets::default();
    let request =
        Pull { client, reference, sandbox: &spec.sandbox, secrets: &secrets, credentials };
    // A dropped call is cancelled in the runtime, which keeps what it has got for the next time.
    let result = tokio::select! {
        result = pull(request) => result.map(drop).at(step()),
        () = cancel.cancelled() => Err(Cause::Interrupted).at(step()),
    };
    observer.pull_finished(reference, result.is_ok());
    result
}

/// Pulls an image, whether the machine has it or not, and gives the reference that it got there.
///
/// Dropping the future cancels the call in the runtime, which keeps what it has got for the next time.
///
/// # Errors
/// The step and what stood in its way.
pub async fn fetch(
    client: &Client,
    reference: &str,
    credentials: &Credentials,
    observer: &dyn Observer,
) -> Result<String, Failure> {
    observer.pull_started(reference);
    let (sandbox, secrets) = (v1::PodSandboxConfig::default(), PullSecrets::default());
    let request = Pull { client, reference, sandbox: &sandbox, secrets: &secrets, credentials };
    let result = pull(request).await.at(Step::PullImage { image: reference.to_owned() });
    observer.pull_finished(reference, result.is_ok());
    result
}

/// What the machine has of an image that was just pulled.
///
/// # Errors
/// The runtime does not tell, or it is gone again.
pub async fn look_up(client: &Client, reference: &str) -> Result<v1::Image, Failure> {
    let step = || Step::FindImage { image: reference.to_owned() };
    let status = client.image_status(reference, false).await.at(step())?;
    status.image.ok_or(Cause::NotPresent).at(step())
}

/// One image to be pulled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pull<'a> {
    pub(crate) client: &'a Client,
    pub(crate) reference: &'a str,
    /// On whose behalf.
    pub(crate) sandbox: &'a v1::PodSandboxConfig,
    /// The pod's own credentials, which go before the machine's.
    pub(crate) secrets: &'a PullSecrets,
    pub(crate) credentials: &'a Credentials,
}

/// Pulls an image with the credentials of its registry, and gives the reference that it got.
pub(crate) async fn pull(pull: Pull<'_>) -> Result<String, Cause> {
    let auth = match pull.secrets.for_image(pull.reference)? {
        Some(auth) => Some(auth),
        None => pull.credentials.for_image(pull.reference).await?,
    };
    let image = v1::ImageSpec { image: pull.reference.to_owned(), ..Default::default() };
    Ok(pull.client.pull_image(image, auth, Some(pull.sandbox.clone())).await?)
}
