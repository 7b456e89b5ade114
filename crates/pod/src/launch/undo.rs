use std::time::Duration;

use crilet_cri::{Client, inventory, v1};

use crate::{Failure, StateDir, Step, error::AtStep, teardown};

/// What a launch has created so far, so that it can be removed in reverse.
#[derive(Debug)]
pub(super) struct Undo {
    pod: String,
    /// Set before the call that creates the sandbox: it may be created and its answer lost.
    expected: Option<v1::PodSandboxMetadata>,
    sandbox: Option<String>,
}

impl Undo {
    pub(super) fn new(pod: &str) -> Self {
        Self { pod: pod.to_owned(), expected: None, sandbox: None }
    }

    pub(super) fn expect_sandbox(&mut self, config: &v1::PodSandboxConfig) {
        self.expected.clone_from(&config.metadata);
    }

    pub(super) fn sandbox_created(&mut self, id: &str) {
        self.sandbox = Some(id.to_owned());
    }

    /// Removes it all; gives what could not be removed.
    ///
    /// A container goes with its sandbox, at once: it has served nobody yet.
    pub(super) async fn run(self, client: &Client, state: &StateDir) -> Vec<Failure> {
        let id = match (self.sandbox, self.expected) {
            (Some(id), _) => Some(id),
            (None, Some(metadata)) => match lost_sandbox(client, &metadata).await {
                Ok(id) => id,
                Err(failure) => return vec![failure],
            },
            (None, None) => None,
        };
        let Some(id) = id else { return Vec::new() };
        match inventory::read_pod(client, &id, inventory::Detail::Lists).await {
            Ok(Some(pod)) => {
                let removed = teardown::remove(client, &pod, Duration::ZERO, state).await;
                removed.err().unwrap_or_default()
            }
            Ok(None) => Vec::new(),
            Err(error) => Err::<(), _>(error)
                .at(Step::RemoveSandbox { pod: self.pod })
                .err()
                .into_iter()
                .collect(),
        }
    }
}

/// A sandbox that was asked for and whose id never came back.
async fn lost_sandbox(
    client: &Client,
    metadata: &v1::PodSandboxMetadata,
) -> Result<Option<String>, Failure> {
    let sandboxes = client.list_pod_sandboxes(None).await.at(Step::Inspect)?;
    let lost = sandboxes.into_iter().find(|sandbox| sandbox.metadata.as_ref() == Some(metadata));
    Ok(lost.map(|sandbox| sandbox.id))
}
