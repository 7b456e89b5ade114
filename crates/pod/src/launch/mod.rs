//! Bringing a pod up.
//!
//! ```text
//! ports, images ──> former pod removed ──> sandbox ─┬─> containers created ─┬─> started, side by side
//!   │                (only --replace)        │      └─> hosts file ─────────┘      │
//!   └── nothing to undo                      └── undone in reverse ────────────────┘
//! ```
//!
//! Images come first, so that whatever cannot be pulled has cost nothing, not even the former pod.

mod fill;
mod ports;
mod undo;

use std::{future::Future, io, time::Duration};

use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail, Pod, PodDetails, PodState},
};
use tokio_util::sync::CancellationToken;

use self::undo::Undo;
use crate::{
    Failure, PodSpec, StateDir, Step,
    error::{AtStep, Cause},
    find,
    images::{self, Credentials, PullPolicy},
    spec::CONFIG_HASH,
    teardown,
};

/// How long a call to the runtime may go on after an interruption: what it creates is known then
/// and can be undone. After that it is given up and its traces are searched for.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);

/// How to bring a pod up.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// When to pull images.
    pub pull: PullPolicy,
    /// Where credentials come from.
    pub credentials: Credentials,
    /// Take a pod of the same name down first.
    pub replace: bool,
    /// How long a former pod's containers may take to end.
    pub grace: Duration,
    /// The runtime handler; empty for the default one.
    pub handler: String,
    /// Where pods' own files go.
    pub state: StateDir,
}

/// Hears of what takes time. Nothing may block in here.
pub trait Observer: Send + Sync {
    /// An image is being pulled.
    fn pull_started(&self, image: &str);
    /// It is here, or it failed.
    fn pull_finished(&self, image: &str, succeeded: bool);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn pull_started(&self, _: &str) {}
    fn pull_finished(&self, _: &str, _: bool) {}
}

/// How the launch ended well.
#[derive(Debug)]
pub enum Launched {
    /// The pod was brought up.
    Created(Pod),
    /// A pod of this name was there, and nothing was touched.
    Existing(Pod, Existing),
}

/// How a pod that is there compares with what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It runs, made from this very configuration.
    Running,
    /// It runs, but was made from another configuration, or by another program.
    RunningOther,
    /// Its sandbox is stopped.
    Stopped,
    /// Its sandbox is up, but containers are missing or have ended.
    Incomplete,
}

/// Why a pod could not be brought up.
#[derive(Debug, thiserror::Error)]
#[error("bring up pod `{pod}`")]
pub struct LaunchError {
    /// The pod.
    pub pod: String,
    /// The steps that failed, in order; containers are handled side by side, so more than one can.
    pub failures: Vec<Failure>,
    /// What was created and could not be removed again; empty when all was undone.
    pub left: Vec<Failure>,
    /// Whether the former pod had been removed by then.
    pub former_removed: bool,
}

impl LaunchError {
    /// Whether it was the user who stopped it.
    pub fn is_interrupted(&self) -> bool {
        self.failures.iter().any(|failure| matches!(failure.cause, Cause::Interrupted))
    }
}

/// Brings a pod up: images, sandbox, hosts file, containers.
///
/// A pod of the same name and namespace is left alone and reported, unless it is to be replaced.
/// `cancel` stops the launch between steps, a pull at once, and undoes it.
///
/// # Errors
/// [`LaunchError`] with every step that failed; what had been created is removed again in reverse.
pub async fn launch(
    client: &Client,
    spec: PodSpec,
    options: &LaunchOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<Launched, LaunchError> {
    let pod = spec.full_name();
    let mut launch =
        Launch { client, options, cancel, undo: Undo::new(&pod), former_removed: false };
    // Boxed, because it holds whole configurations while it waits.
    match Box::pin(launch.run(spec, observer)).await {
        Ok(launched) => Ok(launched),
        Err(failures) => {
            let former_removed = launch.former_removed;
            let left = launch.undo.run(client, &options.state).await;
            Err(LaunchError { pod, failures, left, former_removed })
        }
    }
}

/// A launch under way.
struct Launch<'a> {
    client: &'a Client,
    options: &'a LaunchOptions,
    cancel: &'a CancellationToken,
    undo: Undo,
    former_removed: bool,
}

