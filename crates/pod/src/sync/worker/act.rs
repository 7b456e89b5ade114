//! Doing one planned thing.

use std::{path::Path, sync::Arc, time::Duration};

use crilet_core::ErrorChain;
use crilet_cri::{CriError, inventory::Pod as Sandbox};
use tokio_util::sync::CancellationToken;

use super::{Action, Event, Node, Target, words};
use crate::model::Pod;

/// What an action needs besides itself.
pub(super) struct Job {
    pub(super) node: Arc<Node>,
    pub(super) pod: Arc<Pod>,
    /// Instead of the pod's grace period.
    pub(super) grace: Option<Duration>,
    /// The pod's sandboxes as they were when the action was planned.
    pub(super) sandboxes: Vec<Sandbox>,
    /// Ends a start between its steps.
    pub(super) cancel: CancellationToken,
}

/// An action that has ended.
pub(super) struct Done {
    pub(super) target: Target,
    pub(super) effect: Result<Effect, Failure>,
}

/// What a worker has to know of an action that succeeded.
pub(super) enum Effect {
    Nothing,
    SandboxStopped(String),
    FilesRemoved,
    /// What volumes of the pod hold more than they may, in words.
    OverLimit(String),
    /// A container runs whose hook after the start failed.
    HookFailed {
        container: String,
        message: String,
    },
}

/// Why an action failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) container: Option<String>,
}

/// The reason of what was ended on purpose.
const CANCELLED: &str = "Cancelled";

impl Failure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), container: None }
    }

    pub(super) fn of_runtime(reason: &'static str, error: &CriError) -> Self {
        Self::new(reason, words(error))
    }

    pub(super) fn of(reason: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(reason, ErrorChain(error).to_string())
    }

    pub(super) fn cancelled() -> Self {
        Self::new(CANCELLED, "")
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.reason == CANCELLED
    }
}

impl Job {
    pub(super) async fn perform(self, action: Action) -> Done {
        let target = action.target();
        tracing::debug!(pod = %self.pod.full_name(), ?action, "action begun");
        let effect = match action {
            Action::CreateSandbox { attempt, first_start } => {
                self.create_sandbox(attempt, first_start).await
            }
            Action::StopSandbox { id } => self.stop_sandbox(&id).await,
            Action::RemoveSandbox { id } => self.remove_sandbox(&id).await,
            Action::StartContainer { sandbox, name, attempt, step } => {
                let started = self.start_container(&sandbox, &name, attempt, step).await;
                started.map_err(|failure| Failure { container: Some(name), ..failure })
            }
            Action::StopContainer { id, name, grace, why } => {
                self.stop_container(&id, &name, grace, why).await
            }
            Action::RemoveContainer { id, .. } => self.remove_container(&id).await,
            Action::RemoveFiles => self.remove_files().await,
        };
        Done { target, effect }
    }

    pub(super) fn tell(&self, container: Option<&str>, reason: &'static str, message: String) {
        self.node.events.event(Event {
            pod: self.pod.full_name(),
            container: container.map(ToOwned::to_owned),
            warning: false,
            reason,
            message,
        });
    }

    pub(super) fn sandbox(&self, id: &str) -> Option<&Sandbox> {
        self.sandboxes.iter().find(|sandbox| sandbox.id == id)
    }

    async fn remove_sandbox(&self, id: &str) -> Result<Effect, Failure> {
        match self.node.client.remove_pod_sandbox(id).await {
            Err(error) if !error.is_not_found() => {
                return Err(Failure::of_runtime("FailedRemovePodSandBox", &error));
            }
            _ => {}
        }
        let files = self.node.state.remove(id);
        files.map_err(|error| Failure::of("FailedRemoveFiles", &error))?;
        tracing::info!(pod = %self.pod.full_name(), sandbox = id, "sandbox removed");
        Ok(Effect::Nothing)
    }

    async fn remove_container(&self, id: &str) -> Result<Effect, Failure> {
        match self.node.client.remove_container(id).await {
            Err(error) if !error.is_not_found() => {
                Err(Failure::of_runtime("FailedRemoveContainer", &error))
            }
            _ => Ok(Effect::Nothing),
        }
    }
}

/// Makes a file or directory of a pod; what went wrong names it.
pub(super) fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| Failure::new("FailedFiles", format!("{}: {error}", path.display())))
}