impl Launch<'_> {
    async fn run(
        &mut self,
        spec: PodSpec,
        observer: &dyn Observer,
    ) -> Result<Launched, Vec<Failure>> {
        let (former, others) = self.existing(&spec).await.map_err(one)?;
        if let Some(pod) = former.first().filter(|_| !self.options.replace) {
            let existing = compare(pod, &spec);
            let pod = self.read_back(&pod.id).await.map_err(one)?;
            return Ok(Launched::Existing(pod, existing));
        }
        let options = self.options;
        let (pull, credentials) = (options.pull, &options.credentials);
        ports::check(self.client, &spec, others).await?;
        images::ensure(self.client, &spec, pull, credentials, observer, self.cancel).await?;
        self.remove_former(&former).await?;
        let spec = spec.complete().at(Step::Inspect).map_err(one)?;
        let sandbox_id = self.create_sandbox(&spec).await.map_err(one)?;
        let details = self.fill(spec, &sandbox_id).await?;
        Ok(Launched::Created(self.read_created(&sandbox_id, details).await.map_err(one)?))
    }

    /// The sandboxes that a pod of this name has already, the running one first, and all others.
    async fn existing(&self, spec: &PodSpec) -> Result<(Vec<Pod>, Vec<Pod>), Failure> {
        let mut pods = inventory::read(self.client, Detail::Lists).await.at(Step::Inspect)?;
        let found = find(&pods, &spec.full_name()).unwrap_or_default();
        let former: Vec<_> = found.into_iter().cloned().collect();
        pods.retain(|pod| !former.iter().any(|former| former.id == pod.id));
        Ok((former, pods))
    }

    async fn remove_former(&mut self, former: &[Pod]) -> Result<(), Vec<Failure>> {
        for pod in former {
            self.not_interrupted(Step::RemoveFormer { pod: pod.full_name() }).map_err(one)?;
            teardown::remove(self.client, pod, self.options.grace, &self.options.state).await?;
            self.former_removed = true;
        }
        Ok(())
    }

    async fn create_sandbox(&mut self, spec: &PodSpec) -> Result<String, Failure> {
        let step = Step::CreateSandbox { pod: spec.full_name() };
        self.not_interrupted(step.clone())?;
        self.undo.expect_sandbox(&spec.sandbox);
        let call = self.client.run_pod_sandbox(spec.sandbox.clone(), &self.options.handler);
        let id = self.patiently(step, call).await?;
        self.undo.sandbox_created(&id);
        tracing::info!(pod = %spec.full_name(), sandbox = %id, "sandbox created");
        Ok(id)
    }

    async fn read_back(&self, sandbox_id: &str) -> Result<Pod, Failure> {
        let pod = inventory::read_pod(self.client, sandbox_id, Detail::Pods).await;
        pod.at(Step::Inspect)?.ok_or_else(gone).at(Step::Inspect)
    }

    /// As [`Self::read_back`], when the sandbox's status is known: it costs the runtime the most.
    async fn read_created(&self, sandbox_id: &str, details: PodDetails) -> Result<Pod, Failure> {
        let pod = inventory::read_pod(self.client, sandbox_id, Detail::Lists).await;
        let pod = pod.at(Step::Inspect)?.ok_or_else(gone).at(Step::Inspect)?;
        Ok(Pod { details: Some(details), ..pod })
    }

    fn not_interrupted(&self, step: Step) -> Result<(), Failure> {
        if self.cancel.is_cancelled() { Err(Cause::Interrupted).at(step) } else { Ok(()) }
    }

    /// Lets a call end by itself even after an interruption, within bounds.
    async fn patiently<T>(
        &self,
        step: Step,
        call: impl Future<Output = Result<T, CriError>>,
    ) -> Result<T, Failure> {
        let patience = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(INTERRUPT_PATIENCE).await;
        };
        tokio::select! {
            biased;
            result = call => result.at(step),
            () = patience => Err(Cause::Interrupted).at(step),
        }
    }
}

fn gone() -> Cause {
    Cause::Io(io::Error::other("the sandbox went away by itself"))
}

fn one(failure: Failure) -> Vec<Failure> {
    vec![failure]
}

/// Compares a pod with what was asked for.
fn compare(pod: &Pod, spec: &PodSpec) -> Existing {
    let running = |name: &str| {
        pod.containers.iter().any(|container| {
            container.name == name && container.state == inventory::ContainerState::Running
        })
    };
    let wanted = spec.containers.iter().filter_map(|container| container.metadata.as_ref());
    if pod.state != PodState::Ready {
        Existing::Stopped
    } else if !wanted.map(|metadata| &metadata.name).all(|name| running(name)) {
        Existing::Incomplete
    } else if pod.annotations.get(CONFIG_HASH) == Some(&spec.hash()) {
        Existing::Running
    } else {
        Existing::RunningOther
    }
}

#[cfg(test)]
mod tests;
